/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of zone files. See zonefile_lex.h; one thread at a time.
 */
#include "dns/zonefile_lex.h"

#include "dns/zonefile.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum char_class {
    ORDINARY = 0,
    SPACE,
    NEWLINE,
    COMMENT,
    OPEN,
    CLOSE,
    QUOTE,
    ESCAPE,
    CONTROL,
    CONTINUATION /* of a UTF-8 sequence */
};

static const uint8_t classes[256] = {
    [0x00 ... 0x08] = CONTROL,
    ['\t'] = SPACE,
    ['\n'] = NEWLINE,
    [0x0b ... 0x1f] = CONTROL,
    [' '] = SPACE,
    [';'] = COMMENT,
    ['('] = OPEN,
    [')'] = CLOSE,
    ['"'] = QUOTE,
    ['\\'] = ESCAPE,
    [0x7f] = CONTROL,
    [0x80 ... 0xbf] = CONTINUATION,
};

static inline enum char_class class_of(char c)
{
    return (enum char_class)classes[(uint8_t)c];
}

void dns__lex_init(struct dns__lex *lex, const char *text, size_t len, const char *file,
                   struct gtm_diags *diags)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    lex->p = lex->line_start = text;
    lex->end = text + len;
    lex->line = 1;
    lex->file = file;
    lex->diags = diags;
    lex->count = 0;
    lex->depth = 0;
    lex->blank = lex->bad = false;
}

void dns__lex_fini(struct dns__lex *lex)
{
    gtm_free(lex->tokens);
    *lex = (struct dns__lex){0};
}

/* Is there a CRLF, whose CR counts as white space, at p? */
static bool crlf(const struct dns__lex *lex, const char *p)
{
    return *p == '\r' && p + 1 < lex->end && p[1] == '\n';
}

static void skip_line(struct dns__lex *lex)
{
    const char *newline = memchr(lex->p, '\n', (size_t)(lex->end - lex->p));
    lex->p = newline ? newline : lex->end;
}

/* The same for a line that cannot be understood, still counting its parentheses: most probably the
 * entry ends where its author thought, and what follows is checked too. */
static void skip_bad_line(struct dns__lex *lex)
{
    const char *p = lex->p;
    skip_line(lex);
    for (; p < lex->p && *p != ';'; p++) {
        if (*p == '(')
            lex->depth++;
        else if (*p == ')' && lex->depth > 0)
            lex->depth--;
    }
}

static uint32_t column(const struct dns__lex *lex, const char *p)
{
    return (uint32_t)(p - lex->line_start) + 1;
}

/* Reports, and drops the rest of the physical line; the entry goes on to its end without effect, so
 * that one mistake inside parentheses gives one message. */
static void fail(struct dns__lex *lex, uint32_t col, const char *text)
{
    if (!lex->bad)
        gtm_diags_add(lex->diags, GTM_SEV_ERROR, lex->file, lex->line, col, "%s", text);
    lex->bad = true;
    skip_bad_line(lex);
}

static int fail_control(struct dns__lex *lex)
{
    char text[80];
    unsigned c = (uint8_t)*lex->p;
    snprintf(text, sizeof(text), "control character %u is not allowed: write it as \\%03u", c, c);
    fail(lex, column(lex, lex->p), text);
    return -1;
}

/* Moves lex->p over one escaped character. */
static int skip_escape(struct dns__lex *lex)
{
    const char *next = lex->p + 1;
    if (next >= lex->end || *next == '\n' || crlf(lex, next)) {
        fail(lex, column(lex, lex->p), "backslash at the end of the line: expected \\X or \\DDD");
        return -1;
    }
    lex->p++;
    if (class_of(*lex->p) == CONTROL)
        return fail_control(lex);
    lex->p++;
    return 0;
}

/* Moves lex->p from behind the opening mark at column col to the closing one. */
static int skip_quoted(struct dns__lex *lex, uint32_t col)
{
    const char *start = lex->p;
    while (lex->p < lex->end) {
        switch (class_of(*lex->p)) {
        case QUOTE:
            return 0;
        case NEWLINE:
            lex->p = start; /* a parenthesis behind the mark was meant as one */
            fail(lex, col, "quoted string has no end on its line: expected '\"'");
            return -1;
        case ESCAPE:
            if (skip_escape(lex) != 0)
                return -1;
            break;
        case CONTROL:
            if (crlf(lex, lex->p)) {
                lex->p++;
                break;
            }
            return fail_control(lex);
        case CONTINUATION:
            lex->line_start++;
            lex->p++;
            break;
        default:
            lex->p++;
        }
    }
    fail(lex, col, "quoted string has no end: expected '\"'");
    return -1;
}

static int push(struct dns__lex *lex, const struct dns__token *token)
{
    if (token->len > DNS_ZONEFILE_TOKEN_MAX) {
        fail(lex, token->col, "token has more than 65535 characters");
        return GTM_OK;
    }
    if (lex->bad)
        return GTM_OK;
    if (lex->count >= DNS__LEX_TOKENS_MAX) {
        fail(lex, token->col, "entry has more than 66000 tokens");
        return GTM_OK;
    }
    if (lex->count == lex->cap) {
        void *tokens = lex->tokens;
        int rc = gtm_grow(&tokens, &lex->cap, lex->count + 1, sizeof(*token));
        lex->tokens = tokens;
        if (rc != GTM_OK)
            return rc;
    }
    lex->tokens[lex->count++] = *token;
    return GTM_OK;
}

