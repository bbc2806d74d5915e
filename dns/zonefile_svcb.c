/* SPDX-License-Identifier: Apache-2.0
 *
 * SvcParams of SVCB and HTTPS records (RFC 9460 2.1, 7, A): from key=value tokens in any order to
 * the ordered wire form, with what that form demands checked. See zonefile_rdata.h; one thread at a
 * time.
 */
#include "dns/zonefile_rdata.h"

#include "dns/rr.h"
#include "gtm/base/mem.h"

#include <string.h>

#define PARAMS_MAX 256 /* of one record; sixteen are registered */

enum svc_key {
    KEY_MANDATORY = 0,
    KEY_ALPN = 1,
    KEY_NO_DEFAULT_ALPN = 2,
    KEY_PORT = 3,
    KEY_IPV4HINT = 4,
    KEY_ECH = 5,
    KEY_IPV6HINT = 6,
    KEY_DOHPATH = 7, /* RFC 9461 */
    KEY_OHTTP = 8    /* RFC 9540 */
};

static const char *const key_names[] = {
    "mandatory", "alpn",     "no-default-alpn", "port",  "ipv4hint",
    "ech",       "ipv6hint", "dohpath",         "ohttp",
};

/* One key=value token; value is in scratch, its escapes undone. */
struct param {
    const struct dns__token *token;
    uint16_t key;
    bool generic; /* keyNNN: the value is the wire form */
    bool has_value;
    char *value;
    size_t len;
};

static bool parse_key(const char *text, size_t len, uint16_t *ret_key, bool *ret_generic)
{
    uint64_t number;
    *ret_generic = false;
    for (size_t i = 0; i < sizeof(key_names) / sizeof(key_names[0]); i++) {
        if (strlen(key_names[i]) == len && memcmp(key_names[i], text, len) == 0) {
            *ret_key = (uint16_t)i;
            return true;
        }
    }
    if (len < 4 || memcmp(text, "key", 3) != 0 || (text[3] == '0' && len > 4) ||
        !dns__decimal(text + 3, len - 3, 65534, &number)) /* 65535 is reserved */
        return false;
    *ret_key = (uint16_t)number;
    *ret_generic = true;
    return true;
}

/* Splits the token and undoes the first level of escapes (RFC 9460 A). */
static int parse_param(struct dns__rd *rd, struct param *p)
{
    const char *text = p->token->text, *end = text + p->token->len;
    const char *equals = memchr(text, '=', p->token->len);
    char show[DNS__SHOW_BYTES];
    if (!parse_key(text, (size_t)((equals ? equals : end) - text), &p->key, &p->generic))
        return dns__rd_fail(rd, p->token,
                            "expected a parameter like alpn=h2 or key123=value, "
                            "not \"%s\"",
                            dns__token_show(p->token, show));
    p->has_value = equals != NULL;
    p->len = 0;
    if (!equals)
        return GTM_OK;
    const char *s = equals + 1;
    bool quoted = s < end && *s == '"';
    if (quoted) {
        s++;
        if (--end < s || *end != '"')
            return dns__rd_fail(rd, p->token, "quotation marks must enclose the whole value");
    }
    while (s < end) {
        if (*s == '"')
            return dns__rd_fail(rd, p->token, "quotation marks must enclose the whole value");
        int octet = dns__unescape(&s, end);
        if (octet < 0)
            return dns__rd_fail(rd, p->token,
                                "bad escape: expected \\X or \\DDD with DDD up to 255");
        p->value[p->len++] = (char)octet;
    }
    return GTM_OK;
}

/* The next item of a comma-separated list, moving *at behind it. False at the end. */
static bool next_item(const struct param *p, size_t *at, const char **ret_item, size_t *ret_len)
{
    if (*at > p->len)
        return false;
    const char *item = p->value + *at;
    const char *comma = memchr(item, ',', p->len - *at);
    *ret_item = item;
    *ret_len = comma ? (size_t)(comma - item) : p->len - *at;
    *at += *ret_len + 1;
    return true;
}

