/* SPDX-License-Identifier: Apache-2.0
 *
 * The state machine of a transfer that comes in: see xfer_in.h.
 */
#include "dns/xfer_in.h"

#include "dns/rr.h"
#include "dns/xfer_in_int.h"
#include "dns/zonefile.h"
#include "gtm/base/mem.h"

#include <string.h>

enum phase {
    FIRST = 0, /* nothing came yet */
    SECOND,    /* the first SOA came: what follows says which form this is */
    ALL,       /* the whole zone */
    REMOVE,    /* differences: after an old SOA */
    INSERT,    /* differences: after a new SOA */
    ENDED
};

struct soa {
    uint8_t rdata[DNS_SOA_RDATA_MAX];
    uint16_t rdlen;
    uint32_t ttl, serial;
};

struct dns_xfer_in {
    uint8_t zone[DNS_NAME_MAX];
    bool ixfr, differences;
    const struct dns_zone *have;
    uint32_t have_serial, serial; /* serial: of the differences applied so far */
    uint64_t max_bytes, max_records, max_messages, bytes, records, messages;
    uint16_t id;
    enum phase phase;
    struct soa soa;
    struct dns__xset set;
    struct dns__xwire wire;
};

struct dns_xfer_in *dns_xfer_in_new(const struct dns_xfer_in_opts *opts)
{
    struct dns_xfer_in *x = gtm_calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    dns_name_lower(opts->zone, x->zone);
    x->ixfr = opts->ixfr && opts->have;
    x->have = opts->have;
    x->max_bytes = opts->max_bytes ? opts->max_bytes : DNS_XFER_IN_BYTES_MAX;
    x->max_records = opts->max_records ? opts->max_records : DNS_XFER_IN_RECORDS_MAX;
    x->max_messages = opts->max_messages ? opts->max_messages : DNS_XFER_IN_MESSAGES_MAX;
    if (x->have) {
        struct dns_zone_info info;
        dns_zone_info(x->have, &info);
        x->have_serial = info.serial;
    }
    return x;
}

void dns_xfer_in_free(struct dns_xfer_in *x)
{
    if (!x)
        return;
    dns__xset_fini(&x->set);
    gtm_free(x);
}

uint32_t dns_xfer_in_serial(const struct dns_xfer_in *x)
{
    return x->soa.serial;
}

size_t dns_xfer_in_records(const struct dns_xfer_in *x)
{
    return x->set.count + 1;
}

bool dns_xfer_in_differences(const struct dns_xfer_in *x)
{
    return x->differences;
}

size_t dns_xfer_in_request(struct dns_xfer_in *x, uint16_t id, uint8_t *out, size_t room)
{
    size_t name = dns_name_len(x->zone), n = 12 + name + 4;
    uint8_t soa[DNS_SOA_RDATA_MAX];
    uint32_t ttl = 0;
    size_t soa_len = x->ixfr ? dns_zone_soa(x->have, soa, &ttl) : 0;
    if (room < n + (x->ixfr ? 12 + soa_len : 0))
        return 0;
    memset(out, 0, 12);
    dns_put16(out, id);
    dns_put16(out + 4, 1);
    memcpy(out + 12, x->zone, name);
    dns_put16(out + 12 + name, x->ixfr ? DNS_TYPE_IXFR : DNS_TYPE_AXFR);
    dns_put16(out + 14 + name, DNS_CLASS_IN);
    if (x->ixfr) { /* RFC 1995 3: our SOA in the authority section */
        dns_put16(out + 8, 1);
        dns_put16(out + n, 0xc00c);
        dns_put16(out + n + 2, DNS_TYPE_SOA);
        dns_put16(out + n + 4, DNS_CLASS_IN);
        dns_put32(out + n + 6, 0);
        dns_put16(out + n + 10, (uint16_t)soa_len);
        memcpy(out + n + 12, soa, soa_len);
        n += 12 + soa_len;
    }
    x->id = id;
    return n;
}

/* --- what a record does --- */

static int out_of_place(struct gtm_error *err, const char *what)
{
    return gtm_error_set(err, GTM_EPARSE, "transfer: %s", what);
}

static struct dns__xrec record(const struct dns_xfer_in *x)
{
    uint32_t ttl = x->wire.ttl > DNS_TTL_MAX ? 0 : x->wire.ttl; /* RFC 2181 8 */
    return (struct dns__xrec){.owner = x->wire.owner,
                              .rdata = x->wire.rdata,
                              .ttl = ttl,
                              .type = x->wire.type,
                              .rdlen = x->wire.rdlen};
}

