/* SPDX-License-Identifier: Apache-2.0
 *
 * Rdata fields with a grammar of their own: LOC, WKS, APL, IPSECKEY, AMTRELAY, HIP, NSEC3's
 * encodings and address-like groups. See zonefile_rdata.h; one thread at a time.
 */
#include "dns/zonefile_rdata.h"

#include "dns/rr.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <string.h>

/* A decimal number with up to `decimals` decimals, an optional sign and an optional final m, in
 * units of the last decimal. */
static bool fixed_point(const struct dns__token *token, unsigned decimals, bool metres, int64_t max,
                        int64_t *ret)
{
    const char *p = token->text, *end = p + token->len;
    bool negative = metres && p < end && *p == '-';
    if (metres && p < end && (*p == '-' || *p == '+'))
        p++;
    if (metres && p < end && (end[-1] | 0x20) == 'm')
        end--;
    int64_t value = 0;
    unsigned digits = 0, after = 0;
    bool point = false;
    for (; p < end; p++) {
        if (*p == '.' && !point && digits > 0) {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9' || digits >= 15 || (point && after >= decimals))
            return false;
        value = value * 10 + (*p - '0');
        digits++;
        after += point;
    }
    for (; after < decimals; after++)
        value *= 10;
    *ret = negative ? -value : value;
    return digits > 0 && value <= max;
}

/* Degrees [minutes [seconds]] and a hemisphere → thousandths of a second from 2^31. */
static int loc_angle(struct dns__rd *rd, unsigned max_degrees, const char *hemispheres,
                     uint32_t *ret)
{
    static const char *const parts[] = {"degrees", "minutes", "seconds"};
    int64_t value[3] = {0}, limit[3] = {max_degrees, 59, 59999};
    const struct dns__token *first = NULL;
    char show[DNS__SHOW_BYTES];
    for (unsigned part = 0;; part++) {
        const struct dns__token *token = dns__rd_word(rd, "an angle");
        if (!token)
            return GTM_EPARSE;
        first = first ? first : token;
        char letter = token->len == 1 ? (char)(token->text[0] & ~0x20) : '\0';
        if (part > 0 && letter != '\0' && strchr(hemispheres, letter)) {
            int64_t angle = (value[0] * 3600 + value[1] * 60) * 1000 + value[2];
            if (angle > (int64_t)max_degrees * 3600000)
                return dns__rd_fail(rd, first, "angle is more than %u degrees", max_degrees);
            *ret = (uint32_t)(((int64_t)1 << 31) + (letter == hemispheres[0] ? angle : -angle));
            return GTM_OK;
        }
        if (part == 3)
            return dns__rd_fail(rd, token, "expected %c or %c, not \"%s\"", hemispheres[0],
                                hemispheres[1], dns__token_show(token, show));
        if (!fixed_point(token, part == 2 ? 3 : 0, false, limit[part], &value[part]))
            return dns__rd_fail(rd, token, "expected %s%s, not \"%s\"", parts[part],
                                part ? " or a hemisphere" : "", dns__token_show(token, show));
    }
}

/* Centimetres → one digit and a power of ten (RFC 1876 2). */
static uint8_t loc_precision(int64_t cm)
{
    unsigned exponent = 0;
    while (cm >= 10) {
        cm /= 10;
        exponent++;
    }
    return (uint8_t)((unsigned)cm << 4 | exponent);
}

int dns__field_loc(struct dns__rd *rd)
{
    uint32_t latitude = 0, longitude = 0;
    int64_t altitude = 0, cm[3] = {100, 1000000, 1000}; /* size, horizontal, vertical precision */
    char show[DNS__SHOW_BYTES];
    int rc = loc_angle(rd, 90, "NS", &latitude);
    if (rc == GTM_OK)
        rc = loc_angle(rd, 180, "EW", &longitude);
    if (rc != GTM_OK)
        return rc;
    const struct dns__token *token = dns__rd_word(rd, "an altitude");
    if (!token)
        return GTM_EPARSE;
    if (!fixed_point(token, 2, true, 4284967295, &altitude) || altitude < -10000000)
        return dns__rd_fail(rd, token,
                            "expected an altitude from -100000m to 42849672.95m, not \"%s\"",
                            dns__token_show(token, show));
    for (int i = 0; i < 3 && rd->i < rd->count; i++) {
        token = dns__rd_word(rd, "a size");
        if (!token)
            return GTM_EPARSE;
        if (!fixed_point(token, 2, true, 9000000000, &cm[i]) || cm[i] < 0)
            return dns__rd_fail(rd, token, "expected a size from 0m to 90000000m, not \"%s\"",
                                dns__token_show(token, show));
    }
    uint8_t wire[16] = {0, loc_precision(cm[0]), loc_precision(cm[1]), loc_precision(cm[2])};
    dns_put32(wire + 4, latitude);
    dns_put32(wire + 8, longitude);
    dns_put32(wire + 12, (uint32_t)(altitude + 10000000));
    return dns__rd_put(rd, wire, sizeof(wire));
}

/* Services that WKS records of old name (RFC 1010); others are written as numbers. A table, because
 * the system's would give every machine another zone, and its lookup is not thread-safe. */
static int wks_port(const struct dns__token *token)
{
    static const struct {
        const char *name;
        int port;
    } services[] = {
        {"echo", 7},     {"discard", 9},   {"systat", 11},     {"daytime", 13}, {"qotd", 17},
        {"chargen", 19}, {"ftp-data", 20}, {"ftp", 21},        {"ssh", 22},     {"telnet", 23},
        {"smtp", 25},    {"time", 37},     {"nameserver", 42}, {"whois", 43},   {"domain", 53},
        {"tftp", 69},    {"gopher", 70},   {"finger", 79},     {"http", 80},    {"pop3", 110},
        {"sunrpc", 111}, {"nntp", 119},    {"ntp", 123},       {"imap", 143},   {"snmp", 161},
        {"https", 443},
    };
    uint64_t number;
    if (dns__decimal(token->text, token->len, 65535, &number))
        return (int)number;
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (dns__token_is(token, services[i].name))
            return services[i].port;
    return -1;
}

int dns__field_wks(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a protocol");
    uint64_t protocol;
    uint8_t map[8192] = {0};
    unsigned len = 0;
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    if (dns__token_is(token, "tcp"))
        protocol = 6;
    else if (dns__token_is(token, "udp"))
        protocol = 17;
    else if (!dns__decimal(token->text, token->len, 255, &protocol))
        return dns__rd_fail(rd, token, "expected TCP, UDP or a number up to 255, not \"%s\"",
                            dns__token_show(token, show));
    while (rd->i < rd->count) {
        token = dns__rd_word(rd, "a port");
        int port = token ? wks_port(token) : -1;
        if (!token)
            return GTM_EPARSE;
        if (port < 0)
            return dns__rd_fail(rd, token, "expected a well-known service or port, not \"%s\"",
                                dns__token_show(token, show));
        map[port / 8] |= (uint8_t)(0x80 >> (port % 8));
        if ((unsigned)port / 8 + 1 > len)
            len = (unsigned)port / 8 + 1;
    }
    int rc = dns__rd_put8(rd, (unsigned)protocol);
    return rc == GTM_OK ? dns__rd_put(rd, map, len) : rc;
}

/* [!]family:address/prefix */
static bool apl_item(const struct dns__token *token, uint8_t wire[20], size_t *ret_len)
{
    const char *p = token->text, *end = p + token->len;
    bool negated = p < end && *p == '!';
    p += negated;
    const char *slash = memchr(p, '/', (size_t)(end - p));
    if (!slash || end - p < 2 || p[1] != ':' || (p[0] != '1' && p[0] != '2'))
        return false;
    bool v4 = p[0] == '1';
    uint64_t prefix;
    uint8_t *addr = wire + 4;
    const char *text = p + 2;
    if (slash < text || !dns__decimal(slash + 1, (size_t)(end - slash - 1), v4 ? 32 : 128, &prefix))
        return false;
    if (!(v4 ? dns__ipv4(text, (size_t)(slash - text), addr)
             : dns__ipv6(text, (size_t)(slash - text), addr)))
        return false;
    size_t len = v4 ? 4 : 16;
    while (len > 0 && addr[len - 1] == 0) /* trailing zeros are not sent (RFC 3123 4) */
        len--;
    dns_put16(wire, v4 ? 1 : 2);
    wire[2] = (uint8_t)prefix;
    wire[3] = (uint8_t)(len | (negated ? 0x80u : 0));
    *ret_len = len + 4;
    return true;
}

int dns__field_apl(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "an address prefix");
    uint8_t wire[20];
    size_t len;
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    if (!apl_item(token, wire, &len))
        return dns__rd_fail(rd, token, "expected [!]1:IPV4/PREFIX or [!]2:IPV6/PREFIX, not \"%s\"",
                            dns__token_show(token, show));
    return dns__rd_put(rd, wire, len);
}

