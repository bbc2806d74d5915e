/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl health: the checks themselves.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"
#include "gtm/ctl/object.h"

#include <stdio.h>
#include <string.h>

static const struct ctl_column columns[] = {
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"ENDPOINT", "endpoint", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, true, false},
    {"MONITOR", "monitor", CTL_COL_TEXT, false, false},
    {"ADDRESS", "address", CTL_COL_TEXT, false, false},
    {"PORT", "port", CTL_COL_TEXT, true, true},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"ADMIN", "admin", CTL_COL_HEALTH, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
    {"LATENCY", "latency_seconds", CTL_COL_MS, false, true},
    {"EVIDENCE", "evidence", CTL_COL_TEXT, false, false},
    {"PASSES", "consecutive_passes", CTL_COL_TEXT, true, true},
    {"FAILURES", "consecutive_failures", CTL_COL_TEXT, true, true},
    {"CHECKS", "checks_total", CTL_COL_TEXT, true, true},
    {"FAILED", "checks_failed_total", CTL_COL_TEXT, true, true},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

int ctl_health_list(struct ctl *ctl)
{
    return ctl_get_and_show(
        ctl, ctl_path(ctl->pool != NULL ? "/api/v1/health?pool=%s" : "/api/v1/health", ctl->pool),
        columns, COLUMNS);
}

int ctl_health_show(struct ctl *ctl)
{
    char pool[256];
    const char *endpoint = ctl_split(ctl->argv[0], pool, sizeof(pool));
    struct gtm_json *root = NULL, *one = NULL;

    if (endpoint == NULL)
        return CTL_USAGE;
    char *path = ctl_path("/api/v1/health?pool=%s", pool);
    int rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);
    gtm_free(path);
    if (rc == 0) {
        one = gtm_json_object();
        struct gtm_json *items = gtm_json_add_array(one, "items");
        const struct gtm_json *all = gtm_json_get(root, "items");
        for (const struct gtm_json *i = gtm_json_first(all); i != NULL; i = gtm_json_next(i))
            if (strcmp(gtm_json_str(i, "endpoint", ""), endpoint) == 0)
                gtm_json_append(items, gtm_json_copy(i));
        if (gtm_json_count(items) == 0) {
            ctl_error("pool '%s' has no checked endpoint '%s'", pool, endpoint);
            rc = CTL_NOT_FOUND;
        } else {
            gtm_json_add_str(one, "kind", "HealthList");
            rc = ctl_show(ctl, one, columns, COLUMNS);
        }
    }
    gtm_json_free(one);
    gtm_json_free(root);
    return rc;
}

int ctl_health_check(struct ctl *ctl)
{
    char pool[256];
    const char *endpoint =
        strchr(ctl->argv[0], '/') != NULL ? ctl_split(ctl->argv[0], pool, sizeof(pool)) : NULL;
    struct gtm_json *body = gtm_json_object(), *root = NULL;

    if (strchr(ctl->argv[0], '/') != NULL && endpoint == NULL) {
        gtm_json_free(body);
        return CTL_USAGE;
    }
    gtm_json_add_str(body, "pool", endpoint != NULL ? pool : ctl->argv[0]);
    gtm_json_add_str(body, "endpoint", endpoint);
    char *text = gtm_json_print(body, false);
    int rc = ctl_request(ctl, "POST",
                         ctl->dry_run ? "/api/v1/health/check?dryRun=true" : "/api/v1/health/check",
                         text, NULL, &root);
    if (rc == 0 && !ctl_show_machine(ctl, root))
        printf("%lld checks started; see: gtmctl health list --pool %s\n",
               (long long)gtm_json_i64(gtm_json_get(root, "item"), "started", 0),
               endpoint != NULL ? pool : ctl->argv[0]);
    gtm_free(text);
    gtm_json_free(body);
    gtm_json_free(root);
    return rc;
}
