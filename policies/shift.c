/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving users away in steps: what is gone now, and when the next step is due. Pure; see rules.h.
 */
#include "policies/rules.h"

#include <stdio.h>
#include <stdlib.h>

unsigned policy_shift_now(const struct policy_shift *shift)
{
    return shift->done > 0 && shift->done <= shift->count ? shift->steps[shift->done - 1] * 10u : 0;
}

int64_t policy_shift_due_ms(const struct policy_shift *shift)
{
    if (shift->held || shift->done >= shift->count)
        return 0;
    int64_t due = shift->since_ms + (shift->done > 0 ? (int64_t)shift->pause_ms : 0);
    return due > 0 ? due : 1;
}

int policy_shift_parse(const char *text, struct policy_shift *ret, struct gtm_error *err)
{
    ret->count = ret->done = 0;
    for (const char *at = text; *at || ret->count == 0;) {
        char *end;
        unsigned long percent = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 0;
        unsigned long last = ret->count > 0 ? ret->steps[ret->count - 1] : 0;
        if (percent <= last || percent > 100 || ret->count == POLICY_SHIFT_STEPS ||
            (*end && (*end != ',' || !end[1])))
            return gtm_error_set(err, GTM_EINVAL,
                                 "steps must be at most %d rising percentages of 1 to 100, such as "
                                 "10,50,100",
                                 POLICY_SHIFT_STEPS);
        ret->steps[ret->count++] = (uint8_t)percent;
        at = *end ? end + 1 : end;
    }
    return GTM_OK;
}

const char *policy_shift_print(const struct policy_shift *shift, char out[POLICY_SHIFT_TEXT])
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < shift->count && at + 5 < POLICY_SHIFT_TEXT; i++)
        at += (size_t)snprintf(out + at, POLICY_SHIFT_TEXT - at, "%s%u", i ? "," : "",
                               shift->steps[i]);
    return out;
}
