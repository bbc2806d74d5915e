/* SPDX-License-Identifier: Apache-2.0
 *
 * See peers.h. Each peer has a client of its own, since which certificate is the right one is a
 * property of the connection; and one request under way at most.
 */
#include "gtm/daemon/peers.h"

#include "gtm/base/http.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/daemon/registry.h"
#include "gtm/model/schema_forms.h"
#include "policies/clocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS       100u
#define ANSWER_MAX    65536u
#define YEAR_10000_MS INT64_C(253402300800000)

struct peer {
    struct gtm_peer pub;
    struct gtm_peers *peers;
    struct gtm_http *http; /* NULL: cannot be made; tried again at its turn */
    struct gtm_http_request *request;
    struct gtm_json *answer; /* the last one; pub.sees is in it */
    uint64_t next_ms, gone_ms;
};

struct gtm_peers {
    struct gtm_peers_opts opts;
    char *name, *ca, *cert, *key;
    struct gtm_timer *timer;
    struct gtm_store_watch *watch;
    struct gtm_rand rand;
    struct peer *list[GTM_PEERS_MAX]; /* by name */
    size_t count;
    bool crowded;
    size_t clocks; /* of those that are up, in rising order, less this node's monotonic time */
    int64_t clock_ms[GTM_PEERS_MAX];
};

/* --- the list --- */

static void copy(char *out, size_t bytes, const char *text)
{
    snprintf(out, bytes, "%s", text);
}

static void peer_free(struct peer *peer)
{
    gtm_http_free(peer->http); /* with its request */
    gtm_json_free(peer->answer);
    gtm_free(peer);
}

static struct peer *find(const struct gtm_peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->count; i++)
        if (strcmp(peers->list[i]->pub.name, name) == 0)
            return peers->list[i];
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct peer *const *x = a, *const *y = b;
    return strcmp((*x)->pub.name, (*y)->pub.name);
}

static struct peer *add(struct gtm_peers *peers, const char *name)
{
    if (peers->count == GTM_PEERS_MAX) {
        if (!peers->crowded)
            gtm_log(GTM_LOG_WARN, "peers", "there are more nodes than are asked directly",
                    gtm_kv_int("asked", GTM_PEERS_MAX), gtm_kv_str("left_out", name));
        peers->crowded = true;
        return NULL;
    }
    struct peer *peer = gtm_calloc(1, sizeof(*peer));
    if (!peer)
        return NULL; /* its next entry, or a refresh, brings it again */
    peer->peers = peers;
    copy(peer->pub.name, sizeof(peer->pub.name), name);
    /* Not all at once. */
    peer->next_ms =
        gtm_mono_ms(peers->opts.clock) + gtm_rand_below(&peers->rand, peers->opts.every_ms / 4);
    peers->list[peers->count++] = peer;
    qsort(peers->list, peers->count, sizeof(struct peer *), by_name);
    return peer;
}

/* Its entry went; it is asked on for a while. NULL is fine. */
static void forget(struct peer *peer)
{
    if (!peer || !peer->pub.listed)
        return;
    peer->pub.listed = false;
    peer->gone_ms = gtm_mono_ms(peer->peers->opts.clock);
}

static bool name_ok(const char *name)
{
    return gtm_form_name.parse(name, NULL, &(struct gtm_error){0}) == GTM_OK;
}

static void take_entry(struct gtm_peers *peers, const struct gtm_store_entry *entry)
{
    struct gtm_node_entry node;
    if (gtm_node_entry_parse(entry, &node) != GTM_OK || strcmp(node.name, peers->name) == 0)
        return;
    struct peer *peer = find(peers, node.name);
    if (!name_ok(node.name) || !name_ok(node.region) || !gtm_host_port_ok(node.api)) {
        forget(peer); /* nobody to ask, or not any more */
        return;
    }
    peer = peer ? peer : add(peers, node.name);
    if (!peer)
        return;
    peer->pub.listed = true;
    if (strcmp(peer->pub.api, node.api) == 0 && strcmp(peer->pub.region, node.region) == 0)
        return;
    copy(peer->pub.region, sizeof(peer->pub.region), node.region);
    copy(peer->pub.api, sizeof(peer->pub.api), node.api);
    gtm_http_free(peer->http); /* it is, or stands, somewhere else */
    peer->http = NULL;
    peer->request = NULL;
}

