/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmd: options, then daemon.h.
 */
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/options.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct gtmd_options options;
    if (gtmd_options_parse(argc, argv, &options, stderr))
        return GTMD_USAGE;
    switch (options.action) {
    case GTMD_ACTION_HELP:
        gtmd_options_help(stdout);
        break;
    case GTMD_ACTION_VERSION:
        puts("gtmd " GTM_VERSION);
        break;
    case GTMD_ACTION_CHECK:
        return gtmd_check(options.config);
    case GTMD_ACTION_RUN:
        return gtmd_run(options.config, options.replace);
    }
    return fflush(stdout) ? GTMD_FAILED : GTMD_OK;
}
