/* SPDX-License-Identifier: Apache-2.0
 *
 * The publisher: keeps the steering tables of one compiled intent in step with the states, and
 * hands out a view whenever one differs. See publish.h; control thread.
 *
 * Happy path: flip marks the tables of the touched pools, rebuilds them, builds a view of pointers,
 * publishes. On failure: a table that could not be built keeps its old content and its mark, a view
 * that could not be built is owed; the next flip makes up for both.
 */
#include "gtm/daemon/publish.h"

#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "gtm/daemon/settings.h"

struct gtm_publisher *gtm_publisher_new(gtm_publish_fn publish, void *ctx)
{
    struct gtm_publisher *pub = gtm_calloc(1, sizeof(*pub));
    if (pub) {
        pub->publish = publish;
        pub->ctx = ctx;
    }
    return pub;
}

static void state_free(struct gtm__state *s)
{
    if (!s)
        return;
    for (size_t t = 0; s->tables && t < s->compiled->tables_count; t++)
        gtm__table_fini(s, &s->tables[t]);
    gtm__picks_fini(&s->picks);
    gtm_free(s->tables);
    gtm_free(s->dirty);
    gtm_free(s->dirty_list);
    gtm_free(s->view_zones);
    gtm_free(s->slots);
    gtm_free(s->slot_tables);
    policy_choice_fini(&s->choice);
    gtm_free(s->spec);
    gtm_buf_fini(&s->rdata);
    gtm_buf_fini(&s->rdlens);
    gtm_free(s->options);
    gtm_free(s->choice_ptrs);
    gtm_compiled_unref(s->compiled);
    gtm_free(s);
}

void gtm_publisher_free(struct gtm_publisher *pub)
{
    if (!pub)
        return;
    state_free(pub->state);
    dns_view_unref(pub->view);
    gtm_settings_unref(pub->settings);
    gtm_settings_unref(pub->next_settings);
    gtm_free(pub);
}

void gtm__publisher_lay_out(struct gtm__state *s, const struct gtm_settings *settings,
                            const struct dns_view_zone *old)
{
    const struct gtm_compiled *c = s->compiled;
    size_t at = 0;
    for (size_t z = 0; z < c->zones_count; z++) {
        /* A copy that has just come is not the one that expired. */
        bool same = old && old[z].zone == c->zones[z].zone;
        s->view_zones[z] = (struct dns_view_zone){
            .zone = c->zones[z].zone,
            .slots = &s->slots[at],
            .peers = settings && z < settings->zones_count ? settings->peers[z] : NULL,
            .expired = c->zones[z].placeholder || (same && old[z].expired),
        };
        for (size_t i = 0; i < c->zones[z].slot_count; i++)
            s->slot_tables[at++] = c->zones[z].tables[i];
    }
}

/* Copies that have expired stay so when something else changes. */
static void keep_expired(struct gtm__state *s, const struct gtm__state *old)
{
    for (size_t z = 0; z < old->compiled->zones_count; z++) {
        if (!old->view_zones[z].expired)
            continue;
        int at = gtm_intent_zone(s->compiled->intent, old->compiled->intent->zones[z].name);
        if (at >= 0 && s->view_zones[at].zone == old->view_zones[z].zone)
            s->view_zones[at].expired = true;
    }
}

static struct gtm__state *state_new(struct gtm_publisher *pub, struct gtm_compiled *compiled)
{
    struct gtm__state *s = gtm_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->compiled = gtm_compiled_ref(compiled);
    s->info = &pub->info;
    for (size_t z = 0; z < compiled->zones_count; z++)
        s->slots_count += compiled->zones[z].slot_count;
    s->tables = gtm_calloc(compiled->tables_count, sizeof(*s->tables));
    s->dirty = gtm_calloc(compiled->tables_count, 1);
    s->dirty_list = gtm_calloc(compiled->tables_count, sizeof(*s->dirty_list));
    s->view_zones = gtm_calloc(compiled->zones_count, sizeof(*s->view_zones));
    s->slots = gtm_calloc(s->slots_count, sizeof(struct dns_steer *));
    s->slot_tables = gtm_calloc(s->slots_count, sizeof(*s->slot_tables));
    if (!s->tables || !s->dirty || !s->dirty_list || !s->view_zones || !s->slots ||
        !s->slot_tables) {
        state_free(s);
        return NULL;
    }
    gtm__publisher_lay_out(s, pub->next_settings ? pub->next_settings : pub->settings, NULL);
    if (pub->state)
        keep_expired(s, pub->state);
    return s;
}

static void mark(struct gtm__state *s, uint32_t table)
{
    if (s->dirty[table])
        return;
    s->dirty[table] = 1;
    s->dirty_list[s->dirty_count++] = table;
}

/* Rebuilds what is marked. A table that fails stays marked and does not hold up the others; returns
 * the first failure. */
static int rebuild(struct gtm__state *s, const struct gtm_states *states, bool *ret_changed,
                   struct gtm_error *err)
{
    size_t left = 0;
    int first = GTM_OK;
    for (size_t i = 0; i < s->dirty_count; i++) {
        uint32_t t = s->dirty_list[i];
        bool changed = false;
        struct gtm_error why = {0};
        int rc = gtm__table_build(s, states, t, &changed, &why);
        *ret_changed |= changed;
        s->dirty[t] = rc != GTM_OK;
        if (rc == GTM_OK)
            continue;
        s->dirty_list[left++] = t;
        if (first == GTM_OK) {
            first = rc;
            *err = why;
        }
    }
    s->dirty_count = left;
    return first;
}