static void on_entry(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_peers *peers = arg;
    if (entry->value) {
        take_entry(peers, entry);
        return;
    }
    forget(find(peers, entry->key + strlen(GTM_NODE_KEY_PREFIX)));
}

static int on_listed(void *arg, const struct gtm_store_entry *entry)
{
    take_entry(arg, entry);
    return 0;
}

/* --- asking --- */

static void failed(struct peer *peer, const char *why)
{
    if (peer->pub.up)
        gtm_log(GTM_LOG_WARN, "peers", "a node does not answer this one",
                gtm_kv_str("peer", peer->pub.name), gtm_kv_str("error", why));
    peer->pub.up = false;
    peer->pub.failures++;
    copy(peer->pub.error, sizeof(peer->pub.error), why);
}

/* The envelope's item; the names that it sees are bounded by ANSWER_MAX. */
static void answered(struct peer *peer, const struct gtm_http_result *result)
{
    struct gtm_error err = {0};
    struct gtm_json *root = gtm_json_parse(result->body, result->body_len, &err);
    const struct gtm_json *item = gtm_json_get(root, "item");
    if (strcmp(gtm_json_str(item, "node", ""), peer->pub.name) != 0) {
        gtm_json_free(root);
        failed(peer, "its answer is not that of a node of this name");
        return;
    }
    gtm_json_free(peer->answer);
    peer->answer = root;
    struct gtm_peer *pub = &peer->pub;
    if (!pub->up)
        gtm_log(GTM_LOG_INFO, "peers", "a node answers this one", gtm_kv_str("peer", pub->name));
    pub->up = true;
    pub->failures = 0;
    pub->error[0] = '\0';
    pub->answered_ms = (int64_t)gtm_mono_ms(peer->peers->opts.clock);
    pub->latency_us = result->latency_us;
    copy(pub->mode, sizeof(pub->mode), gtm_json_str(item, "mode", ""));
    pub->view = gtm_json_i64(item, "view", 0);
    pub->intent = gtm_json_i64(item, "intent", 0);
    pub->serving = gtm_json_bool(item, "serving", false);
    pub->sees = gtm_json_get(item, "sees");
    int64_t now_ms = gtm_json_i64(item, "now", 0);
    pub->has_clock = now_ms > 0 && now_ms < YEAR_10000_MS;
    if (pub->has_clock) /* it said so half way back */
        pub->clock_ms = now_ms + (int64_t)(result->latency_us / 2000) - pub->answered_ms;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* In order, since every look at the time of day asks for their median. */
static void compare_clocks(struct gtm_peers *peers)
{
    peers->clocks = 0;
    for (size_t i = 0; i < peers->count; i++)
        if (peers->list[i]->pub.up && peers->list[i]->pub.has_clock)
            peers->clock_ms[peers->clocks++] = peers->list[i]->pub.clock_ms;
    qsort(peers->clock_ms, peers->clocks, sizeof(*peers->clock_ms), by_size);
}

static void on_done(void *arg, const struct gtm_http_result *result)
{
    struct peer *peer = arg;
    char why[64];
    peer->request = NULL;
    if (result->code != GTM_OK) {
        failed(peer, result->err->text);
    } else if (result->status != 200) {
        snprintf(why, sizeof(why), "it answered HTTP %d", result->status);
        failed(peer, why);
    } else {
        answered(peer, result);
    }
}

static struct gtm_http *client_of(const struct peer *peer, struct gtm_error *err)
{
    const struct gtm_peers *peers = peer->peers;
    char uri[2 * GTM_NAME_MAX + 16];
    snprintf(uri, sizeof(uri), "gtm:node/%s/%s", peer->pub.region, peer->pub.name);
    return gtm_http_new(
        &(struct gtm_http_opts){
            .loop = peers->opts.loop,
            .tls = {.ca = peers->ca, .cert = peers->cert, .key = peers->key, .uri = uri},
            .connections = 1,
            .connect_ms = GTM_PEERS_TIMEOUT_MS,
            .http1_only = true},
        err);
}

static void ask(struct peer *peer)
{
    struct gtm_error err = {0};
    char url[sizeof(peer->pub.api) + 32];
    if (!peer->http && !(peer->http = client_of(peer, &err))) {
        failed(peer, err.text);
        return;
    }
    snprintf(url, sizeof(url), "https://%s/api/v1/peer", peer->pub.api);
    const struct gtm_http_ask what = {.method = "GET",
                                      .url = url,
                                      .timeout_ms = GTM_PEERS_TIMEOUT_MS,
                                      .body_max = ANSWER_MAX,
                                      .done = on_done,
                                      .arg = peer};
    int rc = gtm_http_start(peer->http, &what, &peer->request);
    if (rc != GTM_OK)
        failed(peer, gtm_err_text(rc));
}

static bool forgotten(const struct peer *peer, uint64_t now_ms)
{
    return !peer->pub.listed && now_ms - peer->gone_ms >= GTM_PEERS_KEEP_MS;
}

static void on_tick(void *arg)
{
    struct gtm_peers *peers = arg;
    uint64_t now_ms = gtm_mono_ms(peers->opts.clock);
    size_t kept = 0;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = peers->list[i];
        if (forgotten(peer, now_ms)) {
            peer_free(peer);
            continue;
        }
        peers->list[kept++] = peer;
        if (peer->request || now_ms < peer->next_ms)
            continue;
        peer->next_ms = now_ms + peers->opts.every_ms * 9 / 10 +
                        gtm_rand_below(&peers->rand, peers->opts.every_ms / 5);
        ask(peer);
    }
    peers->count = kept;
    compare_clocks(peers);
    gtm_timer_start(peers->timer, TICK_MS);
}

