/* SPDX-License-Identifier: Apache-2.0
 *
 * See problems.h.
 */
#include "gtm/daemon/problems_int.h"

#include "gtm/base/mem.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/daemon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS             INT64_C(86400000)
#define CERT_WARN_DAYS     14
#define CERT_CRITICAL_DAYS 3

void gtm_problem__add(struct gtm_problem_list *c, const struct gtm_problem *finding,
                      const char *fmt, ...)
{
    static const char *const words[GTM_PROBLEM_SEVERITIES] = {"critical", "warning", "note"};
    c->counts[finding->severity]++;
    if (c->kept++ >= GTM_PROBLEMS_MAX)
        return;
    char detail[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    struct gtm_json *one = gtm_json_append_object(c->lists[finding->severity]);
    gtm_json_add_str(one, "name", finding->name);
    gtm_json_add_str(one, "severity", words[finding->severity]);
    gtm_json_add_str(one, "subject", finding->subject);
    gtm_api_add_time(one, "since", finding->since_ms);
    gtm_json_add_str(one, "detail", detail);
    gtm_json_add_str(one, "hint", finding->hint);
}

/* --- pools and regions --- */

/* How policies that use the pool directly answer while nothing of it serves. */
static void all_down_words(const struct gtm_intent *intent, size_t pool, char *out,
                           size_t out_bytes)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < intent->policies_count && n < out_bytes; i++) {
        const struct gtm_policy *policy = &intent->policies[i];
        if (policy->has_pool && policy->pool == pool)
            n += (size_t)snprintf(out + n, out_bytes - n, "%s%s: %s", n ? ", " : "", policy->name,
                                  gtm_all_down_words[policy->all_down]);
    }
}

static void check_panic(struct gtm_problem_list *c, const struct gtm_facts *facts, size_t p)
{
    const struct gtm_pool *pool = &facts->intent->pools[p];
    if (!facts->panic[p * 2] && !facts->panic[p * 2 + 1])
        return;
    char subject[GTM_NAME_MAX + 8], held[512] = "";
    size_t n = 0, count = 0;
    int64_t since_ms = 0;
    snprintf(subject, sizeof(subject), "pool/%s", pool->name);
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        size_t at = (facts->base[p] + e) * 2;
        if (!facts->panic_held[at] && !facts->panic_held[at + 1])
            continue;
        int64_t since = facts->since_ms[facts->panic_held[at] ? at : at + 1];
        since_ms = !since_ms || since < since_ms ? since : since_ms;
        count++;
        if (n + GTM_NAME_MAX + 16 < sizeof(held))
            n += (size_t)snprintf(held + n, sizeof(held) - n, "%s%s", n ? ", " : "",
                                  pool->endpoints[e].name);
    }
    gtm_problem__add(
        c,
        &(struct gtm_problem){
            GTM_PROBLEM_CRITICAL, "PanicHeld", subject,
            "a check or a release is wrong more likely than that many servers; if the "
            "servers are: gtmctl endpoint down, or panic: 0 for the pool",
            since_ms},
        "failures of content of %zu of %zu endpoints are not believed, and they go on serving: %s",
        count, pool->endpoints_count, held);
}

