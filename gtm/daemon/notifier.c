/* SPDX-License-Identifier: Apache-2.0
 *
 * See notifier.h: the frame; what it does follows.
 */
#include "gtm/daemon/notifier.h"
#include "gtm/base/mem.h"
struct gtm_notifier {
    struct gtmd *d;
};
struct gtm_notifier *gtm_notifier_new(struct gtmd *d)
{
    struct gtm_notifier *n = gtm_calloc(1, sizeof(*n));
    if (n)
        n->d = d;
    return n;
}
void gtm_notifier_free(struct gtm_notifier *n)
{
    gtm_free(n);
}
void gtm_notifier_zones(struct gtm_notifier *n)
{
    (void)n;
}
