/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl geo and policy.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <stdio.h>

static const struct ctl_column policies[] = {
    {"POLICY", "name", CTL_COL_TEXT, false, false},
    {"STEER", "steer", CTL_COL_TEXT, false, false},
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"ALL_DOWN", "all_down", CTL_COL_TEXT, false, false},
    {"ANSWERS", "answers", CTL_COL_TEXT, false, true},
    {"TTL", "ttl_seconds", CTL_COL_TEXT, false, true},
    {"NAMES", "names", CTL_COL_TEXT, false, true},
    {"ACTIVE", "active", CTL_COL_YESNO, true, false},
    {"ORDER", "order", CTL_COL_LIST, true, false},
};

int ctl_geo_status(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/geo"), NULL, 0);
}

int ctl_geo_lookup(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/geo/lookup?address=%s", ctl->argv[0]), NULL, 0);
}

int ctl_policy_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies"), policies,
                            sizeof(policies) / sizeof(policies[0]));
}

int ctl_policy_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/policies/%s", ctl->argv[0]), NULL, 0);
}