static void check_pool(struct gtm_problem_list *c, const struct gtm_facts *facts, size_t p)
{
    const struct gtm_pool *pool = &facts->intent->pools[p];
    enum gtm_health health = facts->pools[p].health;
    char subject[GTM_NAME_MAX + 8];
    snprintf(subject, sizeof(subject), "pool/%s", pool->name);
    if (health == GTM_HEALTH_DOWN) {
        char policies[512];
        all_down_words(facts->intent, p, policies, sizeof(policies));
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "PoolDown", subject,
                                  "gtmctl health list --pool shows the evidence of every check",
                                  facts->pools[p].since_ms},
            "none of %zu endpoints may get users; its policies now do as all_down says (%s)",
            pool->endpoints_count, policies[0] ? policies : "no policy uses it directly");
        return;
    }
    if (health != GTM_HEALTH_DEGRADED)
        return;
    char down[512] = "";
    size_t n = 0, count = 0;
    for (size_t e = 0; e < pool->endpoints_count; e++) {
        enum gtm_health word = gtm_facts_endpoint_health(facts, p, e);
        if (word != GTM_HEALTH_DOWN && word != GTM_HEALTH_DEGRADED)
            continue;
        count++;
        if (n + GTM_NAME_MAX + 16 < sizeof(down))
            n += (size_t)snprintf(down + n, sizeof(down) - n, "%s%s %s", n ? ", " : "",
                                  pool->endpoints[e].name, gtm_health_word(word));
    }
    gtm_problem__add(
        c,
        &(struct gtm_problem){GTM_PROBLEM_WARNING, "PoolDegraded", subject,
                              "gtmctl health list --pool shows the evidence of every check",
                              facts->pools[p].since_ms},
        "%zu of %zu endpoints are not well: %s", count, pool->endpoints_count, down);
}

/* Endpoints of each region, in one walk: all regions may be down at once. NULL: out of memory. */
static size_t *region_sizes(const struct gtm_intent *intent)
{
    size_t *sizes = gtm_calloc(intent->regions_count + 1, sizeof(*sizes));
    for (size_t p = 0; sizes && p < intent->pools_count; p++)
        for (size_t e = 0; e < intent->pools[p].endpoints_count; e++)
            sizes[intent->pools[p].endpoints[e].region]++;
    return sizes;
}

static void check_regions(struct gtm_problem_list *c, const struct gtm_facts *facts)
{
    const struct gtm_intent *intent = facts->intent;
    size_t *sizes = NULL;
    for (size_t r = 0; r < intent->regions_count; r++) {
        if (facts->regions[r].health != GTM_HEALTH_DOWN)
            continue;
        char subject[GTM_NAME_MAX + 8];
        snprintf(subject, sizeof(subject), "region/%s", intent->regions[r].name);
        sizes = sizes ? sizes : region_sizes(intent);
        size_t serving = 0,
               total = sizes ? sizes[r] : gtm_facts_region_endpoints(facts, r, &serving);
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "RegionDown", subject,
                                  "look at the region itself: power, network, a deployment",
                                  facts->regions[r].since_ms},
            "all endpoints that are checked in the region are down (%zu in all)", total);
    }
    gtm_free(sizes);
}

static void check_overrides(struct gtm_problem_list *c, const struct gtm_facts *facts)
{
    size_t it = 0;
    const char *key;
    void *value;
    while (gtm_map_next(facts->overrides.map, &it, &key, &value)) {
        const struct gtm_override *override = value;
        char until[GTM_TIME_TEXT_BYTES + 8] = "without an end", time[GTM_TIME_TEXT_BYTES];
        if (override->until_ms)
            snprintf(until, sizeof(until), "until %s", gtm_time_format(override->until_ms, time));
        char word[GTM_OVERRIDE_WORD_BYTES];
        const struct policy_shift *shift = &override->shift;
        bool held = override->kind == GTM_ORDER_SHIFT && shift->held;
        gtm_override_word(override, word);
        gtm_problem__add(c,
                         &(struct gtm_problem){
                             held || override->rules[0] ? GTM_PROBLEM_WARNING : GTM_PROBLEM_NOTE,
                             held                                ? "ShiftHeld"
                             : override->kind == GTM_ORDER_PAUSE ? "AutomationPaused"
                             : override->rules[0]                ? "RuleOverridden"
                                                                 : "OverrideActive",
                             key,
                             held ? "gtmctl traffic resume, or undo"
                                  : "withdraw it when it has served: gtmctl override clear",
                             override->since_ms},
                         "%s by %s, %s%s%s%s%s%s%s", word, override->owner, until,
                         override->reason[0] ? ": " : "", override->reason,
                         override->rules[0] ? "; it may break " : "", override->rules,
                         held ? "; held: " : "", held ? override->shift_why : "");
    }
}

/* --- configuration and geography --- */

