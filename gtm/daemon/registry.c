/* SPDX-License-Identifier: Apache-2.0
 *
 * See registry.h.
 */
#include "gtm/daemon/registry.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/cluster.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <string.h>

#define WRITE_EVERY_MS 1000u
#define SOON_MS        20u
#define RETRY_MS       1000u

struct gtm_registry {
    struct gtmd *d;
    struct gtm_timer *timer;
    bool writing;  /* a commit is under way */
    char self[40]; /* this process, among those of its name */
    char rival[256];
    uint64_t written_ms; /* monotonic */
    bool session_changed;
    bool *alive; /* false once freed; freed by whoever comes last */
};

/* A commit under way outlives the registry. */
struct pending {
    struct gtm_registry *registry;
    bool *alive;
};

/* --- entries --- */

static void copy(char *out, size_t bytes, const char *text)
{
    snprintf(out, bytes, "%s", text);
}

int gtm_node_entry_parse(const struct gtm_store_entry *entry, struct gtm_node_entry *ret)
{
    struct gtm_error err = {0};
    struct gtm_json *json =
        entry->value ? gtm_json_parse(entry->value, entry->value_len, &err) : NULL;
    *ret = (struct gtm_node_entry){0};
    if (!json || gtm_json_type(json) != GTM_JSON_OBJECT || gtm_json_i64(json, "v", 0) != 1 ||
        !*gtm_json_str(json, "node", "") || !*gtm_json_str(json, "region", "")) {
        gtm_json_free(json);
        return GTM_EPARSE;
    }
    copy(ret->name, sizeof(ret->name), gtm_json_str(json, "node", ""));
    copy(ret->region, sizeof(ret->region), gtm_json_str(json, "region", ""));
    copy(ret->api, sizeof(ret->api), gtm_json_str(json, "api", ""));
    copy(ret->build, sizeof(ret->build), gtm_json_str(json, "build", ""));
    copy(ret->mode, sizeof(ret->mode), gtm_json_str(json, "mode", ""));
    copy(ret->state, sizeof(ret->state), gtm_json_str(json, "state", ""));
    copy(ret->started_by, sizeof(ret->started_by), gtm_json_str(json, "process", ""));
    const struct gtm_json *vantage = gtm_json_get(json, "vantage");
    ret->fit = gtm_json_bool(vantage, "fit", false);
    copy(ret->why, sizeof(ret->why), gtm_json_str(vantage, "why", ""));
    for (struct gtm_json *r = gtm_json_first(gtm_json_get(json, "roles")); r;
         r = gtm_json_next(r)) {
        const char *word = gtm_json_as_str(r);
        ret->dns = ret->dns || (word && !strcmp(word, "dns"));
        ret->health = ret->health || (word && !strcmp(word, "health"));
        ret->controller = ret->controller || (word && !strcmp(word, "controller"));
        ret->witness = ret->witness || (word && !strcmp(word, "witness"));
    }
    ret->started_ms = gtm_json_i64(json, "started", 0);
    ret->view = gtm_json_i64(json, "view", 0);
    ret->intent = gtm_json_i64(json, "intent", 0);
    gtm_json_free(json);
    return strcmp(entry->key + strlen(GTM_NODE_KEY_PREFIX), ret->name) == 0 ? GTM_OK : GTM_EPARSE;
}

struct each {
    void (*visit)(void *arg, const struct gtm_node_entry *node);
    void *arg;
    unsigned count;
};

static int visit_entry(void *arg, const struct gtm_store_entry *entry)
{
    struct each *each = arg;
    struct gtm_node_entry node;
    if (gtm_node_entry_parse(entry, &node) == GTM_OK)
        each->visit(each->arg, &node);
    return ++each->count < GTM_NODES_MAX ? 0 : 1;
}

void gtm_nodes_each(const struct gtm_store *store,
                    void (*visit)(void *arg, const struct gtm_node_entry *node), void *arg)
{
    struct each each = {visit, arg, 0};
    (void)!gtm_store_list(store, GTM_NODE_KEY_PREFIX, visit_entry, &each);
}

/* --- this node's --- */

static const char *state_word(const struct gtmd *d)
{
    if (gtm_cluster_drained(d->cluster))
        return "draining";
    return d->phase == GTMD_STARTING   ? "starting"
           : d->phase == GTMD_STOPPING ? "stopping"
                                       : "serving";
}

static void add_roles(struct gtm_json *json, unsigned roles)
{
    static const char *const words[] = {"dns", "health", "controller", "agent", "witness"};
    struct gtm_json *list = gtm_json_add_array(json, "roles");
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (roles & (1u << i))
            gtm_json_append_str(list, words[i]);
}

static char *make_text(const struct gtm_registry *registry)
{
    const struct gtmd *d = registry->d;
    const struct gtm_node *node = d->node;
    const char *why = "";
    bool fit = gtm_cluster_fit(d->cluster, &why);
    struct gtm_json *json = gtm_json_object();
    gtm_json_add_i64(json, "v", 1);
    gtm_json_add_str(json, "node", node->name);
    gtm_json_add_str(json, "region", node->region);
    add_roles(json, node->roles);
    gtm_json_add_str(json, "build", GTM_VERSION);
    gtm_json_add_str(json, "process", registry->self);
    if (node->api.has_listen)
        gtm_json_add_str(json, "api",
                         node->api.advertise ? node->api.advertise : node->api.listen.text);
    struct gtm_json *dns = gtm_json_add_array(json, "dns");
    for (size_t i = 0; (node->roles & GTM_ROLE_DNS) && i < node->dns_listen_count; i++)
        gtm_json_append_str(dns, node->dns_listen[i].text);
    gtm_json_add_i64(json, "started", d->started_ms);
    gtm_json_add_str(json, "mode", policy_role_word(gtm_cluster_mode(d->cluster)));
    gtm_json_add_i64(json, "view", gtm_cluster_view(d->cluster));
    gtm_json_add_i64(json, "intent", gtm_cluster_intent(d->cluster));
    struct gtm_json *vantage = gtm_json_add_object(json, "vantage");
    gtm_json_add_bool(vantage, "fit", fit);
    gtm_json_add_str(vantage, "why", why);
    gtm_json_add_str(json, "state", state_word(d));
    char *text = gtm_json_print(json, false);
    gtm_json_free(json);
    return text;
}