/* A gateway or relay: nothing (written "."), IPv4, IPv6 or a name. */
static int field_gateway(struct dns__rd *rd, unsigned kind)
{
    const struct dns__token *token;
    switch (kind) {
    case 0:
        token = dns__rd_word(rd, "\".\"");
        if (!token)
            return GTM_EPARSE;
        return token->len == 1 && token->text[0] == '.'
                   ? GTM_OK
                   : dns__rd_fail(rd, token, "expected \".\" for a gateway of type 0");
    case 1:
        return dns__field_ip(rd, AF_INET);
    case 2:
        return dns__field_ip(rd, AF_INET6);
    default:
        return dns__field_name(rd);
    }
}

int dns__field_ipseckey(struct dns__rd *rd)
{
    size_t at = rd->len;
    int rc = dns__field_int(rd, 1, "a precedence");
    if (rc == GTM_OK)
        rc = dns__field_int(rd, 1, "a gateway type");
    if (rc == GTM_OK && rd->out[at + 1] > 3)
        rc = dns__rd_fail(rd, &rd->tokens[rd->i - 1], "expected a gateway type from 0 to 3");
    if (rc == GTM_OK)
        rc = dns__field_int(rd, 1, "an algorithm");
    if (rc == GTM_OK)
        rc = field_gateway(rd, rd->out[at + 1]);
    if (rc == GTM_OK && (rd->out[at + 2] != 0 || rd->i < rd->count)) /* algorithm 0 has no key */
        rc = dns__field_base64(rd, true);
    return rc;
}

