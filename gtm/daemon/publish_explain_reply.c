/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client is answered, for explain: asks dns_answer on the published view exactly as a
 * resolver would with a client subnet, and reads the reply. Control thread. The reply is our own,
 * but its bounds are checked all the same.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_explain_int.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_BYTES   600
#define OPTION_ECS    8  /* RFC 7871 */
#define OPTION_EDE    15 /* RFC 8914 */
#define RR_HEAD_BYTES 10 /* type, class, TTL, rdlength */

static size_t write_query(const struct gtm__explain *x, size_t qname_len, uint8_t out[QUERY_BYTES])
{
    unsigned octets = (x->query->prefix_len + 7) / 8;
    memset(out, 0, QUERY_BYTES);
    dns_put16(out + 4, 1);  /* one question */
    dns_put16(out + 10, 1); /* OPT */
    memcpy(out + 12, x->qname, qname_len);
    uint8_t *p = out + 12 + qname_len;
    dns_put16(p, x->query->type);
    dns_put16(p + 2, DNS_CLASS_IN);
    p += 4;
    *p++ = 0; /* root: OPT's owner */
    dns_put16(p, DNS_TYPE_OPT);
    dns_put16(p + 2, DNS_UDP_PAYLOAD_MAX);
    dns_put16(p + 8, (uint16_t)(8 + octets));
    p += 10;
    dns_put16(p, OPTION_ECS);
    dns_put16(p + 2, (uint16_t)(4 + octets));
    dns_put16(p + 4, x->query->family == 4 ? 1 : 2);
    p[6] = (uint8_t)x->query->prefix_len;
    memcpy(p + 8, x->addr, octets);
    return (size_t)(p + 8 + octets - out);
}

void gtm__explain_ask(struct gtm__explain *x, size_t qname_len)
{
    uint8_t packet[QUERY_BYTES];
    size_t len = write_query(x, qname_len, packet);
    struct dns_client client = {.family = x->query->family, .proto = DNS_PROTO_TCP};
    struct dns_answerer answerer = {.rand = {{0}}};
    memcpy(client.addr, x->addr, sizeof(client.addr));
    /* A seed of its own for each view: a weighted answer is one of those that clients get. */
    dns_answerer_init(&answerer, x->pub->info.revision);
    x->reply_len =
        dns_answer(&answerer, x->pub->view, &client, packet, len, x->reply, DNS_MESSAGE_MAX);
}

/* ---- reading the reply: it is our own, but bounds are checked all the same ---- */

/* Uncompresses the name at *at; moves *at behind it. False when it is malformed. */
static bool read_name(const struct gtm__explain *x, size_t *at, uint8_t out[DNS_NAME_MAX])
{
    size_t pos = *at, len = 0, end = 0;
    for (unsigned jumps = 0; pos < x->reply_len && jumps < 64;) {
        uint8_t octet = x->reply[pos];
        if (octet >= 0xc0) {
            if (pos + 2 > x->reply_len)
                return false;
            if (!end)
                end = pos + 2;
            pos = dns_get16(x->reply + pos) & 0x3fffu;
            jumps++;
            continue;
        }
        if (octet > DNS_LABEL_MAX || len + octet + 1u > DNS_NAME_MAX ||
            pos + octet + 1u > x->reply_len)
            return false;
        memcpy(out + len, x->reply + pos, octet + 1u);
        len += octet + 1u;
        pos += octet + 1u;
        if (octet == 0) {
            *at = end ? end : pos;
            return true;
        }
    }
    return false;
}

struct record {
    uint8_t owner[DNS_NAME_MAX];
    uint16_t type, class_, rdlen;
    uint32_t ttl;
    size_t start, rdata; /* places in the reply */
};

static bool read_record(const struct gtm__explain *x, size_t *at, struct record *ret)
{
    ret->start = *at;
    if (!read_name(x, at, ret->owner) || *at + RR_HEAD_BYTES > x->reply_len)
        return false;
    const uint8_t *p = x->reply + *at;
    ret->type = dns_get16(p);
    ret->class_ = dns_get16(p + 2);
    ret->ttl = dns_get32(p + 4);
    ret->rdlen = dns_get16(p + 8);
    ret->rdata = *at + RR_HEAD_BYTES;
    *at = ret->rdata + ret->rdlen;
    return *at <= x->reply_len;
}

const char *gtm__explain_type(uint16_t type, char out[16])
{
    static const struct {
        uint16_t type;
        const char *text;
    } known[] = {{DNS_TYPE_A, "A"},         {DNS_TYPE_AAAA, "AAAA"}, {DNS_TYPE_CNAME, "CNAME"},
                 {DNS_TYPE_NS, "NS"},       {DNS_TYPE_SOA, "SOA"},   {DNS_TYPE_PTR, "PTR"},
                 {DNS_TYPE_MX, "MX"},       {DNS_TYPE_TXT, "TXT"},   {DNS_TYPE_SRV, "SRV"},
                 {DNS_TYPE_DNAME, "DNAME"}, {DNS_TYPE_SVCB, "SVCB"}, {DNS_TYPE_HTTPS, "HTTPS"},
                 {DNS_TYPE_ANY, "ANY"}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].type == type)
            return known[i].text;
    snprintf(out, 16, "TYPE%u", type); /* RFC 3597 5 */
    return out;
}

