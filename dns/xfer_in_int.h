/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of records, as a transfer collects and changes it: shared by dns/xfer_in.c (what comes in)
 * and dns/xfer_in_set.c (the set, and its text). Internal to dns/xfer_in*.c. One thread.
 */
#ifndef DNS_XFER_IN_INT_H
#define DNS_XFER_IN_INT_H

#include "dns/name.h"
#include "dns/xfer_in.h"

/* Pointers are valid until the set changes. */
struct dns__xrec {
    const uint8_t *owner; /* wire */
    const uint8_t *rdata; /* uncompressed */
    uint32_t ttl;
    uint16_t type, rdlen;
};

struct dns__xset {
    uint8_t *bytes; /* records after one another: head, owner, rdata */
    size_t bytes_len, bytes_cap;
    size_t *at; /* where each begins; SIZE_MAX = removed */
    size_t at_count, at_cap;
    uint64_t *table; /* index + 1 by hash, 0 = free; removed ones stay */
    size_t table_size;
    size_t count; /* without the removed */
};

/* A record that is there already is not added again: 0. GTM_ENOMEM, GTM_ELIMIT. */
int dns__xset_add(struct dns__xset *set, const struct dns__xrec *rec) GTM_MUST_CHECK;
/* False: it is not there. The TTL does not count. */
bool dns__xset_remove(struct dns__xset *set, const struct dns__xrec *rec);
void dns__xset_fini(struct dns__xset *set);
/* Zone text with absolute names; the SOA given comes first. */
int dns__xset_text(const struct dns__xset *set, const struct dns__xrec *soa, char **ret_text,
                   size_t *ret_len, struct gtm_error *err) GTM_MUST_CHECK;

/* Reads a record of a message at *at: names uncompressed into owner and rdata (room for 65,535
 * octets). False: malformed. */
struct dns__xwire {
    uint8_t owner[DNS_NAME_MAX];
    uint16_t type, class;
    uint32_t ttl;
    uint16_t rdlen;
    uint8_t rdata[65535];
};
bool dns__xwire_read(const uint8_t *msg, size_t len, size_t *at, struct dns__xwire *ret);
/* A name, compressed or not; 0 = malformed. Returns the octets it takes at `at`, *ret_len those of
 * the name. */
size_t dns__xwire_name(const uint8_t *msg, size_t len, size_t at, uint8_t out[DNS_NAME_MAX],
                       size_t *ret_len);

#endif