static void check_config(struct gtm_problem_list *c, const struct gtmd *d)
{
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    if (!status->config_ok)
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "ConfigReloadFailed", "config",
                                  "correct the file, check it with gtmctl validate, reload",
                                  status->config_fail_ms},
            "the old configuration stays in force: %s", status->config_error);
    for (size_t i = 0; i < d->intent->inactive_count; i++) {
        const struct gtm_inactive *inactive = &d->intent->inactive[i];
        char subject[256];
        snprintf(subject, sizeof(subject), "%s/%s", inactive->kind,
                 inactive->name ? inactive->name : "");
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_NOTE, "KindNotActive", subject,
                                  "it is kept and checked; this version does nothing with it",
                                  d->intent_loaded_ms},
            "%s:%u: not active yet", d->intent->path, inactive->pos.line);
    }
}

static void check_geo(struct gtm_problem_list *c, const struct gtmd *d)
{
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    if (!status->geo_ok)
        gtm_problem__add(c,
                         &(struct gtm_problem){
                             d->geo ? GTM_PROBLEM_WARNING : GTM_PROBLEM_CRITICAL,
                             "GeoDatabaseMissing", "geo",
                             "deploy/geoip-update fetches databases; a repaired file is loaded "
                             "by itself",
                             status->geo_fail_ms},
                         "%s; %s", status->geo_error,
                         d->geo ? "the geography loaded last stays in force"
                                : "every client gets the policies' default order");
    int64_t built_s = d->geo ? gtm_geo_built_s(d->geo) : 0;
    int64_t days = built_s ? (gtm_wall_ms(d->clock) / 1000 - built_s) / 86400 : 0;
    if (days > GTM_GEO_STALE_DAYS)
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_NOTE, "GeoDatabaseStale", "geo",
                                  "deploy/geoip-update fetches them",
                                  (built_s + (int64_t)GTM_GEO_STALE_DAYS * 86400) * 1000},
            "the newest geography database was built %lld days ago", (long long)days);
}

static void check_saving(struct gtm_problem_list *c, const struct gtmd *d)
{
    int64_t since = 0;
    const char *why = gtm_state_unsaved(d->state, &since);
    if (why)
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_WARNING, "StateNotSaved", "state",
                                  "make room in data_dir; saving is tried again every five seconds",
                                  since},
            "orders and last healths are in force, but a restart would forget them: %s", why);
}

/* Zone files that changed and are wrong by themselves, and copies whose primaries do not answer. */
static void check_zones(struct gtm_problem_list *c, const struct gtmd *d)
{
    for (size_t z = 0; z < d->intent->zones_count; z++) {
        bool warning = false;
        int64_t since_ms = 0;
        char subject[300];
        struct gtm_secondary_status copy;
        const char *why = gtm_reload_zone_error(d->reload, z, &warning, &since_ms);
        snprintf(subject, sizeof(subject), "zone/%s", d->intent->zones[z].name);
        if (why && warning)
            gtm_problem__add(c,
                             &(struct gtm_problem){GTM_PROBLEM_WARNING, "ZoneSerial", subject,
                                                   "raise the serial of the SOA with every change",
                                                   since_ms},
                             "%s", why);
        else if (why)
            gtm_problem__add(c,
                             &(struct gtm_problem){
                                 GTM_PROBLEM_WARNING, "ZoneFileWrong", subject,
                                 "the zone loaded last stays; a repaired file is loaded by itself",
                                 since_ms},
                             "%s", why);
        if (!gtm_secondary_status(d->secondary, z, &copy) || (!copy.failed_ms && !copy.expired))
            continue;
        bool dead = copy.expired || !copy.loaded;
        gtm_problem__add(c,
                         &(struct gtm_problem){
                             dead ? GTM_PROBLEM_CRITICAL : GTM_PROBLEM_WARNING,
                             copy.expired   ? "ZoneExpired"
                             : !copy.loaded ? "ZoneNotTransferred"
                                            : "ZoneRefreshFailed",
                             subject, "gtmctl zone show says when the primaries are asked again",
                             copy.failed_ms ? copy.failed_ms : copy.expires_ms},
                         "%s%s", dead ? "it answers SERVFAIL: " : "",
                         copy.error ? copy.error : "no primary has answered");
    }
}

