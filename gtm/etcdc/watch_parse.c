/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch's messages from JSON. See watch_parse.h.
 */
#include "gtm/etcdc/watch_parse.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

/* The type by name, as protobuf's JSON has it, or by number; PUT is zero, so it is left out. */
static bool get_type(const struct gtm_json *event, bool *ret_deleted)
{
    const struct gtm_json *type = gtm_json_get(event, "type");
    const char *word = gtm_json_as_str(type);
    int64_t number = word ? -1 : gtm_json_as_i64(type, type ? -1 : 0);
    *ret_deleted = number == 1 || (word && strcmp(word, "DELETE") == 0);
    return *ret_deleted || number == 0 || (word && strcmp(word, "PUT") == 0);
}

static bool get_events(const struct gtm_json *result, struct etcdc__watch_message *m)
{
    const struct gtm_json *events = gtm_json_get(result, "events");
    for (const struct gtm_json *e = gtm_json_first(events); e; e = gtm_json_next(e)) {
        struct etcdc__watch_event *event = &m->events[m->events_count];
        if (!get_type(e, &event->deleted) ||
            !etcdc__get_kv(gtm_json_get(e, "kv"), &m->arena, &event->kv) || event->kv.key.n == 0 ||
            event->kv.mod_revision <= 0)
            return false;
        m->events_count++;
    }
    return true;
}

/* A cancel's reason is the text of an error without its code. */
static void read_reason(const struct gtm_json *result, struct etcdc__watch_message *m)
{
    const char *reason = gtm_json_str(result, "cancel_reason", "");
    struct gtm_json *error = gtm_json_object();
    gtm_json_add_i64(error, "code", 2); /* unknown */
    gtm_json_add_str(error, "message", reason);
    m->code = etcdc__error_of(error, 0, m->text);
    gtm_json_free(error);
    if (m->code == ETCDC_OK)
        m->code = ETCDC_E_UNAVAILABLE;
    snprintf(m->text, sizeof(m->text), "%s", reason[0] ? reason : "the server ended the watch");
}

static bool read_result(const struct gtm_json *result, struct etcdc__watch_message *m)
{
    if (gtm_json_type(result) != GTM_JSON_OBJECT || !etcdc__get_header(result, &m->header) ||
        !etcdc__get_i64(result, "watch_id", &m->watch_id) ||
        !etcdc__get_i64(result, "compact_revision", &m->compact_revision))
        return false;
    m->created = gtm_json_bool(result, "created", false);
    m->canceled = gtm_json_bool(result, "canceled", false);
    m->fragment = gtm_json_bool(result, "fragment", false);
    if (m->compact_revision < 0)
        return false;
    if (m->compact_revision > 0) {
        m->canceled = true;
        m->code = ETCDC_E_COMPACTED;
        snprintf(m->text, sizeof(m->text), "%s", etcdc_text(m->code));
    } else if (m->canceled) {
        read_reason(result, m);
    }
    return get_events(result, m);
}

static int read_message(const struct gtm_json *json, size_t len, struct etcdc__watch_message *m)
{
    const struct gtm_json *result = gtm_json_get(json, "result");
    m->bytes = len;
    if (!result) {
        m->code = etcdc__error_of(json, 0, m->text);
        return m->code ? ETCDC_OK : ETCDC_E_PROTOCOL;
    }
    size_t count = gtm_json_count(gtm_json_get(result, "events"));
    if (count > 0) {
        m->events = gtm_calloc(count, sizeof(*m->events));
        if (!m->events || etcdc__arena_init(&m->arena, len))
            return ETCDC_E_NOMEM;
    }
    return read_result(result, m) ? ETCDC_OK : ETCDC_E_PROTOCOL;
}

struct etcdc__watch_message *etcdc__watch_parse(const char *text, size_t len, int *ret_code)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse(text, len, &err);
    if (!json) {
        *ret_code = err.code == GTM_ENOMEM ? ETCDC_E_NOMEM : ETCDC_E_PROTOCOL;
        return NULL;
    }
    struct etcdc__watch_message *m = gtm_calloc(1, sizeof(*m));
    *ret_code = m ? read_message(json, len, m) : ETCDC_E_NOMEM;
    gtm_json_free(json);
    if (*ret_code) {
        etcdc__watch_message_free(m);
        return NULL;
    }
    return m;
}

void etcdc__watch_message_free(struct etcdc__watch_message *message)
{
    if (!message)
        return;
    etcdc__arena_fini(&message->arena);
    gtm_free(message->events);
    gtm_free(message);
}