static struct dns_view *view_new(struct gtm__state *s, const struct gtm_settings *settings,
                                 uint64_t revision, struct gtm_error *err)
{
    for (size_t i = 0; i < s->slots_count; i++)
        s->slots[i] = s->tables[s->slot_tables[i]].steer;
    return dns_view_new(s->view_zones, s->compiled->zones_count, settings ? settings->dns : NULL,
                        revision, err);
}

static void take_view(struct gtm_publisher *pub, struct dns_view *view)
{
    dns_view_unref(pub->view);
    pub->view = view;
    pub->view_stale = false;
    pub->info.revision++;
    pub->info.views++;
    if (pub->publish)
        pub->publish(pub->ctx, dns_view_ref(view));
}

int gtm__publisher_view(struct gtm_publisher *pub, struct gtm_error *err)
{
    struct dns_view *view = view_new(pub->state, pub->settings, pub->info.revision + 1, err);
    if (!view)
        return err && err->code ? err->code : GTM_ENOMEM;
    take_view(pub, view);
    return GTM_OK;
}

void gtm_publisher_settings(struct gtm_publisher *pub, struct gtm_settings *settings)
{
    gtm_settings_unref(pub->next_settings);
    pub->next_settings = settings ? gtm_settings_ref(settings) : NULL;
}

/* The staged settings come into force, or are dropped. */
static void settle_settings(struct gtm_publisher *pub, bool installed)
{
    struct gtm_settings *gone = pub->next_settings;
    if (installed && gone) {
        gone = pub->settings;
        pub->settings = pub->next_settings;
    }
    pub->next_settings = NULL;
    gtm_settings_unref(gone);
}

int gtm_publisher_install(struct gtm_publisher *pub, struct gtm_compiled *compiled,
                          const struct gtm_states *states, struct gtm_error *err)
{
    struct gtm_error why = {0};
    bool changed = false;
    if (gtm_states_intent(states) != compiled->intent)
        return gtm_error_set(err, GTM_EINVAL, "the states belong to another intent");
    struct gtm_publisher_info was = pub->info;
    struct gtm__state *s = state_new(pub, compiled);
    if (!s) {
        settle_settings(pub, false);
        return gtm_error_set(err, GTM_ENOMEM, "no memory for steering tables");
    }
    pub->info.fail_open = pub->info.fail_closed = 0;
    for (size_t t = 0; t < compiled->tables_count; t++)
        mark(s, (uint32_t)t);
    int rc = rebuild(s, states, &changed, &why);
    const struct gtm_settings *settings = pub->next_settings ? pub->next_settings : pub->settings;
    struct dns_view *view =
        rc == GTM_OK ? view_new(s, settings, pub->info.revision + 1, &why) : NULL;
    if (!view) {
        state_free(s);
        settle_settings(pub, false);
        pub->info = was;
        return gtm_error_set(err, why.code ? why.code : GTM_ENOMEM, "%s", why.text);
    }
    state_free(pub->state);
    pub->state = s;
    settle_settings(pub, true);
    take_view(pub, view);
    return GTM_OK;
}

static void set_peers(struct gtm__state *s, const struct gtm_settings *settings)
{
    for (size_t z = 0; z < s->compiled->zones_count; z++)
        s->view_zones[z].peers = settings && z < settings->zones_count ? settings->peers[z] : NULL;
}

int gtm_publisher_refresh(struct gtm_publisher *pub, struct gtm_error *err)
{
    if (!pub->state || !pub->next_settings) {
        settle_settings(pub, false);
        return gtm_error_set(err, GTM_ESTATE, "nothing is installed");
    }
    set_peers(pub->state, pub->next_settings);
    struct dns_view *view = view_new(pub->state, pub->next_settings, pub->info.revision + 1, err);
    if (!view) {
        set_peers(pub->state, pub->settings);
        settle_settings(pub, false);
        return err && err->code ? err->code : GTM_ENOMEM;
    }
    settle_settings(pub, true);
    take_view(pub, view);
    return GTM_OK;
}

int gtm_publisher_flip(struct gtm_publisher *pub, const struct gtm_states *states,
                       const struct gtm_touched *touched, struct gtm_error *err)
{
    struct gtm__state *s = pub->state;
    struct gtm_error why = {0};
    bool changed = false;
    if (!s)
        return gtm_error_set(err, GTM_ESTATE, "nothing is installed");
    const struct gtm_compiled *c = s->compiled;
    if (gtm_states_intent(states) != c->intent)
        return gtm_error_set(err, GTM_EINVAL, "the states belong to another intent");
    for (size_t i = 0; i < touched->count; i++)
        if (touched->pools[i] < c->intent->pools_count)
            for (uint32_t k = c->pool_first[touched->pools[i]];
                 k < c->pool_first[touched->pools[i] + 1]; k++)
                mark(s, c->pool_tables[k]);
    int rc = rebuild(s, states, &changed, &why);
    pub->view_stale |= changed;
    if (pub->view_stale) {
        struct gtm_error no_view = {0};
        struct dns_view *view = view_new(s, pub->settings, pub->info.revision + 1, &no_view);
        if (view) {
            take_view(pub, view);
        } else if (rc == GTM_OK) {
            rc = no_view.code ? no_view.code : GTM_ENOMEM;
            why = no_view;
        }
    }
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "%s", why.text);
}

void gtm_publisher_info(const struct gtm_publisher *pub, struct gtm_publisher_info *ret)
{
    *ret = pub->info;
    ret->tables = pub->state ? pub->state->compiled->tables_count : 0;
    ret->picks = pub->state ? pub->state->picks.in_use : 0;
}

struct dns_view *gtm_publisher_view(const struct gtm_publisher *pub)
{
    return pub->view;
}
