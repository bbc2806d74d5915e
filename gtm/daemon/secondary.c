/* SPDX-License-Identifier: Apache-2.0
 *
 * See secondary.h: the frame; what it does follows.
 */
#include "gtm/daemon/secondary.h"
#include "gtm/base/mem.h"
struct gtm_secondary {
    struct gtmd *d;
};
struct gtm_secondary *gtm_secondary_new(struct gtmd *d)
{
    struct gtm_secondary *n = gtm_calloc(1, sizeof(*n));
    if (n)
        n->d = d;
    return n;
}
void gtm_secondary_free(struct gtm_secondary *n)
{
    gtm_free(n);
}
void gtm_secondary_start(struct gtm_secondary *n)
{
    (void)n;
}
void gtm_secondary_follow(struct gtm_secondary *n)
{
    (void)n;
}
void gtm_secondary_pause(struct gtm_secondary *n, bool p)
{
    (void)n;
    (void)p;
}
