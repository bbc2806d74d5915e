/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: options may stand anywhere; the first two words are noun and verb.
 */
#include "gtm/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct option {
    const char *word, *value, *help; /* value NULL: a switch */
    unsigned bit;                    /* 0: every command takes it */
};

static const struct option options[] = {
    {"--output", "FORM", "table, wide, json or yaml (-o)", 0},
    {"--socket", "PATH", "gtmd's socket (default GTM_SOCKET, else /run/gtm/gtmd.sock)", 0},
    {"--timeout", "SECONDS", "how long to wait for gtmd (default 30)", 0},
    {"--no-headers", NULL, "tables without their first line", 0},
    {"--no-color", NULL, "no colours (also NO_COLOR)", 0},
    {"--verbose", NULL, "say what is asked of gtmd (-v)", 0},
    {"--help", NULL, "this text (-h)", 0},
    {"--watch", "SECONDS", "again every SECONDS (-w; default 2)", CTL_OPT_WATCH},
    {"--follow", NULL, "wait for more (-f)", CTL_OPT_FOLLOW},
    {"--exit-code", NULL, "exit 9 when something is wrong", CTL_OPT_EXIT_CODE},
    {"--dry-run", NULL, "say what would happen, change nothing", CTL_OPT_DRY_RUN},
    {"--yes", NULL, "do not ask (-y)", CTL_OPT_YES},
    {"--reason", "TEXT", "why; kept with the order", CTL_OPT_REASON},
    {"--for", "TIME", "the order ends after TIME (30m, 2h, 1d)", CTL_OPT_FOR},
    {"--client", "ADDRESS[/LEN]", "whose question it is", CTL_OPT_CLIENT},
    {"--file", "FILE", "the file (-f; - = standard input)", CTL_OPT_FILE},
    {"--origin", "NAME", "the zone's name", CTL_OPT_ORIGIN},
    {"--pool", "POOL", "only this pool", CTL_OPT_POOL},
    {"--name", "NAME", "only this owner name", CTL_OPT_NAME},
    {"--limit", "N", "at most so many", CTL_OPT_LIMIT},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

const char *ctl_option_word(size_t i, unsigned *ret_bit)
{
    if (i >= OPTIONS)
        return NULL;
    *ret_bit = options[i].bit;
    return options[i].word;
}

/* ---- did you mean ---- */

static unsigned edits(const char *a, const char *b)
{
    unsigned row[65], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

    if (la > 64 || lb > 64)
        return 99;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = up + 1 < best ? up + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *ctl_nearest(const char *word, const char *const *known, size_t count)
{
    const char *best = NULL;
    unsigned least = 3;

    for (size_t i = 0; i < count; i++) {
        unsigned n = edits(word, known[i]);
        if (n < least && n < strlen(known[i])) {
            least = n;
            best = known[i];
        }
    }
    return best;
}

/* ---- help ---- */

static void help_options(unsigned bits, bool common)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[64];
        if (common ? options[i].bit != 0 : (options[i].bit & bits) == 0)
            continue;
        snprintf(left, sizeof(left), "%s%s%s", options[i].word, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        printf("  %-26s %s\n", left, options[i].help);
    }
}

static void help_one(const struct ctl_command *c)
{
    printf("gtmctl %s%s%s%s%s\n  %s\n", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
           c->args[0] ? " " : "", c->args, c->summary);
    if (c->help != NULL)
        printf("%s\n", c->help);
    help_options(c->options, false);
}

static void help_all(void)
{
    puts("gtmctl NOUN [VERB] [ARGUMENTS] [OPTIONS]: asks and orders the gtmd of this host.\n");
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s%s%s", c->noun, c->verb ? " " : "",
                 c->verb ? c->verb : "", c->args[0] ? " " : "", c->args);
        printf("  %-38s %s\n", left, c->summary);
    }
    puts("\nOptions of every command:");
    help_options(0, true);
    puts(
        "\nExit: 0 done, 1 failed, 2 usage, 3 gtmd unreachable, 4 not found, 5 blocked by a rule,\n"
        "6 conflict, 7 still running, 8 differences, 9 degraded, 10 not allowed.\n"
        "More: gtmctl help NOUN, gtmctl(1).");
}

void ctl_help(const char *noun, const char *verb)
{
    if (noun == NULL) {
        help_all();
        return;
    }
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (strcmp(c->noun, noun) == 0 &&
            (verb == NULL || c->verb == NULL || strcmp(c->verb, verb) == 0))
            help_one(c);
    }
}