static int lex_string(struct dns__lex *lex)
{
    struct dns__token token = {
        .text = lex->p + 1, .line = lex->line, .col = column(lex, lex->p), .quoted = true};
    lex->p++;
    if (skip_quoted(lex, token.col) != 0)
        return GTM_OK;
    size_t len = (size_t)(lex->p - token.text);
    token.len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    lex->p++;
    return push(lex, &token);
}

static int lex_word(struct dns__lex *lex)
{
    struct dns__token token = {.text = lex->p, .line = lex->line, .col = column(lex, lex->p)};
    for (bool more = true; more && lex->p < lex->end;) {
        switch (class_of(*lex->p)) {
        case ORDINARY:
            lex->p++;
            break;
        case ESCAPE:
            if (skip_escape(lex) != 0)
                return GTM_OK;
            break;
        case QUOTE:
            token.inner_quotes = true;
            lex->p++;
            if (skip_quoted(lex, column(lex, lex->p - 1)) != 0)
                return GTM_OK;
            lex->p++;
            break;
        case CONTINUATION:
            lex->line_start++;
            lex->p++;
            break;
        case CONTROL:
            if (!crlf(lex, lex->p)) {
                fail_control(lex);
                return GTM_OK;
            }
            more = false;
            break;
        default:
            more = false;
        }
    }
    size_t len = (size_t)(lex->p - token.text);
    token.len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    return push(lex, &token);
}

static void lex_paren(struct dns__lex *lex)
{
    if (*lex->p == '(') {
        if (lex->depth++ == 0) {
            lex->open_line = lex->line;
            lex->open_col = column(lex, lex->p);
        }
    } else if (lex->depth == 0) {
        fail(lex, column(lex, lex->p), "')' without '('");
        return;
    } else {
        lex->depth--;
    }
    lex->p++;
}

static void next_line(struct dns__lex *lex)
{
    lex->p++;
    lex->line++;
    lex->line_start = lex->p;
}

/* Reads to the end of one entry, which may turn out empty. */
static int entry_tokens(struct dns__lex *lex)
{
    int rc = GTM_OK;
    while (lex->p < lex->end && rc == GTM_OK) {
        switch (class_of(*lex->p)) {
        case SPACE:
            lex->p++;
            break;
        case NEWLINE:
            next_line(lex);
            if (lex->depth == 0)
                return GTM_OK;
            break;
        case COMMENT:
            skip_line(lex);
            break;
        case OPEN:
        case CLOSE:
            lex_paren(lex);
            break;
        case QUOTE:
            rc = lex_string(lex);
            break;
        case CONTROL:
            if (crlf(lex, lex->p))
                lex->p++;
            else
                fail_control(lex);
            break;
        default:
            rc = lex_word(lex);
        }
    }
    if (rc == GTM_OK && lex->depth > 0 && !lex->bad) {
        gtm_diags_add(lex->diags, GTM_SEV_ERROR, lex->file, lex->open_line, lex->open_col,
                      "'(' is never closed: expected ')'");
        lex->bad = true;
    }
    return rc;
}

int dns__lex_entry(struct dns__lex *lex)
{
    while (lex->p < lex->end) {
        lex->count = 0;
        lex->depth = 0;
        lex->bad = false;
        lex->blank = class_of(*lex->p) == SPACE;
        int rc = entry_tokens(lex);
        if (rc != GTM_OK)
            return rc;
        if (lex->count > 0 && !lex->bad)
            return 1;
    }
    return 0;
}

bool dns__token_is(const struct dns__token *token, const char *word)
{
    return !token->quoted && strlen(word) == token->len &&
           strncasecmp(token->text, word, token->len) == 0;
}

int dns__unescape(const char **p, const char *end)
{
    const char *s = *p;
    if (*s != '\\') {
        *p = s + 1;
        return (uint8_t)*s;
    }
    if (++s >= end)
        return -1;
    if (*s < '0' || *s > '9') {
        *p = s + 1;
        return (uint8_t)*s;
    }
    int value = 0;
    for (int i = 0; i < 3; i++, s++) {
        if (s >= end || *s < '0' || *s > '9')
            return -1;
        value = value * 10 + (*s - '0');
    }
    *p = s;
    return value <= 255 ? value : -1;
}

const char *dns__token_show(const struct dns__token *token, char out[DNS__SHOW_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < token->len && n < 40;) {
        size_t step = gtm_utf8_len(token->text + i, token->len - i);
        bool plain = step > 1 || (step == 1 && class_of(token->text[i]) != CONTROL);
        if (plain)
            memcpy(out + n, token->text + i, step);
        else
            out[n] = '?';
        n += plain ? step : 1;
        i += step ? step : 1;
    }
    if (n >= 40) {
        memcpy(out + n, "...", 3); /* n is at most 43 here */
        n += 3;
    }
    out[n] = '\0';
    return out;
}