static int insert(struct dns_xfer_in *x, struct gtm_error *err)
{
    struct dns__xrec rec = record(x);
    int rc = dns__xset_add(&x->set, &rec);
    /* compressed names make much of little: what is kept has the same bound as what comes */
    if (rc == GTM_OK && (x->set.count > x->max_records || x->set.bytes_len > x->max_bytes))
        rc = GTM_ELIMIT;
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "transfer: %s", gtm_err_text(rc));
}

static int copy_have(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl,
                     const uint8_t *rdata, uint16_t rdlen, int64_t slot)
{
    struct dns_xfer_in *x = ctx;
    struct dns__xrec rec = {owner, rdata, ttl, type, rdlen};
    if (slot >= 0 || type == DNS_TYPE_SOA)
        return 0;
    return dns__xset_add(&x->set, &rec);
}

static uint32_t soa_serial(const struct dns_xfer_in *x)
{
    return dns_get32(x->wire.rdata + x->wire.rdlen - 20);
}

static void take_soa(struct dns_xfer_in *x)
{
    x->soa.rdlen = x->wire.rdlen;
    memcpy(x->soa.rdata, x->wire.rdata, x->wire.rdlen);
    x->soa.ttl = x->wire.ttl > DNS_TTL_MAX ? 0 : x->wire.ttl;
    x->soa.serial = soa_serial(x);
}

static bool is_last_soa(const struct dns_xfer_in *x)
{
    return x->wire.rdlen == x->soa.rdlen && memcmp(x->wire.rdata, x->soa.rdata, x->soa.rdlen) == 0;
}

static int on_second(struct dns_xfer_in *x, bool soa, struct gtm_error *err)
{
    if (!soa) {
        x->phase = ALL;
        return insert(x, err);
    }
    if (x->ixfr && soa_serial(x) == x->have_serial && x->have_serial != x->soa.serial) {
        int rc = dns_zone_walk(x->have, copy_have, x);
        x->phase = REMOVE;
        x->differences = true;
        x->serial = x->have_serial;
        return rc == 0 ? GTM_OK : gtm_error_set(err, rc, "transfer: %s", gtm_err_text(rc));
    }
    return out_of_place(err, is_last_soa(x) ? "a zone of nothing but its SOA"
                                            : "the second SOA is of no version that is known");
}

/* Differences: a sequence of SOA old, removed, SOA new, added; the newest SOA ends it. */
static int on_difference(struct dns_xfer_in *x, bool soa, struct gtm_error *err)
{
    struct dns__xrec rec = record(x);
    if (!soa && x->phase == INSERT)
        return insert(x, err);
    if (!soa)
        return dns__xset_remove(&x->set, &rec) ? GTM_OK : DNS_XFER_IN_AXFR;
    uint32_t serial = soa_serial(x);
    if (x->phase == REMOVE) {
        if (!dns_serial_after(serial, x->serial))
            return out_of_place(err, "differences that go backwards");
        x->serial = serial;
        x->phase = INSERT;
        return GTM_OK;
    }
    if (serial != x->serial)
        return out_of_place(err, "differences that do not join");
    if (serial == x->soa.serial) {
        x->phase = ENDED;
        return is_last_soa(x) ? GTM_OK : out_of_place(err, "its first and last SOA differ");
    }
    x->phase = REMOVE;
    return GTM_OK;
}

static int check_record(const struct dns_xfer_in *x, struct gtm_error *err)
{
    uint16_t type = x->wire.type;
    char name[DNS_NAME_TEXT_MAX];
    if (x->phase == ENDED)
        return out_of_place(err, "something follows the last SOA");
    if (x->wire.class != DNS_CLASS_IN)
        return out_of_place(err, "a record of another class than IN");
    if (type == 0 || type == DNS_TYPE_OPT || (type >= 128 && type <= 255))
        return gtm_error_set(err, GTM_EPARSE, "transfer: a record of type %u", type);
    if (!dns_name_under(x->wire.owner, x->zone))
        return gtm_error_set(err, GTM_EPARSE, "transfer: %.200s is not in the zone",
                             dns_name_text(x->wire.owner, name));
    if (type == DNS_TYPE_SOA && !dns_name_equal(x->wire.owner, x->zone))
        return out_of_place(err, "a SOA below the top of the zone");
    return GTM_OK;
}

static int on_record(struct dns_xfer_in *x, struct gtm_error *err)
{
    bool soa = x->wire.type == DNS_TYPE_SOA;
    int rc = check_record(x, err);
    if (rc != GTM_OK)
        return rc;
    switch (x->phase) {
    case FIRST:
        if (!soa)
            return out_of_place(err, "it does not begin with a SOA");
        take_soa(x);
        x->phase = SECOND;
        return GTM_OK;
    case SECOND:
        return on_second(x, soa, err);
    case ALL:
        if (!soa)
            return insert(x, err);
        x->phase = ENDED;
        return is_last_soa(x) ? GTM_OK : out_of_place(err, "its first and last SOA differ");
    case REMOVE:
    case INSERT:
        return on_difference(x, soa, err);
    case ENDED:
        break;
    }
    return out_of_place(err, "something follows the last SOA");
}

