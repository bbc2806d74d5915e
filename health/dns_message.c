/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries and answers of dns checks. See dns_message.h. ldns parses and prints records; the header
 * and the question are compared here, so that what is not the answer never gets that far.
 *
 * Failure modes: another id, question or no response is ignored; another rcode or a lacking rdata
 * is an answer that is not expected; what cannot be parsed is garbage.
 */
#include "health/dns_message.h"

#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <ctype.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER_BYTES 12
#define EXPECT_MAX   1024
#define LISTED_MAX   120 /* bytes of rdata in a sentence */

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* --- the question --- */

static int set_query(struct health_dns_ask *ask, const char *name, struct gtm_error *err)
{
    ldns_rdf *wire = name ? ldns_dname_new_frm_str(name) : ldns_dname_new_frm_str(".");
    size_t len = wire ? ldns_rdf_size(wire) : 0;
    if (len == 0 || len > 255) {
        ldns_rdf_deep_free(wire);
        return gtm_error_set(err, GTM_EINVAL, "'%.80s' is no domain name", name ? name : ".");
    }
    ask->query[2] = 1; /* RD: resolvers are checked too, others do not mind */
    put16(ask->query + 4, 1);
    memcpy(ask->query + HEADER_BYTES, ldns_rdf_data(wire), len);
    put16(ask->query + HEADER_BYTES + len, ask->type);
    put16(ask->query + HEADER_BYTES + len + 2, 1);
    ask->len = HEADER_BYTES + len + 4;
    ldns_rdf_deep_free(wire);
    return GTM_OK;
}

/* The rdata of a record as text (gtm_free), or NULL. */
static char *rdata_text(const ldns_rr *rr)
{
    char *line = ldns_rr2str_fmt(ldns_output_format_nocomments, rr), *text = NULL;
    const char *at = line;
    for (int i = 0; at && i < 4; i++) /* owner, TTL, class, type */
        at = (at = strchr(at, '\t')) ? at + 1 : NULL;
    if (at)
        text = gtm_strndup(at, strcspn(at, "\n"));
    LDNS_FREE(line);
    return text;
}

/* The expected text as ldns prints it, when it is rdata of the type: "2001:DB8::0:1" and
 * "2001:db8::1" are the same. */
static char *canonical(const struct health_dns_ask *ask)
{
    char *type = ldns_rr_type2str((ldns_rr_type)ask->type), *text = NULL;
    char *line = type ? gtm_asprintf(". 0 IN %s %s\n", type, ask->expect) : NULL;
    ldns_rr *rr = NULL;
    if (line && ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) == LDNS_STATUS_OK)
        text = rdata_text(rr);
    ldns_rr_free(rr);
    LDNS_FREE(type);
    gtm_free(line);
    return text;
}

static int set_expected(struct health_dns_ask *ask, const char *expect, struct gtm_error *err)
{
    if (!expect)
        return GTM_OK;
    if (strnlen(expect, EXPECT_MAX + 1) > EXPECT_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "the expected answer is too long");
    for (const char *p = expect; *p; p++)
        if ((unsigned char)*p < ' ')
            return gtm_error_set(err, GTM_EINVAL, "the expected answer has a control character");
    ask->expect = gtm_strdup(expect);
    if (!ask->expect)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    ask->text = canonical(ask);
    return GTM_OK;
}

int health_dns_ask_new(const struct gtm_monitor *m, struct health_dns_ask **ret_ask,
                       struct gtm_error *err)
{
    *ret_ask = NULL;
    struct health_dns_ask *ask = gtm_calloc(1, sizeof(*ask));
    if (!ask)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    ask->type = m->query_type;
    if (ask->type == 0)
        ask->type =
            m->query_name && strcmp(m->query_name, ".") != 0 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_NS;
    ask->tcp = m->query_tcp;
    ask->rcode = m->expect_rcode;
    int rc = set_query(ask, m->query_name, err);
    if (rc == GTM_OK)
        rc = set_expected(ask, m->expect_answer, err);
    if (rc != GTM_OK) {
        health_dns_ask_free(ask);
        return rc;
    }
    *ret_ask = ask;
    return GTM_OK;
}

void health_dns_ask_free(struct health_dns_ask *ask)
{
    if (!ask)
        return;
    gtm_free(ask->expect);
    gtm_free(ask->text);
    gtm_free(ask);
}

bool health_dns_ask_equal(const struct health_dns_ask *a, const struct health_dns_ask *b)
{
    if (!a || !b)
        return a == b;
    return a->len == b->len && memcmp(a->query, b->query, a->len) == 0 && a->tcp == b->tcp &&
           a->rcode == b->rcode && !a->expect == !b->expect &&
           (!a->expect || strcmp(a->expect, b->expect) == 0);
}