/* ---- finding the command ---- */

static bool has_noun(const char *noun)
{
    for (size_t i = 0; i < ctl_commands_count; i++)
        if (strcmp(ctl_commands[i].noun, noun) == 0)
            return true;
    return false;
}

static void tell_unknown(const char *what, const char *word, const char *noun)
{
    const char *known[256];
    size_t n = 0;

    for (size_t i = 0; i < ctl_commands_count && n < 256; i++) {
        if (noun == NULL)
            known[n++] = ctl_commands[i].noun;
        else if (strcmp(ctl_commands[i].noun, noun) == 0 && ctl_commands[i].verb != NULL)
            known[n++] = ctl_commands[i].verb;
    }
    const char *near = ctl_nearest(word, known, n);
    ctl_error("unknown %s '%s'%s%s%s", what, word, near ? " (did you mean '" : "", near ? near : "",
              near ? "'?)" : "");
    if (near == NULL)
        fprintf(stderr, "  See: gtmctl help%s%s\n", noun ? " " : "", noun ? noun : "");
}

/* Words: noun, then verb when the noun has verbs, then arguments. */
static const struct ctl_command *find(struct ctl *ctl, const char *const *words, int count)
{
    const struct ctl_command *alone = NULL, *first = NULL;

    if (!has_noun(words[0])) {
        tell_unknown("command", words[0], NULL);
        return NULL;
    }
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (strcmp(c->noun, words[0]) != 0)
            continue;
        first = first != NULL ? first : c;
        if (c->verb == NULL)
            alone = c;
        else if (count > 1 && strcmp(c->verb, words[1]) == 0) {
            ctl->argc = count - 2;
            memcpy(ctl->argv, words + 2, (size_t)ctl->argc * sizeof(words[0]));
            return c;
        }
    }
    if (alone == NULL && count > 1) {
        tell_unknown("verb", words[1], words[0]);
        return NULL;
    }
    if (alone == NULL) {
        ctl_error("'%s' needs a verb, for example: gtmctl %s %s", words[0], words[0], first->verb);
        return NULL;
    }
    ctl->argc = count - 1;
    memcpy(ctl->argv, words + 1, (size_t)ctl->argc * sizeof(words[0]));
    return alone;
}

/* ---- options ---- */

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

static const char *long_form(const char *word, bool files)
{
    if (strcmp(word, "-o") == 0)
        return "--output";
    if (strcmp(word, "-v") == 0)
        return "--verbose";
    if (strcmp(word, "-y") == 0)
        return "--yes";
    if (strcmp(word, "-w") == 0)
        return "--watch";
    if (strcmp(word, "-f") == 0)
        return files ? "--file" : "--follow";
    return word;
}

static bool set_output(struct ctl *ctl, const char *v)
{
    static const char *const words[] = {"table", "wide", "json", "yaml"};

    for (int i = 0; i < 4; i++)
        if (strcmp(v, words[i]) == 0) {
            ctl->output = (enum ctl_output)i;
            return true;
        }
    ctl_error("'%s' is no form of output; there are table, wide, json and yaml", v);
    return false;
}

static bool set_number(const char *word, const char *v, double low, double high, double *ret)
{
    char *end;

    *ret = strtod(v, &end);
    if (end != v && *end == 0 && *ret >= low && *ret <= high)
        return true;
    ctl_error("%s takes a number of seconds from %g to %g, not '%s'", word, low, high, v);
    return false;
}

static bool set_switch(struct ctl *ctl, const char *word)
{
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {{"--no-headers", &ctl->no_headers}, {"--verbose", &ctl->verbose},
                 {"--follow", &ctl->follow},         {"--exit-code", &ctl->exit_code},
                 {"--dry-run", &ctl->dry_run},       {"--yes", &ctl->yes}};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(word, flags[i].word) == 0)
            *flags[i].flag = true;
    if (strcmp(word, "--no-color") == 0)
        ctl->colour = false;
    return true;
}