/* --- life --- */

static bool set_text(char **at, const char *text)
{
    char *own = gtm_strdup(text);
    if (!own)
        return false;
    gtm_free(*at);
    *at = own;
    return true;
}

struct gtm_peers *gtm_peers_new(const struct gtm_peers_opts *opts)
{
    struct gtm_peers *peers = gtm_calloc(1, sizeof(*peers));
    if (!peers)
        return NULL;
    peers->opts = *opts;
    if (!peers->opts.every_ms)
        peers->opts.every_ms = GTM_PEERS_EVERY_MS;
    gtm_rand_seed(&peers->rand, opts->seed);
    peers->timer = gtm_timer_new(opts->loop, on_tick, peers);
    peers->watch = gtm_store_watch(opts->store, GTM_NODE_KEY_PREFIX, on_entry, peers);
    if (!peers->timer || !peers->watch || !set_text(&peers->name, opts->name) ||
        !set_text(&peers->ca, opts->ca) || !set_text(&peers->cert, opts->cert) ||
        !set_text(&peers->key, opts->key) ||
        gtm_store_list(opts->store, GTM_NODE_KEY_PREFIX, on_listed, peers) != GTM_OK) {
        gtm_peers_free(peers);
        return NULL;
    }
    gtm_timer_start(peers->timer, TICK_MS);
    return peers;
}

void gtm_peers_free(struct gtm_peers *peers)
{
    if (!peers)
        return;
    gtm_store_unwatch(peers->opts.store, peers->watch);
    gtm_timer_free(peers->timer);
    for (size_t i = 0; i < peers->count; i++)
        peer_free(peers->list[i]);
    gtm_free(peers->name);
    gtm_free(peers->ca);
    gtm_free(peers->cert);
    gtm_free(peers->key);
    gtm_free(peers);
}

void gtm_peers_renew(struct gtm_peers *peers, const char *ca, const char *cert, const char *key)
{
    if (!peers)
        return;
    if (!set_text(&peers->ca, ca) || !set_text(&peers->cert, cert) || !set_text(&peers->key, key))
        gtm_log0(GTM_LOG_ERROR, "peers", "out of memory: some certificates stay as they were");
    for (size_t i = 0; i < peers->count; i++) {
        gtm_http_free(peers->list[i]->http); /* made again at its turn */
        peers->list[i]->http = NULL;
        peers->list[i]->request = NULL;
    }
}

/* --- what is known --- */

