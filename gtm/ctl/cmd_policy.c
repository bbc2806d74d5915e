/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl policy: list and show.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/show.h"

static const struct ctl_column columns[] = {
    {"POLICY", "name", CTL_COL_TEXT, false, false},
    {"STEER", "steer", CTL_COL_TEXT, false, false},
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"TO", "to", CTL_COL_TEXT, true, false},
    {"ALL_DOWN", "all_down", CTL_COL_TEXT, false, false},
    {"ANSWERS", "answers", CTL_COL_TEXT, false, true},
    {"TTL", "ttl_seconds", CTL_COL_TEXT, false, true},
    {"NAMES", "names", CTL_COL_TEXT, false, true},
    {"ACTIVE", "active", CTL_COL_TEXT, true, false},
    {"ORDER", "order", CTL_COL_TEXT, true, false},
};

int ctl_policy_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies"), columns,
                            sizeof(columns) / sizeof(columns[0]));
}

int ctl_policy_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies/%s", ctl->argv[0]), NULL, 0);
}
