/* SPDX-License-Identifier: Apache-2.0
 *
 * Observations of a vantage: whatever is read must be within its bounds, and be written as a text
 * that reads as the same.
 */
#include "gtm/model/obs.h"

#include "gtm/base/mem.h"
#include "gtm/model/states.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static char *print(const struct gtm_obs *obs)
{
    struct gtm_buf buf = {0};
    int rc = gtm_obs_print(obs, &buf);
    /* what was escaped less may be longer now */
    check(rc == GTM_OK || rc == GTM_ELIMIT);
    check(buf.len <= GTM_OBS_BYTES_MAX);
    return rc == GTM_OK ? gtm_buf_take(&buf) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gtm_obs obs, again;
    struct gtm_error err = {0};
    int rc = gtm_obs_parse((const char *)data, size, &obs, &err);
    if (rc != GTM_OK) {
        check(err.code == rc && err.text[0] && !obs.slots && !obs.own);
        return 0;
    }
    for (size_t i = 0; i < obs.count; i++) {
        const struct gtm_obs_slot *slot = &obs.slots[i];
        check(slot->endpoint[0] && slot->monitor[0] && slot->family < GTM_FAMILY_COUNT);
        check(slot->since_ms >= 0 && strlen(slot->result) < GTM_OBS_RESULT);
        check(strlen(slot->evidence) < GTM_OBS_EVIDENCE);
    }
    char *first = print(&obs);
    if (first) {
        check(gtm_obs_parse(first, strlen(first), &again, &err) == GTM_OK);
        char *second = print(&again);
        check(again.count == obs.count && second && strcmp(first, second) == 0);
        gtm_free(second);
        gtm_obs_fini(&again);
    }
    gtm_free(first);
    gtm_obs_fini(&obs);
    return 0;
}
