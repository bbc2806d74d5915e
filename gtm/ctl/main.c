/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl: the operator's hand. See gtmctl(1).
 */
#include "gtm/ctl/options.h"
#include "gtm/ctl/say.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SCREEN_BYTES (1u << 20)

/* A page that fits the buffer comes onto the screen at once, without flicker. */
static int run(struct ctl *ctl)
{
    static char screen[SCREEN_BYTES];
    bool clear = ctl->watch_ms > 0 && isatty(STDOUT_FILENO);
    const struct timespec pause = {.tv_sec = (time_t)(ctl->watch_ms / 1000),
                                   .tv_nsec = (long)(ctl->watch_ms % 1000) * 1000000L};

    if (clear)
        setvbuf(stdout, screen, _IOFBF, sizeof(screen));
    for (;;) {
        if (clear)
            fputs("\033[H\033[2J\033[3J", stdout);
        int code = ctl->command->run(ctl);
        if (ctl->watch_ms == 0 || code == CTL_USAGE || code == CTL_NOT_FOUND || ferror(stdout) ||
            fflush(stdout) != 0)
            return code;
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    struct ctl ctl;
    int code = CTL_USAGE;

    if (ctl_parse(&ctl, argc, argv, &code) != NULL)
        code = run(&ctl);
    ctl_fini(&ctl);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_error("cannot write to standard output");
        return CTL_FAILED;
    }
    return code;
}
