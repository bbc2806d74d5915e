/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain fields of rdata: numbers, times, addresses, names, strings, encodings, type lists. See
 * zonefile_rdata.h; one thread at a time.
 */
#include "dns/zonefile_rdata.h"

#include "gtm/base/base64.h"

#include "dns/rr.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

bool dns__decimal(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
    if (len == 0 || len > 19) /* 19 digits cannot overflow 64 bits */
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > max)
        return false;
    *ret = value;
    return true;
}

static uint64_t unit_seconds(char c)
{
    switch (c | 0x20) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 604800;
    default:
        return 0;
    }
}

bool dns__period(const char *text, size_t len, uint64_t *ret)
{
    uint64_t total = 0, value = 0;
    bool digits = false, units = false, huge = false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            value = value * 10 + (uint64_t)(text[i] - '0');
            huge |= value > UINT32_MAX;
            value = huge ? 0 : value;
            digits = true;
            continue;
        }
        uint64_t unit = unit_seconds(text[i]);
        if (unit == 0 || !digits)
            return false;
        total += value * unit;
        huge |= total > UINT32_MAX;
        total = huge ? 0 : total;
        value = 0;
        digits = false;
        units = true;
    }
    if (units == digits) /* "", or "1h30": thirty what? */
        return false;
    *ret = huge ? UINT64_MAX : total + value;
    return true;
}

bool dns__ipv4(const char *text, size_t len, uint8_t out[4])
{
    unsigned part = 0, value = 0, digits = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] >= '0' && text[i] <= '9') {
            if (digits > 0 && value == 0) /* 010 is eight to some */
                return false;
            value = value * 10 + (unsigned)(text[i] - '0');
            if (++digits > 3 || value > 255)
                return false;
            continue;
        }
        if (digits == 0 || part > 3 || (i < len && text[i] != '.'))
            return false;
        out[part++] = (uint8_t)value;
        value = digits = 0;
    }
    return part == 4;
}

bool dns__ipv6(const char *text, size_t len, uint8_t out[16])
{
    char copy[INET6_ADDRSTRLEN];
    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return inet_pton(AF_INET6, copy, out) == 1;
}

int dns__hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int dns__field_int(struct dns__rd *rd, unsigned octets, const char *what)
{
    const struct dns__token *token = dns__rd_word(rd, what);
    if (!token)
        return GTM_EPARSE;
    uint64_t max = ((uint64_t)1 << (8 * octets)) - 1, value;
    char show[DNS__SHOW_BYTES];
    if (!dns__decimal(token->text, token->len, max, &value))
        return dns__rd_fail(rd, token, "expected %s from 0 to %llu, not \"%s\"", what,
                            (unsigned long long)max, dns__token_show(token, show));
    if (octets == 1)
        return dns__rd_put8(rd, (unsigned)value);
    if (octets == 2)
        return dns__rd_put16(rd, (unsigned)value);
    return dns__rd_put32(rd, (uint32_t)value);
}

int dns__field_period(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a time in seconds");
    if (!token)
        return GTM_EPARSE;
    uint64_t value;
    char show[DNS__SHOW_BYTES];
    if (!dns__period(token->text, token->len, &value))
        return dns__rd_fail(rd, token, "expected a time like 3600 or 1h30m, not \"%s\"",
                            dns__token_show(token, show));
    if (value > UINT32_MAX)
        return dns__rd_fail(rd, token, "expected a time of at most 4294967295 seconds");
    return dns__rd_put32(rd, (uint32_t)value);
}

/* YYYYMMDDHHmmSS in UTC (RFC 4034 3.2); times after 2106 wrap as serial numbers do. */
static bool calendar(const char *s, uint32_t *ret)
{
    int v[14];
    for (int i = 0; i < 14; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v[i] = s[i] - '0';
    }
    struct tm tm = {.tm_year = v[0] * 1000 + v[1] * 100 + v[2] * 10 + v[3] - 1900,
                    .tm_mon = v[4] * 10 + v[5] - 1,
                    .tm_mday = v[6] * 10 + v[7],
                    .tm_hour = v[8] * 10 + v[9],
                    .tm_min = v[10] * 10 + v[11],
                    .tm_sec = v[12] * 10 + v[13]};
    struct tm given = tm;
    int64_t t = (int64_t)timegm(&tm); /* puts 31 February right: then it was wrong */
    *ret = (uint32_t)t;
    return tm.tm_year == given.tm_year && tm.tm_mon == given.tm_mon &&
           tm.tm_mday == given.tm_mday && tm.tm_hour == given.tm_hour &&
           tm.tm_min == given.tm_min && tm.tm_sec == given.tm_sec && t >= 0;
}

