/* SPDX-License-Identifier: Apache-2.0
 *
 * From listings and messages to events. See watch_core.h.
 */
#include "gtm/etcdc/watch_core.h"

#include "gtm/base/mem.h"

#include <string.h>

#define KEYS_BYTES ((size_t)512 << 20)

/* A key of a listing; its octets follow the struct. */
struct etcdc__copied {
    struct etcdc__copied *next;
    struct etcdc_kv kv;
};

static void drop_listed(struct etcdc__core *core)
{
    while (core->listed) {
        struct etcdc__copied *next = core->listed->next;
        gtm_free(core->listed);
        core->listed = next;
    }
    core->listed_end = &core->listed;
}

static void free_messages(struct etcdc__watch_message *m)
{
    while (m) {
        struct etcdc__watch_message *next = m->next;
        etcdc__watch_message_free(m);
        m = next;
    }
}

static struct etcdc__watch_message *take_fragments(struct etcdc__core *core)
{
    struct etcdc__watch_message *all = core->fragments;
    core->fragments = NULL;
    core->fragments_end = &core->fragments;
    core->fragments_bytes = 0;
    return all;
}

void etcdc__core_stream_ended(struct etcdc__core *core)
{
    free_messages(take_fragments(core));
}

void etcdc__core_init(struct etcdc__core *core, int64_t after)
{
    if (core->keys_bytes == 0)
        core->keys_bytes = KEYS_BYTES;
    core->next = after > 0 ? after + 1 : 0;
    core->fragments_end = &core->fragments;
    core->listed_end = &core->listed;
}

void etcdc__core_fini(struct etcdc__core *core)
{
    etcdc__core_stream_ended(core);
    drop_listed(core);
    etcdc__keys_free(core->keys);
    core->keys = NULL;
}

static void forget_keys(struct etcdc__core *core)
{
    etcdc__keys_free(core->keys);
    core->keys = NULL;
}

static bool is_tick(const struct etcdc__core *core, struct etcdc_buf key)
{
    return core->tick.n > 0 && key.n == core->tick.n && memcmp(key.p, core->tick.p, key.n) == 0;
}

/* --- listings --- */

void etcdc__core_list_begin(struct etcdc__core *core)
{
    drop_listed(core);
    core->listing_code = ETCDC_OK;
    if (core->keys)
        etcdc__keys_unmark(core->keys);
}

static int copy_kv(struct etcdc__core *core, const struct etcdc_kv *kv)
{
    struct etcdc__copied *copy = gtm_malloc(sizeof(*copy) + kv->key.n + kv->value.n);
    if (!copy)
        return ETCDC_E_NOMEM;
    uint8_t *octets = (uint8_t *)(copy + 1);
    copy->next = NULL;
    copy->kv = *kv;
    memcpy(octets, kv->key.p, kv->key.n);
    copy->kv.key.p = octets;
    octets += kv->key.n;
    if (kv->value.n > 0)
        memcpy(octets, kv->value.p, kv->value.n);
    copy->kv.value.p = octets;
    *core->listed_end = copy;
    core->listed_end = &copy->next;
    return ETCDC_OK;
}

void etcdc__core_list_page(struct etcdc__core *core, const struct etcdc_kv *kvs, size_t count,
                           bool restart)
{
    if (restart)
        etcdc__core_list_begin(core);
    for (size_t i = 0; i < count && !core->listing_code; i++) {
        if (core->keys && etcdc__keys_get(core->keys, kvs[i].key) >= kvs[i].mod_revision)
            etcdc__keys_mark(core->keys, kvs[i].key);
        else
            core->listing_code = copy_kv(core, &kvs[i]);
    }
}

/* Everything listed is known from now on, if there is room for it. */
static int remember_listed(struct etcdc__core *core, bool complete)
{
    if (!complete)
        core->keys = etcdc__keys_new(core->keys_bytes);
    int code = core->keys ? ETCDC_OK : ETCDC_E_NOMEM;
    for (struct etcdc__copied *c = core->listed; c && !code; c = c->next)
        code = etcdc__keys_put(core->keys, c->kv.key, c->kv.mod_revision);
    return code;
}

static bool emit(struct etcdc__core *core, struct etcdc_event *event, enum etcdc_event_type type,
                 const struct etcdc_kv *kv)
{
    event->type = type;
    event->kv = kv;
    core->events += type == ETCDC_PUT || type == ETCDC_DELETE;
    return core->emit(core->arg, event);
}

/* The keys that the listing does not have any more. */
static bool emit_gone(struct etcdc__core *core, struct etcdc_event *event, int *ret_code)
{
    struct etcdc_kv gone = {.mod_revision = event->revision};
    size_t it = 0;
    while (etcdc__keys_take_unmarked(core->keys, &it, &gone.key, ret_code))
        if (!emit(core, event, ETCDC_DELETE, &gone))
            return false;
    return *ret_code == ETCDC_OK;
}

