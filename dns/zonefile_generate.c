/* SPDX-License-Identifier: Apache-2.0
 *
 * $GENERATE: a row of records from a template, as BIND has it. Each line is written out and read as
 * any other. See zonefile_parse.h; one thread at a time.
 */
#include "dns/zonefile_parse.h"

#include "gtm/base/buf.h"

#include <stdio.h>
#include <string.h>

#define WIDTH_MAX 255

struct range {
    int64_t first, last, step;
};

/* first-last[/step] */
static bool parse_range(const struct dns__token *token, struct range *ret)
{
    const char *text = token->text, *end = text + token->len;
    const char *dash = memchr(text, '-', token->len);
    if (token->quoted || !dash)
        return false;
    const char *slash = memchr(dash, '/', (size_t)(end - dash));
    const char *last_end = slash ? slash : end;
    uint64_t first, last, step = 1;
    if (!dns__decimal(text, (size_t)(dash - text), INT32_MAX, &first) ||
        !dns__decimal(dash + 1, (size_t)(last_end - dash - 1), INT32_MAX, &last) ||
        (slash && !dns__decimal(slash + 1, (size_t)(end - slash - 1), INT32_MAX, &step)))
        return false;
    *ret = (struct range){(int64_t)first, (int64_t)last, (int64_t)step};
    return step > 0 && first <= last;
}

/* ${offset[,width[,base]]}; text points behind the brace. Returns the characters used with the
 * closing brace, 0 = malformed. */
static size_t parse_modifier(const char *text, size_t len, int64_t *ret_offset, unsigned *ret_width,
                             char *ret_base)
{
    const char *close = memchr(text, '}', len);
    if (!close)
        return 0;
    const char *p = text, *comma = memchr(p, ',', (size_t)(close - p));
    const char *part_end = comma ? comma : close;
    bool negative = *p == '-';
    uint64_t number;
    p += negative || *p == '+';
    if (!dns__decimal(p, (size_t)(part_end - p), INT32_MAX, &number))
        return 0;
    *ret_offset = negative ? -(int64_t)number : (int64_t)number;
    if (comma) {
        p = comma + 1;
        comma = memchr(p, ',', (size_t)(close - p));
        part_end = comma ? comma : close;
        if (!dns__decimal(p, (size_t)(part_end - p), WIDTH_MAX, &number))
            return 0;
        *ret_width = (unsigned)number;
    }
    if (comma) {
        *ret_base = comma[1];
        if (close - comma != 2 || !strchr("doxXnN", *ret_base))
            return 0;
    }
    return (size_t)(close - text) + 1;
}

static void add_number(struct gtm_buf *buf, uint64_t value, unsigned width, char base)
{
    unsigned long long v = value;
    int w = (int)width;
    if (base == 'd')
        gtm_buf_addf(buf, "%0*llu", w, v);
    else if (base == 'o')
        gtm_buf_addf(buf, "%0*llo", w, v);
    else if (base == 'x')
        gtm_buf_addf(buf, "%0*llx", w, v);
    else if (base == 'X')
        gtm_buf_addf(buf, "%0*llX", w, v);
    else { /* nibbles, the lowest first, for ip6.arpa; the width counts the dots too */
        const char *digits = base == 'n' ? "0123456789abcdef" : "0123456789ABCDEF";
        do {
            gtm_buf_addc(buf, digits[v & 15]);
            v >>= 4;
            w--;
            if (w > 0 || v != 0) {
                gtm_buf_addc(buf, '.');
                w--;
            }
        } while (w > 0 || v != 0);
    }
}

/* Appends the token's text with every $ replaced. NULL, or what is wrong. */
static const char *substitute(struct gtm_buf *buf, const char *text, size_t len, int64_t value)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\' && i + 1 < len) { /* \$ is an escape like any other */
            gtm_buf_add(buf, text + i, 2);
            i++;
            continue;
        }
        if (text[i] != '$') {
            gtm_buf_addc(buf, text[i]);
            continue;
        }
        if (i + 1 < len && text[i + 1] == '$') {
            gtm_buf_addc(buf, '$');
            i++;
            continue;
        }
        int64_t offset = 0;
        unsigned width = 0;
        char base = 'd';
        if (i + 1 < len && text[i + 1] == '{') {
            size_t used = parse_modifier(text + i + 2, len - i - 2, &offset, &width, &base);
            if (used == 0)
                return "expected ${OFFSET[,WIDTH[,d|o|x|X|n|N]]}";
            i += 1 + used;
        }
        if (value + offset < 0)
            return "offset makes the number negative";
        add_number(buf, (uint64_t)(value + offset), width, base);
    }
    return NULL;
}

