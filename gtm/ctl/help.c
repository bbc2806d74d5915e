/* SPDX-License-Identifier: Apache-2.0
 *
 * From words to a command, near words, and help. See options.h.
 */
#include "gtm/ctl/options.h"
#include "gtm/ctl/say.h"
#include "gtm/model/suggest.h"

#include <string.h>

#define KNOWN_MAX 256

const char *ctl_nearest(const char *word, const char *const *known, size_t count)
{
    const char *best = NULL;
    unsigned distance = 0;

    for (size_t i = 0; i < count; i++)
        gtm_suggest_try(word, known[i], &best, &distance);
    return best;
}

/* ---- finding ---- */

bool ctl_has_noun(const char *noun)
{
    for (size_t i = 0; i < ctl_commands_count; i++)
        if (strcmp(ctl_commands[i].noun, noun) == 0)
            return true;
    return false;
}

/* Says so, with the nearest noun, or verb of the noun. */
static void tell_unknown(const char *word, const char *noun)
{
    const char *known[KNOWN_MAX];
    size_t n = 0;

    for (size_t i = 0; i < ctl_commands_count && n < KNOWN_MAX; i++) {
        if (noun == NULL)
            known[n++] = ctl_commands[i].noun;
        else if (strcmp(ctl_commands[i].noun, noun) == 0 && ctl_commands[i].verb != NULL)
            known[n++] = ctl_commands[i].verb;
    }
    const char *near = ctl_nearest(word, known, n);
    ctl_error("unknown %s '%s'%s%s%s", noun ? "verb" : "command", word,
              near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    if (near == NULL)
        ctl_hint("see: gtmctl help%s%s", noun ? " " : "", noun ? noun : "");
}

static void tell_verbs(const char *noun)
{
    char verbs[256];
    size_t n = 0;

    verbs[0] = 0;
    for (size_t i = 0; i < ctl_commands_count && n < sizeof(verbs); i++)
        if (strcmp(ctl_commands[i].noun, noun) == 0)
            n += (size_t)snprintf(verbs + n, sizeof(verbs) - n, "%s%s", n ? ", " : "",
                                  ctl_commands[i].verb);
    ctl_error("'%s' needs a verb: %s", noun, verbs);
}

const struct ctl_command *ctl_find_command(const char *const *words, int count, int *ret_used)
{
    *ret_used = 0;
    if (!ctl_has_noun(words[0])) {
        tell_unknown(words[0], NULL);
        return NULL;
    }
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (strcmp(c->noun, words[0]) != 0)
            continue;
        if (c->verb == NULL || (count > 1 && strcmp(c->verb, words[1]) == 0)) {
            *ret_used = c->verb == NULL ? 1 : 2;
            return c;
        }
    }
    if (count > 1)
        tell_unknown(words[1], words[0]);
    else
        tell_verbs(words[0]);
    return NULL;
}

/* ---- help ---- */

static void help_options(FILE *out, unsigned bits, bool common)
{
    for (size_t i = 0; ctl_option_at(i) != NULL; i++) {
        const struct ctl_option_row *o = ctl_option_at(i);
        char left[64], letter[8] = "    ";
        if (common ? o->bit != 0 : (o->bit & bits) == 0)
            continue;
        if (o->letter != 0)
            snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        const char *gap = o->value == NULL || o->value[0] == '[' ? "" : " ";
        snprintf(left, sizeof(left), "%s%s%s%s", letter, o->word, gap, o->value ? o->value : "");
        fprintf(out, "  %-30s %s\n", left, o->help);
    }
}

static void help_one(FILE *out, const struct ctl_command *c)
{
    char text[CTL_COMMAND_TEXT_BYTES];

    fprintf(out, "gtmctl %s\n  %s\n%s", ctl_command_text(c, text), c->summary,
            c->help != NULL ? c->help : "");
    help_options(out, c->options, false);
}

static void help_all(FILE *out)
{
    char text[CTL_COMMAND_TEXT_BYTES];

    fputs("gtmctl NOUN [VERB] [ARGUMENTS] [OPTIONS]: asks and orders the gtmd of this host.\n\n",
          out);
    for (size_t i = 0; i < ctl_commands_count; i++)
        fprintf(out, "  %-32s %s\n", ctl_command_text(&ctl_commands[i], text),
                ctl_commands[i].summary);
    fputs("\nOptions of every command:\n", out);
    help_options(out, 0, true);
    fputs("\nOptions of those that show something:\n", out);
    help_options(out, CTL_OPT_OUTPUT, false);
    fputs("\nExit: 0 done, 1 failed, 2 usage, 3 gtmd unreachable, 4 not found, 5 blocked by a "
          "rule,\n6 conflict, 7 still running, 8 differences, 9 degraded, 10 not allowed.\n"
          "More: gtmctl NOUN --help, gtmctl(1).\n",
          out);
}

bool ctl_help(FILE *out, const char *noun, const char *verb)
{
    size_t shown = 0;

    if (noun == NULL) {
        help_all(out);
        return true;
    }
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (strcmp(c->noun, noun) != 0 ||
            (verb != NULL && (c->verb == NULL || strcmp(c->verb, verb) != 0)))
            continue;
        fputs(shown++ > 0 ? "\n" : "", out);
        help_one(out, c);
    }
    return shown > 0;
}
