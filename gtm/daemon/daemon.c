/* SPDX-License-Identifier: Apache-2.0
 *
 * See daemon.h.
 */
#include "gtm/daemon/daemon.h"

#include "dns/server.h"
#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/coord/secret.h"
#include "gtm/coord/store_file.h"
#include "gtm/daemon/intent_source.h"
#include "gtm/daemon/orders.h"
#include "gtm/daemon/sdnotify.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MMAP_THRESHOLD_BYTES (256 * 1024)

/* --- the process --- */

static void prepare_process(void)
{
    /* Large tables go back to the system when they are freed; glibc would raise the threshold by
     * itself and keep them. Few threads allocate, so few arenas are enough. */
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    mallopt(M_ARENA_MAX, 2);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int gtmd__say(int exit_code, const char *text)
{
    fprintf(stderr, "gtmd: %s\n", text);
    return exit_code;
}

int gtmd__say_error(int exit_code, const struct gtm_error *err)
{
    char text[GTM_ERROR_TEXT_BYTES + GTM_ERROR_FILE_BYTES + 32];
    return gtmd__say(exit_code, gtm_error_format(err, text, sizeof(text)));
}

/* --- callbacks --- */

static void on_view(void *ctx, struct dns_view *view)
{
    struct gtmd *d = ctx;
    if (d->dns)
        dns_server_publish(d->dns, view);
    else
        dns_view_unref(view);
}

static int on_flip(void *ctx, const struct gtm_states *states, const struct gtm_touched *touched)
{
    struct gtmd *d = ctx;
    if (!d->compiled)
        return 0; /* starting: the first install takes the states as they are then */
    struct gtm_error err = {0};
    int rc = gtm_publisher_flip(d->publisher, states, touched, &err);
    if (rc)
        gtm_log_error(GTM_LOG_ERROR, "publish", "the old answers stay; trying again", &err);
    return rc;
}

static void on_observed(void *ctx, size_t pool)
{
    struct gtmd *d = ctx;
    gtm_cluster_observed(d->cluster, pool);
}

static void on_stop_signal(void *arg, int signum)
{
    struct gtmd *d = arg;
    gtm_log(GTM_LOG_INFO, "daemon", "stopping", gtm_kv_str("signal", strsignal(signum)));
    gtmd_stop(d, GTMD_OK);
}

static void on_hup(void *arg, int signum)
{
    (void)signum;
    struct gtmd *d = arg;
    if (gtm_reload_request(d->reload, false, NULL, NULL))
        gtm_log0(GTM_LOG_ERROR, "config", "too many reloads are waiting");
}

/* The program that is installed now, perhaps a newer one, takes over. */
static void on_usr2(void *arg, int signum)
{
    struct gtmd *d = arg;
    struct gtm_error err = {0};
    pid_t pid = 0;
    (void)signum;
    if (!d->handover || gtm_handover_upgrade(d->handover, &pid, &err) != GTM_OK)
        gtm_log_error(GTM_LOG_ERROR, "handover", "no successor was started", &err);
    else
        gtm_log(GTM_LOG_INFO, "handover", "a successor was started", gtm_kv_int("pid", pid));
}

static void on_second(void *arg)
{
    struct gtmd *d = arg;
    struct dns_counters counters = {0};
    if (d->dns)
        dns_server_counters(d->dns, &counters);
    if (d->health)
        gtm_state_look_again(d->state, d->health);
    if (d->phase == GTMD_SERVING && d->cluster)
        gtm_cluster_second(d->cluster);
    else if (d->phase == GTMD_SERVING)
        gtm_state_balance(d->state, d->health);
    gtm_orders_tick(d);
    d->queries_at = (d->queries_at + 1) % (GTMD_QPS_SECONDS + 1);
    d->queries[d->queries_at] =
        counters.n[DNS_CNT_UDP] + counters.n[DNS_CNT_TCP] + counters.n[DNS_CNT_TLS];
    d->limited[d->queries_at] = counters.n[DNS_CNT_RRL_DROPPED] + counters.n[DNS_CNT_RRL_SLIPPED];
    if (d->queries_filled < GTMD_QPS_SECONDS)
        d->queries_filled++;
    gtm_timer_start(d->second, 1000);
}

static void on_watchdog(void *arg)
{
    struct gtmd *d = arg;
    gtm_sdnotify("WATCHDOG=1");
    gtm_timer_start(d->watchdog, d->watchdog_ms);
}

/* --- what others ask --- */

void gtmd_stop(struct gtmd *d, int code)
{
    d->phase = GTMD_STOPPING;
    if (d->exit_code == GTMD_OK)
        d->exit_code = code;
    gtm_sdnotify("STOPPING=1");
    gtm_loop_stop(d->loop);
}

void gtmd_probe(struct gtmd *d)
{
    if (!d->health)
        return;
    size_t count = 0;
    struct health_target *targets = gtm_state_targets(d->state, &count);
    struct gtm_error err = {0};
    int rc = count && !targets ? gtm_error_set(&err, GTM_ENOMEM, "out of memory")
                               : health_engine_apply(d->health, targets, count, &err);
    if (rc)
        gtm_log_error(GTM_LOG_ERROR, "health", "the probes stay as they were", &err);
    gtm_free(targets);
}

void gtmd_zones(struct gtmd *d)
{
    gtm_notifier_zones(d->notifier);
    gtm_secondary_follow(d->secondary);
}

static void resume_store(struct gtmd *d)
{
    if (d->cluster)
        gtm_store_etcd_resume(d->store);
    else
        gtm_store_file_resume(d->store);
}

int gtmd_freeze(struct gtmd *d)
{
    d->phase = GTMD_FROZEN;
    gtm_secondary_pause(d->secondary, true);
    gtm_state_flush(d->state);
    gtm_api_free(d->api);
    d->api = NULL;
    gtm_push_free(d->push);
    d->push = NULL;
    return d->cluster ? gtm_store_etcd_pause(d->store) : gtm_store_file_pause(d->store);
}

bool gtmd_thaw(struct gtmd *d)
{
    struct gtm_error err = {0};
    if (d->phase == GTMD_FROZEN) {
        d->phase = GTMD_SERVING;
        resume_store(d);
        gtm_secondary_pause(d->secondary, false);
        gtm_reload_resume(d->reload);
    }
    if (!d->api)
        d->api = gtm_api_new(d, &err);
    bool pushes = d->health && d->node->push.has_listen;
    if (pushes && !d->push)
        d->push = gtm_push_new(d, &err);
    return d->api && (d->push || !pushes);
}

/* What was another process's is ours from here on. */
static int finish_takeover(struct gtmd *d, struct gtm_error *err)
{
    int rc = gtm_takeover_serving(d->takeover, err);
    gtm_takeover_free(d->takeover);
    d->takeover = NULL;
    if (rc == GTM_OK)
        resume_store(d);
    return rc;
}

/* Without it the node serves all the same. */
static void open_handover(struct gtmd *d)
{
    struct gtm_error err = {0};
    d->handover = gtm_handover_new(d, &err);
    if (!d->handover)
        gtm_log_error(GTM_LOG_WARN, "handover", "no other process can take over", &err);
}

void gtmd_serve(struct gtmd *d)
{
    struct gtm_error err = {0};
    if ((d->dns && dns_server_start(d->dns, &err)) || (d->takeover && finish_takeover(d, &err))) {
        gtmd__say_error(GTMD_FAILED, &err);
        gtmd_stop(d, GTMD_FAILED);
        return;
    }
    d->phase = GTMD_SERVING;
    open_handover(d);
    gtm_secondary_start(d->secondary);
    if (d->cluster)
        gtm_cluster_serve(d->cluster);
    char cause[96];
    snprintf(cause, sizeof(cause), "version %s, ready after %llu ms", GTM_VERSION,
             (unsigned long long)(gtm_mono_ms(d->clock) - d->started_mono_ms));
    gtm_events_add(d->events, &(struct gtm_event){.type = GTM_EVENT_STARTED,
                                                  .level = GTM_LOG_INFO,
                                                  .subject = "node",
                                                  .cause = cause});
    gtm_sdnotify("READY=1\nSTATUS=serving");
    malloc_trim(0);
}

uint64_t gtmd_revision(const struct gtmd *d)
{
    struct gtm_publisher_info info = {0};
    if (d->publisher)
        gtm_publisher_info(d->publisher, &info);
    return info.revision;
}

/* How much the ring's counter rose in a second, of the seconds that it holds. */
static double per_second(const struct gtmd *d, const uint64_t *ring)
{
    unsigned n = d->queries_filled;
    if (n == 0)
        return 0;
    unsigned then = (d->queries_at + GTMD_QPS_SECONDS + 1 - n) % (GTMD_QPS_SECONDS + 1);
    return (double)(ring[d->queries_at] - ring[then]) / n;
}

double gtmd_qps(const struct gtmd *d)
{
    return per_second(d, d->queries);
}

double gtmd_limited_per_s(const struct gtmd *d)
{
    return per_second(d, d->limited);
}

/* --- start --- */

static int load_files(struct gtmd *d, const char *node_path)
{
    struct gtm_diags diags = {0};
    d->node_path = gtm_strdup(node_path);
    d->node = d->node_path ? gtm_node_load(node_path, &diags) : NULL;
    if (d->node)
        d->intent = gtm_intent_source_load(d->node, NULL, &diags);
    gtm_diags_print(&diags, stderr);
    bool ok = d->node && d->intent && !diags.errors;
    gtm_diags_fini(&diags);
    return ok ? GTMD_OK : GTMD_USAGE;
}

static int open_store(struct gtmd *d)
{
    struct gtm_error damage = {0}, err = {0};
    int lock = -1, rc = d->takeover ? gtm_takeover_freeze(d->takeover, &lock, &err) : GTM_OK;
    if (rc == GTM_OK && d->node->has_etcd)
        return gtm_cluster_open(d, lock);
    if (rc == GTM_OK && lock >= 0)
        rc = gtm_store_file_take(d->loop, d->node->data_dir, lock, &d->store, &damage, &err);
    else if (rc == GTM_OK)
        rc = gtm_store_file_open(d->loop, d->node->data_dir, &d->store, &damage, &err);
    if (rc)
        return gtmd__say_error(GTMD_FAILED, &err);
    if (damage.code)
        gtm_log_error(GTM_LOG_ERROR, "state",
                      "the saved state is damaged: orders and last healths start empty", &damage);
    return GTMD_OK;
}

static size_t listeners(const struct gtm_listen *from, size_t count, struct dns_listen *to)
{
    size_t n = count < GTM_LISTEN_MAX ? count : GTM_LISTEN_MAX;
    for (size_t i = 0; i < n; i++)
        to[i] = (struct dns_listen){from[i].addr, from[i].addr_len};
    return n;
}

static int open_sockets(struct gtmd *d)
{
    struct gtm_error err = {0};
    if (d->node->roles & GTM_ROLE_DNS) {
        struct dns_listen listen[GTM_LISTEN_MAX], tls[GTM_LISTEN_MAX];
        const struct gtm_node_dns *dns = &d->node->dns;
        struct dns_server_opts opts = {
            .listen = listen,
            .listen_count = listeners(d->node->dns_listen, d->node->dns_listen_count, listen),
            .tls_listen = tls,
            .tls_listen_count = listeners(dns->tls_listen, dns->tls_listen_count, tls),
            .tls_cert = dns->tls_cert,
            .tls_key = dns->tls_key,
            .threads = d->node->dns_threads,
            .tcp_max_clients = dns->tcp_clients,
            .tcp_per_client = dns->tcp_per_client,
            .tcp_idle_ms = dns->tcp_idle_ms,
        };
        if (d->takeover)
            opts.inherited = gtm_takeover_sockets(d->takeover, &opts.inherited_count);
        d->dns = dns_server_new(&opts, &err);
        if (!d->dns)
            return gtmd__say_error(GTMD_FAILED, &err);
    }
    d->api = gtm_api_new(d, &err);
    return d->api ? GTMD_OK : gtmd__say_error(GTMD_FAILED, &err);
}

static int start_peers(struct gtmd *d)
{
    const struct gtm_node_api *api = &d->node->api;
    struct gtm_rand rand;
    if (!api->has_listen)
        return GTMD_OK;
    gtm_rand_seed_os(&rand);
    d->peers = gtm_peers_new(&(struct gtm_peers_opts){.loop = d->loop,
                                                      .clock = d->clock,
                                                      .store = d->store,
                                                      .name = d->node->name,
                                                      .ca = api->ca,
                                                      .cert = api->cert,
                                                      .key = api->key,
                                                      .seed = gtm_rand_next(&rand)});
    return d->peers ? GTMD_OK : gtmd__say(GTMD_FAILED, "out of memory");
}

static int make_parts(struct gtmd *d)
{
    d->events = gtm_events_new(d->clock);
    d->publisher = gtm_publisher_new(on_view, d);
    d->notifier = gtm_notifier_new(d);
    d->secondary = gtm_secondary_new(d);
    d->second = gtm_timer_new(d->loop, on_second, d);
    d->watchdog = gtm_timer_new(d->loop, on_watchdog, d);
    if (!d->events || !d->publisher || !d->notifier || !d->secondary || !d->second || !d->watchdog)
        return gtmd__say(GTMD_FAILED, "out of memory");
    d->state = gtm_state_new(
        &(struct gtm_state_opts){.loop = d->loop,
                                 .clock = d->clock,
                                 .store = d->store,
                                 .events = d->events,
                                 .mode = d->cluster ? GTM_STATE_FOLLOWS : GTM_STATE_DECIDES,
                                 .flip = on_flip,
                                 .observed = on_observed,
                                 .ctx = d});
    struct gtm_state_next *next = NULL;
    if (!d->state || gtm_state_restore(d->state) ||
        !(next = gtm_state_prepare(d->state, d->intent)))
        return gtmd__say(GTMD_FAILED, "out of memory");
    gtm_state_commit(d->state, next);
    if (gtm_loop_signal(d->loop, SIGTERM, on_stop_signal, d) ||
        gtm_loop_signal(d->loop, SIGINT, on_stop_signal, d) ||
        gtm_loop_signal(d->loop, SIGHUP, on_hup, d) ||
        gtm_loop_signal(d->loop, SIGUSR2, on_usr2, d))
        return gtmd__say(GTMD_FAILED, "cannot catch signals");
    return GTMD_OK;
}

static int start_health(struct gtmd *d)
{
    if (!(d->node->roles & GTM_ROLE_HEALTH))
        return GTMD_OK;
    struct gtm_error err = {0};
    d->health = health_engine_new(&(struct health_engine_opts){.clock = d->clock,
                                                               .on_change = gtm_state_on_change,
                                                               .on_load = gtm_state_on_load,
                                                               .ctx = d->state,
                                                               .exec_dir = d->node->exec_dir},
                                  &err);
    if (!d->health)
        return gtmd__say_error(GTMD_FAILED, &err);
    gtmd_probe(d);
    if (d->node->push.has_listen && !(d->push = gtm_push_new(d, &err)))
        return gtmd__say_error(GTMD_FAILED, &err);
    return GTMD_OK;
}

/* --- stop --- */

static void stop_parts(struct gtmd *d)
{
    gtm_handover_free(d->handover);
    dns_server_stop(d->dns);
    gtm_secondary_free(d->secondary);
    gtm_notifier_free(d->notifier);
    gtm_push_free(d->push);
    gtm_peers_free(d->peers);
    d->peers = NULL;
    gtm_shared_cookie_free(d->cookie);
    d->cookie = NULL;
    health_engine_free(d->health);
    gtm_cluster_stop(d->cluster);
    if (d->state) /* a store that was handed over drops it */
        gtm_state_flush(d->state);
    gtm_store_close(d->store); /* waits for the disk; calls back into state and api */
    d->store = NULL;
    gtm_cluster_free(d->cluster);
    d->cluster = NULL;
    bool busy = d->reload && gtm_reload_running(d->reload);
    gtm_api_free(d->api);
    dns_server_free(d->dns);
    /* Last: while the connection stands, the old process waits. */
    gtm_takeover_free(d->takeover);
    if (busy) {
        /* A compile of seconds is on a helper thread; nobody needs its result any more. */
        gtm_log0(GTM_LOG_INFO, "daemon", "stopped");
        _exit(d->exit_code);
    }
}

static void free_parts(struct gtmd *d)
{
    gtm_reload_free(d->reload);
    gtm_state_free(d->state);
    gtm_publisher_free(d->publisher);
    gtm_events_free(d->events);
    gtm_timer_free(d->second);
    gtm_timer_free(d->watchdog);
    gtm_loop_free(d->loop);
    gtm_compiled_unref(d->compiled);
    gtm_geo_unref(d->geo);
    gtm_settings_unref(d->settings);
    gtm_intent_unref(d->intent);
    gtm_node_free(d->node);
    gtm_free(d->node_path);
}

/* All that takes long is done before the running process is asked for anything but its sockets. */
static int begin_takeover(struct gtmd *d)
{
    struct gtm_error err = {0};
    int rc = gtm_takeover_begin(d->node->data_dir, &d->takeover, &err);
    if (rc)
        return gtmd__say_error(GTMD_FAILED, &err);
    if (!d->takeover) {
        gtm_log0(GTM_LOG_INFO, "handover", "no other process runs here: nothing to take over");
        return GTMD_OK;
    }
    return gtm_reload_prepare(d->reload) ? GTMD_OK : GTMD_USAGE;
}

static int start(struct gtmd *d, const char *node_path, bool replace)
{
    int rc = load_files(d, node_path);
    if (rc)
        return rc;
    gtm_log_set_level((enum gtm_log_level)d->node->log_level);
    gtm_log_set_node(d->node->name);
    d->loop = gtm_loop_new();
    if (!d->loop)
        return gtmd__say(GTMD_FAILED, "cannot make the event loop");
    d->reload = gtm_reload_new(d);
    if (!d->reload)
        return gtmd__say(GTMD_FAILED, "out of memory");
    rc = replace ? begin_takeover(d) : GTMD_OK;
    if (!rc)
        rc = open_store(d);
    if (!rc)
        rc = make_parts(d);
    if (!rc)
        rc = open_sockets(d);
    if (!rc)
        rc = start_peers(d);
    if (!rc)
        rc = start_health(d);
    if (!rc && d->cluster)
        rc = gtm_cluster_start(d);
    if (!rc)
        rc = gtmd__share_cookie(d);
    return rc;
}

static uint64_t common_mono_ns(void *ctx)
{
    const struct gtmd *d = ctx;
    return gtm_mono_ns(d->clock);
}

static int64_t common_wall_ms(void *ctx)
{
    const struct gtmd *d = ctx;
    return gtm_wall_ms(d->clock) + gtm_peers_clock_off_ms(d->peers);
}

int gtmd_run(const char *node_path, bool replace)
{
    prepare_process();
    struct gtmd d = {.clock = gtm_clock_system()};
    d.common = (struct gtm_clock){common_mono_ns, common_wall_ms, &d};
    d.started_ms = d.intent_loaded_ms = gtm_wall_ms(d.clock);
    d.started_mono_ms = gtm_mono_ms(d.clock);
    d.exit_code = start(&d, node_path, replace);
    if (d.exit_code == GTMD_OK) {
        gtm_timer_start(d.second, 1000);
        d.watchdog_ms = gtm_sdnotify_watchdog_ms();
        if (d.watchdog_ms)
            on_watchdog(&d);
        gtm_reload_first(d.reload);
        if (gtm_loop_run(d.loop) && d.exit_code == GTMD_OK)
            d.exit_code = gtmd__say(GTMD_FAILED, "the event loop failed");
    }
    d.phase = GTMD_STOPPING;
    stop_parts(&d);
    free_parts(&d);
    return d.exit_code;
}

/* What the listeners would refuse at the start, and a key without which the node would go on. */
static void check_keys(const struct gtm_node *node, struct gtm_diags *diags)
{
    const struct gtm_node_dns *dns = &node->dns;
    struct gtm_error err = {0};
    if (dns->tls_listen_count && (node->roles & GTM_ROLE_DNS) &&
        dns_server_check_tls(dns->tls_cert, dns->tls_key, &err) != GTM_OK)
        gtm_diags_add(diags, GTM_SEV_ERROR, node->path, 0, 0, "dns.tls: %s", err.text);
    if (node->push.has_listen && node->push.tls_cert && (node->roles & GTM_ROLE_HEALTH) &&
        gtm_push_check_tls(node->push.tls_cert, node->push.tls_key, &err) != GTM_OK)
        gtm_diags_add(diags, GTM_SEV_ERROR, node->path, 0, 0, "%s", err.text);
    if (node->api.has_listen) {
        struct gtm_api_tls *tls = gtm_api_tls_new(node, gtm_wall_ms(gtm_clock_system()), &err);
        if (!tls)
            gtm_diags_add(diags, GTM_SEV_ERROR, node->path, 0, 0, "%s", err.text);
        gtm_api_tls_free(tls);
    }
    struct gtm_secret_key key = {.id = ""};
    if (node->secret_key && gtm_secret_key_load(node->secret_key, &key, &err) != GTM_OK)
        gtm_diags_add(diags, GTM_SEV_WARNING, node->path, 0, 0, "secret_key: %s", err.text);
    gtm_secret_key_clear(&key);
}

int gtmd_check(const char *node_path)
{
    prepare_process();
    struct gtmd d = {.clock = gtm_clock_system()};
    int rc = load_files(&d, node_path);
    if (!rc) {
        struct gtm_diags diags = {0};
        struct gtm_error err = {0};
        size_t count = d.node->geo_databases_count;
        d.geo = count ? gtm_geo_load(d.node->geo_databases, count, NULL, &err) : NULL;
        if (count && !d.geo)
            gtm_diags_add(&diags, GTM_SEV_WARNING, err.file[0] ? err.file : node_path, 0, 0,
                          "%s; without geography the policies' default order decides", err.text);
        char *copies = gtm_fs_join(d.node->data_dir, "zones");
        d.settings = gtm_settings_load(d.node, d.intent, &diags);
        d.compiled = gtm_compile_in(d.intent, d.geo ? d.geo->db : NULL, NULL, copies, &diags);
        gtm_free(copies);
        check_keys(d.node, &diags);
        rc = d.compiled && d.settings && !diags.errors ? GTMD_OK : GTMD_USAGE;
        gtm_diags_print(&diags, stderr);
        gtm_diags_fini(&diags);
    }
    free_parts(&d);
    return rc;
}