int dns__field_amtrelay(struct dns__rd *rd)
{
    int rc = dns__field_int(rd, 1, "a precedence");
    if (rc != GTM_OK)
        return rc;
    const struct dns__token *optional = dns__rd_word(rd, "0 or 1");
    uint64_t discovery, kind;
    if (!optional)
        return GTM_EPARSE;
    if (!dns__decimal(optional->text, optional->len, 1, &discovery))
        return dns__rd_fail(rd, optional, "expected 0 or 1 (discovery is optional)");
    const struct dns__token *relay = dns__rd_word(rd, "a relay type");
    if (!relay)
        return GTM_EPARSE;
    if (!dns__decimal(relay->text, relay->len, 3, &kind))
        return dns__rd_fail(rd, relay, "expected a relay type from 0 to 3");
    rc = dns__rd_put8(rd, (unsigned)(discovery << 7 | kind));
    return rc == GTM_OK ? field_gateway(rd, (unsigned)kind) : rc;
}

int dns__field_hip(struct dns__rd *rd)
{
    size_t at = rd->len;
    int rc = dns__rd_put8(rd, 0); /* the tag's length, known later */
    if (rc == GTM_OK)
        rc = dns__field_int(rd, 1, "a key algorithm");
    if (rc == GTM_OK)
        rc = dns__rd_put16(rd, 0); /* the key's length */
    if (rc == GTM_OK)
        rc = dns__field_hex(rd, false);
    size_t tag = rd->len - at - 4;
    if (rc == GTM_OK && (tag > 255 || tag == 0))
        rc = dns__rd_fail(rd, &rd->tokens[rd->i - 1],
                          "expected a host identity tag of 1 to 255 octets");
    size_t key_at = rd->len;
    if (rc == GTM_OK)
        rc = dns__field_base64(rd, false);
    if (rc != GTM_OK)
        return rc;
    rd->out[at] = (uint8_t)tag;
    dns_put16(rd->out + at + 2, (uint16_t)(rd->len - key_at));
    return GTM_OK;
}

int dns__field_salt(struct dns__rd *rd)
{
    if (rd->i < rd->count && rd->tokens[rd->i].len == 1 && rd->tokens[rd->i].text[0] == '-') {
        rd->i++;
        return dns__rd_put8(rd, 0);
    }
    size_t at = rd->len;
    int rc = dns__rd_put8(rd, 0);
    if (rc == GTM_OK)
        rc = dns__field_hex(rd, false);
    if (rc != GTM_OK)
        return rc;
    size_t len = rd->len - at - 1;
    if (len == 0 || len > 255)
        return dns__rd_fail(rd, &rd->tokens[rd->i - 1], "expected a salt of 1 to 255 octets, or -");
    rd->out[at] = (uint8_t)len;
    return GTM_OK;
}

