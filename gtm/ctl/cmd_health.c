/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl health: the checks themselves, probing now, heartbeats.
 */
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_NS 50000000L

static const struct ctl_column columns[] = {
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"ENDPOINT", "endpoint", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, true, false},
    {"MONITOR", "monitor", CTL_COL_TEXT, false, false},
    {"KIND", "kind", CTL_COL_TEXT, true, false},
    {"ADDRESS", "address", CTL_COL_TEXT, false, false},
    {"PORT", "port", CTL_COL_TEXT, true, true},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "admin", CTL_COL_WORD, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
    {"LATENCY", "latency_seconds", CTL_COL_MS, false, true},
    {"CERT", "certificate_expires", CTL_COL_LEFT, true, true},
    {"LOAD", "/load/load", CTL_COL_PERCENT, true, true},
    {"CONNECTIONS", "/load/connections", CTL_COL_TEXT, true, true},
    {"SHARED", "shared", CTL_COL_TEXT, true, true},
    {"EVIDENCE", "evidence", CTL_COL_TEXT, false, false},
    {"LOAD_ERROR", "load_error", CTL_COL_TEXT, true, false},
    {"PASSES", "consecutive_passes", CTL_COL_TEXT, true, true},
    {"FAILURES", "consecutive_failures", CTL_COL_TEXT, true, true},
    {"CHECKS", "checks_total", CTL_COL_TEXT, true, true},
    {"FAILED", "checks_failed_total", CTL_COL_TEXT, true, true},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* POOL or POOL/ENDPOINT; endpoint NULL for the first. False after having said what is wrong. */
struct subject {
    char pool_own[CTL_NAME_BYTES];
    const char *pool, *endpoint;
};

static bool read_subject(const char *text, struct subject *ret)
{
    *ret = (struct subject){.pool = text};
    if (strchr(text, '/') == NULL)
        return true;
    ret->endpoint = ctl_split(text, ret->pool_own);
    ret->pool = ret->pool_own;
    return ret->endpoint != NULL;
}

/* The checks of the subject as a new envelope. */
static int get_checks(struct ctl *ctl, const struct subject *s, struct gtm_json **ret_root)
{
    struct gtm_json *all = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/health?pool=%s", s->pool), &all);

    if (rc != CTL_OK || s->endpoint == NULL) {
        *ret_root = all;
        return rc;
    }
    *ret_root = ctl_envelope("HealthList", all);
    struct gtm_json *items = gtm_json_add_array(*ret_root, "items");
    for (const struct gtm_json *i = gtm_json_first(gtm_json_get(all, "items")); i != NULL;
         i = gtm_json_next(i))
        if (strcmp(gtm_json_str(i, "endpoint", ""), s->endpoint) == 0)
            gtm_json_append(items, gtm_json_copy(i));
    gtm_json_free(all);
    return CTL_OK;
}

int ctl_health_list(struct ctl *ctl)
{
    char *path = ctl->pool != NULL ? ctl_path("/api/v1/health?pool=%s", ctl->pool)
                                   : ctl_path("/api/v1/health");

    return ctl_get_and_show(ctl, path, columns, COLUMNS);
}

int ctl_health_show(struct ctl *ctl)
{
    struct subject s;
    struct gtm_json *root = NULL;

    s.endpoint = ctl_split(ctl->argv[0], s.pool_own);
    s.pool = s.pool_own;
    if (s.endpoint == NULL)
        return CTL_USAGE;
    int rc = get_checks(ctl, &s, &root);
    if (rc == CTL_OK && gtm_json_count(gtm_json_get(root, "items")) == 0) {
        ctl_error("pool '%s' has no endpoint '%s' that is checked", s.pool, s.endpoint);
        rc = CTL_NOT_FOUND;
    } else if (rc == CTL_OK) {
        rc = ctl_show(ctl, root, columns, COLUMNS);
    }
    gtm_json_free(root);
    return rc;
}

/* ---- probing now ---- */

static bool same_check(const struct gtm_json *a, const struct gtm_json *b)
{
    static const char *const keys[] = {"endpoint", "monitor", "family"};

    for (size_t i = 0; i < 3; i++)
        if (strcmp(gtm_json_str(a, keys[i], ""), gtm_json_str(b, keys[i], "")) != 0)
            return false;
    return true;
}

/* Every active check of `before` has been made since. Both lists have one order. */
static bool all_newer(const struct gtm_json *before, const struct gtm_json *after)
{
    const struct gtm_json *b = gtm_json_first(gtm_json_get(after, "items"));

    for (const struct gtm_json *a = gtm_json_first(gtm_json_get(before, "items")); a != NULL;
         a = gtm_json_next(a)) {
        while (b != NULL && !same_check(a, b)) /* others came in by a reload */
            b = gtm_json_next(b);
        if (b == NULL)
            return true; /* gone by a reload: nothing to wait for */
        if (gtm_json_bool(a, "active", false) &&
            gtm_json_i64(b, "checks_total", 0) <= gtm_json_i64(a, "checks_total", 0))
            return false;
    }
    return true;
}