void gtm_peers_each(const struct gtm_peers *peers,
                    void (*visit)(void *arg, const struct gtm_peer *peer), void *arg)
{
    for (size_t i = 0; peers && i < peers->count; i++)
        visit(arg, &peers->list[i]->pub);
}

const struct gtm_peer *gtm_peers_get(const struct gtm_peers *peers, const char *name)
{
    const struct peer *peer = peers ? find(peers, name) : NULL;
    return peer ? &peer->pub : NULL;
}

int64_t gtm_peer_ahead_ms(const struct gtm_peer *peer, const struct gtm_clock *clock)
{
    return peer->clock_ms + (int64_t)gtm_mono_ms(clock) - gtm_wall_ms(clock);
}

int64_t gtm_peers_clock_off_ms(const struct gtm_peers *peers)
{
    if (!peers)
        return 0;
    int64_t here_ms = gtm_wall_ms(peers->opts.clock) - (int64_t)gtm_mono_ms(peers->opts.clock);
    return policy_clock_off_ms(peers->clock_ms, peers->clocks, here_ms);
}

static bool sees(const struct gtm_peer *peer, const char *name)
{
    for (const struct gtm_json *one = gtm_json_first(peer->sees); one; one = gtm_json_next(one)) {
        const char *text = gtm_json_as_str(one);
        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

struct gtm_json *gtm_peers_seen_by(const struct gtm_peers *peers, const char *name)
{
    struct gtm_json *list = gtm_json_array();
    const struct gtm_peer *about = gtm_peers_get(peers, name);
    if (about && about->up)
        gtm_json_append_str(list, peers->name);
    for (size_t i = 0; peers && i < peers->count; i++) {
        const struct gtm_peer *peer = &peers->list[i]->pub;
        if (peer->up && sees(peer, name)) /* an old word is none */
            gtm_json_append_str(list, peer->name);
    }
    return list;
}

struct gtm_json *gtm_peers_unseen_by(const struct gtm_peers *peers, const char *name)
{
    struct gtm_json *list = gtm_json_array();
    const struct gtm_peer *about = gtm_peers_get(peers, name);
    if (about && !about->up && about->failures > 0)
        gtm_json_append_str(list, peers->name);
    for (size_t i = 0; peers && i < peers->count; i++) {
        const struct gtm_peer *peer = &peers->list[i]->pub;
        if (peer->up && peer->listed && peer != about && !sees(peer, name))
            gtm_json_append_str(list, peer->name);
    }
    return list;
}

struct gtm_json *gtm_peers_unheard(const struct gtm_peers *peers, const char *name)
{
    struct gtm_json *list = gtm_json_array();
    for (size_t i = 0; peers && i < peers->count; i++) {
        const struct gtm_peer *peer = &peers->list[i]->pub;
        if (!peer->up && peer->listed && strcmp(peer->name, name) != 0)
            gtm_json_append_str(list, peer->name);
    }
    return list;
}

void gtm_peers_metrics(const struct gtm_peers *peers, struct gtm_metrics *m)
{
    if (!peers || peers->count == 0)
        return;
    gtm_metrics_family(m, "gtm_peer_up", "gauge",
                       "Whether the other node answered this one the last time it was asked.");
    for (size_t i = 0; i < peers->count; i++)
        gtm_metrics_sample(m, peers->list[i]->pub.up, "peer", peers->list[i]->pub.name, NULL);
    gtm_metrics_family(m, "gtm_peer_clock_ahead_seconds", "gauge",
                       "By how much the other node's time of day is ahead of this one's.");
    for (size_t i = 0; i < peers->count; i++)
        if (peers->list[i]->pub.has_clock)
            gtm_metrics_sample(
                m, (double)gtm_peer_ahead_ms(&peers->list[i]->pub, peers->opts.clock) / 1000,
                "peer", peers->list[i]->pub.name, NULL);
    gtm_metrics_family(m, "gtm_peer_latency_seconds", "gauge",
                       "How long the other node took for its last answer.");
    for (size_t i = 0; i < peers->count; i++)
        if (peers->list[i]->pub.answered_ms)
            gtm_metrics_sample(m, (double)peers->list[i]->pub.latency_us / 1e6, "peer",
                               peers->list[i]->pub.name, NULL);
}
