/* SPDX-License-Identifier: Apache-2.0
 *
 * The last GTM_EVENTS_MAX things that happened, each with its cause, for people who ask "what
 * changed?"; each is logged too
 * (changes of health on the debug level, since the health engine logs them). Not durable. The
 * control thread only.
 */
#ifndef GTM_DAEMON_EVENTS_H
#define GTM_DAEMON_EVENTS_H

#include "gtm/base/clock.h"
#include "gtm/base/json.h"
#include "gtm/base/log.h"

#include <stdint.h>

#define GTM_EVENTS_MAX 1000

enum gtm_event_type {
    GTM_EVENT_STARTED = 0,
    GTM_EVENT_HEALTH_CHANGED,
    GTM_EVENT_PANIC,
    GTM_EVENT_RECOVERY,
    GTM_EVENT_SPILLOVER,
    GTM_EVENT_ADMIN_CHANGED,
    GTM_EVENT_OVERRIDE_EXPIRED,
    GTM_EVENT_CONFIG_RELOADED,
    GTM_EVENT_CONFIG_RELOAD_FAILED,
    GTM_EVENT_GEO_LOADED,
    GTM_EVENT_GEO_FAILED,
    GTM_EVENT_MODE_CHANGED,
    GTM_EVENT_TYPE_COUNT
};
/* "HealthChanged", … Never NULL. */
const char *gtm_event_type_word(enum gtm_event_type type);

/* Texts are borrowed for the call; from and to may be NULL, too long ones are cut. */
struct gtm_event {
    enum gtm_event_type type;
    enum gtm_log_level level; /* error, warn or info */
    const char *subject;      /* "endpoint/www/www-us", "pool/www", "config", "geo", "node" */
    const char *from, *to;
    const char *cause;
};

struct gtm_events;
struct gtm_events *gtm_events_new(const struct gtm_clock *clock); /* NULL: out of memory */
void gtm_events_free(struct gtm_events *events);                  /* NULL is fine */
/* Keeps and logs it; the oldest falls out. */
void gtm_events_add(struct gtm_events *events, const struct gtm_event *event);
/* At most `limit` with an id above `after`, oldest first; a new array. Ids count from 1. */
struct gtm_json *gtm_events_list(const struct gtm_events *events, uint64_t after, uint64_t limit);

#endif
