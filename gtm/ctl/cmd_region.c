/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl region: list, show, and the operator's orders.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <stdio.h>
#include <string.h>

static const struct ctl_column columns[] = {
    {"REGION", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "effective_admin", CTL_COL_WORD, false, false},
    {"ENDPOINTS", "endpoints", CTL_COL_OF, false, false},
    {"MOVED", "moved", CTL_COL_PERCENT, true, true},
    {"LATITUDE", "latitude", CTL_COL_TEXT, true, true},
    {"LONGITUDE", "longitude", CTL_COL_TEXT, true, true},
    {"DOMAIN", "failure_domain", CTL_COL_TEXT, true, false},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, true, false},
    {"UNTIL", "/admin/until", CTL_COL_TEXT, true, false},
    {"REASON", "/admin/reason", CTL_COL_TEXT, true, false},
};

int ctl_region_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/regions"), columns,
                            sizeof(columns) / sizeof(columns[0]));
}

/* The one region with its endpoints; NULL after having said that there is none. */
static struct gtm_json *find(struct ctl *ctl, const struct gtm_json *regions, int *ret_exit)
{
    struct gtm_json *endpoints = NULL;
    const struct gtm_json *r = gtm_json_first(gtm_json_get(regions, "items"));

    while (r != NULL && strcmp(gtm_json_str(r, "name", ""), ctl->argv[0]) != 0)
        r = gtm_json_next(r);
    if (r == NULL) {
        ctl_error("there is no region '%s'", ctl->argv[0]);
        *ret_exit = CTL_NOT_FOUND;
        return NULL;
    }
    *ret_exit = ctl_all_endpoints(ctl, ctl->argv[0], &endpoints);
    if (*ret_exit != CTL_OK)
        return NULL;
    struct gtm_json *root = ctl_envelope("Region", regions), *item = gtm_json_copy(r);
    gtm_json_add(item, "endpoints", endpoints);
    gtm_json_add(root, "item", item);
    return root;
}

int ctl_region_show(struct ctl *ctl)
{
    struct gtm_json *regions = NULL, *root = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/regions"), &regions);

    if (rc == CTL_OK)
        root = find(ctl, regions, &rc);
    if (root != NULL)
        rc = ctl_show(ctl, root, NULL, 0);
    gtm_json_free(root);
    gtm_json_free(regions);
    return rc;
}

int ctl_region_order(struct ctl *ctl)
{
    bool drain = strcmp(ctl->command->verb, "drain") == 0;
    char what[CTL_NAME_BYTES + 8];
    char *path = ctl_path("/api/v1/regions/%s/admin", ctl->argv[0]);

    snprintf(what, sizeof(what), "region/%s", ctl->argv[0]);
    int rc = ctl_order_send(ctl, &(struct ctl_order){.what = what, .path = path, .hurts = drain},
                            ctl_order_body(ctl, drain ? "drain" : "auto"));
    gtm_free(path);
    return rc;
}
