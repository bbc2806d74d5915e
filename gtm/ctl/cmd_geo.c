/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl geo: the databases, and where they place an address.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/show.h"

int ctl_geo_status(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/geo"), NULL, 0);
}

int ctl_geo_lookup(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/geo/lookup?address=%s", ctl->argv[0]), NULL, 0);
}
