/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows answers of the API on standard output as the options want it: tables, JSON, YAML. One
 * thread. Text from outside is cleaned of what could steer a terminal in tables and prose; JSON and
 * YAML carry it escaped.
 */
#ifndef GTM_CTL_SHOW_H
#define GTM_CTL_SHOW_H

#include "gtm/base/buf.h"
#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"

/* ---- text (text.c) ---- */

/* Columns of a terminal that UTF-8 text takes: none for combining marks, two for wide letters. */
size_t ctl_width(const char *text);
/* Appends text with control, bidirectional and malformed characters as '?'. */
void ctl_clean(struct gtm_buf *out, const char *text);
/* Appends formatted text, cleaned but for line ends of the format and of its arguments. */
void ctl_addf(struct gtm_buf *out, const char *fmt, ...) GTM_PRINTF(2, 3);
/* "3m12s" from an RFC 3339 time until now_ms; "-" when there is none. Returns out. */
#define CTL_AGE_BYTES 32
const char *ctl_age(const char *rfc3339, int64_t now_ms, char out[CTL_AGE_BYTES]);
/* "3m12s" from now_ms until the time; "over" when it has passed, "-" when there is none. */
const char *ctl_left(const char *rfc3339, int64_t now_ms, char out[CTL_AGE_BYTES]);
/* "3m12s" */
const char *ctl_span(int64_t seconds, char out[CTL_AGE_BYTES]);
/* Colour codes for a health or severity word, "" when colours are off or it has none. */
const char *ctl_colour(const struct ctl *ctl, const char *word);
/* Appends the word in its colour. */
void ctl_add_word(const struct ctl *ctl, struct gtm_buf *out, const char *word);
/* Writes to standard output and empties the buffer. CTL_FAILED (said) when memory ran out. */
int ctl_put(struct gtm_buf *out);

/* ---- tables (table.c) ---- */

enum ctl_column_kind {
    CTL_COL_TEXT = 0,
    CTL_COL_AGE,     /* since an RFC 3339 time */
    CTL_COL_LEFT,    /* until an RFC 3339 time */
    CTL_COL_PERCENT, /* 0.5 → "50 %" */
    CTL_COL_WORD,    /* in its colour */
    CTL_COL_MS,      /* seconds → "1.5 ms" */
    CTL_COL_BYTES,   /* → "1.5 MB", "0.9 kB" */
    CTL_COL_OF,      /* "2/3" from KEY_serving and KEY_total */
    CTL_COL_SEEN     /* "5 of 5" from the lists seen_by, unseen_by and unheard, else who does not */
};
struct ctl_column {
    const char *heading;
    const char *key; /* a key, or an RFC 6901 pointer when it begins with '/' */
    enum ctl_column_kind kind;
    bool wide, right; /* only with -o wide; aligned to the right */
};
#define CTL_COLUMNS_MAX 32

/* Appends items (an array of objects) as an aligned table. */
void ctl_table(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *items,
               const struct ctl_column *columns, size_t columns_count);
/* Appends key and value lines of one object; lists of objects become tables, objects indent. */
void ctl_fields(const struct ctl *ctl, struct gtm_buf *out, const struct gtm_json *object);

/* -o json or yaml was asked for. */
static inline bool ctl_machine(const struct ctl *ctl)
{
    return ctl->output == CTL_JSON || ctl->output == CTL_YAML;
}
/* Prints a whole envelope as JSON or YAML. */
int ctl_show_machine(const struct ctl *ctl, const struct gtm_json *root);
/* Prints an envelope's items as a table, its item as fields, or the whole as JSON or YAML. */
int ctl_show(const struct ctl *ctl, const struct gtm_json *root, const struct ctl_column *columns,
             size_t columns_count);
/* Asks for path (taken) and shows it so; columns may be NULL for an item. */
int ctl_get_and_show(struct ctl *ctl, char *path, const struct ctl_column *columns,
                     size_t columns_count);

/* An envelope as the API makes them, for what gtmctl puts together: add "item" or "items". The
 * revision comes from `like`, or is left out. Returns a new root. */
struct gtm_json *ctl_envelope(const char *kind, const struct gtm_json *like);

/* ---- YAML (yaml.c) ---- */

/* Appends value as YAML in block style; what YAML would misread is quoted. */
void ctl_yaml(struct gtm_buf *out, const struct gtm_json *value, unsigned indent);

#endif
