/* SPDX-License-Identifier: Apache-2.0
 *
 * Options. See options.h. An option's row says where its value goes, so that a new one is a row.
 */
#include "gtm/ctl/options.h"

#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/where.h"
#include "gtm/model/contexts.h"
#include "gtm/model/schema_forms.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_MS 1000u
#define DAY_MS    (24u * 3600u * SECOND_MS)
#define WORDS_MAX (CTL_ARGS_MAX + 2)

enum kind { SWITCH, TEXT, TIME, OPTIONAL_TIME, COUNT, FORM, HELP };

struct option {
    struct ctl_option_row row;
    enum kind kind;
    size_t at;          /* offset in struct ctl */
    uint64_t low, high; /* of TIME in ms, of COUNT */
};

#define AT(member) offsetof(struct ctl, member)
static const struct option options[] = {
    {{"--output", "FORM", "table, wide, json or yaml", 'o', CTL_OPT_OUTPUT}, FORM, 0, 0, 0},
    {{"--no-headers", NULL, "tables without their first line", 0, CTL_OPT_OUTPUT},
     SWITCH,
     AT(no_headers),
     0,
     0},
    {{"--socket", "PATH", "gtmd's socket (default: GTM_SOCKET, or " CTL_DEFAULT_SOCKET ")", 0, 0},
     TEXT,
     AT(socket),
     0,
     0},
    {{"--config", "FILE", "a node file: its socket", 0, 0}, TEXT, AT(config), 0, 0},
    {{"--server", "HOST:PORT", "a node over mutual TLS, with --ca, --cert and --key", 0, 0},
     TEXT,
     AT(server),
     0,
     0},
    {{"--ca", "FILE", "the certificates that the node's must chain to", 0, 0}, TEXT, AT(ca), 0, 0},
    {{"--cert", "FILE", "your certificate (gtm:user/ROLE/NAME)", 0, 0}, TEXT, AT(cert), 0, 0},
    {{"--key", "FILE", "its key", 0, 0}, TEXT, AT(key), 0, 0},
    {{"--node", "NAME", "the name that the node must have", 0, 0}, TEXT, AT(node), 0, 0},
    {{"--context", "NAME", "a node of ~/.config/gtm/gtmctl.yaml", 0, 0}, TEXT, AT(context), 0, 0},
    {{"--timeout", "TIME", "how long to wait for gtmd (default 30 seconds)", 0, 0},
     TIME,
     AT(timeout_ms),
     1,
     DAY_MS},
    {{"--no-color", NULL, "no colours (also NO_COLOR)", 0, 0}, SWITCH, AT(no_colour), 0, 0},
    {{"--verbose", NULL, "say what is asked of gtmd", 'v', 0}, SWITCH, AT(verbose), 0, 0},
    {{"--help", NULL, "this text", 'h', 0}, HELP, 0, 0, 0},
    {{"--watch", "[=TIME]", "again and again (default every 2 seconds)", 'w', CTL_OPT_WATCH},
     OPTIONAL_TIME,
     AT(watch_ms),
     100,
     DAY_MS},
    {{"--follow", NULL, "wait for more", 'f', CTL_OPT_FOLLOW}, SWITCH, AT(follow), 0, 0},
    {{"--exit-code", NULL, "exit 9 when something is wrong", 0, CTL_OPT_EXIT_CODE},
     SWITCH,
     AT(exit_code),
     0,
     0},
    {{"--dry-run", NULL, "say what would happen, change nothing", 0, CTL_OPT_DRY_RUN},
     SWITCH,
     AT(dry_run),
     0,
     0},
    {{"--yes", NULL, "do not ask", 'y', CTL_OPT_YES}, SWITCH, AT(yes), 0, 0},
    {{"--reason", "TEXT", "why; kept with the order", 0, CTL_OPT_REASON}, TEXT, AT(reason), 0, 0},
    {{"--for", "TIME", "the order ends after TIME (30m, 2h, 1d)", 0, CTL_OPT_FOR},
     TIME,
     AT(for_ms),
     SECOND_MS,
     366ull * DAY_MS},
    {{"--over", "TIME", "drain in steps that take TIME together (30s, 10m)", 0, CTL_OPT_OVER},
     TIME,
     AT(over_ms),
     SECOND_MS,
     DAY_MS},
    {{"--override-rule", "NAME[,NAME]", "safety rules that may be broken; needs --reason", 0,
      CTL_OPT_RULE},
     TEXT,
     AT(rules),
     0,
     0},
    {{"--steps", "PERCENTS", "users gone after each step (default 10,50,100)", 0, CTL_OPT_STEPS},
     TEXT,
     AT(steps),
     0,
     0},
    {{"--from", "REGION", "the region that users leave", 0, CTL_OPT_STEPS}, TEXT, AT(from), 0, 0},
    {{"--batch", "N", "so many at a time (default 1)", 0, CTL_OPT_BATCH}, COUNT, AT(batch), 1, 8},
    {{"--pause", "TIME", "between two steps (default 30s)", 0, CTL_OPT_STEPS},
     TIME,
     AT(pause_ms),
     SECOND_MS,
     DAY_MS},
    {{"--wait", NULL, "wait for the results", 0, CTL_OPT_WAIT}, SWITCH, AT(wait), 0, 0},
    {{"--up", NULL, "it is well (the default)", 0, CTL_OPT_BEAT}, SWITCH, AT(up), 0, 0},
    {{"--down", NULL, "it is not well", 0, CTL_OPT_BEAT}, SWITCH, AT(down), 0, 0},
    {{"--text", "TEXT", "what it says; shown as evidence", 0, CTL_OPT_BEAT}, TEXT, AT(text), 0, 0},
    {{"--load", "NUMBER", "how full it is; 1 is full", 0, CTL_OPT_BEAT}, TEXT, AT(load), 0, 0},
    {{"--connections", "NUMBER", "its connections now", 0, CTL_OPT_BEAT},
     TEXT,
     AT(connections),
     0,
     0},
    {{"--clear", NULL, "forget what was pushed", 0, CTL_OPT_CLEAR}, SWITCH, AT(clear), 0, 0},
    {{"--client", "ADDRESS[/LENGTH]", "whose question it is", 0, CTL_OPT_CLIENT},
     TEXT,
     AT(client_address),
     0,
     0},
    {{"--file", "FILE", "the file (- is standard input)", 'f', CTL_OPT_FILE}, TEXT, AT(file), 0, 0},
    {{"--origin", "NAME", "the zone's name", 0, CTL_OPT_ORIGIN}, TEXT, AT(origin), 0, 0},
    {{"--pool", "POOL", "only this pool", 0, CTL_OPT_POOL}, TEXT, AT(pool), 0, 0},
    {{"--name", "NAME", "only this owner name", 0, CTL_OPT_NAME}, TEXT, AT(name), 0, 0},
    {{"--allow-mass-delete", NULL, "also when very much is removed", 0, CTL_OPT_MASS},
     SWITCH,
     AT(allow_mass_delete),
     0,
     0},
    {{"--to", "REV", "the revision to go back to", 0, CTL_OPT_TO}, COUNT, AT(to), 1, 9999999999},
    {{"--rev", "REV", "this revision instead of the present one", 0, CTL_OPT_REV},
     COUNT,
     AT(rev),
     1,
     9999999999},
    {{"--dir", "DIR", "write all files into this folder", 'd', CTL_OPT_DIR}, TEXT, AT(dir), 0, 0},
    {{"--limit", "N", "at most so many", 0, CTL_OPT_LIMIT}, COUNT, AT(limit), 1, 10000000},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

const struct ctl_option_row *ctl_option_at(size_t i)
{
    return i < OPTIONS ? &options[i].row : NULL;
}

/* ---- values ---- */

bool ctl_time_parse(const char *text, uint64_t low_ms, uint64_t high_ms, uint64_t *ret_ms)
{
    size_t n = strspn(text, "0123456789.");
    uint64_t ms = 0;

    if (text[0] >= '0' && text[0] <= '9' && text[n] == 0) {
        char *end;
        double s = strtod(text, &end);
        if (*end != 0 || s * SECOND_MS > (double)high_ms)
            return false;
        ms = (uint64_t)(s * SECOND_MS + 0.5);
    } else if (gtm_duration_parse(text, &ms) != 0) {
        return false;
    }
    if (ms < low_ms || ms > high_ms)
        return false;
    *ret_ms = ms;
    return true;
}

static bool set_time(const struct option *o, const char *value, uint64_t *at)
{
    char low[32], high[32];

    if (ctl_time_parse(value, o->low, o->high, at))
        return true;
    ctl_error("%s takes a time from %s to %s like 30s, 5m or 2h, not '%s'", o->row.word,
              gtm_duration_format(o->low, low), gtm_duration_format(o->high, high), value);
    return false;
}

static bool set_count(const struct option *o, const char *value, uint64_t *at)
{
    char *end;
    size_t digits = strspn(value, "0123456789");

    *at = digits > 0 && digits < 19 ? strtoull(value, &end, 10) : 0;
    if (value[digits] == 0 && *at >= o->low && *at <= o->high)
        return true;
    ctl_error("%s takes a number from %llu to %llu, not '%s'", o->row.word,
              (unsigned long long)o->low, (unsigned long long)o->high, value);
    return false;
}

static bool set_form(struct ctl *ctl, const char *value)
{
    static const char *const words[] = {"table", "wide", "json", "yaml"};

    for (int i = 0; i < 4; i++)
        if (strcmp(value, words[i]) == 0) {
            ctl->output = (enum ctl_output)i;
            return true;
        }
    ctl_error("'%s' is no form of output; there are table, wide, json and yaml", value);
    return false;
}

/* ---- scanning ---- */

struct scan {
    int argc, at;
    char **argv;
    const char *words[WORDS_MAX];
    int count;
    unsigned bits;
    unsigned takes; /* what the noun's commands take, to tell -f from -f */
    bool help;
};

static bool set_value(struct ctl *ctl, struct scan *s, const struct option *o, const char *value)
{
    void *at = (char *)ctl + o->at;

    s->bits |= o->row.bit;
    switch (o->kind) {
    case SWITCH:
        *(bool *)at = true;
        return true;
    case TEXT:
        *(const char **)at = value;
        return true;
    case TIME:
    case OPTIONAL_TIME:
        return set_time(o, value, at);
    case COUNT:
        return set_count(o, value, at);
    case FORM:
        return set_form(ctl, value);
    case HELP:
        s->help = true;
        return true;
    }
    return false;
}

/* The value of o stands in the same word (given), in the next one, or (optional) nowhere. */
static bool take_value(struct ctl *ctl, struct scan *s, const struct option *o, const char *given)
{
    uint64_t ms;

    if (o->kind == SWITCH || o->kind == HELP) {
        if (given == NULL)
            return set_value(ctl, s, o, NULL);
        ctl_error("%s takes no value", o->row.word);
        return false;
    }
    const char *next = s->at + 1 < s->argc ? s->argv[s->at + 1] : NULL;
    if (given == NULL && o->kind == OPTIONAL_TIME &&
        (next == NULL || !ctl_time_parse(next, o->low, o->high, &ms)))
        given = "2s";
    if (given == NULL && next == NULL) {
        ctl_error("%s needs a value (%s)", o->row.word, o->row.value);
        return false;
    }
    if (given == NULL)
        s->at++;
    return set_value(ctl, s, o, given != NULL ? given : next);
}

static bool take_long(struct ctl *ctl, struct scan *s, const char *text)
{
    size_t n = strcspn(text, "=");
    const char *known[OPTIONS];

    for (size_t i = 0; i < OPTIONS; i++) {
        known[i] = options[i].row.word;
        if (strncmp(known[i], text, n) == 0 && known[i][n] == 0)
            return take_value(ctl, s, &options[i], text[n] == '=' ? text + n + 1 : NULL);
    }
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)(n < 63 ? n : 63), text);
    const char *near = ctl_nearest(word, known, OPTIONS);
    ctl_error("unknown option '%s'%s%s%s", word, near ? " (did you mean '" : "", near ? near : "",
              near ? "'?)" : "");
    return false;
}

