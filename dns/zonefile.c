/* SPDX-License-Identifier: Apache-2.0
 *
 * Zone files record by record: directives, owner, TTL, class, type. See zonefile.h; blocking,
 * worker threads only.
 */
#include "dns/zonefile.h"

#include "dns/rr.h"
#include "dns/zonefile_lex.h"
#include "dns/zonefile_parse.h"
#include "dns/zonefile_rdata.h"
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static unsigned token_width(const struct dns__token *token)
{
    return token->len + (token->quoted ? 2 : 0);
}

void dns__parse_error(struct dns__parse *parse, const struct dns__token *token, const char *fmt,
                      ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    gtm_diags_add(parse->diags, GTM_SEV_ERROR, parse->source->file, token->line, token->col, "%s",
                  text);
    gtm_diags_set_width(parse->diags, token_width(token));
}

void dns__parse_missing(struct dns__parse *parse, const struct dns__token *last, const char *what)
{
    gtm_diags_add(parse->diags, GTM_SEV_ERROR, parse->source->file, last->line,
                  last->col + token_width(last), "expected %s, found the end of the line", what);
}

/* IN = 1, another class = -1, no class at all = 0. */
static int class_of(const struct dns__token *token)
{
    uint64_t number;
    if (token->quoted || token->len < 2)
        return 0;
    if (dns__token_is(token, "IN"))
        return 1;
    if (dns__token_is(token, "CH") || dns__token_is(token, "HS") || dns__token_is(token, "CS") ||
        dns__token_is(token, "CHAOS") || dns__token_is(token, "HESIOD") ||
        dns__token_is(token, "NONE"))
        return -1;
    if (token->len > 5 && strncasecmp(token->text, "CLASS", 5) == 0 &&
        dns__decimal(token->text + 5, token->len - 5, UINT16_MAX, &number))
        return number == DNS_CLASS_IN ? 1 : -1;
    return 0;
}

static bool digit_first(const struct dns__token *token)
{
    return !token->quoted && token->len > 0 && token->text[0] >= '0' && token->text[0] <= '9';
}

