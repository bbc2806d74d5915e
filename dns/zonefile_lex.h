/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokens of zone files (RFC 1035 5.1): splits text into entries (logical lines: parentheses
 * join physical ones) of words and quoted strings, each with its line and column. Escapes stay as
 * written. It knows no directive and no record. Internal to dns/; one thread at a time.
 */
#ifndef DNS_ZONEFILE_LEX_H
#define DNS_ZONEFILE_LEX_H

#include "gtm/base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one entry; 65,535 octets of rdata as single hexadecimal octets fit. */
#define DNS__LEX_TOKENS_MAX 66000

struct dns__token {
    const char *text; /* into the source; of a quoted string: what is between the marks */
    uint32_t len;
    uint32_t line, col; /* col counts characters (UTF-8), from 1; of a string: its first mark */
    bool quoted;
    bool inner_quotes; /* a word with a quoted part (key="value", RFC 9460 A) */
};

/* Zero-initialise, dns__lex_init, then dns__lex_fini. */
struct dns__lex {
    const char *p, *end;
    const char *line_start; /* moved on for every UTF-8 continuation octet: col = p - line_start */
    uint32_t line;
    const char *file;        /* borrowed, for messages */
    struct gtm_diags *diags; /* borrowed */
    struct dns__token *tokens;
    size_t count, cap;
    bool blank;                   /* the entry started with white space: no owner was written */
    bool bad;                     /* the entry had an error, which was reported */
    unsigned depth;               /* open parentheses */
    uint32_t open_line, open_col; /* of the first open one */
};

/* text must outlive the lexer; a byte order mark is skipped. Keeps lex->tokens for reuse. */
void dns__lex_init(struct dns__lex *lex, const char *text, size_t len, const char *file,
                   struct gtm_diags *diags);
/* Reads the next entry that has tokens into lex->tokens[0..count): 1, or 0 at the end, or
 * GTM_ENOMEM. Entries with errors are reported and skipped whole. */
int dns__lex_entry(struct dns__lex *lex) GTM_MUST_CHECK;
void dns__lex_fini(struct dns__lex *lex);

/* Is the token the unquoted word (upper case given; ASCII case ignored)? */
bool dns__token_is(const struct dns__token *token, const char *word);

/* One character of a string at *p < end with its escape (\X, \DDD) undone; moves *p behind it.
 * Returns the octet, or -1 when the escape is bad. */
int dns__unescape(const char **p, const char *end);

/* How a token is shown in messages: cut after 40 characters, control characters as '?'. */
#define DNS__SHOW_BYTES 48
const char *dns__token_show(const struct dns__token *token, char out[DNS__SHOW_BYTES]);

#endif