/* --- certificates, checks that cannot be made, heartbeats, loads --- */

static void add_certificate(struct gtm_problem_list *c, const struct gtmd *d, const char *subject,
                            int64_t expires_ms)
{
    char time[GTM_TIME_TEXT_BYTES];
    int64_t left_ms = expires_ms - gtm_wall_ms(d->clock);
    if (!expires_ms || left_ms > CERT_WARN_DAYS * DAY_MS)
        return;
    gtm_problem__add(
        c,
        &(struct gtm_problem){
            left_ms <= CERT_CRITICAL_DAYS * DAY_MS ? GTM_PROBLEM_CRITICAL : GTM_PROBLEM_WARNING,
            "CertificateExpiresSoon", subject,
            "renew the certificate; a new one is seen by the next check, that of this "
            "node by gtmctl reload",
            expires_ms - CERT_WARN_DAYS * DAY_MS},
        "%s %s", left_ms > 0 ? "expires" : "has expired", gtm_time_format(expires_ms, time));
}

static void add_unmade(struct gtm_problem_list *c, const char *subject,
                       const struct health_report *report)
{
    gtm_problem__add(
        c,
        &(struct gtm_problem){
            GTM_PROBLEM_WARNING, "CheckNotMade", subject,
            "its health stays what it was; for kind exec see exec_dir of the node file",
            report->last_wall_ms},
        "this node cannot make the check: %s", report->evidence);
}

