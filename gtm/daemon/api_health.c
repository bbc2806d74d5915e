/* SPDX-License-Identifier: Apache-2.0
 *
 * /health: every check with its evidence, and probing now. See deploy/openapi.yaml.
 */
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"

#include <arpa/inet.h>
#include <string.h>

struct health_job {
    struct gtm_facts *facts;
    struct health_report *reports;
    size_t reports_count;
    uint64_t revision;
    int pool; /* -1 = all */
};

static void health_fini(void *arg)
{
    struct health_job *job = arg;
    gtm_facts_free(job->facts);
    gtm_free(job->reports);
    gtm_free(job);
}

static void add_load(struct gtm_json *one, const struct health_report *report)
{
    if (!report || !report->load.has) {
        gtm_json_add_null(one, "load");
    } else {
        struct gtm_json *load = gtm_json_add_object(one, "load");
        for (int i = 0; i < GTM_LOAD_COUNT; i++)
            if (report->load.has & 1u << i)
                gtm_json_add_num(load, gtm_load_words[i], report->load.value[i]);
    }
    gtm_json_add_str(one, "load_error",
                     report && report->load_error[0] ? report->load_error : NULL);
    gtm_api_add_time(one, "certificate_expires", report ? report->cert_expires_wall_ms : 0);
    gtm_json_add_i64(one, "shared", report ? report->shared : 0);
}

static void add_result(struct gtm_json *one, const struct health_report *report)
{
    gtm_json_add_str(one, "result", health_result_word(report ? report->last : HEALTH_RESULT_NONE));
    gtm_json_add_str(one, "evidence", report ? report->evidence : "");
    if (report && report->last_latency_us)
        gtm_json_add_num(one, "latency_seconds", (double)report->last_latency_us / 1e6);
    else
        gtm_json_add_null(one, "latency_seconds");
    gtm_api_add_time(one, "checked", report ? report->last_wall_ms : 0);
    gtm_json_add_i64(one, "consecutive_passes", report ? report->passes : 0);
    gtm_json_add_i64(one, "consecutive_failures", report ? report->fails : 0);
    gtm_json_add_i64(one, "checks_total", report ? (int64_t)report->probes_total : 0);
    gtm_json_add_i64(one, "checks_failed_total", report ? (int64_t)report->probes_failed : 0);
    add_load(one, report);
}

struct check {
    size_t pool, endpoint;
    unsigned monitor;
    enum gtm_family family;
};

static void add_check(struct gtm_json *items, const struct gtm_facts *facts,
                      const struct check *check, const struct health_report *report)
{
    const struct gtm_intent *intent = facts->intent;
    const struct gtm_pool *pool = &intent->pools[check->pool];
    const struct gtm_endpoint *endpoint = &pool->endpoints[check->endpoint];
    const struct gtm_monitor *monitor = &intent->monitors[check->monitor];
    char text[INET6_ADDRSTRLEN];
    struct gtm_json *one = gtm_json_append_object(items);
    gtm_json_add_str(one, "pool", pool->name);
    gtm_json_add_str(one, "endpoint", endpoint->name);
    gtm_json_add_str(one, "region", intent->regions[endpoint->region].name);
    gtm_json_add_str(one, "monitor", monitor->name);
    gtm_json_add_str(one, "kind", gtm_monitor_kind_words[monitor->kind]);
    gtm_json_add_str(one, "family", gtm_family_word(check->family));
    gtm_json_add_str(one, "address",
                     gtm_endpoint_address(endpoint, check->family, text, sizeof(text)));
    gtm_json_add_i64(one, "port", monitor->port);
    gtm_json_add_bool(one, "active", gtm_monitor_kind_active(monitor->kind));
    gtm_json_add_str(one, "health", gtm_health_word(report ? report->health : GTM_HEALTH_UNKNOWN));
    gtm_json_add_str(one, "admin",
                     gtm_admin_word(gtm_states_effective(facts->states, check->pool,
                                                         check->endpoint, check->family)
                                        .admin));
    gtm_api_add_time(one, "since", report ? report->since_wall_ms : 0);
    add_result(one, report);
}

static int add_endpoint(struct gtm_json *items, const struct gtm_facts *facts,
                        const struct gtm_map *by_key, struct check check)
{
    const struct gtm_intent *intent = facts->intent;
    const struct gtm_pool *pool = &intent->pools[check.pool];
    const struct gtm_endpoint *endpoint = &pool->endpoints[check.endpoint];
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        for (size_t m = 0; gtm_endpoint_has(endpoint, f) && m < pool->monitors_count; m++) {
            char key[HEALTH_KEY_BYTES];
            check.monitor = pool->monitors[m];
            check.family = f;
            if (!gtm_target_key(intent, check.pool, check.endpoint, check.monitor, f, key))
                return GTM_ELIMIT;
            add_check(items, facts, &check, gtm_map_get(by_key, key));
        }
    }
    return 0;
}

