/* SPDX-License-Identifier: Apache-2.0
 *
 * Rdata by type: which fields it has comes from ldns' descriptors, what they may hold from
 * zonefile_fields.c and its sisters. See zonefile_rdata.h; one thread at a time.
 */
#include "dns/zonefile_rdata.h"

#include "dns/rr.h"

#include <ldns/ldns.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* Registered types that this ldns does not know by name, or not rightly, and their kin. */
enum {
    TYPE_NSAP_PTR = 23,
    TYPE_KEY = 25,
    TYPE_NINFO = 56,
    TYPE_RKEY = 57,
    TYPE_CAA = 257,
    TYPE_AVC = 258,
    TYPE_AMTRELAY = 260,
    TYPE_RESINFO = 261,
    TYPE_WALLET = 262
};

static const struct {
    const char *name;
    uint16_t type;
} type_names[] = {
    {"A", DNS_TYPE_A},           {"AAAA", DNS_TYPE_AAAA},   {"NS", DNS_TYPE_NS},
    {"CNAME", DNS_TYPE_CNAME},   {"PTR", DNS_TYPE_PTR},     {"MX", DNS_TYPE_MX},
    {"TXT", DNS_TYPE_TXT},       {"SRV", DNS_TYPE_SRV},     {"SOA", DNS_TYPE_SOA},
    {"RRSIG", DNS_TYPE_RRSIG},   {"NSEC3", DNS_TYPE_NSEC3}, {"NSEC", DNS_TYPE_NSEC},
    {"AVC", TYPE_AVC},           {"NINFO", TYPE_NINFO},     {"RKEY", TYPE_RKEY},
    {"AMTRELAY", TYPE_AMTRELAY}, {"RESINFO", TYPE_RESINFO}, {"WALLET", TYPE_WALLET},
};

static bool in_zones(uint64_t type)
{
    return type != 0 && type != DNS_TYPE_OPT && (type < 128 || type > 255) && type < 65535;
}

bool dns__type_parse(const char *text, size_t len, uint16_t *ret_type)
{
    char name[32];
    uint64_t type = 0;
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (strncasecmp(type_names[i].name, text, len) == 0 && type_names[i].name[len] == '\0') {
            *ret_type = type_names[i].type;
            return true;
        }
    }
    if (len >= sizeof(name))
        return false;
    memcpy(name, text, len);
    name[len] = '\0';
    if (strncasecmp(name, "TYPE", 4) == 0) {
        if (!dns__decimal(name + 4, len - 4, UINT16_MAX, &type))
            return false;
    } else {
        type = (uint64_t)ldns_get_rr_type_by_name(name); /* unknown = 0 */
    }
    *ret_type = (uint16_t)type;
    return in_zones(type);
}

int dns__rd_fail(struct dns__rd *rd, const struct dns__token *token, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    rd->width = 0;
    unsigned line = 0, col = 0;
    if (token) {
        line = token->line;
        col = token->col;
        rd->width = token->len + (token->quoted ? 2 : 0);
    } else if (rd->last) {
        line = rd->last->line;
        col = rd->last->col + rd->last->len + (rd->last->quoted ? 2 : 0);
    }
    return gtm_error_at(&rd->err, GTM_EPARSE, NULL, line, col, "%s", text);
}

const struct dns__token *dns__rd_next(struct dns__rd *rd, const char *what)
{
    if (rd->i < rd->count)
        return &rd->tokens[rd->i++];
    dns__rd_fail(rd, NULL, "expected %s, found the end of the record", what);
    return NULL;
}

const struct dns__token *dns__rd_word(struct dns__rd *rd, const char *what)
{
    const struct dns__token *token = dns__rd_next(rd, what);
    if (token && token->quoted) {
        dns__rd_fail(rd, token, "expected %s, not a quoted string", what);
        return NULL;
    }
    return token;
}

int dns__rd_put(struct dns__rd *rd, const void *data, size_t len)
{
    if (len > DNS__RDATA_MAX - rd->len)
        return dns__rd_fail(rd, rd->i > 0 ? &rd->tokens[rd->i - 1] : NULL,
                            "rdata has more than %d octets", DNS__RDATA_MAX);
    memcpy(rd->out + rd->len, data, len);
    rd->len += len;
    return GTM_OK;
}

