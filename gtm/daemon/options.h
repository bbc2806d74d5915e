/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of gtmd. Pure but for getopt's own state; called once.
 */
#ifndef GTM_DAEMON_OPTIONS_H
#define GTM_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum gtmd_action { GTMD_ACTION_RUN = 0, GTMD_ACTION_CHECK, GTMD_ACTION_VERSION, GTMD_ACTION_HELP };

struct gtmd_options {
    enum gtmd_action action;
    const char *config; /* of argv */
    bool replace;       /* take over from the gtmd that runs */
};

/* 0, or -1 after a line on `err` that says what is wrong. */
int gtmd_options_parse(int argc, char **argv, struct gtmd_options *ret_options, FILE *err);
void gtmd_options_help(FILE *out);

#endif
