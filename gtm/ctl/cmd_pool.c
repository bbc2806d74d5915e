/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl pool and region.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"
#include "gtm/ctl/object.h"

#include <stdio.h>
#include <string.h>

static const struct ctl_column pools[] = {
    {"POOL", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"ADMIN", "/admin/state", CTL_COL_HEALTH, false, false},
    {"SERVING", "endpoints_serving", CTL_COL_TEXT, false, true},
    {"ENDPOINTS", "endpoints_total", CTL_COL_TEXT, false, true},
    {"IPV4", "serving_ipv4", CTL_COL_TEXT, true, true},
    {"IPV6", "serving_ipv6", CTL_COL_TEXT, true, true},
    {"MONITORS", "monitors", CTL_COL_LIST, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
};
static const struct ctl_column regions[] = {
    {"REGION", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_HEALTH, false, false},
    {"SERVING", "endpoints_serving", CTL_COL_TEXT, false, true},
    {"ENDPOINTS", "endpoints_total", CTL_COL_TEXT, false, true},
    {"LATITUDE", "latitude", CTL_COL_TEXT, true, true},
    {"LONGITUDE", "longitude", CTL_COL_TEXT, true, true},
    {"DOMAIN", "failure_domain", CTL_COL_TEXT, true, false},
};

int ctl_pool_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools"), pools,
                            sizeof(pools) / sizeof(pools[0]));
}

int ctl_pool_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s", ctl->argv[0]), NULL, 0);
}

int ctl_pool_up(struct ctl *ctl)
{
    return ctl_order(ctl, ctl->argv[0], NULL, "up");
}

int ctl_pool_down(struct ctl *ctl)
{
    return ctl_order(ctl, ctl->argv[0], NULL, "down");
}

int ctl_pool_drain(struct ctl *ctl)
{
    return ctl_order(ctl, ctl->argv[0], NULL, "drain");
}

int ctl_pool_auto(struct ctl *ctl)
{
    return ctl_order(ctl, ctl->argv[0], NULL, "auto");
}

int ctl_region_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/regions"), regions,
                            sizeof(regions) / sizeof(regions[0]));
}

int ctl_region_show(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl_request(ctl, "GET", "/api/v1/regions", NULL, NULL, &root);

    if (rc == 0) {
        const struct gtm_json *found = NULL;
        for (const struct gtm_json *r = gtm_json_first(gtm_json_get(root, "items")); r != NULL;
             r = gtm_json_next(r))
            if (strcmp(gtm_json_str(r, "name", ""), ctl->argv[0]) == 0)
                found = r;
        if (found == NULL) {
            ctl_error("there is no region '%s'", ctl->argv[0]);
            rc = CTL_NOT_FOUND;
        } else {
            struct gtm_json *one = gtm_json_object();
            gtm_json_add_str(one, "apiVersion", "gtm/v1");
            gtm_json_add_str(one, "kind", "Region");
            gtm_json_add_i64(one, "revision", gtm_json_i64(root, "revision", 0));
            gtm_json_add(one, "item", gtm_json_copy(found));
            if (!ctl_show_machine(ctl, one))
                ctl_show_object(ctl, found);
            gtm_json_free(one);
        }
    }
    gtm_json_free(root);
    return rc;
}