/* A quoted string that is the whole rdata is the rdata's text (BIND 9 ARM: MX "0 ."): takes the
 * marks off, and the backslash of quotation marks inside. */
static void unquote(struct gtm_buf *buf, const struct dns__token *token)
{
    for (uint32_t i = 0; i < token->len; i++) {
        if (token->text[i] == '\\' && i + 1 < token->len) {
            if (token->text[i + 1] != '"')
                gtm_buf_addc(buf, '\\');
            i++;
        }
        gtm_buf_addc(buf, token->text[i]);
    }
}

/* The template: the line without directive and range, where substitution is still to be done. */
static void make_template(struct gtm_buf *buf, const struct dns__token *tokens, size_t count)
{
    uint16_t type;
    for (size_t i = 0; i < count; i++) {
        const struct dns__token *token = &tokens[i], *before = i > 0 ? token - 1 : NULL;
        if (i > 0)
            gtm_buf_addc(buf, ' ');
        if (token->quoted && i + 1 == count && before && !before->quoted &&
            dns__type_parse(before->text, before->len, &type)) {
            unquote(buf, token);
            continue;
        }
        if (token->quoted)
            gtm_buf_addc(buf, '"');
        gtm_buf_add(buf, token->text, token->len);
        if (token->quoted)
            gtm_buf_addc(buf, '"');
    }
}

/* Reads one generated line as a record, its findings apart. */
static void read_line(struct dns__parse *parse, struct dns__lex *lex, const struct gtm_buf *line,
                      struct gtm_diags *findings)
{
    struct gtm_diags *diags = parse->diags;
    dns__lex_init(lex, line->data, line->len, parse->source->file, findings);
    parse->diags = findings;
    int rc = dns__lex_entry(lex);
    if (rc < 0)
        parse->stop = rc;
    else if (rc > 0)
        dns__parse_record(parse, lex->tokens, lex->count, false);
    parse->diags = diags;
}

/* All records of one directive, up to the first that is wrong: the next ones would be, too. */
static void generate(struct dns__parse *parse, const struct dns__token *tokens,
                     const struct range *range, const struct gtm_buf *model)
{
    struct gtm_buf line = {0};
    struct gtm_diags findings = {0};
    struct dns__lex lex = {0};
    for (int64_t v = range->first; v <= range->last && parse->stop == 0; v += range->step) {
        gtm_buf_clear(&line);
        const char *wrong = substitute(&line, model->data, model->len, v);
        if (wrong) {
            dns__parse_error(parse, &tokens[0], "%s", wrong);
            break;
        }
        if (line.failed || line.len == 0) {
            parse->stop = GTM_ENOMEM;
            break;
        }
        parse->generated_bytes += line.len;
        if (parse->generated_bytes > DNS__GENERATE_BYTES_MAX) {
            dns__parse_error(parse, &tokens[0], "more than %u bytes of text are generated in all",
                             DNS__GENERATE_BYTES_MAX);
            break;
        }
        read_line(parse, &lex, &line, &findings);
        if (findings.errors > 0) {
            dns__parse_error(parse, &tokens[0], "for %lld this gives \"%.80s\": %s", (long long)v,
                             line.data, findings.count ? findings.items[0].text : "?");
            break;
        }
        if (++parse->generated >= DNS__GENERATE_TOTAL_MAX) {
            dns__parse_error(parse, &tokens[0], "more than %u records are generated in all",
                             DNS__GENERATE_TOTAL_MAX);
            break;
        }
    }
    gtm_buf_fini(&line);
    gtm_diags_fini(&findings);
    dns__lex_fini(&lex);
}

void dns__parse_generate(struct dns__parse *parse, const struct dns__token *tokens, size_t count)
{
    struct range range;
    struct gtm_buf model = {0};
    char show[DNS__SHOW_BYTES];
    if (count < 2) {
        dns__parse_missing(parse, &tokens[0], "a range like 1-10 or 1-10/2");
        return;
    }
    if (!parse_range(&tokens[1], &range)) {
        dns__parse_error(parse, &tokens[1], "expected a range like 1-10 or 1-10/2, not \"%s\"",
                         dns__token_show(&tokens[1], show));
        return;
    }
    if ((range.last - range.first) / range.step >= DNS__GENERATE_MAX) {
        dns__parse_error(parse, &tokens[1], "range has more than %d steps", DNS__GENERATE_MAX);
        return;
    }
    if (count < 5) {
        dns__parse_missing(parse, &tokens[count - 1], "an owner, a type and rdata");
        return;
    }
    make_template(&model, tokens + 2, count - 2);
    parse->generated_at = &tokens[0];
    if (model.failed)
        parse->stop = GTM_ENOMEM;
    else
        generate(parse, tokens, &range, &model);
    parse->generated_at = NULL;
    gtm_buf_fini(&model);
}