int dns__rd_put8(struct dns__rd *rd, unsigned v)
{
    uint8_t octet = (uint8_t)v;
    return dns__rd_put(rd, &octet, 1);
}

int dns__rd_put16(struct dns__rd *rd, unsigned v)
{
    uint8_t octets[2];
    dns_put16(octets, (uint16_t)v);
    return dns__rd_put(rd, octets, 2);
}

int dns__rd_put32(struct dns__rd *rd, uint32_t v)
{
    uint8_t octets[4];
    dns_put32(octets, v);
    return dns__rd_put(rd, octets, 4);
}

/* A number, or a mnemonic that ldns knows (DNSSEC and CERT algorithms, TLSA's fields). */
static int field_mnemonic(struct dns__rd *rd, unsigned octets, const char *what,
                          ldns_status (*parse)(ldns_rdf **, const char *))
{
    const struct dns__token *token = dns__rd_word(rd, what);
    char word[32] = "", show[DNS__SHOW_BYTES];
    ldns_rdf *rdf = NULL;
    if (!token)
        return GTM_EPARSE;
    if (token->len > 0 && token->text[0] >= '0' && token->text[0] <= '9') {
        rd->i--; /* read it as a number */
        return dns__field_int(rd, octets, what);
    }
    if (token->len < sizeof(word) && token->text[0] != '-' && token->text[0] != '+')
        memcpy(word, token->text, token->len);
    if (word[0] == '\0' || parse(&rdf, word) != LDNS_STATUS_OK || !rdf ||
        ldns_rdf_size(rdf) != octets) {
        ldns_rdf_deep_free(rdf);
        return dns__rd_fail(rd, token, "expected %s, not \"%s\"", what,
                            dns__token_show(token, show));
    }
    int rc = dns__rd_put(rd, ldns_rdf_data(rdf), octets);
    ldns_rdf_deep_free(rdf);
    return rc;
}

/* The fields of certificates and keys; `all`: an encoding may go on over all tokens left. */
static int field_crypto(struct dns__rd *rd, ldns_rdf_type field, bool all)
{
    switch (field) {
    case LDNS_RDF_TYPE_B64:
        return dns__field_base64(rd, all);
    case LDNS_RDF_TYPE_HEX:
        return dns__field_hex(rd, all);
    case LDNS_RDF_TYPE_ALG:
        return field_mnemonic(rd, 1, "an algorithm", ldns_str2rdf_alg);
    case LDNS_RDF_TYPE_CERT_ALG:
        return field_mnemonic(rd, 2, "a certificate type", ldns_str2rdf_cert_alg);
    case LDNS_RDF_TYPE_CERTIFICATE_USAGE:
        return field_mnemonic(rd, 1, "a certificate usage", ldns_str2rdf_certificate_usage);
    case LDNS_RDF_TYPE_SELECTOR:
        return field_mnemonic(rd, 1, "a selector", ldns_str2rdf_selector);
    case LDNS_RDF_TYPE_MATCHING_TYPE:
        return field_mnemonic(rd, 1, "a matching type", ldns_str2rdf_matching_type);
    case LDNS_RDF_TYPE_TIME:
        return dns__field_time(rd);
    case LDNS_RDF_TYPE_NSEC:
        return dns__field_types(rd);
    case LDNS_RDF_TYPE_NSEC3_SALT:
        return dns__field_salt(rd);
    case LDNS_RDF_TYPE_NSEC3_NEXT_OWNER:
        return dns__field_next_hash(rd);
    default:
        return GTM_EUNSUPPORTED;
    }
}