/* ALPN identifiers may hold commas and backslashes, escaped a second time (RFC 9460 A.1). */
static int put_alpn(struct dns__rd *rd, const struct param *p)
{
    size_t i = 0;
    do {
        size_t at = rd->len;
        int rc = dns__rd_put8(rd, 0);
        for (; rc == GTM_OK && i < p->len && p->value[i] != ','; i++) {
            if (p->value[i] == '\\' && ++i == p->len)
                return dns__rd_fail(rd, p->token, "backslash at the end of the list");
            rc = dns__rd_put8(rd, (uint8_t)p->value[i]);
        }
        if (rc != GTM_OK)
            return rc;
        size_t len = rd->len - at - 1;
        if (len == 0 || len > 255)
            return dns__rd_fail(rd, p->token, "expected protocols of 1 to 255 octets");
        rd->out[at] = (uint8_t)len;
    } while (i++ < p->len);
    return GTM_OK;
}

static int put_hints(struct dns__rd *rd, const struct param *p)
{
    const char *item;
    size_t at = 0, len;
    uint8_t addr[16];
    bool v4 = p->key == KEY_IPV4HINT;
    while (next_item(p, &at, &item, &len)) {
        if (!(v4 ? dns__ipv4(item, len, addr) : dns__ipv6(item, len, addr)))
            return dns__rd_fail(rd, p->token, "expected IPv%c addresses in %s", v4 ? '4' : '6',
                                key_names[p->key]);
        int rc = dns__rd_put(rd, addr, v4 ? 4 : 16);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

static int put_mandatory(struct dns__rd *rd, const struct param *p)
{
    const char *item;
    size_t at = 0, len, start = rd->len;
    while (next_item(p, &at, &item, &len)) {
        uint16_t key;
        bool generic;
        if (!parse_key(item, len, &key, &generic))
            return dns__rd_fail(rd, p->token, "expected names of parameters in mandatory");
        size_t where = rd->len;
        int rc = dns__rd_put16(rd, 0);
        if (rc != GTM_OK)
            return rc;
        for (; where > start && dns_get16(rd->out + where - 2) > key; where -= 2)
            memcpy(rd->out + where, rd->out + where - 2, 2);
        dns_put16(rd->out + where, key);
    }
    return GTM_OK;
}

static int put_ech(struct dns__rd *rd, const struct param *p)
{
    struct dns__token token = *p->token;
    token.text = p->value;
    token.len = (uint32_t)p->len;
    token.quoted = false;
    struct dns__rd part = *rd; /* the one token alone, into the same rdata */
    part.tokens = &token;
    part.count = 1;
    part.i = 0;
    int rc = dns__field_base64(&part, false);
    rd->len = part.len;
    return rc == GTM_OK ? GTM_OK : dns__rd_fail(rd, p->token, "expected base64 in ech");
}

static int put_value(struct dns__rd *rd, const struct param *p)
{
    uint64_t port;
    if (p->generic || p->key == KEY_DOHPATH)
        return dns__rd_put(rd, p->value, p->len);
    if (p->key == KEY_NO_DEFAULT_ALPN || p->key == KEY_OHTTP)
        return p->len == 0 ? GTM_OK
                           : dns__rd_fail(rd, p->token, "%s takes no value", key_names[p->key]);
    if (!p->has_value || p->len == 0)
        return dns__rd_fail(rd, p->token, "%s needs a value", key_names[p->key]);
    switch (p->key) {
    case KEY_MANDATORY:
        return put_mandatory(rd, p);
    case KEY_ALPN:
        return put_alpn(rd, p);
    case KEY_PORT:
        if (!dns__decimal(p->value, p->len, 65535, &port))
            return dns__rd_fail(rd, p->token, "expected a port from 0 to 65535");
        return dns__rd_put16(rd, (unsigned)port);
    case KEY_ECH:
        return put_ech(rd, p);
    default:
        return put_hints(rd, p);
    }
}

/* Moves the parameter at `added` (the last one) to its place in the order of keys. */
static int put_in_order(struct dns__rd *rd, size_t base, size_t added, uint8_t *scratch,
                        const struct param *p)
{
    size_t at = base, len = rd->len - added;
    while (at < added && dns_get16(rd->out + at) < p->key)
        at += 4 + (size_t)dns_get16(rd->out + at + 2);
    if (at < added && dns_get16(rd->out + at) == p->key)
        return dns__rd_fail(rd, p->token, "parameter is given twice");
    memcpy(scratch, rd->out + added, len);
    memmove(rd->out + at + len, rd->out + at, added - at);
    memcpy(rd->out + at, scratch, len);
    return GTM_OK;
}

static const char *const value_errors[] = {
    "mandatory must name other parameters, each once",
    "alpn must name protocols of 1 to 255 octets",
    "no-default-alpn takes no value",
    "port must have two octets",
    "ipv4hint must have four octets for each address",
    "",
    "ipv6hint must have sixteen octets for each address",
    "",
    "ohttp takes no value",
};

/* Is the wire form of a value what its key wants? */
static bool value_valid(uint16_t key, const uint8_t *value, size_t len)
{
    switch (key) {
    case KEY_ALPN:
        for (size_t i = 0; i < len; i += (size_t)value[i] + 1)
            if (value[i] == 0 || value[i] >= len - i)
                return false;
        return len > 0;
    case KEY_NO_DEFAULT_ALPN:
    case KEY_OHTTP:
        return len == 0;
    case KEY_PORT:
        return len == 2;
    case KEY_IPV4HINT:
        return len > 0 && len % 4 == 0;
    case KEY_IPV6HINT:
        return len > 0 && len % 16 == 0;
    case KEY_MANDATORY:
        for (size_t i = 0; i + 1 < len; i += 2)
            if (dns_get16(value + i) == KEY_MANDATORY ||
                (i > 0 && dns_get16(value + i) <= dns_get16(value + i - 2)))
                return false;
        return len > 0 && len % 2 == 0;
    default:
        return true;
    }
}

/* The value of a key in ordered parameters, or NULL. */
static const uint8_t *find(const uint8_t *params, size_t len, uint16_t key, size_t *ret_len)
{
    for (size_t at = 0; at < len; at += 4 + *ret_len) {
        *ret_len = dns_get16(params + at + 2);
        if (dns_get16(params + at) == key)
            return params + at + 4;
    }
    return NULL;
}

const char *dns__svcparams_check(const uint8_t *params, size_t len)
{
    size_t value_len;
    int32_t previous = -1;
    for (size_t at = 0; at < len; at += 4 + value_len) {
        if (len - at < 4 || (value_len = dns_get16(params + at + 2)) > len - at - 4)
            return "parameters are cut off";
        uint16_t key = dns_get16(params + at);
        if (key <= previous)
            return "parameters are not in the order of their keys";
        if (!value_valid(key, params + at + 4, value_len))
            return value_errors[key]; /* only these keys are looked at */
        previous = key;
    }
    size_t ignored, list_len = 0;
    const uint8_t *list = find(params, len, KEY_MANDATORY, &list_len);
    for (size_t i = 0; list && i < list_len; i += 2)
        if (!find(params, len, dns_get16(list + i), &ignored))
            return "a mandatory parameter is missing";
    if (find(params, len, KEY_NO_DEFAULT_ALPN, &ignored) && !find(params, len, KEY_ALPN, &ignored))
        return "no-default-alpn needs alpn";
    return NULL;
}

static int one_param(struct dns__rd *rd, size_t base, uint8_t *scratch)
{
    struct param p = {.token = dns__rd_word(rd, "a parameter"), .value = (char *)scratch};
    if (!p.token)
        return GTM_EPARSE;
    int rc = parse_param(rd, &p);
    size_t added = rd->len;
    if (rc == GTM_OK)
        rc = dns__rd_put16(rd, p.key);
    if (rc == GTM_OK)
        rc = dns__rd_put16(rd, 0);
    if (rc == GTM_OK)
        rc = put_value(rd, &p);
    if (rc != GTM_OK)
        return rc;
    dns_put16(rd->out + added + 2, (uint16_t)(rd->len - added - 4));
    return put_in_order(rd, base, added, scratch, &p);
}

int dns__field_svcparams(struct dns__rd *rd)
{
    size_t base = rd->len;
    if (rd->count - rd->i > PARAMS_MAX)
        return dns__rd_fail(rd, &rd->tokens[rd->i + PARAMS_MAX], "more than %d parameters",
                            PARAMS_MAX);
    uint8_t *scratch = gtm_malloc(DNS__RDATA_MAX + 1);
    if (!scratch)
        return gtm_error_set(&rd->err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    int rc = GTM_OK;
    while (rc == GTM_OK && rd->i < rd->count)
        rc = one_param(rd, base, scratch);
    gtm_free(scratch);
    return rc;
}
