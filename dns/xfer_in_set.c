/* SPDX-License-Identifier: Apache-2.0
 *
 * See xfer_in_int.h. Records lie one after another in one block; an index of hashes finds them, for
 * duplicates and for what differences remove.
 */
#include "dns/xfer_in_int.h"

#include "dns/hash.h"
#include "dns/rr.h"
#include "dns/zonefile.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MIN 256
#define GONE      SIZE_MAX

struct head {
    uint32_t ttl;
    uint16_t type, rdlen;
    uint8_t owner_len;
};

static struct dns__xrec record_at(const struct dns__xset *set, size_t at)
{
    struct head head;
    memcpy(&head, set->bytes + at, sizeof(head));
    const uint8_t *owner = set->bytes + at + sizeof(head);
    return (struct dns__xrec){.owner = owner,
                              .rdata = owner + head.owner_len,
                              .ttl = head.ttl,
                              .type = head.type,
                              .rdlen = head.rdlen};
}

static uint64_t mix(uint64_t h, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ data[i]) * 0x100000001b3ull;
    return h;
}

/* FNV-1a over what tells records apart, finished so that low bits count. Whoever sends records of
 * one hash slows down a transfer that ends by its time anyway. */
static uint64_t hash_of(const struct dns__xrec *rec)
{
    uint8_t owner[DNS_NAME_MAX];
    size_t len = dns_name_lower(rec->owner, owner);
    uint64_t h = mix(0xcbf29ce484222325ull ^ rec->type, owner, len);
    h = mix(h, rec->rdata, rec->rdlen);
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ull;
    return h ^ (h >> 29);
}

static bool same(const struct dns__xrec *a, const struct dns__xrec *b)
{
    return a->type == b->type && a->rdlen == b->rdlen && dns_name_equal(a->owner, b->owner) &&
           (a->rdlen == 0 || memcmp(a->rdata, b->rdata, a->rdlen) == 0);
}

/* An entry of the table: the number of the record, from 1, below the upper half of its hash, which
 * tells most others apart without a look at them; 0 = free. */
static uint64_t entry_of(uint64_t hash, size_t number)
{
    return (hash & ~(uint64_t)UINT32_MAX) | (uint32_t)number;
}

static size_t number_in(uint64_t entry)
{
    return (uint32_t)entry;
}

/* The place in the table where the record is, or where it would go. */
static size_t find(const struct dns__xset *set, const struct dns__xrec *rec, uint64_t hash,
                   bool *ret_there)
{
    size_t mask = set->table_size - 1, place = (size_t)hash & mask;
    for (;; place = (place + 1) & mask) {
        uint64_t entry = set->table[place];
        if (entry == 0)
            break;
        if ((entry ^ hash) >> 32 != 0)
            continue;
        size_t at = set->at[number_in(entry) - 1];
        if (at == GONE)
            continue;
        struct dns__xrec other = record_at(set, at);
        if (same(rec, &other)) {
            *ret_there = true;
            return place;
        }
    }
    *ret_there = false;
    return place;
}

static int grow_table(struct dns__xset *set)
{
    if (set->table_size && set->at_count < set->table_size / 4 * 3)
        return GTM_OK;
    size_t size = set->table_size ? set->table_size * 2 : TABLE_MIN;
    uint64_t *table = size > UINT32_MAX / 2 ? NULL : gtm_calloc(size, sizeof(*table));
    if (!table)
        return GTM_ENOMEM;
    gtm_free(set->table);
    set->table = table;
    set->table_size = size;
    for (size_t i = 0; i < set->at_count; i++) {
        if (set->at[i] == GONE)
            continue;
        struct dns__xrec rec = record_at(set, set->at[i]);
        uint64_t hash = hash_of(&rec);
        size_t place = (size_t)hash & (size - 1);
        while (table[place])
            place = (place + 1) & (size - 1);
        table[place] = entry_of(hash, i + 1);
    }
    return GTM_OK;
}

int dns__xset_add(struct dns__xset *set, const struct dns__xrec *rec)
{
    bool there = false;
    size_t owner_len = dns_name_len(rec->owner);
    struct head head = {
        .ttl = rec->ttl, .type = rec->type, .rdlen = rec->rdlen, .owner_len = (uint8_t)owner_len};
    int rc = grow_table(set);
    if (rc != GTM_OK)
        return rc;
    uint64_t hash = hash_of(rec);
    size_t place = find(set, rec, hash, &there);
    if (there)
        return GTM_OK;
    size_t need = sizeof(head) + owner_len + rec->rdlen;
    void *bytes = set->bytes, *at = set->at;
    rc = gtm_grow(&bytes, &set->bytes_cap, set->bytes_len + need, 1);
    set->bytes = bytes;
    if (rc == GTM_OK)
        rc = gtm_grow(&at, &set->at_cap, set->at_count + 1, sizeof(*set->at));
    set->at = at;
    if (rc != GTM_OK)
        return rc;
    uint8_t *to = set->bytes + set->bytes_len;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), rec->owner, owner_len);
    if (rec->rdlen)
        memcpy(to + sizeof(head) + owner_len, rec->rdata, rec->rdlen);
    set->at[set->at_count] = set->bytes_len;
    set->table[place] = entry_of(hash, ++set->at_count);
    set->bytes_len += need;
    set->count++;
    return GTM_OK;
}