/* "-v", "-o json", "-ojson", "-o=json"; -f is --file where a file is taken, else --follow. */
static bool take_short(struct ctl *ctl, struct scan *s, const char *text)
{
    const struct option *o = NULL;
    const char *rest = text[2] == '=' ? text + 3 : text + 2;

    for (size_t i = 0; i < OPTIONS; i++) {
        const struct ctl_option_row *row = &options[i].row;
        if (row->letter != 0 && row->letter == text[1] && (o == NULL || (row->bit & s->takes) != 0))
            o = &options[i];
    }
    if (o == NULL) {
        ctl_error("unknown option '%s'; see: gtmctl help", text);
        return false;
    }
    return take_value(ctl, s, o, text[2] != 0 ? rest : NULL);
}

static bool scan(struct ctl *ctl, struct scan *s)
{
    bool only_words = false;

    for (s->at = 1; s->at < s->argc; s->at++) {
        const char *text = s->argv[s->at];
        if (!only_words && strcmp(text, "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(text, "--", 2) == 0) {
            if (!take_long(ctl, s, text))
                return false;
        } else if (!only_words && text[0] == '-' && text[1] != 0) {
            if (!take_short(ctl, s, text))
                return false;
        } else if (s->count == WORDS_MAX) {
            ctl_error("too many arguments");
            return false;
        } else {
            s->words[s->count++] = text;
        }
    }
    return true;
}

/* What the commands of the first noun on the line take. */
static unsigned noun_takes(int argc, char **argv)
{
    unsigned bits = 0;
    int i = 1;

    while (i < argc && !ctl_has_noun(argv[i]))
        i++;
    for (size_t c = 0; i < argc && c < ctl_commands_count; c++)
        if (strcmp(ctl_commands[c].noun, argv[i]) == 0)
            bits |= ctl_commands[c].options;
    return bits;
}

/* ---- all together ---- */

static int check_taken(const struct ctl_command *c, const struct ctl *ctl, const struct scan *s)
{
    char text[CTL_COMMAND_TEXT_BYTES];

    if (ctl->argc < c->min_args || ctl->argc > c->max_args) {
        ctl_error("usage: gtmctl %s", ctl_command_text(c, text));
        return CTL_USAGE;
    }
    for (size_t i = 0; i < OPTIONS; i++)
        if ((s->bits & options[i].row.bit & ~c->options) != 0) {
            ctl_error("'gtmctl %s%s%s' does not take %s", c->noun, c->verb ? " " : "",
                      c->verb ? c->verb : "", options[i].row.word);
            return CTL_USAGE;
        }
    return CTL_OK;
}

static bool want_colour(const struct ctl *ctl)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    return !ctl->no_colour && isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == 0) &&
           term != NULL && strcmp(term, "dumb") != 0;
}