static bool set_value(struct ctl *ctl, const char *word, const char *v)
{
    const struct {
        const char *word;
        const char **value;
    } texts[] = {{"--socket", &ctl->socket}, {"--reason", &ctl->reason}, {"--for", &ctl->duration},
                 {"--client", &ctl->client}, {"--file", &ctl->file},     {"--origin", &ctl->origin},
                 {"--pool", &ctl->pool},     {"--name", &ctl->name},     {"--limit", &ctl->limit}};
    double n;

    if (strcmp(word, "--output") == 0)
        return set_output(ctl, v);
    if (strcmp(word, "--timeout") == 0)
        return set_number(word, v, 0.001, 86400, &ctl->timeout_s);
    if (strcmp(word, "--watch") == 0) {
        if (!set_number(word, v, 1, 86400, &n))
            return false;
        ctl->watch_s = (unsigned)n;
        return true;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(word, texts[i].word) == 0)
            *texts[i].value = v;
    return true;
}

struct scan {
    const char *words[CTL_ARGS_MAX + 2];
    int count;
    unsigned bits;
    bool help;
};

/* One option at argv[*at]. False after having told why not. */
static bool take_option(struct ctl *ctl, struct scan *s, int argc, char **argv, int *at)
{
    char word[64];
    const char *given =
        long_form(argv[*at], s->count > 0 && (strcmp(s->words[0], "validate") == 0 ||
                                              strcmp(s->words[0], "config") == 0));
    const char *equals = strchr(given, '=');
    const struct option *o = NULL;

    snprintf(word, sizeof(word), "%.*s", equals ? (int)(equals - given) : (int)strlen(given),
             given);
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(options[i].word, word) == 0)
            o = &options[i];
    if (o == NULL) {
        const char *known[OPTIONS];
        for (size_t i = 0; i < OPTIONS; i++)
            known[i] = options[i].word;
        const char *near = ctl_nearest(word, known, OPTIONS);
        ctl_error("unknown option '%s'%s%s%s", word, near ? " (did you mean '" : "",
                  near ? near : "", near ? "'?)" : "");
        return false;
    }
    s->bits |= o->bit;
    if (o->value == NULL && equals != NULL) {
        ctl_error("%s takes no value", word);
        return false;
    }
    if (o->value == NULL)
        return set_switch(ctl, word);
    if (equals != NULL)
        return set_value(ctl, word, equals + 1);
    if (strcmp(word, "--watch") == 0 &&
        (*at + 1 >= argc || argv[*at + 1][0] < '0' || argv[*at + 1][0] > '9'))
        return set_value(ctl, word, "2");
    if (*at + 1 >= argc) {
        ctl_error("%s needs a value (%s)", word, o->value);
        return false;
    }
    return set_value(ctl, word, argv[++*at]);
}

static bool scan(struct ctl *ctl, struct scan *s, int argc, char **argv)
{
    bool only_words = false;

    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && is_help(argv[i])) {
            s->help = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != 0) {
            if (!take_option(ctl, s, argc, argv, &i))
                return false;
        } else if (s->count == CTL_ARGS_MAX + 2) {
            ctl_error("too many arguments");
            return false;
        } else {
            s->words[s->count++] = argv[i];
        }
    }
    return true;
}

static void set_defaults(struct ctl *ctl)
{
    const char *socket = getenv("GTM_SOCKET"), *no_colour = getenv("NO_COLOR");

    *ctl = (struct ctl){.socket = socket != NULL && socket[0] ? socket : "/run/gtm/gtmd.sock",
                        .colour = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == 0),
                        .timeout_s = 30};
}

const struct ctl_command *ctl_parse(struct ctl *ctl, int argc, char **argv, int *ret_exit)
{
    struct scan s = {0};

    *ret_exit = CTL_USAGE;
    set_defaults(ctl);
    if (!scan(ctl, &s, argc, argv))
        return NULL;
    if (s.help || s.count == 0) {
        bool known = s.count == 0 || has_noun(s.words[0]);
        ctl_help(known && s.count > 0 ? s.words[0] : NULL, s.count > 1 ? s.words[1] : NULL);
        *ret_exit = s.help && known ? CTL_OK : CTL_USAGE;
        return NULL;
    }
    const struct ctl_command *c = find(ctl, s.words, s.count);
    if (c == NULL)
        return NULL;
    if (ctl->argc < c->min_args || ctl->argc > c->max_args) {
        ctl_error("usage: gtmctl %s%s%s %s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
                  c->args);
        return NULL;
    }
    for (size_t i = 0; i < OPTIONS; i++)
        if ((s.bits & options[i].bit & ~c->options) != 0) {
            ctl_error("'gtmctl %s%s%s' does not take %s", c->noun, c->verb ? " " : "",
                      c->verb ? c->verb : "", options[i].word);
            return NULL;
        }
    return c;
}
