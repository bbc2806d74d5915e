/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts of a pool: whatever is read must be within its bounds, and be written as a text that
 * reads as the same.
 */
#include "gtm/model/verdict_doc.h"

#include "gtm/base/mem.h"
#include "gtm/model/states.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static char *print(const struct gtm_verdict_doc *doc)
{
    struct gtm_buf buf = {0};
    int rc = gtm_verdict_doc_print(doc, &buf);
    /* numbers and defaults may be longer now */
    check(rc == GTM_OK || rc == GTM_ELIMIT);
    check(buf.len <= GTM_VERDICT_BYTES_MAX);
    return rc == GTM_OK ? gtm_buf_take(&buf) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gtm_verdict_doc doc, again;
    struct gtm_error err = {0};
    int rc = gtm_verdict_doc_parse((const char *)data, size, &doc, &err);
    if (rc != GTM_OK) {
        check(err.code == rc && err.text[0] && !doc.addresses && !doc.weights && !doc.own);
        return 0;
    }
    for (size_t i = 0; i < doc.count; i++) {
        const struct gtm_verdict_address *a = &doc.addresses[i];
        check(a->endpoint[0] && a->family < GTM_FAMILY_COUNT && a->health < GTM_HEALTH_COUNT);
        check(a->quorum < 3 && a->share <= GTM_SHARE_FULL && a->since_ms >= 0);
        check(strlen(a->cause) < GTM_VERDICT_CAUSE && a->recovery_count <= GTM_VERDICT_NUMBERS);
        for (unsigned n = 0; n < a->recovery_count; n++)
            check(isfinite(a->recovery[n]));
    }
    char *first = print(&doc);
    if (first) {
        check(gtm_verdict_doc_parse(first, strlen(first), &again, &err) == GTM_OK);
        char *second = print(&again);
        check(again.count == doc.count && again.weights_count == doc.weights_count);
        check(second && strcmp(first, second) == 0);
        gtm_free(second);
        gtm_verdict_doc_fini(&again);
    }
    gtm_free(first);
    gtm_verdict_doc_fini(&doc);
    return 0;
}
