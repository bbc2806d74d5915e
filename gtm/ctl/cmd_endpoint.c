/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl endpoint: list, show, and the operator's orders.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"
#include "gtm/ctl/object.h"

#include <stdio.h>

static const struct ctl_column columns[] = {
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"ENDPOINT", "name", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, false, false},
    {"ADDRESSES", "addresses", CTL_COL_LIST, false, false},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"ADMIN", "effective_admin", CTL_COL_HEALTH, false, false},
    {"SERVES", "serves", CTL_COL_YESNO, false, false},
    {"WEIGHT", "weight", CTL_COL_TEXT, true, true},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, true, false},
    {"UNTIL", "/admin/until", CTL_COL_TEXT, true, false},
    {"REASON", "/admin/reason", CTL_COL_TEXT, false, false},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

int ctl_endpoint_list(struct ctl *ctl)
{
    struct gtm_json *pools = NULL, *root = NULL;

    if (ctl->argc > 0)
        return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s/endpoints", ctl->argv[0]), columns,
                                COLUMNS);
    int rc = ctl_request(ctl, "GET", "/api/v1/pools", NULL, NULL, &pools);
    struct gtm_json *all = gtm_json_object();
    gtm_json_add_str(all, "apiVersion", "gtm/v1");
    gtm_json_add_str(all, "kind", "EndpointList");
    gtm_json_add_i64(all, "revision", gtm_json_i64(pools, "revision", 0));
    struct gtm_json *items = gtm_json_add_array(all, "items");
    for (const struct gtm_json *p = gtm_json_first(gtm_json_get(pools, "items"));
         rc == 0 && p != NULL; p = gtm_json_next(p)) {
        char *path = ctl_path("/api/v1/pools/%s/endpoints", gtm_json_str(p, "name", ""));
        rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);
        gtm_free(path);
        for (const struct gtm_json *e = gtm_json_first(gtm_json_get(root, "items"));
             rc == 0 && e != NULL; e = gtm_json_next(e))
            gtm_json_append(items, gtm_json_copy(e));
        gtm_json_free(root);
        root = NULL;
    }
    if (rc == 0)
        rc = ctl_show(ctl, all, columns, COLUMNS);
    gtm_json_free(all);
    gtm_json_free(pools);
    return rc;
}

int ctl_endpoint_show(struct ctl *ctl)
{
    char pool[256];
    const char *endpoint = ctl_split(ctl->argv[0], pool, sizeof(pool));

    if (endpoint == NULL)
        return CTL_USAGE;
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s/endpoints/%s", pool, endpoint), NULL,
                            0);
}

static int order(struct ctl *ctl, const char *state)
{
    char pool[256];
    const char *endpoint = ctl_split(ctl->argv[0], pool, sizeof(pool));

    return endpoint == NULL ? CTL_USAGE : ctl_order(ctl, pool, endpoint, state);
}

int ctl_endpoint_up(struct ctl *ctl)
{
    return order(ctl, "up");
}

int ctl_endpoint_down(struct ctl *ctl)
{
    return order(ctl, "down");
}

int ctl_endpoint_drain(struct ctl *ctl)
{
    return order(ctl, "drain");
}

int ctl_endpoint_auto(struct ctl *ctl)
{
    return order(ctl, "auto");
}