/* --help, or no word at all. */
static int give_help(const struct scan *s)
{
    if (s->count == 0 && !s->help) {
        ctl_help(stderr, NULL, NULL);
        return CTL_USAGE;
    }
    if (ctl_help(stdout, s->count > 0 ? s->words[0] : NULL, s->count > 1 ? s->words[1] : NULL))
        return CTL_OK;
    int used;
    if (ctl_find_command(s->words, s->count, &used) != NULL) /* a noun alone, with arguments */
        ctl_help(stdout, s->words[0], NULL);
    return used > 0 ? CTL_OK : CTL_USAGE;
}

const struct ctl_command *ctl_parse(struct ctl *ctl, int argc, char **argv, int *ret_exit)
{
    struct scan s = {.argc = argc, .argv = argv, .takes = noun_takes(argc, argv)};
    int used = 0;

    *ctl = (struct ctl){.timeout_ms = 30u * SECOND_MS};
    *ret_exit = CTL_USAGE;
    if (!scan(ctl, &s))
        return NULL;
    if (s.help || s.count == 0) {
        *ret_exit = give_help(&s);
        return NULL;
    }
    const struct ctl_command *c = ctl_find_command(s.words, s.count, &used);
    if (c == NULL)
        return NULL;
    ctl->command = c;
    ctl->argc = s.count - used;
    if (ctl->argc > CTL_ARGS_MAX) {
        ctl_error("too many arguments");
        return NULL;
    }
    memcpy(ctl->argv, s.words + used, (size_t)ctl->argc * sizeof(ctl->argv[0]));
    ctl->colour = want_colour(ctl);
    *ret_exit = check_taken(c, ctl, &s);
    if (*ret_exit == CTL_OK)
        *ret_exit = ctl_find_gtmd(ctl);
    return *ret_exit == CTL_OK ? c : NULL;
}

void ctl_fini(struct ctl *ctl)
{
    ctl_client_free(ctl->client);
    gtm_contexts_free(ctl->contexts);
    gtm_free(ctl->socket_own);
}