static struct gtm_json *health_build(void *arg)
{
    struct health_job *job = arg;
    const struct gtm_intent *intent = job->facts->intent;
    struct gtm_map *by_key = gtm_map_new();
    int rc = by_key ? 0 : GTM_ENOMEM;
    for (size_t i = 0; !rc && i < job->reports_count; i++)
        rc = gtm_map_put(by_key, job->reports[i].key, &job->reports[i], NULL);
    struct gtm_json *items = gtm_json_array();
    for (size_t p = 0; !rc && p < intent->pools_count; p++) {
        if (job->pool >= 0 && p != (size_t)job->pool)
            continue;
        for (size_t e = 0; !rc && e < intent->pools[p].endpoints_count; e++)
            rc = add_endpoint(items, job->facts, by_key, (struct check){.pool = p, .endpoint = e});
    }
    gtm_map_free(by_key, NULL);
    if (rc) {
        gtm_json_free(items);
        return NULL;
    }
    return gtm_api_list_root("HealthList", job->revision, items);
}

void gtm_api_get_health(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    const char *name = gtm_api_query(req, "pool");
    int pool = name ? gtm_intent_pool(d->intent, name) : -1;
    if (name && pool < 0) {
        gtm_api_problem(req, 404, "notfound", "there is no pool '%.100s'", name);
        return;
    }
    struct health_job *job = gtm_calloc(1, sizeof(*job));
    if (job) {
        job->pool = pool;
        job->revision = gtmd_revision(d);
        job->facts = gtm_facts_clone(gtm_state_facts(d->state));
    }
    if (!job || !job->facts ||
        (d->health && health_engine_snapshot(d->health, &job->reports, &job->reports_count))) {
        if (job)
            health_fini(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    gtm_api_build(req, job->reports_count > GTM_API_INLINE_ENDPOINTS, health_build, health_fini,
                  job);
}

/* --- probing now --- */

static int64_t check_endpoint(struct gtmd *d, size_t p, size_t e)
{
    const struct gtm_pool *pool = &d->intent->pools[p];
    int64_t started = 0;
    for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
        for (size_t m = 0; gtm_endpoint_has(&pool->endpoints[e], f) && m < pool->monitors_count;
             m++) {
            char key[HEALTH_KEY_BYTES];
            if (gtm_target_key(d->intent, p, e, pool->monitors[m], f, key))
                started += !health_engine_check_now(d->health, key);
        }
    }
    return started;
}

void gtm_api_post_health_check(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    bool dry_run = false;
    if (!gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    struct gtm_json *body = gtm_api_body_object(req, "pool endpoint");
    if (!body)
        return;
    const char *pool_name = gtm_json_str(body, "pool", "");
    const char *name = gtm_json_str(body, "endpoint", NULL);
    int pool = gtm_intent_pool(d->intent, pool_name);
    int endpoint = pool >= 0 && name ? gtm_pool_endpoint(&d->intent->pools[pool], name) : -1;
    if (pool < 0) {
        gtm_api_problem(req, 404, "notfound", "there is no pool '%.100s'", pool_name);
    } else if (name && endpoint < 0) {
        gtm_api_problem(req, 404, "notfound", "pool '%.63s' has no endpoint '%.100s'", pool_name,
                        name);
    } else if (!d->health) {
        gtm_api_problem(req, 409, "state", "this node does not check health (roles)");
    } else {
        int64_t started = 0;
        for (size_t e = 0; !dry_run && e < d->intent->pools[pool].endpoints_count; e++)
            if (endpoint < 0 || e == (size_t)endpoint)
                started += check_endpoint(d, (size_t)pool, e);
        struct gtm_json *item = gtm_json_object();
        gtm_json_add_str(item, "pool", pool_name);
        gtm_json_add_str(item, "endpoint", name);
        gtm_json_add_i64(item, "started", started);
        gtm_api_item(req, 202, "HealthCheck", item);
    }
    gtm_json_free(body);
}

/* --- heartbeats over the API --- */

/* What the body says of itself; false: it is wrong, and 400 was answered. */
static bool read_push(struct gtm_api_req *req, const struct gtm_json *body, bool *ret_well,
                      struct health_load *ret_load)
{
    const struct gtm_json *status = gtm_json_get(body, "status");
    const char *word = status ? gtm_json_as_str(status) : "up";
    *ret_well = word && strcmp(word, "up") == 0;
    if (!*ret_well && (!word || strcmp(word, "down") != 0)) {
        gtm_api_problem(req, 400, "badrequest", "status must be up or down");
        return false;
    }
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        const struct gtm_json *value = gtm_json_get(body, gtm_load_words[i]);
        if (gtm_json_type(value) == GTM_JSON_NULL)
            continue;
        double number = gtm_json_as_num(value, -1);
        if (!(number >= 0 && number <= 1e15)) {
            gtm_api_problem(req, 400, "badrequest", "%s must be a number, 0 or more",
                            gtm_load_words[i]);
            return false;
        }
        ret_load->has |= (uint8_t)(1u << i);
        ret_load->value[i] = number;
    }
    return true;
}

struct push_to {
    size_t pool, endpoint;
    const char *monitor; /* NULL = all of kind push */
    const char *text;
    const struct health_load *load;
    bool well, dry_run;
};

/* How many targets heard it; GTM_E… from the engine in *ret_rc. */
static int64_t push_all(struct gtmd *d, const struct push_to *to, int *ret_rc)
{
    const struct gtm_pool *pool = &d->intent->pools[to->pool];
    int64_t told = 0;
    for (size_t m = 0; m < pool->monitors_count; m++) {
        const struct gtm_monitor *monitor = &d->intent->monitors[pool->monitors[m]];
        if (monitor->kind != GTM_MONITOR_PUSH ||
            (to->monitor && strcmp(to->monitor, monitor->name) != 0))
            continue;
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++) {
            char key[HEALTH_KEY_BYTES];
            if (!gtm_endpoint_has(&pool->endpoints[to->endpoint], f) ||
                !gtm_target_key(d->intent, to->pool, to->endpoint, pool->monitors[m], f, key))
                continue;
            int rc = to->dry_run ? GTM_OK
                                 : health_engine_push(d->health, key, to->well, to->text,
                                                      to->load->has ? to->load : NULL);
            told += rc == GTM_OK;
            *ret_rc = rc ? rc : *ret_rc;
        }
    }
    return told;
}