bool dns__xset_remove(struct dns__xset *set, const struct dns__xrec *rec)
{
    bool there = false;
    if (set->table_size == 0)
        return false;
    size_t place = find(set, rec, hash_of(rec), &there);
    if (!there)
        return false;
    set->at[number_in(set->table[place]) - 1] = GONE;
    set->count--;
    return true;
}

void dns__xset_fini(struct dns__xset *set)
{
    gtm_free(set->bytes);
    gtm_free(set->at);
    gtm_free(set->table);
    *set = (struct dns__xset){0};
}

/* --- text --- */

/* Types whose text of ldns our reader takes back as it was; all others are written in the generic
 * form (RFC 3597 5), which every type has. */
static bool plain_type(uint16_t type)
{
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_SOA:
    case DNS_TYPE_PTR:
    case DNS_TYPE_MX:
    case DNS_TYPE_TXT:
    case DNS_TYPE_AAAA:
    case DNS_TYPE_SRV:
    case DNS_TYPE_DNAME:
        return true;
    default:
        return false;
    }
}

/* False: ldns does not make sense of it. */
static bool add_plain(struct gtm_buf *buf, const struct dns__xrec *rec)
{
    uint8_t wire[11 + 4096];
    size_t pos = 0;
    if (rec->rdlen > 4096)
        return false;
    wire[0] = 0; /* the root as owner */
    dns_put16(wire + 1, rec->type);
    dns_put16(wire + 3, DNS_CLASS_IN);
    dns_put32(wire + 5, 0);
    dns_put16(wire + 9, rec->rdlen);
    if (rec->rdlen)
        memcpy(wire + 11, rec->rdata, rec->rdlen);
    ldns_rr *rr = NULL;
    char *line = NULL;
    if (ldns_wire2rr(&rr, wire, 11u + rec->rdlen, &pos, LDNS_SECTION_ANSWER) == LDNS_STATUS_OK)
        line = ldns_rr2str(rr);
    const char *p = line;
    for (int tabs = 0; p && tabs < 3; tabs++) { /* owner, TTL, class */
        p = strchr(p, '\t');
        p = p ? p + 1 : NULL;
    }
    if (p && rec->type != DNS_TYPE_TXT && strchr(p, '"')) /* not escaped in names */
        p = NULL;
    if (p)
        gtm_buf_add(buf, p, strcspn(p, "\n"));
    ldns_rr_free(rr);
    free(line); /* lint: libc free - ldns allocated it */
    return p != NULL;
}

static void add_record(struct gtm_buf *buf, const struct dns__xrec *rec)
{
    static const char digits[] = "0123456789abcdef";
    char owner[DNS_NAME_TEXT_MAX];
    gtm_buf_addf(buf, "%s %u IN ", dns_name_text(rec->owner, owner), rec->ttl);
    if (!plain_type(rec->type) || !add_plain(buf, rec)) {
        gtm_buf_addf(buf, "TYPE%u \\# %u ", rec->type, rec->rdlen);
        for (size_t i = 0; i < rec->rdlen; i++) {
            gtm_buf_addc(buf, digits[rec->rdata[i] >> 4]);
            gtm_buf_addc(buf, digits[rec->rdata[i] & 15]);
        }
    }
    gtm_buf_addc(buf, '\n');
}

int dns__xset_text(const struct dns__xset *set, const struct dns__xrec *soa, char **ret_text,
                   size_t *ret_len, struct gtm_error *err)
{
    struct gtm_buf buf = {0};
    add_record(&buf, soa);
    for (size_t i = 0; i < set->at_count && buf.len < DNS_ZONEFILE_MAX_BYTES && !buf.failed; i++) {
        if (set->at[i] == GONE)
            continue;
        struct dns__xrec rec = record_at(set, set->at[i]);
        add_record(&buf, &rec);
    }
    if (buf.len >= DNS_ZONEFILE_MAX_BYTES || buf.failed) {
        int rc = buf.failed ? GTM_ENOMEM : GTM_ELIMIT;
        gtm_buf_fini(&buf);
        return gtm_error_set(err, rc, "the zone: %s", gtm_err_text(rc));
    }
    *ret_len = buf.len;
    *ret_text = gtm_buf_take(&buf);
    return *ret_text ? GTM_OK : gtm_error_set(err, GTM_ENOMEM, "out of memory");
}