static bool emit_listed(struct etcdc__core *core, struct etcdc_event *event)
{
    for (const struct etcdc__copied *c = core->listed; c; c = c->next)
        if (!emit(core, event, ETCDC_PUT, &c->kv))
            return false;
    return true;
}

/* Gives the listing, as the difference when everything given before is known. */
static int give_listing(struct etcdc__core *core, const struct etcdc_header *header)
{
    bool complete = core->keys != NULL;
    bool remembered = remember_listed(core, complete) == ETCDC_OK;
    if (!remembered)
        forget_keys(core);
    if (complete && !remembered)
        return ETCDC_E_OVERFLOW; /* the next listing comes in full */
    core->next = header->revision + 1;
    struct etcdc_event event = {.revision = header->revision, .header = *header, .text = ""};
    int code = ETCDC_OK;
    bool go_on =
        complete ? emit_gone(core, &event, &code) : emit(core, &event, ETCDC_SNAPSHOT, NULL);
    if (code) {
        forget_keys(core);
        return code;
    }
    if (go_on && emit_listed(core, &event))
        emit(core, &event, ETCDC_REVISION, NULL);
    return ETCDC_OK;
}

int etcdc__core_list_end(struct etcdc__core *core, const struct etcdc_header *header,
                         bool *ret_changed)
{
    uint64_t before = core->events;
    int code = core->listing_code;
    if (!code && header->revision + 1 < core->next)
        code = ETCDC_E_CLUSTER_CHANGED;
    if (!code)
        code = give_listing(core, header);
    drop_listed(core);
    *ret_changed = core->events != before;
    return code;
}

/* --- the stream --- */

static void remember_event(struct etcdc__core *core, const struct etcdc__watch_event *e)
{
    if (!core->keys)
        return;
    if (e->deleted)
        etcdc__keys_remove(core->keys, e->kv.key);
    else if (etcdc__keys_put(core->keys, e->kv.key, e->kv.mod_revision))
        forget_keys(core);
}

/* Gives the events of one message that are not older than *from, which rises with them. */
static bool give(struct etcdc__core *core, const struct etcdc__watch_message *m, int64_t *from)
{
    struct etcdc_event event = {.header = m->header, .text = ""};
    for (size_t i = 0; i < m->events_count; i++) {
        const struct etcdc__watch_event *e = &m->events[i];
        if (e->kv.mod_revision < *from)
            continue; /* given before: servers repeat themselves and go back in time */
        *from = e->kv.mod_revision;
        core->next = *from + 1;
        event.revision = *from;
        remember_event(core, e);
        core->tick_seen |= is_tick(core, e->kv.key);
        struct etcdc_kv gone = {.key = e->kv.key, .mod_revision = e->kv.mod_revision};
        if (!emit(core, &event, e->deleted ? ETCDC_DELETE : ETCDC_PUT, e->deleted ? &gone : &e->kv))
            return false;
    }
    return true;
}

/* All fragments of some transactions are here. */
static void give_all(struct etcdc__core *core, const struct etcdc_header *header)
{
    int64_t from = core->next, before = core->next;
    bool go_on = true;
    /* Taken out first: whoever is told may close the watch, which forgets what is left in it. */
    struct etcdc__watch_message *all = take_fragments(core);
    for (const struct etcdc__watch_message *m = all; m && go_on; m = m->next)
        go_on = give(core, m, &from);
    free_messages(all);
    if (!go_on || core->next == before)
        return;
    struct etcdc_event event = {.revision = core->next - 1, .header = *header, .text = ""};
    emit(core, &event, ETCDC_REVISION, NULL);
}

/* Nothing happened up to the header's revision. */
static void progress(struct etcdc__core *core, const struct etcdc__watch_message *m)
{
    if (m->created || m->watch_id != 0 || m->header.revision < core->next)
        return;
    core->next = m->header.revision + 1;
    struct etcdc_event event = {.revision = m->header.revision, .header = m->header, .text = ""};
    emit(core, &event, ETCDC_REVISION, NULL);
}

int etcdc__core_message(struct etcdc__core *core, struct etcdc__watch_message *message)
{
    bool has_events = message->events_count > 0 || message->fragment || core->fragments;
    int code = message->code;
    if (!code && message->bytes > core->queue_bytes - core->fragments_bytes)
        code = ETCDC_E_OVERFLOW;
    if (code || !has_events) {
        if (!code)
            progress(core, message);
        etcdc__watch_message_free(message);
        return code;
    }
    struct etcdc_header header = message->header;
    bool whole = !message->fragment;
    message->next = NULL;
    *core->fragments_end = message;
    core->fragments_end = &message->next;
    core->fragments_bytes += message->bytes;
    if (whole)
        give_all(core, &header);
    return ETCDC_OK;
}