/* Does an entry of this name belong to a process that was started later? */
static bool taken(struct gtm_registry *registry, const char *key)
{
    struct gtm_store_entry entry;
    struct gtm_node_entry other;
    registry->rival[0] = 0;
    if (gtm_store_get(registry->d->store, key, &entry) != GTM_OK ||
        gtm_node_entry_parse(&entry, &other) != GTM_OK ||
        strcmp(other.started_by, registry->self) == 0 ||
        other.started_ms <= registry->d->started_ms)
        return false;
    snprintf(registry->rival, sizeof(registry->rival),
             "another process calls itself %s (in region %s, started later)", other.name,
             other.region);
    return true;
}

static void on_written(void *arg, const struct gtm_store_result *result)
{
    struct pending *pending = arg;
    struct gtm_registry *registry = pending->registry;
    bool alive = *pending->alive;
    if (!alive)
        gtm_free(pending->alive);
    gtm_free(pending);
    if (!alive)
        return;
    if (result->code == GTM_OK)
        registry->written_ms = gtm_mono_ms(registry->d->clock);
    registry->writing = false;
    gtm_timer_start(registry->timer, result->code == GTM_OK ? WRITE_EVERY_MS : RETRY_MS);
}

/* Not what was written last: a process of the same name that is gone takes the entry along. */
static bool stands(const struct gtm_registry *registry, const char *key, const char *text)
{
    struct gtm_store_entry entry;
    return gtm_store_get(registry->d->store, key, &entry) == GTM_OK &&
           entry.value_len == strlen(text) && memcmp(entry.value, text, entry.value_len) == 0;
}

static void on_timer(void *arg)
{
    struct gtm_registry *registry = arg;
    struct gtmd *d = registry->d;
    char key[96];
    if (registry->writing || d->phase == GTMD_FROZEN)
        return;
    snprintf(key, sizeof(key), GTM_NODE_KEY_PREFIX "%s", d->node->name);
    char *text = make_text(registry);
    bool same = text && !registry->session_changed && stands(registry, key, text);
    if (!text || same || taken(registry, key) ||
        !gtm_leader_lease(gtm_cluster_leader(d->cluster))) {
        gtm_free(text);
        if (!same)
            gtm_timer_start(registry->timer, RETRY_MS);
        return;
    }
    struct pending *pending = gtm_calloc(1, sizeof(*pending));
    struct gtm_store_change put = {.kind = GTM_STORE_PUT,
                                   .key = key,
                                   .value = text,
                                   .value_len = strlen(text),
                                   .expect = GTM_STORE_ANY,
                                   .leased = true};
    if (pending)
        *pending = (struct pending){registry, registry->alive};
    if (!pending || gtm_store_commit(d->store, &put, 1, on_written, pending) != GTM_OK) {
        gtm_free(pending);
        gtm_free(text);
        gtm_timer_start(registry->timer, RETRY_MS);
        return;
    }
    registry->session_changed = false;
    gtm_free(text); /* the store has its own */
    registry->writing = true;
}

struct gtm_registry *gtm_registry_new(struct gtmd *d)
{
    struct gtm_registry *registry = gtm_calloc(1, sizeof(*registry));
    if (!registry)
        return NULL;
    uint64_t number = 0;
    if (gtm_rand_secure(&number, sizeof(number)) != GTM_OK)
        number = gtm_mono_ns(d->clock);
    snprintf(registry->self, sizeof(registry->self), "%016llx", (unsigned long long)number);
    registry->d = d;
    registry->alive = gtm_calloc(1, sizeof(*registry->alive));
    registry->timer = gtm_timer_new(d->loop, on_timer, registry);
    if (!registry->alive || !registry->timer) {
        gtm_free(registry->alive);
        registry->alive = NULL;
        gtm_registry_free(registry);
        return NULL;
    }
    *registry->alive = true;
    return registry;
}

void gtm_registry_free(struct gtm_registry *registry)
{
    if (!registry)
        return;
    if (registry->alive && registry->writing)
        *registry->alive = false;
    else
        gtm_free(registry->alive);
    gtm_timer_free(registry->timer);
    gtm_free(registry);
}

void gtm_registry_poke(struct gtm_registry *registry)
{
    uint64_t now_ms = gtm_mono_ms(registry->d->clock);
    uint64_t next_ms = registry->written_ms + WRITE_EVERY_MS;
    if (!registry->writing)
        gtm_timer_start(registry->timer,
                        registry->written_ms && next_ms > now_ms ? next_ms - now_ms : SOON_MS);
}

void gtm_registry_session(struct gtm_registry *registry)
{
    registry->session_changed = true;
    gtm_registry_poke(registry);
}

const char *gtm_registry_rival(const struct gtm_registry *registry)
{
    return registry->rival[0] ? registry->rival : NULL;
}