int dns__field_time(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a time");
    if (!token)
        return GTM_EPARSE;
    uint32_t when;
    uint64_t seconds;
    char show[DNS__SHOW_BYTES];
    if (token->len == 14 && calendar(token->text, &when))
        return dns__rd_put32(rd, when);
    if (!dns__decimal(token->text, token->len, UINT32_MAX, &seconds))
        return dns__rd_fail(rd, token,
                            "expected a time as YYYYMMDDHHmmSS or seconds since 1970, not \"%s\"",
                            dns__token_show(token, show));
    return dns__rd_put32(rd, (uint32_t)seconds);
}

int dns__field_ip(struct dns__rd *rd, int family)
{
    const char *what = family == AF_INET ? "an IPv4 address" : "an IPv6 address";
    const struct dns__token *token = dns__rd_word(rd, what);
    if (!token)
        return GTM_EPARSE;
    uint8_t addr[16];
    char show[DNS__SHOW_BYTES];
    bool ok = family == AF_INET ? dns__ipv4(token->text, token->len, addr)
                                : dns__ipv6(token->text, token->len, addr);
    if (!ok)
        return dns__rd_fail(rd, token, "expected %s, not \"%s\"", what,
                            dns__token_show(token, show));
    return dns__rd_put(rd, addr, family == AF_INET ? 4 : 16);
}

int dns__field_name(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a domain name");
    if (!token)
        return GTM_EPARSE;
    uint8_t name[DNS_NAME_MAX];
    size_t len;
    struct gtm_error err;
    char show[DNS__SHOW_BYTES];
    if (dns_name_parse(token->text, token->len, rd->origin, name, &len, &err) != GTM_OK)
        return dns__rd_fail(rd, token, "expected a domain name, not \"%s\": %s",
                            dns__token_show(token, show), err.text);
    return dns__rd_put(rd, name, len);
}

