/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl pool: list, show, and the operator's orders.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <string.h>

static const struct ctl_column columns[] = {
    {"POOL", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "/admin/state", CTL_COL_WORD, false, false},
    {"ENDPOINTS", "endpoints", CTL_COL_OF, false, false},
    {"IPV4", "serving_ipv4", CTL_COL_TEXT, true, true},
    {"IPV6", "serving_ipv6", CTL_COL_TEXT, true, true},
    {"MONITORS", "monitors", CTL_COL_TEXT, false, false},
    {"PANIC", "panic", CTL_COL_TEXT, true, false},
    {"SHEDS", "sheds", CTL_COL_TEXT, true, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, true, false},
    {"UNTIL", "/admin/until", CTL_COL_TEXT, true, false},
    {"REASON", "/admin/reason", CTL_COL_TEXT, true, false},
};

int ctl_pool_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools"), columns,
                            sizeof(columns) / sizeof(columns[0]));
}

int ctl_pool_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/pools/%s", ctl->argv[0]), NULL, 0);
}

int ctl_pool_order(struct ctl *ctl)
{
    if (strchr(ctl->argv[0], '/') == NULL)
        return ctl_order(ctl, ctl->argv[0], NULL);
    ctl_error("'%s' is no pool; for one endpoint: gtmctl endpoint %s %s", ctl->argv[0],
              ctl->command->verb, ctl->argv[0]);
    return CTL_USAGE;
}
