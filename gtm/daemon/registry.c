/* SPDX-License-Identifier: Apache-2.0
 *
 * See registry.h.
 */
#include "gtm/daemon/registry.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/base/sha.h"
#include "gtm/daemon/cluster.h"
#include "gtm/daemon/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WRITE_EVERY_MS 1000u
#define SOON_MS        20u
#define RETRY_MS       1000u
#define LEAVING_MS     2000u /* etcd takes that long to notice that a lease has run out */
#define BOOT_ID        "/proc/sys/kernel/random/boot_id"

struct gtm_registry {
    struct gtmd *d;
    struct gtm_timer *timer;
    bool writing;                      /* a commit is under way */
    char self[GTM_NODE_PROCESS_BYTES]; /* this process, among those of its name */
    enum gtm_registry_name name;
    char rival[400];        /* who has the name, while it is taken */
    uint64_t taken_ms;      /* monotonic, since when it is */
    int64_t rival_since_ms; /* Unix time, since when that is said; 0 = it is not */
    int64_t expected;       /* revision of the entry that the last commit expected */
    bool conflict;          /* and it was another */
    uint64_t written_ms;    /* monotonic */
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

static void set_name(struct gtm_registry *registry, enum gtm_registry_name name)
{
    if (registry->name == name)
        return;
    if (name != GTM_NAME_TAKEN && registry->rival_since_ms)
        gtm_log0(GTM_LOG_INFO, "registry", "this node has its name for itself again");
    registry->name = name;
    registry->rival_since_ms = 0;
    registry->taken_ms = gtm_mono_ms(registry->d->clock);
    gtm_cluster_name_changed(registry->d->cluster);
}

/* The entry is another's. One that has just died is waited for without a word. */
static void yield(struct gtm_registry *registry, const struct gtm_node_entry *other)
{
    struct gtmd *d = registry->d;
    char started[GTM_TIME_TEXT_BYTES];
    set_name(registry, GTM_NAME_TAKEN);
    snprintf(registry->rival, sizeof(registry->rival),
             "another gtmd, in region %s%s%s, started %s, has the name %s and was there first",
             other->region, other->api[0] ? " at " : "", other->api,
             gtm_time_format(other->started_ms, started), other->name);
    uint64_t dies_ms = (uint64_t)d->node->etcd.session_ttl_s * 1000 + LEAVING_MS;
    if (registry->rival_since_ms || gtm_mono_ms(d->clock) < registry->taken_ms + dies_ms)
        return;
    registry->rival_since_ms = gtm_wall_ms(d->clock);
    gtm_log(GTM_LOG_ERROR, "registry",
            "this node's name is taken: it follows and answers, but has no vote and does not lead",
            gtm_kv_str("why", registry->rival));
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
    registry->writing = false;
    registry->conflict = result->code == GTM_ECONFLICT;
    if (result->code == GTM_OK) {
        registry->written_ms = gtm_mono_ms(registry->d->clock);
        set_name(registry, GTM_NAME_OURS);
    }
    gtm_timer_start(registry->timer, result->code == GTM_OK          ? WRITE_EVERY_MS
                                     : result->code == GTM_ECONFLICT ? SOON_MS
                                                                     : RETRY_MS);
}

/* Of two that start at once one gets it, and the other one's copy shows whose it is. What the copy
 * does not show is no node's entry, and is written over. */
static int put_entry(struct gtm_registry *registry, const char *key, const char *text,
                     int64_t revision)
{
    bool junk = registry->conflict && registry->expected == revision;
    int64_t expect = junk ? GTM_STORE_ANY : revision;
    struct pending *pending = gtm_calloc(1, sizeof(*pending));
    registry->expected = revision;
    struct gtm_store_change put = {.kind = GTM_STORE_PUT,
                                   .key = key,
                                   .value = text,
                                   .value_len = strlen(text),
                                   .expect = expect,
                                   .leased = true};
    if (!pending)
        return GTM_ENOMEM;
    *pending = (struct pending){registry, registry->alive};
    int rc = gtm_store_commit(registry->d->store, &put, 1, on_written, pending);
    if (rc)
        gtm_free(pending);
    return rc;
}

static void on_timer(void *arg)
{
    struct gtm_registry *registry = arg;
    struct gtmd *d = registry->d;
    char key[96];
    struct gtm_store_entry entry;
    struct gtm_node_entry node;
    if (registry->writing || d->phase == GTMD_FROZEN)
        return;
    if (!gtm_leader_lease(gtm_cluster_leader(d->cluster))) {
        gtm_timer_start(registry->timer, RETRY_MS); /* nor may the copy be of this run */
        return;
    }
    snprintf(key, sizeof(key), GTM_NODE_KEY_PREFIX "%s", d->node->name);
    bool there = gtm_store_get(d->store, key, &entry) == GTM_OK;
    if (there && gtm_node_entry_parse(&entry, &node) == GTM_OK &&
        strcmp(node.started_by, registry->self) != 0) {
        yield(registry, &node);
        gtm_timer_start(registry->timer, RETRY_MS);
        return;
    }
    if (registry->name == GTM_NAME_TAKEN)
        set_name(registry, GTM_NAME_UNKNOWN);
    char *text = make_text(registry);
    /* Not what was written last: one of the same name that is gone may take the entry along. */
    bool same = text && there && !registry->session_changed && entry.value_len == strlen(text) &&
                memcmp(entry.value, text, entry.value_len) == 0;
    if (!same) {
        registry->writing =
            text && put_entry(registry, key, text, there ? entry.revision : 0) == GTM_OK;
        if (registry->writing)
            registry->session_changed = false;
        else
            gtm_timer_start(registry->timer, RETRY_MS);
    }
    gtm_free(text); /* the store has its own */
}

void gtm_node_process(const char *data_dir, const char *boot_id, char ret[GTM_NODE_PROCESS_BYTES])
{
    struct stat st;
    char folder[64], hex[GTM_SHA256_HEX_BYTES] = "";
    char *read = NULL;
    size_t len = 0;
    if (!boot_id && gtm_fs_read(BOOT_ID, 256, &read, &len, NULL) == GTM_OK)
        boot_id = read;
    if (boot_id && stat(data_dir, &st) == 0) {
        int n = snprintf(folder, sizeof(folder), "%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev,
                         (uintmax_t)st.st_ino);
        (void)!gtm_sha256_hex2(boot_id, strlen(boot_id), folder, (size_t)n, hex);
    }
    gtm_free(read);
    uint64_t number = 0;
    if (!hex[0] && gtm_rand_secure(&number, sizeof(number)) == GTM_OK)
        snprintf(hex, sizeof(hex), "%016" PRIx64, number);
    snprintf(ret, GTM_NODE_PROCESS_BYTES, "%.32s", hex);
}

struct gtm_registry *gtm_registry_new(struct gtmd *d)
{
    struct gtm_registry *registry = gtm_calloc(1, sizeof(*registry));
    if (!registry)
        return NULL;
    gtm_node_process(d->node->data_dir, NULL, registry->self);
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
    if (registry->name == GTM_NAME_OURS) /* another may have taken it meanwhile */
        set_name(registry, GTM_NAME_UNKNOWN);
    gtm_registry_poke(registry);
}

enum gtm_registry_name gtm_registry_name(const struct gtm_registry *registry)
{
    return registry->name;
}

const char *gtm_registry_rival(const struct gtm_registry *registry, int64_t *ret_since_ms)
{
    *ret_since_ms = registry->rival_since_ms;
    return registry->rival_since_ms ? registry->rival : NULL;
}
