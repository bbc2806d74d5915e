/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl endpoint: list, show, and the operator's orders.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

int ctl_endpoint_list(struct ctl *ctl)
{
    struct gtm_json *items = NULL;

    if (ctl->argc > 0)
        return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s/endpoints", ctl->argv[0]),
                                ctl_endpoint_columns, ctl_endpoint_columns_count);
    int rc = ctl_all_endpoints(ctl, NULL, &items);
    if (rc != CTL_OK)
        return rc;
    struct gtm_json *root = ctl_envelope("EndpointList", NULL);
    gtm_json_add(root, "items", items);
    rc = ctl_show(ctl, root, ctl_endpoint_columns, ctl_endpoint_columns_count);
    gtm_json_free(root);
    return rc;
}

int ctl_endpoint_show(struct ctl *ctl)
{
    char pool[CTL_NAME_BYTES];
    const char *endpoint = ctl_split(ctl->argv[0], pool);

    if (endpoint == NULL)
        return CTL_USAGE;
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s/endpoints/%s", pool, endpoint), NULL,
                            0);
}

int ctl_endpoint_order(struct ctl *ctl)
{
    char pool[CTL_NAME_BYTES];
    const char *endpoint = ctl_split(ctl->argv[0], pool);

    return endpoint == NULL ? CTL_USAGE : ctl_order(ctl, pool, endpoint);
}

int ctl_endpoint_resume(struct ctl *ctl)
{
    char pool[CTL_NAME_BYTES];
    const char *endpoint = ctl_split(ctl->argv[0], pool);
    struct gtm_json *root = NULL;

    if (endpoint == NULL)
        return CTL_USAGE;
    int rc = ctl_request(ctl, "POST",
                         ctl_path("/api/v1/pools/%s/endpoints/%s/resume?dryRun=%s", pool, endpoint,
                                  ctl->dry_run ? "true" : "false"),
                         "{}", &root);
    if (rc == CTL_OK && ctl_machine(ctl))
        rc = ctl_show_machine(ctl, root);
    else if (rc == CTL_OK)
        rc = ctl_show(ctl, root, ctl_endpoint_columns, ctl_endpoint_columns_count);
    gtm_json_free(root);
    return rc;
}