static int field_rare(struct dns__rd *rd, ldns_rdf_type field)
{
    switch (field) {
    case LDNS_RDF_TYPE_LOC:
        return dns__field_loc(rd);
    case LDNS_RDF_TYPE_WKS:
        return dns__field_wks(rd);
    case LDNS_RDF_TYPE_APL:
        return dns__field_apl(rd);
    case LDNS_RDF_TYPE_IPSECKEY:
        return dns__field_ipseckey(rd);
    case LDNS_RDF_TYPE_HIP:
        return dns__field_hip(rd);
    case LDNS_RDF_TYPE_NSAP:
        return dns__field_nsap(rd);
    case LDNS_RDF_TYPE_ATMA:
        return dns__field_atma(rd);
    case LDNS_RDF_TYPE_ILNP64:
        return dns__field_groups(rd, 4, 4, ':');
    case LDNS_RDF_TYPE_EUI48:
        return dns__field_groups(rd, 6, 2, '-');
    case LDNS_RDF_TYPE_EUI64:
        return dns__field_groups(rd, 8, 2, '-');
    case LDNS_RDF_TYPE_TAG:
        return dns__field_tag(rd);
    case LDNS_RDF_TYPE_SVCPARAMS:
        return dns__field_svcparams(rd);
    default:
        return GTM_EUNSUPPORTED;
    }
}

static int parse_field(struct dns__rd *rd, ldns_rdf_type field, bool last)
{
    switch (field) {
    case LDNS_RDF_TYPE_DNAME:
        return dns__field_name(rd);
    case LDNS_RDF_TYPE_INT8:
        return dns__field_int(rd, 1, "a number");
    case LDNS_RDF_TYPE_INT16:
        return dns__field_int(rd, 2, "a number");
    case LDNS_RDF_TYPE_INT32:
        return dns__field_int(rd, 4, "a number");
    case LDNS_RDF_TYPE_PERIOD:
        return dns__field_period(rd);
    case LDNS_RDF_TYPE_A:
        return dns__field_ip(rd, AF_INET);
    case LDNS_RDF_TYPE_AAAA:
        return dns__field_ip(rd, AF_INET6);
    case LDNS_RDF_TYPE_STR:
        return dns__field_string(rd);
    case LDNS_RDF_TYPE_LONG_STR:
        return dns__field_long_string(rd);
    case LDNS_RDF_TYPE_TYPE:
        return dns__field_type(rd);
    default:
        break;
    }
    int rc = field_crypto(rd, field, last);
    return rc == GTM_EUNSUPPORTED ? field_rare(rd, field) : rc;
}

/* The descriptor of a type that this ldns describes, else NULL. */
static const ldns_rr_descriptor *describe(uint16_t type)
{
    if (type == TYPE_RKEY)
        return ldns_rr_descript(TYPE_KEY);
    if (type == TYPE_NINFO || type == TYPE_AVC || type == TYPE_RESINFO || type == TYPE_WALLET)
        return ldns_rr_descript(DNS_TYPE_TXT); /* the same layout */
    if (type == TYPE_NSAP_PTR)
        return ldns_rr_descript(DNS_TYPE_PTR); /* RFC 1706 6; ldns takes it for a string */
    const ldns_rr_descriptor *desc = ldns_rr_descript(type);
    if (!desc || desc == ldns_rr_descript(0) ||
        ldns_rr_descriptor_field_type(desc, 0) == LDNS_RDF_TYPE_UNKNOWN)
        return NULL;
    return desc;
}

/* Types that fill zones, of fields that are all our own: ldns is not asked, which would take most
 * of the time. */
static bool plain_type(uint16_t type)
{
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_DNAME:
    case DNS_TYPE_PTR:
    case DNS_TYPE_MX:
    case DNS_TYPE_TXT:
    case DNS_TYPE_SOA:
    case DNS_TYPE_SRV:
    case DNS_TYPE_DS:
    case DNS_TYPE_RRSIG:
    case DNS_TYPE_NSEC:
    case DNS_TYPE_NSEC3:
        return true;
    default:
        return false;
    }
}

/* Does ldns read the rdata as the type's fields, and give the same octets back? Catches cut fields,
 * compressed names and trailing octets in generic rdata. */
