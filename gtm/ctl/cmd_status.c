/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl status, problems, events.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct ctl_column region_columns[] = {
    {"REGION", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"SERVING", "endpoints_serving", CTL_COL_TEXT, false, true},
    {"ENDPOINTS", "endpoints_total", CTL_COL_TEXT, false, true},
};
static const struct ctl_column pool_columns[] = {
    {"POOL", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"ADMIN", "/admin/state", CTL_COL_HEALTH, false, false},
    {"SERVING", "endpoints_serving", CTL_COL_TEXT, false, true},
    {"ENDPOINTS", "endpoints_total", CTL_COL_TEXT, false, true},
    {"SINCE", "since", CTL_COL_AGE, false, true},
};

static int64_t at(const struct gtm_json *root, const char *pointer)
{
    return (int64_t)gtm_json_as_num(gtm_json_pointer(root, pointer), 0);
}

static void head(const struct gtm_json *item)
{
    const char *state = gtm_json_str(item, "state", "?");
    const char *error = gtm_json_as_str(gtm_json_pointer(item, "/geo/error"));

    printf("Node %s (%s)  %s  rev %" PRId64 "  up %.0f s  intent %.12s  memory %.0f MB\n",
           gtm_json_str(item, "node", "?"), gtm_json_str(item, "region", "?"), state,
           gtm_json_i64(item, "revision", 0), gtm_json_num(item, "uptime_seconds", 0),
           gtm_json_as_str(gtm_json_pointer(item, "/intent/sha256")) != NULL
               ? gtm_json_as_str(gtm_json_pointer(item, "/intent/sha256"))
               : "none",
           (double)at(item, "/memory/rss_bytes") / 1e6);
    printf("DNS  %" PRId64 " queries, %.0f/s, %" PRId64 " SERVFAIL, %" PRId64
           " TCP clients   geography %s%s\n",
           at(item, "/dns/queries_total"),
           gtm_json_as_num(gtm_json_pointer(item, "/dns/queries_per_second"), 0),
           at(item, "/dns/servfail_total"), at(item, "/dns/tcp_clients"),
           gtm_json_as_bool(gtm_json_pointer(item, "/geo/loaded"), false) ? "loaded" : "missing",
           error != NULL ? " (last reload failed)" : "");
}

static void problem_lines(const struct ctl *ctl, const struct gtm_json *problems)
{
    size_t n = 0;

    for (const struct gtm_json *p = gtm_json_first(problems); p != NULL; p = gtm_json_next(p))
        n += strcmp(gtm_json_str(p, "severity", ""), "note") != 0;
    printf("\nPROBLEMS %zu\n", n);
    for (const struct gtm_json *p = gtm_json_first(problems); p != NULL; p = gtm_json_next(p)) {
        const char *severity = gtm_json_str(p, "severity", "?");
        char age[32];
        if (strcmp(severity, "note") == 0 && ctl->output != CTL_WIDE)
            continue;
        printf("  %s%-8s%s  %s %s (%s): %s\n", ctl_colour(ctl, severity), severity,
               ctl_colour(ctl, severity)[0] ? ctl_colour_end(ctl) : "",
               gtm_json_str(p, "name", "?"), gtm_json_str(p, "subject", ""),
               ctl_age(gtm_json_str(p, "since", NULL), age), gtm_json_str(p, "detail", ""));
    }
}

/* Notes do not count: they are nothing to get up for. */
static int degraded(const struct ctl *ctl, const struct gtm_json *problems)
{
    if (!ctl->exit_code)
        return CTL_OK;
    for (const struct gtm_json *p = gtm_json_first(problems); p != NULL; p = gtm_json_next(p))
        if (strcmp(gtm_json_str(p, "severity", ""), "note") != 0)
            return CTL_DEGRADED;
    return CTL_OK;
}

int ctl_status(struct ctl *ctl)
{
    static const char *const paths[] = {"/api/v1/status", "/api/v1/problems", "/api/v1/regions",
                                        "/api/v1/pools"};
    struct gtm_json *root[4] = {NULL};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 4; i++)
        rc = ctl_request(ctl, "GET", paths[i], NULL, NULL, &root[i]);
    if (rc == 0 && !ctl_show_machine(ctl, root[0])) {
        head(gtm_json_get(root[0], "item"));
        putchar('\n');
        ctl_show(ctl, root[2], region_columns, sizeof(region_columns) / sizeof(region_columns[0]));
        putchar('\n');
        ctl_show(ctl, root[3], pool_columns, sizeof(pool_columns) / sizeof(pool_columns[0]));
        problem_lines(ctl, gtm_json_get(root[1], "items"));
    }
    if (rc == 0)
        rc = degraded(ctl, gtm_json_get(root[1], "items"));
    for (int i = 0; i < 4; i++)
        gtm_json_free(root[i]);
    return rc;
}

int ctl_problems(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        {"SEVERITY", "severity", CTL_COL_HEALTH, false, false},
        {"PROBLEM", "name", CTL_COL_TEXT, false, false},
        {"SUBJECT", "subject", CTL_COL_TEXT, false, false},
        {"SINCE", "since", CTL_COL_AGE, false, true},
        {"DETAIL", "detail", CTL_COL_TEXT, false, false},
        {"HINT", "hint", CTL_COL_TEXT, true, false},
    };
    struct gtm_json *root = NULL;
    int rc = ctl_request(ctl, "GET", "/api/v1/problems", NULL, NULL, &root);

    if (rc == 0)
        rc = ctl_show(ctl, root, columns, sizeof(columns) / sizeof(columns[0]));
    if (rc == 0)
        rc = degraded(ctl, gtm_json_get(root, "items"));
    gtm_json_free(root);
    return rc;
}

int ctl_events(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        {"TIME", "time", CTL_COL_TEXT, false, false},
        {"EVENT", "type", CTL_COL_TEXT, false, false},
        {"SUBJECT", "subject", CTL_COL_TEXT, false, false},
        {"FROM", "from", CTL_COL_HEALTH, false, false},
        {"TO", "to", CTL_COL_HEALTH, false, false},
        {"CAUSE", "cause", CTL_COL_TEXT, false, false},
    };
    char path[96];
    int64_t after = 0;
    int rc;

    for (;;) {
        struct gtm_json *root = NULL;
        snprintf(path, sizeof(path), "/api/v1/events?after=%" PRId64 "%s%.20s", after,
                 ctl->limit != NULL ? "&limit=" : "", ctl->limit != NULL ? ctl->limit : "");
        rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);
        const struct gtm_json *items = gtm_json_get(root, "items");
        if (rc == 0 && (gtm_json_count(items) > 0 || !ctl->follow)) {
            rc = ctl_show(ctl, root, columns, sizeof(columns) / sizeof(columns[0]));
            ctl->no_headers = true; /* once is enough */
        }
        for (const struct gtm_json *e = gtm_json_first(items); e != NULL; e = gtm_json_next(e))
            after = gtm_json_i64(e, "id", after);
        gtm_json_free(root);
        if (rc != 0 || !ctl->follow || fflush(stdout) != 0)
            return rc;
        sleep(1);
    }
}