/* Base32 with the extended hexadecimal alphabet (RFC 4648 7), without padding. */
int dns__field_next_hash(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a hashed name in base32");
    if (!token)
        return GTM_EPARSE;
    uint8_t hash[160];
    size_t len = 0;
    unsigned bits = 0, have = 0;
    bool ok = token->len > 0 && token->len <= 255;
    for (size_t i = 0; ok && i < token->len; i++) {
        char c = token->text[i];
        int value = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        ok = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'v');
        bits = (bits << 5 | (unsigned)(value & 31)) & 0xfff;
        have += 5;
        if (have >= 8) {
            have -= 8;
            hash[len++] = (uint8_t)(bits >> have);
        }
    }
    char show[DNS__SHOW_BYTES];
    if (!ok || have >= 5 || (bits & ((1u << have) - 1)) != 0)
        return dns__rd_fail(rd, token, "expected a hashed name in base32, not \"%s\"",
                            dns__token_show(token, show));
    int rc = dns__rd_put8(rd, (unsigned)len);
    return rc == GTM_OK ? dns__rd_put(rd, hash, len) : rc;
}

int dns__field_nsap(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "an NSAP address");
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    bool ok = token->len > 2 && token->text[0] == '0' && (token->text[1] | 0x20) == 'x';
    int high = -1;
    for (size_t i = 2; ok && i < token->len; i++) {
        int digit = dns__hex_digit(token->text[i]);
        if (token->text[i] == '.')
            continue;
        ok = digit >= 0;
        if (high < 0) {
            high = digit;
        } else if (ok) {
            int rc = dns__rd_put8(rd, (unsigned)(high << 4 | digit));
            if (rc != GTM_OK)
                return rc;
            high = -1;
        }
    }
    if (!ok || high >= 0 || rd->len == 0)
        return dns__rd_fail(rd, token, "expected 0x and pairs of hexadecimal digits, not \"%s\"",
                            dns__token_show(token, show));
    return GTM_OK;
}

/* Format 0 is hexadecimal, format 1 an E.164 number (+ and digits). */
int dns__field_atma(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "an ATM address");
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    bool e164 = token->len > 1 && token->text[0] == '+', ok = token->len > 1;
    int high = -1, rc = dns__rd_put8(rd, e164);
    for (size_t i = e164; ok && rc == GTM_OK && i < token->len; i++) {
        char c = token->text[i];
        int digit = dns__hex_digit(c);
        if (c == '.')
            continue;
        ok = digit >= 0 && (!e164 || digit < 10);
        if (e164 && ok) {
            rc = dns__rd_put8(rd, (unsigned)c);
        } else if (high < 0) {
            high = digit;
        } else if (ok) {
            rc = dns__rd_put8(rd, (unsigned)(high << 4 | digit));
            high = -1;
        }
    }
    if (rc == GTM_OK && (!ok || high >= 0))
        rc = dns__rd_fail(rd, token, "expected hexadecimal digits, or + and digits, not \"%s\"",
                          dns__token_show(token, show));
    return rc;
}

int dns__field_groups(struct dns__rd *rd, unsigned groups, unsigned digits, char separator)
{
    const struct dns__token *token = dns__rd_word(rd, "an identifier");
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    uint8_t out[8];
    size_t len = 0;
    const char *p = token->text, *end = p + token->len;
    bool ok = true;
    for (unsigned g = 0; ok && g < groups; g++) {
        unsigned value = 0, n = 0;
        if (g > 0 && (p == end || *p++ != separator))
            ok = false;
        for (; ok && n < digits && p < end && dns__hex_digit(*p) >= 0; n++)
            value = value << 4 | (unsigned)dns__hex_digit(*p++);
        ok = ok && (digits == 4 ? n > 0 : n == digits);
        if (digits == 4)
            out[len++] = (uint8_t)(value >> 8);
        out[len++] = (uint8_t)value;
    }
    if (!ok || p != end)
        return dns__rd_fail(rd, token,
                            "expected %u groups of %u hexadecimal digits between '%c', "
                            "not \"%s\"",
                            groups, digits, separator, dns__token_show(token, show));
    return dns__rd_put(rd, out, len);
}

int dns__field_tag(struct dns__rd *rd)
{
    const struct dns__token *token = dns__rd_word(rd, "a property");
    char show[DNS__SHOW_BYTES];
    if (!token)
        return GTM_EPARSE;
    bool ok = token->len > 0 && token->len <= 255;
    for (size_t i = 0; ok && i < token->len; i++) {
        char c = (char)(token->text[i] | 0x20);
        ok = (c >= 'a' && c <= 'z') || (token->text[i] >= '0' && token->text[i] <= '9');
    }
    if (!ok)
        return dns__rd_fail(rd, token, "expected a property of letters and digits, not \"%s\"",
                            dns__token_show(token, show));
    int rc = dns__rd_put8(rd, token->len);
    return rc == GTM_OK ? dns__rd_put(rd, token->text, token->len) : rc;
}