static void push_and_answer(struct gtm_api_req *req, const struct push_to *to)
{
    struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_pool *pool = &d->intent->pools[to->pool];
    int rc = GTM_OK;
    int64_t told = push_all(d, to, &rc);
    if (told == 0 && rc == GTM_OK) {
        gtm_api_problem(req, 409, "conflict", "pool '%s' has no monitor of kind push%s%.100s",
                        pool->name, to->monitor ? " named " : "", to->monitor ? to->monitor : "");
        return;
    }
    if (told == 0) {
        gtm_api_problem(req, 503, "busy", "this target is not checked yet: %s", gtm_err_text(rc));
        return;
    }
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "pool", pool->name);
    gtm_json_add_str(item, "endpoint", pool->endpoints[to->endpoint].name);
    gtm_json_add_str(item, "status", to->well ? "up" : "down");
    gtm_json_add_i64(item, "told", told);
    gtm_api_item(req, 200, "Heartbeat", item);
}

void gtm_api_post_health_push(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct health_load load = {0};
    struct push_to to = {.load = &load};
    if (!gtm_api_query_dry_run(req, &to.dry_run) || !gtm_api_if_match(req))
        return;
    struct gtm_json *body = gtm_api_body_object(
        req, "pool endpoint monitor status text load connections latency_ms requests_per_s");
    if (!body)
        return;
    const char *pool_name = gtm_json_str(body, "pool", "");
    const char *name = gtm_json_str(body, "endpoint", "");
    int pool = gtm_intent_pool(d->intent, pool_name);
    int endpoint = pool >= 0 ? gtm_pool_endpoint(&d->intent->pools[pool], name) : -1;
    to.monitor = gtm_json_str(body, "monitor", NULL);
    to.text = gtm_json_str(body, "text", NULL);
    if (pool < 0) {
        gtm_api_problem(req, 404, "notfound", "there is no pool '%.100s'", pool_name);
    } else if (endpoint < 0) {
        gtm_api_problem(req, 404, "notfound", "pool '%.63s' has no endpoint '%.100s'", pool_name,
                        name);
    } else if (!d->health) {
        gtm_api_problem(req, 409, "state", "this node does not check health (roles)");
    } else if (read_push(req, body, &to.well, &load)) {
        to.pool = (size_t)pool;
        to.endpoint = (size_t)endpoint;
        push_and_answer(req, &to);
    }
    gtm_json_free(body);
}