static int wait_for_results(struct ctl *ctl, const struct subject *s, const struct gtm_json *before)
{
    static const struct timespec pause = {.tv_nsec = WAIT_NS};
    uint64_t end_ms = gtm_mono_ms(gtm_clock_system()) + ctl->timeout_ms;

    for (;;) {
        struct gtm_json *now = NULL;
        int rc = get_checks(ctl, s, &now);
        bool done = rc == CTL_OK && all_newer(before, now);
        bool late = !done && gtm_mono_ms(gtm_clock_system()) >= end_ms;
        if (rc == CTL_OK && (done || late))
            rc = ctl_show(ctl, now, columns, COLUMNS);
        gtm_json_free(now);
        if (rc == CTL_OK && late) {
            ctl_error("not every check has a new result in %g s", (double)ctl->timeout_ms / 1000);
            return CTL_RUNNING;
        }
        if (rc != CTL_OK || done)
            return rc;
        nanosleep(&pause, NULL);
    }
}

static int start(struct ctl *ctl, const struct subject *s, struct gtm_json **ret_root)
{
    struct gtm_json *body = gtm_json_object();

    gtm_json_add_str(body, "pool", s->pool);
    if (s->endpoint != NULL)
        gtm_json_add_str(body, "endpoint", s->endpoint);
    char *text = gtm_json_print(body, false);
    gtm_json_free(body);
    int rc = ctl_request(
        ctl, "POST", ctl_path("/api/v1/health/check?dryRun=%s", ctl->dry_run ? "true" : "false"),
        text, ret_root);
    gtm_free(text);
    return rc;
}

int ctl_health_check(struct ctl *ctl)
{
    struct subject s;
    struct gtm_json *before = NULL, *root = NULL;
    struct gtm_buf out = {0};
    bool wait = ctl->wait && !ctl->dry_run;

    if (!read_subject(ctl->argv[0], &s))
        return CTL_USAGE;
    int rc = wait ? get_checks(ctl, &s, &before) : CTL_OK;
    if (rc == CTL_OK)
        rc = start(ctl, &s, &root);
    if (rc == CTL_OK && wait) {
        rc = wait_for_results(ctl, &s, before);
    } else if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK && ctl->dry_run) {
        ctl_addf(&out, "%s would be checked (dry run)\n", ctl->argv[0]);
        rc = ctl_put(&out);
    } else if (rc == CTL_OK) {
        ctl_addf(&out, "%" PRId64 " checks started; see: gtmctl health list --pool %s\n",
                 gtm_json_i64(gtm_json_get(root, "item"), "started", 0), s.pool);
        rc = ctl_put(&out);
    }
    gtm_json_free(before);
    gtm_json_free(root);
    return rc;
}

/* ---- heartbeats ---- */

/* A number of an option into the body; false after having said what is wrong. */
static bool add_number(struct gtm_json *body, const char *key, const char *text)
{
    char *end;

    if (text == NULL)
        return true;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0 && value <= 1e15)) {
        ctl_error("--%s takes a number, 0 or more, not '%s'", key, text);
        return false;
    }
    gtm_json_add_num(body, key, value);
    return true;
}

/* POOL/ENDPOINT[/MONITOR] and what the options say as a new body; NULL after having said why not.
 */
static char *push_body(const struct ctl *ctl)
{
    char target[2 * CTL_NAME_BYTES], pool[CTL_NAME_BYTES];
    const char *text = ctl->argv[0], *slash = strchr(text, '/');
    const char *monitor = slash != NULL ? strchr(slash + 1, '/') : NULL;
    size_t n = monitor != NULL ? (size_t)(monitor - text) : strlen(text);

    if (ctl->up && ctl->down) {
        ctl_error("--up or --down, not both");
        return NULL;
    }
    snprintf(target, sizeof(target), "%.*s", (int)(n < sizeof(target) ? n : 0), text);
    const char *endpoint = ctl_split(target, pool);
    if (endpoint == NULL)
        return NULL;
    struct gtm_json *body = gtm_json_object();
    gtm_json_add_str(body, "pool", pool);
    gtm_json_add_str(body, "endpoint", endpoint);
    if (monitor != NULL)
        gtm_json_add_str(body, "monitor", monitor + 1);
    gtm_json_add_str(body, "status", ctl->down ? "down" : "up");
    if (ctl->text != NULL)
        gtm_json_add_str(body, "text", ctl->text);
    char *printed =
        add_number(body, "load", ctl->load) && add_number(body, "connections", ctl->connections)
            ? gtm_json_print(body, false)
            : NULL;
    gtm_json_free(body);
    return printed;
}

int ctl_health_push(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    struct gtm_buf out = {0};
    char *body = push_body(ctl);

    if (body == NULL)
        return CTL_USAGE;
    int rc = ctl_request(ctl, "POST",
                         ctl_path("/api/v1/health/push?dryRun=%s", ctl->dry_run ? "true" : "false"),
                         body, &root);
    const struct gtm_json *item = gtm_json_get(root, "item");
    gtm_free(body);
    if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK) {
        ctl_addf(&out, "%s: %s, %s %" PRId64 " check%s\n", ctl->argv[0],
                 gtm_json_str(item, "status", "?"), ctl->dry_run ? "would tell" : "told",
                 gtm_json_i64(item, "told", 0), gtm_json_i64(item, "told", 0) == 1 ? "" : "s");
        rc = ctl_put(&out);
    }
    gtm_json_free(root);
    return rc;
}