/* Appends the token's characters, escapes undone, at most max octets. */
static int put_unescaped(struct dns__rd *rd, const struct dns__token *token, size_t max)
{
    const char *p = token->text, *end = p + token->len;
    size_t start = rd->len;
    while (p < end) {
        int octet = (uint8_t)*p;
        if (octet != '\\')
            p++;
        else if ((octet = dns__unescape(&p, end)) < 0)
            return dns__rd_fail(rd, token, "bad escape: expected \\X or \\DDD with DDD up to 255");
        if (rd->len - start >= max)
            return dns__rd_fail(rd, token, "string has more than %zu octets", max);
        int rc = dns__rd_put8(rd, (unsigned)octet);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

int dns__field_string(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_next(rd, "a string");
    if (!token)
        return GTM_EPARSE;
    if (token->inner_quotes)
        return dns__rd_fail(rd, token, "quotation mark inside a word: write it as \\\"");
    size_t at = rd->len;
    int rc = dns__rd_put8(rd, 0);
    if (rc == GTM_OK)
        rc = put_unescaped(rd, token, 255);
    if (rc == GTM_OK)
        rd->out[at] = (uint8_t)(rd->len - at - 1);
    return rc;
}

int dns__field_long_string(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_next(rd, "a string");
    if (!token)
        return GTM_EPARSE;
    if (token->inner_quotes)
        return dns__rd_fail(rd, token, "quotation mark inside a word: write it as \\\"");
    return put_unescaped(rd, token, DNS__RDATA_MAX);
}

int dns__field_hex(struct dns__rd *rd, bool all)
{
    const struct dns__token *token = dns__rd_word(rd, "hexadecimal digits");
    int high = -1, rc = GTM_OK;
    const struct dns__token *last = token;
    for (; token;
         token = all && rd->i < rd->count ? dns__rd_word(rd, "hexadecimal digits") : NULL) {
        last = token;
        for (size_t i = 0; i < token->len; i++) {
            int digit = dns__hex_digit(token->text[i]);
            if (digit < 0) {
                char show[DNS__SHOW_BYTES];
                return dns__rd_fail(rd, token, "expected hexadecimal digits, not \"%s\"",
                                    dns__token_show(token, show));
            }
            if (high < 0) {
                high = digit;
                continue;
            }
            if ((rc = dns__rd_put8(rd, (unsigned)(high << 4 | digit))) != GTM_OK)
                return rc;
            high = -1;
        }
    }
    if (rd->err.code != GTM_OK)
        return rd->err.code;
    return high < 0 ? GTM_OK
                    : dns__rd_fail(rd, last, "odd number of hexadecimal digits: one is missing");
}

/* Base64 in pieces. */
struct base64 {
    uint32_t bits;
    unsigned count, pads; /* characters of the group; '=' among them */
};

static int base64_char(struct dns__rd *rd, struct base64 *b, char c, const struct dns__token *token)
{
    int value = gtm_base64_value(c);
    bool pad = c == '=' && b->count >= 2;
    if ((value < 0 && !pad) || (b->pads > 0 && !pad))
        return dns__rd_fail(rd, token, "expected base64, found '%c'",
                            c > ' ' && c < 0x7f ? c : '?');
    b->bits = b->bits << 6 | (uint32_t)(pad ? 0 : value);
    b->pads += pad;
    if (++b->count < 4)
        return GTM_OK;
    uint8_t out[3] = {(uint8_t)(b->bits >> 16), (uint8_t)(b->bits >> 8), (uint8_t)b->bits};
    b->count = 0;
    b->bits = 0;
    return dns__rd_put(rd, out, 3 - b->pads);
}

int dns__field_base64(struct dns__rd *rd, bool all)
{
    const struct dns__token *token = dns__rd_word(rd, "base64");
    const struct dns__token *last = token;
    struct base64 b = {0};
    for (; token; token = all && rd->i < rd->count ? dns__rd_word(rd, "base64") : NULL) {
        last = token;
        for (size_t i = 0; i < token->len; i++) {
            if (b.count == 0 && b.pads > 0)
                return dns__rd_fail(rd, token, "base64 goes on behind its '='");
            int rc = base64_char(rd, &b, token->text[i], token);
            if (rc != GTM_OK)
                return rc;
        }
    }
    if (rd->err.code != GTM_OK)
        return rd->err.code;
    return b.count == 0 ? GTM_OK : dns__rd_fail(rd, last, "base64 is cut off: expected '='");
}

int dns__field_type(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a record type");
    uint16_t type;
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    if (!dns__type_parse(token->text, token->len, &type))
        return dns__rd_fail(rd, token, "expected a record type, not \"%s\"",
                            dns__token_show(token, show));
    return dns__rd_put16(rd, type);
}

int dns__field_types(struct dns__rd *rd)
{
    uint8_t set[65536 / 8] = {0}, lens[256] = {0}; /* octets used of each window of 32 */
    unsigned windows = 0;
    while (rd->i < rd->count) {
        size_t before = rd->len;
        int rc = dns__field_type(rd);
        if (rc != GTM_OK)
            return rc;
        rd->len = before;
        uint16_t type = dns_get16(rd->out + before);
        unsigned window = type >> 8, octets = (type & 0xffu) / 8 + 1;
        set[type / 8] |= (uint8_t)(0x80 >> (type % 8));
        lens[window] = lens[window] > octets ? lens[window] : (uint8_t)octets;
        windows = windows > window + 1 ? windows : window + 1;
    }
    for (unsigned window = 0; window < windows; window++) {
        uint8_t head[2] = {(uint8_t)window, lens[window]};
        if (lens[window] == 0)
            continue;
        int rc = dns__rd_put(rd, head, 2);
        if (rc == GTM_OK)
            rc = dns__rd_put(rd, set + (size_t)window * 32, lens[window]);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}
