/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of health and admin state. See verdict.h.
 */
#include "gtm/model/verdict.h"

#include <stddef.h>
#include <string.h>

static const char *const health_words[GTM_HEALTH_COUNT] = {"unknown", "up", "degraded", "down"};
static const char *const admin_words[GTM_ADMIN_COUNT] = {"auto", "up", "down", "drain"};

const char *gtm_health_word(enum gtm_health health)
{
    return (unsigned)health < GTM_HEALTH_COUNT ? health_words[health] : "unknown";
}

const char *gtm_admin_word(enum gtm_admin admin)
{
    return (unsigned)admin < GTM_ADMIN_COUNT ? admin_words[admin] : "auto";
}

static int find(const char *const words[], int count, const char *word)
{
    for (int i = 0; word && i < count; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

int gtm_health_parse(const char *word)
{
    return find(health_words, GTM_HEALTH_COUNT, word);
}

int gtm_admin_parse(const char *word)
{
    return find(admin_words, GTM_ADMIN_COUNT, word);
}

const char *gtm_endpoint_state_reason(struct gtm_endpoint_state state)
{
    switch (state.admin) {
    case GTM_ADMIN_UP:
        return state.health == GTM_HEALTH_DOWN ? "held up by an operator although it is down"
                                               : "held up by an operator";
    case GTM_ADMIN_DOWN:
        return "taken down by an operator";
    case GTM_ADMIN_DRAIN:
        return "drained by an operator";
    default:
        break;
    }
    switch (state.health) {
    case GTM_HEALTH_UP:
        return "up";
    case GTM_HEALTH_DEGRADED:
        return "degraded";
    case GTM_HEALTH_DOWN:
        return "down";
    default:
        return "not checked yet";
    }
}