/* Every address of a target has a report of its own: one finding for both. */
static void check_health(struct gtm_problem_list *c, const struct gtmd *d)
{
    struct health_report *reports = NULL;
    size_t count = 0;
    int64_t before = gtm_wall_ms(d->clock) + CERT_WARN_DAYS * DAY_MS;
    char last[HEALTH_KEY_BYTES + 16] = "";
    if (!d->health || health_engine_notable(d->health, before, GTM_PROBLEMS_MAX, &reports, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        char subject[HEALTH_KEY_BYTES + 16];
        snprintf(subject, sizeof(subject), "check/%s", reports[i].key);
        char *family = strrchr(subject, '/');
        if (family)
            *family = 0;
        if (!strcmp(subject, last))
            continue;
        snprintf(last, sizeof(last), "%s", subject);
        if (reports[i].cert_expires_wall_ms && reports[i].cert_expires_wall_ms <= before)
            add_certificate(c, d, subject, reports[i].cert_expires_wall_ms);
        if (reports[i].last == HEALTH_RESULT_LOCAL)
            add_unmade(c, subject, &reports[i]);
    }
    gtm_free(reports);
}

static void check_push(struct gtm_problem_list *c, const struct gtmd *d)
{
    for (size_t m = 0; d->health && m < d->intent->monitors_count; m++) {
        const struct gtm_monitor *monitor = &d->intent->monitors[m];
        char subject[GTM_NAME_MAX + 16];
        if (monitor->kind != GTM_MONITOR_PUSH)
            continue;
        snprintf(subject, sizeof(subject), "monitor/%s", monitor->name);
        if (!d->push)
            gtm_problem__add(
                c,
                &(struct gtm_problem){GTM_PROBLEM_NOTE, "PushNotListening", subject,
                                      "set push.listen in the node file", d->started_ms},
                "the node has no push.listen: heartbeats come from gtmctl health push only");
        else if (!gtm_push_has_token(d->push, monitor->name))
            gtm_problem__add(c,
                             &(struct gtm_problem){GTM_PROBLEM_WARNING, "PushTokenMissing", subject,
                                                   "write the token and gtmctl reload",
                                                   d->intent_loaded_ms},
                             "every heartbeat is refused: %s cannot be read or is empty",
                             monitor->push_token ? monitor->push_token : "its token");
    }
}

/* Has the endpoint said lately how many connections it has? */
static bool load_known(const struct gtmd *d, const struct gtm_policy *policy, size_t e)
{
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    uint64_t at = facts->loads[facts->base[policy->pool] + e].mono_ms[GTM_LOAD_CONNECTIONS];
    return at && at + gtm_state_stale_ms(facts->intent, policy->pool) >= gtm_mono_ms(d->clock);
}

/* Policies that go by what endpoints report, while some do not. */
static void check_loads(struct gtm_problem_list *c, const struct gtmd *d)
{
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    for (size_t i = 0; d->health && i < facts->intent->policies_count; i++) {
        const struct gtm_policy *policy = &facts->intent->policies[i];
        if (!policy->has_pool || policy->steer != GTM_STEER_LEAST_CONNECTIONS)
            continue;
        const struct gtm_pool *pool = &facts->intent->pools[policy->pool];
        char subject[GTM_NAME_MAX + 16];
        size_t unknown = 0;
        if (gtm_mono_ms(d->clock) <
            d->started_mono_ms + gtm_state_stale_ms(facts->intent, policy->pool))
            continue; /* they may still come */
        for (size_t e = 0; e < pool->endpoints_count; e++)
            unknown +=
                gtm_facts_endpoint_serves(facts, policy->pool, e) && !load_known(d, policy, e);
        snprintf(subject, sizeof(subject), "policy/%s", policy->name);
        if (unknown)
            gtm_problem__add(
                c,
                &(struct gtm_problem){
                    GTM_PROBLEM_WARNING, "LoadReportsStale", subject,
                    "gtmctl health list -o wide has LOAD and LOAD_ERROR of every check", 0},
                "%zu of %zu endpoints of pool %s have not said for %.0f s how many connections "
                "they "
                "have: they keep their weights",
                unknown, pool->endpoints_count, pool->name,
                (double)gtm_state_stale_ms(facts->intent, policy->pool) / 1000);
    }
}

static void check_dns(struct gtm_problem_list *c, const struct gtmd *d)
{
    if (d->settings)
        add_certificate(c, d, "dns.tls", d->settings->tls_expires_ms);
    const struct gtm_api_tls *api_tls = gtm_api_tls(d->api);
    if (api_tls)
        add_certificate(c, d, "api.tls", api_tls->expires_ms);
    if (gtmd_limited_per_s(d) > 0)
        gtm_problem__add(
            c,
            &(struct gtm_problem){GTM_PROBLEM_NOTE, "RateLimiting", "dns",
                                  "an attack with forged addresses, or a limit that is too low", 0},
            "%.1f answers a second are held back by dns.rate_limit", gtmd_limited_per_s(d));
}

struct gtm_json *gtm_problems(const struct gtmd *d, struct gtm_problem_counts *ret_counts)
{
    struct gtm_problem_list c = {0};
    for (int s = 0; s < GTM_PROBLEM_SEVERITIES; s++)
        c.lists[s] = gtm_json_array();
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    check_config(&c, d);
    gtm_problem__cluster(&c, d);
    check_geo(&c, d);
    check_saving(&c, d);
    check_zones(&c, d);
    check_dns(&c, d);
    check_health(&c, d);
    check_push(&c, d);
    check_loads(&c, d);
    check_regions(&c, facts);
    for (size_t p = 0; p < facts->intent->pools_count; p++) {
        check_panic(&c, facts, p);
        check_pool(&c, facts, p);
    }
    check_overrides(&c, facts);
    struct gtm_json *all = gtm_json_array();
    for (int s = 0; s < GTM_PROBLEM_SEVERITIES; s++) {
        for (struct gtm_json *one = gtm_json_first(c.lists[s]); one; one = gtm_json_next(one))
            gtm_json_append(all, gtm_json_copy(one));
        gtm_json_free(c.lists[s]);
    }
    if (ret_counts)
        *ret_counts =
            (struct gtm_problem_counts){c.counts[GTM_PROBLEM_CRITICAL],
                                        c.counts[GTM_PROBLEM_WARNING], c.counts[GTM_PROBLEM_NOTE]};
    return all;
}
