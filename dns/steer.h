/* SPDX-License-Identifier: Apache-2.0
 *
 * Steering tables: what the answer path needs to answer a dynamic name, worked out when the state
 * changes, never when a query comes.
 *
 *     address ─ class map ─► class ─ picks ─► slot ─ choices ─► ready records
 *
 * Class maps and picks are shared between policies; a choice holds one policy's records for one
 * outcome. All immutable, counted; built by the publisher, read by DNS workers without locks.
 * Nothing here knows why a choice was made.
 */
#ifndef DNS_STEER_H
#define DNS_STEER_H

#include "dns/classmap.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_STEER_RECORDS_MAX 1000  /* of one option */
#define DNS_STEER_OPTIONS_MAX 4096  /* of one choice */
#define DNS_STEER_BUCKETS_MAX 65536 /* of one option */
#define DNS_STEER_RDATA_MAX   4096  /* octets of one record of another type than A and AAAA */
#define DNS_EDE_TEXT_MAX      63    /* octets */

/* Sticky answers look at the client's address cut to this many bits, and their scope is at least
 * that long. */
#define DNS_STICKY_BITS4 24u
#define DNS_STICKY_BITS6 56u

/* The types that a name can have dynamically, as indexes. */
enum dns_kind {
    DNS_KIND_A = 0,
    DNS_KIND_AAAA,
    DNS_KIND_CNAME,
    DNS_KIND_SRV,
    DNS_KIND_HTTPS,
    DNS_KIND_SVCB,
    DNS_KINDS
};
uint16_t dns_kind_type(enum dns_kind kind);
int dns_kind_of(uint16_t type); /* -1 = not one of them */

enum dns_outcome {
    DNS_OUTCOME_ANSWER = 0, /* one of the options */
    DNS_OUTCOME_NODATA,     /* the name has no endpoint for this type at all: NODATA, scope 0 */
    DNS_OUTCOME_SERVFAIL    /* fail_closed, or a group's name without a proven holder */
};

/* One option: `answers` of the `count` records, distinct, chosen by weight or, with buckets, by the
 * client's network; all of them when answers ≥ count. */
struct dns_option_spec {
    uint32_t weight;         /* against the other options, > 0 */
    unsigned answers;        /* ≥ 1; of CNAME always one */
    const uint8_t *rdata;    /* of all records after one another, names not compressed */
    const uint16_t *rdlens;  /* count octet counts; NULL for A (4 each) and AAAA (16 each) */
    const uint32_t *weights; /* count; NULL = equal. Only used when answers < count */
    size_t count;            /* 1..DNS_STEER_RECORDS_MAX */
    /* Sticky: the records' numbers by bucket. The client's network (its address, or the one its
     * resolver sent for it, cut to /24 or /56) falls into bucket dns_network_hash() mod
     * buckets_count; its record comes first, the following buckets give the other answers. NULL =
     * not sticky. */
    const uint16_t *buckets;
    size_t buckets_count; /* a power of two ≤ DNS_STEER_BUCKETS_MAX */
};

struct dns_choice_spec {
    uint16_t type; /* of one of the kinds */
    uint32_t ttl_s;
    enum dns_outcome outcome;
    const struct dns_option_spec *options; /* for ANSWER */
    size_t options_count;
    /* Answers have at least the scope of a sticky one, whatever the outcome. Set by itself when an
     * option has buckets; then the option, too, is chosen by the client's network. */
    bool sticky;
    uint16_t ede_code;    /* RFC 8914 INFO-CODE for SERVFAIL */
    const char *ede_text; /* or NULL */
};

/* The hash that sticky answers go by: the address of family 4 or 6, cut to DNS_STICKY_BITS, through
 * the finaliser of SplitMix64 (Steele, Lea, Flood 2014). It has no seed: all nodes must agree, also
 * after a restart, and a client that picks its network gains nothing by it. */
uint64_t dns_network_hash(int family, const uint8_t *addr);

struct dns_choice; /* ready records with their alias table */
/* NULL on failure (err: GTM_EINVAL, GTM_ELIMIT, GTM_ENOMEM). Copies everything. Returns one
 * reference. */
struct dns_choice *dns_choice_new(const struct dns_choice_spec *spec, struct gtm_error *err);
struct dns_choice *dns_choice_ref(struct dns_choice *choice);
void dns_choice_unref(struct dns_choice *choice);

struct dns_picks; /* class → slot */
/* slot_of_class has one entry for every class of the map it will be used with. Copies. */
struct dns_picks *dns_picks_new(const uint16_t *slot_of_class, size_t classes,
                                struct gtm_error *err);
struct dns_picks *dns_picks_ref(struct dns_picks *picks);
void dns_picks_unref(struct dns_picks *picks);

/* One kind of a steering table. choices are indexed by slot; an entry that no pick reaches may be
 * NULL. All zero: the table has no answers of the kind (a name that asks it for one: NODATA). */
struct dns_steer_kind {
    struct dns_picks *picks;
    struct dns_choice **choices;
    size_t choices_count;
};

struct dns_steer;
/* Takes references of its own on all parts. Checks that every pick reaches a choice of the kind
 * (GTM_EINVAL). */
struct dns_steer *dns_steer_new(struct dns_classmap *map,
                                const struct dns_steer_kind kinds[DNS_KINDS],
                                struct gtm_error *err);
struct dns_steer *dns_steer_ref(struct dns_steer *steer);
void dns_steer_unref(struct dns_steer *steer);

/* Which slot a client's address gets, for explain. type: of a kind that the table has. */
struct dns_steer_lookup {
    uint32_t class_id;
    unsigned scope;
    uint16_t slot;
};
void dns_steer_find(const struct dns_steer *steer, uint16_t type, int family, const uint8_t *addr,
                    struct dns_steer_lookup *ret);

#endif
