/* SPDX-License-Identifier: Apache-2.0
 *
 * What every command of gtmctl shares: the options given, the command table, and how answers are
 * asked for and shown. One thread. Standard output carries data only; everything else goes to
 * standard error.
 */
#ifndef GTM_CTL_CTL_H
#define GTM_CTL_CTL_H

#include "gtm/base/err.h"
#include "gtm/base/json.h"

#include <stdbool.h>
#include <stddef.h>

/* DESIGN: exit codes that scripts may rely on. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_NOT_FOUND = 4,
    CTL_BLOCKED = 5,
    CTL_CONFLICT = 6,
    CTL_RUNNING = 7,
    CTL_DIFFERENCES = 8,
    CTL_DEGRADED = 9,
    CTL_DENIED = 10
};

enum ctl_output { CTL_TABLE = 0, CTL_WIDE, CTL_JSON, CTL_YAML };

#define CTL_ARGS_MAX 8

struct ctl {
    const char *socket;
    enum ctl_output output;
    bool no_headers, colour, yes, dry_run, verbose, exit_code, follow;
    const char *reason, *client, *duration, *file, *origin, *pool, *name, *limit;
    double timeout_s;
    unsigned watch_s; /* 0 = once */
    int argc;         /* positional arguments behind noun and verb */
    const char *argv[CTL_ARGS_MAX];
};

/* Bits of the options that only some commands take. */
enum ctl_option {
    CTL_OPT_DRY_RUN = 1,
    CTL_OPT_YES = 2,
    CTL_OPT_REASON = 4,
    CTL_OPT_CLIENT = 8,
    CTL_OPT_FOR = 16,
    CTL_OPT_FILE = 32,
    CTL_OPT_ORIGIN = 64,
    CTL_OPT_POOL = 128,
    CTL_OPT_NAME = 256,
    CTL_OPT_LIMIT = 512,
    CTL_OPT_WATCH = 1024,
    CTL_OPT_FOLLOW = 2048,
    CTL_OPT_EXIT_CODE = 4096
};

struct ctl_command {
    const char *noun, *verb; /* verb NULL: the noun alone */
    const char *args;        /* "POOL/ENDPOINT" or "" */
    int min_args, max_args;
    unsigned options;
    const char *summary;
    const char *help; /* more lines, or NULL */
    int (*run)(struct ctl *ctl);
};
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_commands_count;

/* ---- asking (client.c) ---- */

/* One request. On success *ret_json (if not NULL) is the reply's root, owned by the caller. On
 * failure the reason has been printed and the exit code is returned. body may be NULL; type is its
 * media type. */
int ctl_request(const struct ctl *ctl, const char *method, const char *path, const char *body,
                const char *type, struct gtm_json **ret_json) GTM_MUST_CHECK;
/* GET of text (metrics) to standard output. */
int ctl_get_text(const struct ctl *ctl, const char *path) GTM_MUST_CHECK;
/* A new path: format with every %s percent-encoded (RFC 3986); free with gtm_free. NULL when out of
 * memory. */
char *ctl_path(const char *format, ...);
/* ---- telling (say.c) ---- */

/* "gtmctl: …" on standard error. */
void ctl_error(const char *fmt, ...) GTM_PRINTF(1, 2);
/* With -v only. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) GTM_PRINTF(2, 3);
/* Asks on the terminal; true with --yes. When there is no terminal: says that --yes is needed and
 * is false. */
bool ctl_confirm(const struct ctl *ctl, const char *question);
/* "3m 12s" since an RFC 3339 time; "-" when there is none. out has room for 32. */
const char *ctl_age(const char *rfc3339, char out[32]);
/* Colour codes for a health or severity word, "" when colours are off. */
const char *ctl_colour(const struct ctl *ctl, const char *word);
const char *ctl_colour_end(const struct ctl *ctl);

/* ---- showing (table.c, yaml.c) ---- */

