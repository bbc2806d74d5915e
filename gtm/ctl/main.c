/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl: the operator's hand. See gtmctl(1).
 */
#include "gtm/ctl/ctl.h"

#include <curl/curl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct ctl ctl;
    int code = CTL_USAGE;
    const struct ctl_command *command = ctl_parse(&ctl, argc, argv, &code);

    if (command == NULL)
        return code;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ctl_error("libcurl cannot start");
        return CTL_FAILED;
    }
    for (;;) {
        if (ctl.watch_s > 0 && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        code = command->run(&ctl);
        if (fflush(stdout) != 0 || ferror(stdout)) {
            ctl_error("cannot write to standard output");
            code = CTL_FAILED;
            break;
        }
        if (ctl.watch_s == 0 || code == CTL_USAGE)
            break;
        sleep(ctl.watch_s);
    }
    curl_global_cleanup();
    return code;
}
