/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl status and problems.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include "gtm/base/clock.h"

#include <inttypes.h>
#include <string.h>

#define PROBLEM_LINES_MAX 20
#define GLANCE_LINES_MAX  20

static const struct ctl_column region_columns[] = {
    {"REGION", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "effective_admin", CTL_COL_WORD, false, false},
    {"ENDPOINTS", "endpoints", CTL_COL_OF, false, false},
};
static const struct ctl_column pool_columns[] = {
    {"POOL", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "/admin/state", CTL_COL_WORD, false, false},
    {"ENDPOINTS", "endpoints", CTL_COL_OF, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
};
static const struct ctl_column problem_columns[] = {
    {"SEVERITY", "severity", CTL_COL_WORD, false, false},
    {"PROBLEM", "name", CTL_COL_TEXT, false, false},
    {"SUBJECT", "subject", CTL_COL_TEXT, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
    {"DETAIL", "detail", CTL_COL_TEXT, false, false},
    {"HINT", "hint", CTL_COL_TEXT, true, false},
};
#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

static int64_t at(const struct gtm_json *root, const char *pointer)
{
    return gtm_json_as_i64(gtm_json_pointer(root, pointer), 0);
}

static const char *text_at(const struct gtm_json *root, const char *pointer, const char *fallback)
{
    const char *text = gtm_json_as_str(gtm_json_pointer(root, pointer));

    return text != NULL ? text : fallback;
}

static void add_head(struct gtm_buf *out, const struct gtm_json *item)
{
    char span[CTL_AGE_BYTES], age[CTL_AGE_BYTES];
    int64_t now_ms = gtm_wall_ms(gtm_clock_system());
    bool loaded = gtm_json_as_bool(gtm_json_pointer(item, "/geo/loaded"), false);

    ctl_addf(out, "Node %s (%s)  %s  rev %" PRId64 "  up %s  intent %.12s (%s ago)\n",
             gtm_json_str(item, "node", "?"), gtm_json_str(item, "region", "?"),
             gtm_json_str(item, "state", "?"), gtm_json_i64(item, "revision", 0),
             ctl_span((int64_t)gtm_json_num(item, "uptime_seconds", 0), span),
             text_at(item, "/intent/sha256", "none"),
             ctl_age(text_at(item, "/intent/loaded_at", NULL), now_ms, age));
    ctl_addf(out, "DNS %.0f/s  %" PRId64 " queries  %" PRId64 " SERVFAIL  %" PRId64 " TCP clients",
             gtm_json_as_num(gtm_json_pointer(item, "/dns/queries_per_second"), 0),
             at(item, "/dns/queries_total"), at(item, "/dns/servfail_total"),
             at(item, "/dns/tcp_clients"));
    ctl_addf(out, "  geography %s%s  memory %.0f MB\n",
             loaded                            ? "loaded"
             : at(item, "/geo/databases") == 0 ? "none"
                                               : "missing",
             text_at(item, "/geo/error", NULL) != NULL && loaded ? " (old: reload failed)" : "",
             (double)at(item, "/memory/rss_bytes") / 1e6);
}

/* Among others: what it follows, who leads, who votes, and whether etcd is heard. */
static void add_cluster(struct gtm_buf *out, const struct gtm_json *cluster)
{
    const char *leader = text_at(cluster, "/leader/node", NULL);

    if (cluster == NULL)
        return;
    ctl_addf(out, "Cluster %s  leader %s", gtm_json_str(cluster, "mode", "?"),
             leader != NULL ? leader : "none");
    if (leader != NULL)
        ctl_addf(out, " (%s)", text_at(cluster, "/leader/region", "?"));
    ctl_addf(out, "  nodes %" PRId64 ", %" PRId64 " vote  view %" PRId64 "  intent %" PRId64,
             at(cluster, "/nodes/total"), at(cluster, "/nodes/fit"),
             gtm_json_i64(cluster, "view", 0), gtm_json_i64(cluster, "intent", 0));
    ctl_addf(out, "  etcd %s\n", text_at(cluster, "/store/link", "?"));
}

/* The addresses of a list, or what stands for none. */
static void add_list(struct gtm_buf *out, const struct gtm_json *list, const char *none)
{
    bool first = true;

    for (const struct gtm_json *a = gtm_json_first(list); a != NULL; a = gtm_json_next(a)) {
        ctl_addf(out, "%s%s", first ? "" : ", ",
                 gtm_json_as_str(a) != NULL ? gtm_json_as_str(a) : "?");
        first = false;
    }
    if (first)
        gtm_buf_adds(out, none);
}

/* Where it listens, and what is not as it should be for good. */
static void add_more(struct gtm_buf *out, const struct gtm_json *item)
{
    gtm_buf_adds(out, "UDP, TCP ");
    add_list(out, gtm_json_pointer(item, "/dns/listen"), "off");
    gtm_buf_adds(out, "  TLS ");
    add_list(out, gtm_json_pointer(item, "/dns/tls_listen"), "off");
    ctl_addf(out, "  zones %" PRId64, gtm_json_i64(item, "zones", 0));
    if (at(item, "/secondaries/total") > 0)
        ctl_addf(out, ", %" PRId64 " of %" PRId64 " secondary not fresh",
                 at(item, "/secondaries/not_fresh"), at(item, "/secondaries/total"));
    ctl_addf(out, "  endpoints %" PRId64 "/%" PRId64, at(item, "/endpoints/serving"),
             at(item, "/endpoints/total"));
    if (at(item, "/endpoints/held") + at(item, "/endpoints/partial") > 0)
        ctl_addf(out, ", %" PRId64 " held, %" PRId64 " with a part of their weight",
                 at(item, "/endpoints/held"), at(item, "/endpoints/partial"));
    gtm_buf_addc(out, '\n');
}

/* Notes do not count: they are nothing to get up for. */
static size_t count_problems(const struct gtm_json *problems, const char *severity)
{
    size_t n = 0;

    for (const struct gtm_json *p = gtm_json_first(problems); p != NULL; p = gtm_json_next(p))
        n += strcmp(gtm_json_str(p, "severity", ""), severity) == 0;
    return n;
}

static void add_problems(const struct ctl *ctl, struct gtm_buf *out,
                         const struct gtm_json *problems)
{
    size_t critical = count_problems(problems, "critical"), shown = 0;
    size_t warning = count_problems(problems, "warning"), all = critical + warning;
    char age[CTL_AGE_BYTES];

    if (all == 0)
        gtm_buf_adds(out, "PROBLEMS 0\n");
    else
        gtm_buf_addf(out, "PROBLEMS %zu: %zu critical, %zu warning\n", all, critical, warning);
    for (const struct gtm_json *p = gtm_json_first(problems); p != NULL; p = gtm_json_next(p)) {
        const char *severity = gtm_json_str(p, "severity", "?");
        if (strcmp(severity, "note") == 0 && ctl->output != CTL_WIDE)
            continue;
        if (shown++ == PROBLEM_LINES_MAX) {
            gtm_buf_adds(out, "  and more: gtmctl problems\n");
            return;
        }
        gtm_buf_adds(out, "  ");
        ctl_add_word(ctl, out, severity);
        gtm_buf_addf(out, "%*s", strlen(severity) < 8 ? (int)(8 - strlen(severity)) : 0, "");
        ctl_addf(out, "  %s %s (%s): %s\n", gtm_json_str(p, "name", "?"),
                 gtm_json_str(p, "subject", ""),
                 ctl_age(gtm_json_str(p, "since", NULL), gtm_wall_ms(gtm_clock_system()), age),
                 gtm_json_str(p, "detail", ""));
        if (ctl->output == CTL_WIDE && gtm_json_str(p, "hint", NULL) != NULL)
            ctl_addf(out, "            %s\n", gtm_json_str(p, "hint", ""));
    }
}

static int degraded(const struct ctl *ctl, int64_t critical, int64_t warning)
{
    return ctl->exit_code && critical + warning > 0 ? CTL_DEGRADED : CTL_OK;
}

static bool is_well(const struct gtm_json *item)
{
    const char *admin =
        text_at(item, "/admin/state", gtm_json_str(item, "effective_admin", "auto"));

    return strcmp(gtm_json_str(item, "health", ""), "up") == 0 && strcmp(admin, "auto") == 0;
}

/* A table that stays a glance: of more than GLANCE_LINES_MAX only those that are not well. */
static void add_glance(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *items,
                       const struct ctl_column *columns, size_t columns_count)
{
    size_t count = gtm_json_count(items), shown = 0;
    struct gtm_json *list = gtm_json_array();

    for (const struct gtm_json *i = gtm_json_first(items); i != NULL; i = gtm_json_next(i))
        if (shown < GLANCE_LINES_MAX && (count <= GLANCE_LINES_MAX || !is_well(i))) {
            gtm_json_append(list, gtm_json_copy(i));
            shown++;
        }
    ctl_table(ctl, out, list, columns, columns_count);
    if (shown < count)
        gtm_buf_addf(out, "and %zu more%s\n", count - shown,
                     shown < GLANCE_LINES_MAX ? ", all of them up" : "");
    gtm_json_free(list);
    gtm_buf_addc(out, '\n');
}

static int show_status(struct ctl *ctl, const struct gtm_json *item)
{
    static const char *const paths[] = {"/api/v1/regions", "/api/v1/pools", "/api/v1/problems"};
    struct gtm_json *root[3] = {NULL};
    struct gtm_buf out = {0};
    int rc = CTL_OK;

    for (int i = 0; rc == CTL_OK && i < 3; i++)
        rc = ctl_get(ctl, ctl_path(paths[i]), &root[i]);
    if (rc == CTL_OK) {
        add_head(&out, item);
        add_cluster(&out, gtm_json_get(item, "cluster"));
        add_more(&out, item);
        gtm_buf_addc(&out, '\n');
        add_glance(ctl, &out, gtm_json_get(root[0], "items"), region_columns,
                   COUNT(region_columns));
        add_glance(ctl, &out, gtm_json_get(root[1], "items"), pool_columns, COUNT(pool_columns));
        add_problems(ctl, &out, gtm_json_get(root[2], "items"));
        rc = ctl_put(&out);
    }
    for (int i = 0; i < 3; i++)
        gtm_json_free(root[i]);
    return rc;
}

int ctl_status(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/status"), &root);
    const struct gtm_json *item = gtm_json_get(root, "item");

    if (rc == CTL_OK)
        rc = ctl_machine(ctl) ? ctl_show_machine(ctl, root) : show_status(ctl, item);
    if (rc == CTL_OK)
        rc = degraded(ctl, at(item, "/problems/critical"), at(item, "/problems/warning"));
    gtm_json_free(root);
    return rc;
}

int ctl_problems(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/problems"), &root);
    const struct gtm_json *items = gtm_json_get(root, "items");

    if (rc == CTL_OK && !ctl_machine(ctl) && gtm_json_count(items) == 0)
        ctl_note(ctl, "no problems");
    if (rc == CTL_OK)
        rc = ctl_show(ctl, root, problem_columns, COUNT(problem_columns));
    if (rc == CTL_OK)
        rc = degraded(ctl, (int64_t)count_problems(items, "critical"),
                      (int64_t)count_problems(items, "warning"));
    gtm_json_free(root);
    return rc;
}