static bool reads_back(const struct dns__rd *rd, uint16_t type, const ldns_rr_descriptor *desc)
{
    uint8_t *wire = rd->out - DNS__RDATA_HEADROOM;
    size_t used = 0, at = DNS__RDATA_HEADROOM, len = at + rd->len;
    ldns_rr *rr = NULL;
    wire[0] = 0;
    dns_put16(wire + 1, type);
    dns_put16(wire + 3, DNS_CLASS_IN);
    dns_put32(wire + 5, 0);
    dns_put16(wire + 9, (uint16_t)rd->len);
    if (ldns_wire2rr(&rr, wire, len, &used, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
        return false;
    size_t fields = ldns_rr_rd_count(rr);
    bool may_be_empty = type == TYPE_CAA; /* its value (RFC 8659 4.1); ldns counts it out */
    bool ok = used == len && fields + may_be_empty >= ldns_rr_descriptor_minimum(desc);
    for (size_t i = 0; ok && i < fields; i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        size_t octets = rdf ? ldns_rdf_size(rdf) : 0;
        ok = octets <= len - at &&
             (octets == 0 || memcmp(wire + at, ldns_rdf_data(rdf), octets) == 0);
        at += octets;
    }
    ldns_rr_free(rr);
    return ok && at == len;
}

/* \# length hex... (RFC 3597 5) */
static int parse_generic(struct dns__rd *rd)
{
    uint64_t want;
    rd->i++; /* the mark itself */
    const struct dns__token *token = dns__rd_word(rd, "a length");
    if (!token)
        return GTM_EPARSE;
    if (!dns__decimal(token->text, token->len, DNS__RDATA_MAX, &want))
        return dns__rd_fail(rd, token, "expected a length from 0 to %d behind \\#", DNS__RDATA_MAX);
    if (rd->i < rd->count || want > 0) {
        int rc = dns__field_hex(rd, true);
        if (rc != GTM_OK)
            return rc;
    }
    if (rd->len != want)
        return dns__rd_fail(rd, token, "length %llu does not fit the %zu octets that follow",
                            (unsigned long long)want, rd->len);
    return GTM_OK;
}

/* Priority, target name, parameters. */
static const char *svcb_check(const struct dns__rd *rd)
{
    size_t target = rd->len > 2 ? dns_name_check(rd->out + 2, rd->len - 2) : 0;
    if (target == 0)
        return "rdata does not fit the type";
    return dns__svcparams_check(rd->out + 2 + target, rd->len - 2 - target);
}

static int parse_fields(struct dns__rd *rd, const ldns_rr_descriptor *desc)
{
    size_t min = ldns_rr_descriptor_minimum(desc), max = ldns_rr_descriptor_maximum(desc);
    for (size_t f = 0; f < max && (f < min || rd->i < rd->count); f++) {
        int rc = parse_field(rd, ldns_rr_descriptor_field_type(desc, f), f + 1 == max);
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

int dns__rdata_parse(struct dns__rd *rd, uint16_t type)
{
    const ldns_rr_descriptor *desc = describe(type);
    const struct dns__token *first = rd->count > 0 ? &rd->tokens[0] : NULL;
    bool generic = first && !first->quoted && first->len == 2 && memcmp(first->text, "\\#", 2) == 0;
    char show[DNS__SHOW_BYTES];
    rd->len = 0;
    rd->i = 0;
    rd->err.code = GTM_OK;
    int rc;
    if (generic)
        rc = parse_generic(rd);
    else if (type == TYPE_AMTRELAY)
        rc = dns__field_amtrelay(rd);
    else if (desc)
        rc = parse_fields(rd, desc);
    else
        return dns__rd_fail(rd, first, "rdata of TYPE%u must be written as \\# LENGTH HEX", type);
    if (rc != GTM_OK)
        return rc;
    if (rd->i < rd->count)
        return dns__rd_fail(rd, &rd->tokens[rd->i], "expected the end of the record, not \"%s\"",
                            dns__token_show(&rd->tokens[rd->i], show));
    bool known = desc && desc == ldns_rr_descript(type); /* not the layout of another type */
    const char *wrong = type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS ? svcb_check(rd) : NULL;
    if (wrong)
        return dns__rd_fail(rd, first, "%s", wrong);
    if (known && (generic || !plain_type(type)) && !reads_back(rd, type, desc))
        return dns__rd_fail(rd, first, "rdata does not fit the type");
    return GTM_OK;
}