/* --- the answer --- */

static const char *rcode_word(unsigned rcode, char out[16])
{
    static const char *const words[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                        "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                        "NXRRSET", "NOTAUTH", "NOTZONE"};
    if (rcode < sizeof(words) / sizeof(words[0]))
        return words[rcode];
    snprintf(out, 16, "%u", rcode);
    return out;
}

/* RFC 5452 9.1: the question must come back. Names differ in case at most. */
static bool same_question(const struct health_dns_ask *ask, const uint8_t *message, size_t len)
{
    if (len < ask->len)
        return false;
    for (size_t i = HEADER_BYTES; i < ask->len - 4; i++)
        if (tolower(message[i]) != tolower(ask->query[i]))
            return false;
    return memcmp(message + ask->len - 4, ask->query + ask->len - 4, 4) == 0;
}

/* True when the message answers the query. A server that could not read the query may leave the
 * question out, and then says nothing but its rcode. */
static bool is_answer(const struct health_dns_ask *ask, uint16_t id, const uint8_t *message,
                      size_t len)
{
    if (len < HEADER_BYTES || get16(message) != id || (message[2] & 0xf8) != 0x80)
        return false;
    unsigned questions = get16(message + 4), rcode = message[3] & 15u;
    if (questions == 0)
        return rcode != 0 && get16(message + 6) == 0;
    return questions == 1 && same_question(ask, message, len);
}

/* True when this record's rdata is the expected one. Its text is also listed. */
static bool record_fits(const struct health_dns_ask *ask, const ldns_rr *rr, struct gtm_buf *listed)
{
    char *text = rdata_text(rr);
    if (!text)
        return false;
    bool exact = ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT;
    int (*compare)(const char *, const char *) = exact ? strcmp : strcasecmp;
    bool fits = compare(text, ask->expect) == 0 || (ask->text && compare(text, ask->text) == 0);
    if (listed->len < LISTED_MAX)
        gtm_buf_addf(listed, "%s%s", listed->len ? ", " : "", text);
    gtm_free(text);
    return fits;
}

static void judge_records(const struct health_dns_ask *ask, const ldns_pkt *pkt,
                          struct health_outcome *o)
{
    const ldns_rr_list *answer = ldns_pkt_answer(pkt);
    size_t count = ldns_rr_list_rr_count(answer);
    struct gtm_buf listed = {0};
    char number[16];
    bool found = !ask->expect;
    for (size_t i = 0; !found && i < count; i++)
        found = record_fits(ask, ldns_rr_list_rr(answer, i), &listed);
    o->result = found ? HEALTH_RESULT_OK : HEALTH_RESULT_ANSWER;
    if (found)
        o->text = gtm_asprintf("%s, %zu records", rcode_word(ask->rcode, number), count);
    else if (count == 0)
        o->text = gtm_asprintf("the answer is empty, wanted %.60s", ask->expect);
    else
        o->text = gtm_asprintf("the answer lacks %.60s: %.*s", ask->expect, (int)listed.len,
                               listed.data ? listed.data : "");
    gtm_buf_fini(&listed);
}

enum health_dns_step health_dns_judge(const struct health_dns_ask *ask, uint16_t id, bool tcp,
                                      const uint8_t *message, size_t len, struct health_outcome *o)
{
    char got[16], wanted[16];
    ldns_pkt *pkt = NULL;
    if (!is_answer(ask, id, message, len))
        return HEALTH_DNS_IGNORE;
    unsigned rcode = message[3] & 15u;
    bool cut = (message[2] & 2u) != 0;
    if (rcode != ask->rcode) {
        o->result = HEALTH_RESULT_ANSWER;
        o->text = gtm_asprintf("rcode %s, wanted %s", rcode_word(rcode, got),
                               rcode_word(ask->rcode, wanted));
        return HEALTH_DNS_DECIDED;
    }
    if (cut && !tcp && ask->expect)
        return HEALTH_DNS_TRUNCATED;
    if (ldns_wire2pkt(&pkt, message, len) == LDNS_STATUS_OK) {
        judge_records(ask, pkt, o);
        ldns_pkt_free(pkt);
    } else if (cut && !ask->expect) {
        o->result = HEALTH_RESULT_OK; /* cut in the middle of a record, as some servers do */
    } else {
        o->result = HEALTH_RESULT_GARBAGE;
        o->text = gtm_strdup("malformed DNS message");
    }
    return HEALTH_DNS_DECIDED;
}