static const char *rcode_text(unsigned rcode, char out[16])
{
    static const char *const words[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                        "NXDOMAIN", "NOTIMP",  "REFUSED"};
    if (rcode < sizeof(words) / sizeof(words[0]))
        return words[rcode];
    snprintf(out, 16, "RCODE%u", rcode);
    return out;
}

/* The rdata as in a zone file; what ldns cannot read as RFC 3597 5 does: \# length hex. */
static void add_rdata(const struct gtm__explain *x, const struct record *r, struct gtm_json *out)
{
    ldns_rr *rr = NULL;
    size_t at = r->start;
    char *line = NULL;
    if (ldns_wire2rr(&rr, x->reply, x->reply_len, &at, LDNS_SECTION_ANSWER) == LDNS_STATUS_OK)
        line = ldns_rr2str(rr);
    char *text = line;
    for (int tabs = 0; text && tabs < 4; tabs++) { /* owner, TTL, class, type */
        text = strchr(text, '\t');
        text = text ? text + 1 : NULL;
    }
    struct gtm_buf shown = {0};
    if (text) {
        gtm_buf_add(&shown, text, strcspn(text, "\n"));
        while (shown.len > 0 && shown.data[shown.len - 1] == ' ')
            shown.data[--shown.len] = '\0';
    } else {
        gtm_buf_addf(&shown, "\\# %u ", r->rdlen);
        for (size_t i = 0; i < r->rdlen; i++)
            gtm_buf_addf(&shown, "%02x", x->reply[r->rdata + i]);
    }
    gtm_json_add_str(out, "data", shown.data ? shown.data : "");
    gtm_buf_fini(&shown);
    ldns_rr_free(rr);
    free(line); /* lint: libc free - ldns allocated it */
}

/* The answer section; follows CNAMEs from the question's name in x->qname. */
static bool add_answers(struct gtm__explain *x, size_t *at, unsigned count, struct gtm_json *out)
{
    struct gtm_json *records = gtm_json_add_array(out, "records");
    for (unsigned i = 0, followed = 0; i < count; i++) {
        struct record r;
        char name[DNS_NAME_TEXT_MAX], type[16];
        if (!read_record(x, at, &r))
            return false;
        struct gtm_json *one = gtm_json_append_object(records);
        gtm_json_add_str(one, "name", dns_name_text(r.owner, name));
        gtm_json_add_str(one, "type", gtm__explain_type(r.type, type));
        gtm_json_add_i64(one, "ttl_seconds", r.ttl);
        add_rdata(x, &r, one);
        size_t target = r.rdata;
        if (r.type == DNS_TYPE_CNAME && x->query->type != DNS_TYPE_CNAME &&
            dns_name_equal(r.owner, x->qname) && followed++ < GTM__EXPLAIN_CHAIN_MAX &&
            !read_name(x, &target, x->qname))
            return false;
    }
    return true;
}

static void add_options(const struct gtm__explain *x, const struct record *opt,
                        struct gtm_json *out)
{
    const uint8_t *p = x->reply + opt->rdata, *end = p + opt->rdlen;
    while (end - p >= 4) {
        uint16_t code = dns_get16(p), len = dns_get16(p + 2);
        p += 4;
        if (len > end - p)
            return;
        if (code == OPTION_ECS && len >= 4)
            gtm_json_add_i64(out, "scope", p[3]);
        if (code == OPTION_EDE && len >= 2) {
            char text[DNS_EDE_TEXT_MAX + 1];
            struct gtm_json *ede = gtm_json_add_object(out, "extended_error");
            snprintf(text, sizeof(text), "%.*s", len - 2, (const char *)p + 2);
            gtm_json_add_i64(ede, "code", dns_get16(p));
            gtm_json_add_str(ede, "text", text);
        }
        p += len;
    }
}

bool gtm__explain_reply(struct gtm__explain *x)
{
    uint8_t name[DNS_NAME_MAX];
    char word[16];
    size_t at = 12;
    struct gtm_json *out = gtm_json_add_object(x->root, "answer");
    if (x->reply_len < 12 || !read_name(x, &at, name) || at + 4 > x->reply_len)
        return false;
    at += 4;
    gtm_json_add_str(out, "rcode", rcode_text(x->reply[3] & 15u, word));
    if (!add_answers(x, &at, dns_get16(x->reply + 6), out))
        return false;
    unsigned rest = dns_get16(x->reply + 8) + (unsigned)dns_get16(x->reply + 10);
    for (unsigned i = 0; i < rest; i++) {
        struct record r;
        if (!read_record(x, &at, &r))
            return false;
        if (r.type == DNS_TYPE_OPT)
            add_options(x, &r, out);
    }
    return true;
}

bool gtm__explain_cname(const struct gtm__explain *x, uint8_t name[DNS_NAME_MAX])
{
    uint8_t question[DNS_NAME_MAX];
    size_t at = 12;
    if (x->reply_len < 12 || !read_name(x, &at, question))
        return false;
    at += 4;
    for (unsigned i = 0, n = dns_get16(x->reply + 6); i < n; i++) {
        struct record r;
        if (!read_record(x, &at, &r))
            return false;
        size_t target = r.rdata;
        if (r.type == DNS_TYPE_CNAME && dns_name_equal(r.owner, name))
            return read_name(x, &target, name);
    }
    return false;
}