/* A column: heading, and where its text comes from. Wide columns show with -o wide only. */
struct ctl_column {
    const char *heading;
    const char *key; /* a key, or an RFC 6901 pointer when it begins with '/' */
    enum {
        CTL_COL_TEXT = 0,
        CTL_COL_AGE,
        CTL_COL_HEALTH,
        CTL_COL_MS,
        CTL_COL_BYTES,
        CTL_COL_LIST,
        CTL_COL_YESNO
    } kind;
    bool wide, right;
};
/* Prints an envelope as the options say: table of items (or of the one item), or JSON, or YAML. */
int ctl_show(const struct ctl *ctl, const struct gtm_json *root, const struct ctl_column *columns,
             size_t columns_count);
/* JSON and YAML are printed and true is returned; for tables false: the caller shows it its own
 * way. */
bool ctl_show_machine(const struct ctl *ctl, const struct gtm_json *root);
/* Key and value lines of one object, nested ones indented. */
void ctl_show_object(const struct ctl *ctl, const struct gtm_json *object);
/* Appends value as YAML (block style, strings quoted where YAML would misread them). */
void ctl_yaml(struct gtm_buf *out, const struct gtm_json *value, unsigned indent);
/* Columns of a terminal that UTF-8 text takes (one for each code point). */
size_t ctl_width(const char *text);

/* GET path, show as a table; the commonest command. Takes path (gtm_free). */
int ctl_get_and_show(struct ctl *ctl, char *path, const struct ctl_column *columns,
                     size_t columns_count);

/* ---- command line (options.c) ---- */

/* Parses argv; returns the command to run, or NULL after having told why (or printed help), with
 * the exit code in *ret_exit. */
const struct ctl_command *ctl_parse(struct ctl *ctl, int argc, char **argv, int *ret_exit);
/* The nearest known word within two edits, or NULL. */
const char *ctl_nearest(const char *word, const char *const *known, size_t count);
/* The help of one command, of a noun's (verb NULL), or of all (noun NULL), to standard output. */
void ctl_help(const char *noun, const char *verb);
/* Options as the help and the completion list them: "--reason" …; NULL past the end. */
const char *ctl_option_word(size_t i, unsigned *ret_bit);

/* ---- commands, one file per noun ---- */
int ctl_status(struct ctl *ctl);
int ctl_problems(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_explain(struct ctl *ctl);
int ctl_validate(struct ctl *ctl);
int ctl_health_list(struct ctl *ctl);
int ctl_health_show(struct ctl *ctl);
int ctl_health_check(struct ctl *ctl);
int ctl_endpoint_list(struct ctl *ctl);
int ctl_endpoint_show(struct ctl *ctl);
int ctl_endpoint_up(struct ctl *ctl);
int ctl_endpoint_down(struct ctl *ctl);
int ctl_endpoint_drain(struct ctl *ctl);
int ctl_endpoint_auto(struct ctl *ctl);
int ctl_pool_list(struct ctl *ctl);
int ctl_pool_show(struct ctl *ctl);
int ctl_pool_up(struct ctl *ctl);
int ctl_pool_down(struct ctl *ctl);
int ctl_pool_drain(struct ctl *ctl);
int ctl_pool_auto(struct ctl *ctl);
int ctl_zone_list(struct ctl *ctl);
int ctl_zone_show(struct ctl *ctl);
int ctl_zone_records(struct ctl *ctl);
int ctl_zone_check(struct ctl *ctl);
int ctl_geo_status(struct ctl *ctl);
int ctl_geo_lookup(struct ctl *ctl);
int ctl_policy_list(struct ctl *ctl);
int ctl_policy_show(struct ctl *ctl);
int ctl_region_list(struct ctl *ctl);
int ctl_region_show(struct ctl *ctl);
int ctl_config_show(struct ctl *ctl);
int ctl_config_schema(struct ctl *ctl);
int ctl_config_check(struct ctl *ctl);
int ctl_node_show(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_reload(struct ctl *ctl);
int ctl_metrics(struct ctl *ctl);
int ctl_help_command(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);

#endif
