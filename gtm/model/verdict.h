/* SPDX-License-Identifier: Apache-2.0
 *
 * The words for health and for what the operator ordered, and the state of one endpoint as every
 * part sees it. Pure, thread-safe.
 */
#ifndef GTM_MODEL_VERDICT_H
#define GTM_MODEL_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum gtm_health {
    GTM_HEALTH_UNKNOWN = 0,
    GTM_HEALTH_UP,
    GTM_HEALTH_DEGRADED,
    GTM_HEALTH_DOWN,
    GTM_HEALTH_COUNT
};
enum gtm_admin {
    GTM_ADMIN_AUTO = 0,
    GTM_ADMIN_UP,
    GTM_ADMIN_DOWN,
    GTM_ADMIN_DRAIN,
    GTM_ADMIN_COUNT
};

/* "unknown", "up", "degraded", "down". Never NULL. */
const char *gtm_health_word(enum gtm_health health);
/* "auto", "up", "down", "drain". Never NULL. */
const char *gtm_admin_word(enum gtm_admin admin);
/* The inverse; -1 when it is none of the words. */
int gtm_health_parse(const char *word);
int gtm_admin_parse(const char *word);

/* What steering needs to know of one endpoint. */
struct gtm_endpoint_state {
    enum gtm_health health; /* the verdict, damped */
    enum gtm_admin admin;
};

/* May it get users? admin up → yes; down, drain → no; auto: every health but down. Unknown serves.
 */
static inline bool gtm_endpoint_serves(struct gtm_endpoint_state state)
{
    switch (state.admin) {
    case GTM_ADMIN_UP:
        return true;
    case GTM_ADMIN_DOWN:
    case GTM_ADMIN_DRAIN:
        return false;
    default:
        return state.health != GTM_HEALTH_DOWN;
    }
}

/* What the table in the documentation and `explain` call the combination: "up", "down", "drained by
 * an operator", … */
const char *gtm_endpoint_state_reason(struct gtm_endpoint_state state);

#endif