/* --- messages --- */

static int on_rcode(const struct dns_xfer_in *x, unsigned rcode, struct gtm_error *err)
{
    static const char *const words[] = {"NOERROR", "FORMERR",  "SERVFAIL", "NXDOMAIN", "NOTIMP",
                                        "REFUSED", "YXDOMAIN", "YXRRSET",  "NXRRSET",  "NOTAUTH"};
    /* Servers without IXFR say so in many ways; the whole zone is asked for, and that answer
     * counts. */
    if (x->ixfr && x->phase == FIRST)
        return DNS_XFER_IN_AXFR;
    if (rcode < sizeof(words) / sizeof(words[0]))
        return gtm_error_set(err, rcode == 5 || rcode == 9 ? GTM_EDENIED : GTM_EPARSE,
                             "transfer: the server answers %s", words[rcode]);
    return gtm_error_set(err, GTM_EPARSE, "transfer: the server answers with RCODE %u", rcode);
}

/* Header and question; *ret_at is where the answers begin. */
static int check_head(struct dns_xfer_in *x, const uint8_t *msg, size_t len, size_t *ret_at,
                      struct gtm_error *err)
{
    uint8_t name[DNS_NAME_MAX];
    size_t name_len = 0;
    if (len < 12 || !(msg[2] & 0x80) || (msg[2] & 0x7a) || dns_get16(msg) != x->id)
        return out_of_place(err, "a message that answers nothing asked");
    if (msg[3] & 15)
        return on_rcode(x, msg[3] & 15u, err);
    unsigned questions = dns_get16(msg + 4);
    *ret_at = 12;
    if (questions == 0 && x->messages > 1)
        return GTM_OK;
    size_t taken = questions == 1 ? dns__xwire_name(msg, len, 12, name, &name_len) : 0;
    if (taken == 0 || len - 12 - taken < 4 || !dns_name_equal(name, x->zone) ||
        dns_get16(msg + 12 + taken) != (x->ixfr ? DNS_TYPE_IXFR : DNS_TYPE_AXFR) ||
        dns_get16(msg + 14 + taken) != DNS_CLASS_IN)
        return out_of_place(err, "an answer to another question");
    *ret_at = 12 + taken + 4;
    return GTM_OK;
}

static int count(struct dns_xfer_in *x, size_t len, size_t records, struct gtm_error *err)
{
    x->bytes += len;
    x->records += records;
    x->messages++;
    /* Differences may name a record twice. */
    if (x->bytes > x->max_bytes || x->records > 4 * x->max_records + 4 ||
        x->messages > x->max_messages)
        return gtm_error_set(err, GTM_ELIMIT, "transfer: it does not end (%llu octets so far)",
                             (unsigned long long)x->bytes);
    return GTM_OK;
}

int dns_xfer_in_feed(struct dns_xfer_in *x, const uint8_t *msg, size_t len, struct gtm_error *err)
{
    size_t at = 0, records = len < 12 ? 0 : dns_get16(msg + 6);
    int rc = count(x, len, records, err);
    if (rc == GTM_OK)
        rc = check_head(x, msg, len, &at, err);
    if (rc != GTM_OK)
        return rc;
    if (records == 0)
        return x->ixfr && x->phase == FIRST ? DNS_XFER_IN_AXFR
                                            : out_of_place(err, "a message without records");
    for (size_t i = 0; i < records; i++) {
        if (!dns__xwire_read(msg, len, &at, &x->wire))
            return out_of_place(err, "a malformed record");
        rc = on_record(x, err);
        if (rc != GTM_OK)
            return rc;
    }
    if (x->phase == ENDED)
        return DNS_XFER_IN_DONE;
    /* RFC 1995 4: the SOA alone: nothing newer is there. */
    if (x->phase == SECOND && x->ixfr && !dns_serial_after(x->soa.serial, x->have_serial))
        return DNS_XFER_IN_CURRENT;
    return DNS_XFER_IN_MORE;
}

int dns_xfer_in_text(const struct dns_xfer_in *x, char **ret_text, size_t *ret_len,
                     struct gtm_error *err)
{
    struct dns__xrec soa = {x->zone, x->soa.rdata, x->soa.ttl, DNS_TYPE_SOA, x->soa.rdlen};
    return dns__xset_text(&x->set, &soa, ret_text, ret_len, err);
}
