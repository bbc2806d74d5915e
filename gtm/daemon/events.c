/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring of fixed records: adding one never allocates, so that a shortage of memory is no reason to
 * lose what happened. See events.h.
 */
#include "gtm/daemon/events.h"

#include "gtm/base/mem.h"

#include <stdio.h>

#define SUBJECT_BYTES 160
#define WORD_BYTES    24
#define CAUSE_BYTES   256

struct record {
    int64_t wall_ms;
    enum gtm_event_type type;
    enum gtm_log_level level;
    bool has_from, has_to;
    char subject[SUBJECT_BYTES], from[WORD_BYTES], to[WORD_BYTES], cause[CAUSE_BYTES];
};

struct gtm_events {
    const struct gtm_clock *clock;
    uint64_t last_id; /* of the newest; the record of id n is at (n - 1) % GTM_EVENTS_MAX */
    struct record ring[GTM_EVENTS_MAX];
};

const char *gtm_event_type_word(enum gtm_event_type type)
{
    static const char *const words[GTM_EVENT_TYPE_COUNT] = {
        "Started",      "HealthChanged",   "Panic",          "Recovery",           "Spillover",
        "AdminChanged", "OverrideExpired", "ConfigReloaded", "ConfigReloadFailed", "GeoLoaded",
        "GeoFailed",    "ModeChanged"};
    return (unsigned)type < GTM_EVENT_TYPE_COUNT ? words[type] : "?";
}

struct gtm_events *gtm_events_new(const struct gtm_clock *clock)
{
    struct gtm_events *events = gtm_calloc(1, sizeof(*events));
    if (events)
        events->clock = clock;
    return events;
}

void gtm_events_free(struct gtm_events *events)
{
    gtm_free(events);
}

void gtm_events_add(struct gtm_events *events, const struct gtm_event *event)
{
    struct record *r = &events->ring[events->last_id++ % GTM_EVENTS_MAX];
    r->wall_ms = gtm_wall_ms(events->clock);
    r->type = event->type;
    r->level = event->level;
    r->has_from = event->from != NULL;
    r->has_to = event->to != NULL;
    snprintf(r->subject, sizeof(r->subject), "%s", event->subject);
    snprintf(r->from, sizeof(r->from), "%s", event->from ? event->from : "");
    snprintf(r->to, sizeof(r->to), "%s", event->to ? event->to : "");
    snprintf(r->cause, sizeof(r->cause), "%s", event->cause ? event->cause : "");
    /* The health engine logs each change itself, with more of its evidence. */
    enum gtm_log_level level =
        event->type == GTM_EVENT_HEALTH_CHANGED ? GTM_LOG_DEBUG : event->level;
    gtm_log(level, "event", gtm_event_type_word(event->type), gtm_kv_str("subject", r->subject),
            gtm_kv_str("from", r->from), gtm_kv_str("to", r->to), gtm_kv_str("cause", r->cause));
}

static void add_record(struct gtm_json *list, uint64_t id, const struct record *r)
{
    static const char *const severities[] = {"error", "warning", "info", "info"};
    char time[GTM_TIME_TEXT_BYTES];
    struct gtm_json *one = gtm_json_append_object(list);
    gtm_json_add_i64(one, "id", (int64_t)id);
    gtm_json_add_str(one, "time", gtm_time_format(r->wall_ms, time));
    gtm_json_add_str(one, "type", gtm_event_type_word(r->type));
    gtm_json_add_str(one, "severity", severities[r->level]);
    gtm_json_add_str(one, "subject", r->subject);
    gtm_json_add_str(one, "from", r->has_from ? r->from : NULL);
    gtm_json_add_str(one, "to", r->has_to ? r->to : NULL);
    gtm_json_add_str(one, "cause", r->cause);
}

struct gtm_json *gtm_events_list(const struct gtm_events *events, uint64_t after, uint64_t limit)
{
    struct gtm_json *list = gtm_json_array();
    uint64_t oldest = events->last_id > GTM_EVENTS_MAX ? events->last_id - GTM_EVENTS_MAX : 0;
    if (after < oldest)
        after = oldest;
    for (uint64_t id = after + 1; after < events->last_id && id <= events->last_id && limit > 0;
         id++, limit--)
        add_record(list, id, &events->ring[(id - 1) % GTM_EVENTS_MAX]);
    return list;
}