static bool parse_ttl(struct dns__parse *parse, const struct dns__token *token, uint32_t *ret)
{
    uint64_t value;
    char show[DNS__SHOW_BYTES];
    if (token->quoted || !dns__period(token->text, token->len, &value)) {
        dns__parse_error(parse, token, "expected a TTL like 3600 or 1h30m, not \"%s\"",
                         dns__token_show(token, show));
        return false;
    }
    if (value > DNS_TTL_MAX) { /* RFC 2181 8 */
        dns__parse_error(parse, token, "TTL is larger than %u", DNS_TTL_MAX);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool parse_owner(struct dns__parse *parse, const struct dns__token *token)
{
    size_t len;
    struct gtm_error err;
    char show[DNS__SHOW_BYTES];
    parse->owner_state = OWNER_BAD; /* records that follow without an owner belong to it */
    if (token->quoted) {
        dns__parse_error(parse, token, "expected a domain name, not a quoted string");
        return false;
    }
    if (dns_name_parse(token->text, token->len, parse->origin, parse->owner, &len, &err) !=
        GTM_OK) {
        dns__parse_error(parse, token, "expected a domain name, not \"%s\": %s",
                         dns__token_show(token, show), err.text);
        return false;
    }
    parse->owner_state = OWNER_KNOWN;
    return true;
}

/* What stands before the rdata. */
struct head {
    uint32_t ttl;
    uint16_t type;
    bool have_ttl, have_class;
};

/* [TTL] [class] type, or [class] [TTL] type, from tokens[*i] on. */
static bool parse_head(struct dns__parse *parse, const struct dns__token *tokens, size_t count,
                       size_t *i, struct head *head)
{
    char show[DNS__SHOW_BYTES];
    for (; *i < count; (*i)++) {
        const struct dns__token *token = &tokens[*i];
        int class = class_of(token);
        if (class < 0) {
            dns__parse_error(parse, token, "class %s is not served: expected IN",
                             dns__token_show(token, show));
            return false;
        }
        if (class > 0 && !head->have_class) {
            head->have_class = true;
            continue;
        }
        if (!head->have_ttl && digit_first(token)) {
            if (!parse_ttl(parse, token, &head->ttl))
                return false;
            head->have_ttl = true;
            continue;
        }
        if (!token->quoted && dns__type_parse(token->text, token->len, &head->type)) {
            (*i)++;
            return true;
        }
        dns__parse_error(parse, token, "expected %s%sa record type, not \"%s\"",
                         head->have_ttl ? "" : "a TTL, ", head->have_class ? "" : "a class, ",
                         dns__token_show(token, show));
        return false;
    }
    dns__parse_missing(parse, &tokens[count - 1], "a record type");
    return false;
}

/* RFC 2308 4: the record's own, $TTL, the last one stated (RFC 1035 5.1), what the caller says. */
static bool choose_ttl(struct dns__parse *parse, const struct dns__token *first, struct head *head)
{
    if (head->have_ttl) {
        parse->last_ttl = head->ttl;
        parse->have_last = true;
        return true;
    }
    if (parse->have_default || parse->have_last) {
        head->ttl = parse->have_default ? parse->default_ttl : parse->last_ttl;
        return true;
    }
    if (parse->fallback_ttl == 0) {
        dns__parse_error(parse, first, "record has no TTL and there is no $TTL before it");
        return false;
    }
    if (!parse->warned)
        gtm_diags_add(parse->diags, GTM_SEV_WARNING, parse->source->file, first->line, first->col,
                      "record has no TTL and there is no $TTL before it: %u is used",
                      parse->fallback_ttl);
    parse->warned = true;
    head->ttl = parse->fallback_ttl;
    return true;
}

static void deliver(struct dns__parse *parse, const struct dns__token *first,
                    const struct head *head)
{
    const struct dns__token *at = parse->generated_at ? parse->generated_at : first;
    struct dns_record record = {
        .owner = parse->owner,
        .type = head->type,
        .ttl = head->ttl,
        .rdata = parse->rd.out,
        .rdlen = (uint16_t)parse->rd.len,
        .file = parse->source->file ? parse->source->file : "",
        .line = at->line,
        .col = at->col,
    };
    parse->stop = parse->fn(parse->ctx, &record);
}

void dns__parse_record(struct dns__parse *parse, const struct dns__token *tokens, size_t count,
                       bool blank)
{
    struct head head = {0};
    size_t i = blank ? 0 : 1;
    if (!blank && !parse_owner(parse, &tokens[0]))
        return;
    if (blank && parse->owner_state == OWNER_NONE) {
        dns__parse_error(parse, &tokens[0],
                         "line starts with white space, but no record before it has an owner");
        return;
    }
    if (!parse_head(parse, tokens, count, &i, &head) || !choose_ttl(parse, &tokens[0], &head))
        return;
    struct dns__rd *rd = &parse->rd;
    rd->tokens = tokens + i;
    rd->count = count - i;
    rd->last = &tokens[count - 1];
    rd->origin = parse->origin;
    rd->out = parse->rdata + DNS__RDATA_HEADROOM;
    int rc = dns__rdata_parse(rd, head.type);
    if (rc == GTM_ENOMEM) {
        parse->stop = rc;
    } else if (rc != GTM_OK) {
        gtm_diags_add(parse->diags, GTM_SEV_ERROR, parse->source->file, rd->err.line, rd->err.col,
                      "%s", rd->err.text);
        gtm_diags_set_width(parse->diags, rd->width);
    } else if (parse->owner_state == OWNER_KNOWN) {
        deliver(parse, &tokens[0], &head);
    }
}

static void parse_file(struct dns__parse *parse, const char *path, const struct dns__token *at);

static bool no_more(struct dns__parse *parse, const struct dns__token *tokens, size_t count,
                    size_t want)
{
    char show[DNS__SHOW_BYTES];
    if (count <= want)
        return true;
    dns__parse_error(parse, &tokens[want], "expected the end of the line, not \"%s\"",
                     dns__token_show(&tokens[want], show));
    return false;
}

/* A name as a directive's argument; false after reporting. */
static bool origin_argument(struct dns__parse *parse, const struct dns__token *token,
                            uint8_t out[DNS_NAME_MAX])
{
    size_t len;
    struct gtm_error err;
    char show[DNS__SHOW_BYTES];
    if (!token->quoted &&
        dns_name_parse(token->text, token->len, parse->origin, out, &len, &err) == GTM_OK)
        return true;
    dns__parse_error(parse, token, "expected a domain name, not \"%s\"%s%s",
                     dns__token_show(token, show), token->quoted ? "" : ": ",
                     token->quoted ? "" : err.text);
    return false;
}

/* The file named by an $INCLUDE as a path; NULL after reporting. */
static char *include_path(struct dns__parse *parse, const struct dns__token *token)
{
    char *name = gtm_malloc((size_t)token->len + 1), *dir = NULL, *path = NULL;
    const char *p = token->text, *end = p + token->len;
    size_t len = 0;
    int octet = 1;
    while (name && p < end && octet > 0) /* a NUL would cut the path */
        if ((octet = dns__unescape(&p, end)) > 0)
            name[len++] = (char)octet;
    if (name && (octet <= 0 || len == 0)) {
        dns__parse_error(parse, token, "expected a file name");
        gtm_free(name);
        return NULL;
    }
    if (name) {
        name[len] = '\0';
        dir = gtm_fs_dirname(parse->source->file);
        path = dir ? gtm_fs_join(dir, name) : NULL;
    }
    if (!path)
        parse->stop = GTM_ENOMEM;
    gtm_free(dir);
    gtm_free(name);
    return path;
}

/* $INCLUDE file [origin]: origin and owner are the includer's again afterwards (RFC 1035 5.1). */
static void parse_include(struct dns__parse *parse, const struct dns__token *tokens, size_t count)
{
    uint8_t saved_origin[DNS_NAME_MAX], saved_owner[DNS_NAME_MAX], origin[DNS_NAME_MAX];
    if (count < 2) {
        dns__parse_missing(parse, &tokens[0], "a file name");
        return;
    }
    if (!no_more(parse, tokens, count, 3))
        return;
    if (!parse->source->file) {
        dns__parse_error(parse, &tokens[0], "$INCLUDE is possible only in files");
        return;
    }
    memcpy(origin, parse->origin, sizeof(origin));
    if (count == 3 && !origin_argument(parse, &tokens[2], origin))
        return;
    char *path = include_path(parse, &tokens[1]);
    if (!path)
        return;
    int owner_state = parse->owner_state;
    memcpy(saved_origin, parse->origin, sizeof(saved_origin));
    memcpy(saved_owner, parse->owner, sizeof(saved_owner));
    memcpy(parse->origin, origin, sizeof(origin));
    parse->owner_state = OWNER_NONE;
    parse_file(parse, path, &tokens[1]);
    gtm_free(path);
    memcpy(parse->origin, saved_origin, sizeof(saved_origin));
    memcpy(parse->owner, saved_owner, sizeof(saved_owner));
    parse->owner_state = owner_state;
}

static void parse_directive(struct dns__parse *parse, const struct dns__token *tokens, size_t count)
{
    char show[DNS__SHOW_BYTES];
    if (dns__token_is(&tokens[0], "$ORIGIN")) {
        uint8_t origin[DNS_NAME_MAX];
        if (count < 2)
            dns__parse_missing(parse, &tokens[0], "a domain name");
        else if (no_more(parse, tokens, count, 2) && origin_argument(parse, &tokens[1], origin))
            memcpy(parse->origin, origin, sizeof(origin));
    } else if (dns__token_is(&tokens[0], "$TTL")) {
        if (count < 2)
            dns__parse_missing(parse, &tokens[0], "a TTL");
        else if (no_more(parse, tokens, count, 2) &&
                 parse_ttl(parse, &tokens[1], &parse->default_ttl))
            parse->have_default = true;
    } else if (dns__token_is(&tokens[0], "$INCLUDE")) {
        parse_include(parse, tokens, count);
    } else if (dns__token_is(&tokens[0], "$GENERATE")) {
        dns__parse_generate(parse, tokens, count);
    } else {
        dns__parse_error(parse, &tokens[0],
                         "expected $ORIGIN, $TTL, $INCLUDE or $GENERATE, not \"%s\"",
                         dns__token_show(&tokens[0], show));
    }
}

static void parse_text(struct dns__parse *parse, const char *text, size_t len)
{
    struct dns__lex lex = {0};
    dns__lex_init(&lex, text, len, parse->source->file, parse->diags);
    while (parse->stop == 0) {
        int rc = dns__lex_entry(&lex);
        if (rc < 0)
            parse->stop = rc;
        if (rc <= 0)
            break;
        const struct dns__token *first = &lex.tokens[0];
        if (!lex.blank && !first->quoted && first->text[0] == '$')
            parse_directive(parse, lex.tokens, lex.count);
        else
            dns__parse_record(parse, lex.tokens, lex.count, lex.blank);
    }
    dns__lex_fini(&lex);
}

/* May the file be read where it is asked for? */
static bool may_include(struct dns__parse *parse, const struct dns__source *next,
                        const struct dns__token *at)
{
    if (next->depth > DNS_ZONEFILE_INCLUDE_DEPTH) {
        dns__parse_error(parse, at, "$INCLUDE goes deeper than %d files",
                         DNS_ZONEFILE_INCLUDE_DEPTH);
        return false;
    }
    if (++parse->includes > DNS__INCLUDES_MAX) {
        dns__parse_error(parse, at, "more than %d files are included", DNS__INCLUDES_MAX);
        return false;
    }
    for (const struct dns__source *s = next->parent; s; s = s->parent) {
        if (s->dev == next->dev && s->ino == next->ino && s->ino != 0) {
            dns__parse_error(parse, at, "file includes itself");
            return false;
        }
    }
    return true;
}

/* Reports why a file cannot be read, at its $INCLUDE if there is one. */
static void unreadable(struct dns__parse *parse, const char *path, const struct dns__token *at,
                       const struct gtm_error *err)
{
    if (at)
        dns__parse_error(parse, at, "%.200s: %s", path, err->text);
    else
        gtm_diags_add(parse->diags, GTM_SEV_ERROR, path, 0, 0, "%s", err->text);
}

/* Reads a whole file and parses it. Returns 0 or why it could not be read. */
static int read_and_parse(struct dns__parse *parse, const char *path, const struct dns__token *at)
{
    struct dns__source source = {.parent = parse->source, .file = path};
    struct stat st;
    struct gtm_error err = {0};
    char *text = NULL;
    size_t len = 0;
    source.depth = source.parent ? source.parent->depth + 1 : 0;
    if (stat(path, &st) == 0) {
        source.dev = st.st_dev;
        source.ino = st.st_ino;
    }
    if (at && !may_include(parse, &source, at))
        return GTM_OK;
    int rc = gtm_fs_read(path, parse->bytes_left, &text, &len, &err);
    if (rc != GTM_OK) {
        unreadable(parse, path, at, &err);
        return rc;
    }
    parse->bytes_left -= len;
    parse->source = &source;
    parse_text(parse, text, len);
    parse->source = source.parent;
    gtm_free(text);
    return GTM_OK;
}

static void parse_file(struct dns__parse *parse, const char *path, const struct dns__token *at)
{
    if (read_and_parse(parse, path, at) == GTM_ENOMEM)
        parse->stop = GTM_ENOMEM;
}

/* Memory, whose size the caller bounded by having it. */
static void parse_memory(struct dns__parse *parse, const char *path, const char *text, size_t len)
{
    struct dns__source source = {.file = path};
    struct stat st;
    if (path && stat(path, &st) == 0) { /* an $INCLUDE of what this text is a draft of is a loop */
        source.dev = st.st_dev;
        source.ino = st.st_ino;
    }
    parse->source = &source;
    parse_text(parse, text, len);
    parse->source = NULL;
}

int dns_zonefile_parse(const struct dns_zonefile_opts *opts, const char *text, size_t len,
                       dns_record_fn fn, void *ctx, struct gtm_diags *diags)
{
    size_t errors_before = diags->errors;
    int rc = GTM_OK;
    struct dns__parse *parse = gtm_calloc(1, sizeof(*parse));
    if (!parse) {
        gtm_diags_add(diags, GTM_SEV_ERROR, opts->path, 0, 0, "%s", gtm_err_text(GTM_ENOMEM));
        return GTM_ENOMEM;
    }
    parse->fn = fn;
    parse->ctx = ctx;
    parse->diags = diags;
    parse->fallback_ttl = opts->default_ttl;
    parse->bytes_left = DNS_ZONEFILE_MAX_BYTES;
    memcpy(parse->origin, opts->origin, dns_name_len(opts->origin));
    if (text)
        parse_memory(parse, opts->path, text, len);
    else
        rc = read_and_parse(parse, opts->path, NULL);
    if (parse->stop != 0)
        rc = parse->stop;
    else if (rc != GTM_OK)
        rc = rc == GTM_ENOTFOUND || rc == GTM_ENOMEM ? rc : GTM_EIO;
    else if (diags->errors != errors_before)
        rc = GTM_EPARSE;
    if (parse->stop == GTM_ENOMEM)
        gtm_diags_add(diags, GTM_SEV_ERROR, opts->path, 0, 0, "%s", gtm_err_text(GTM_ENOMEM));
    gtm_free(parse);
    return rc;
}
