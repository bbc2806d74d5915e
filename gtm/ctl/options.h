/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: options may stand anywhere, the first words are noun and verb. Reads the
 * environment (GTM_SOCKET, NO_COLOR, TERM). One thread.
 */
#ifndef GTM_CTL_OPTIONS_H
#define GTM_CTL_OPTIONS_H

#include "gtm/ctl/commands.h"

#include <stdio.h>

/* Fills in *ctl (any content before) and returns the command to run. NULL: the exit code is in
 * *ret_exit, and what is wrong was said, or the help that was asked for printed. Needs ctl_fini in
 * either case. */
const struct ctl_command *ctl_parse(struct ctl *ctl, int argc, char **argv, int *ret_exit);

/* One option, for help, completion and the manual's check. */
struct ctl_option_row {
    const char *word, *value, *help; /* "--reason"; value NULL: a switch */
    char letter;                     /* or 0 */
    unsigned bit;                    /* of enum ctl_option; 0: every command takes it */
};
/* The i-th, or NULL past the end. */
const struct ctl_option_row *ctl_option_at(size_t i);

/* The command for these words, of which *ret_used are noun and verb; NULL after having said why
 * not, with near words. */
const struct ctl_command *ctl_find_command(const char *const *words, int count, int *ret_used);
bool ctl_has_noun(const char *noun);

/* The nearest of the known words (gtm/model/suggest.h), or NULL. */
const char *ctl_nearest(const char *word, const char *const *known, size_t count);

/* The help of one command, of a noun's (verb NULL), or of all (noun NULL). False: there is none. */
bool ctl_help(FILE *out, const char *noun, const char *verb);

/* "30" and "0.5" (seconds), "500ms", "2h" → milliseconds within bounds; false otherwise. */
bool ctl_time_parse(const char *text, uint64_t low_ms, uint64_t high_ms, uint64_t *ret_ms);

#endif
