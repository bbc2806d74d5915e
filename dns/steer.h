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

#define DNS_STEER_RECORDS_MAX 1000 /* of one option */
#define DNS_STEER_OPTIONS_MAX 4096 /* of one choice */
#define DNS_EDE_TEXT_MAX      63   /* octets */

enum dns_outcome {
    DNS_OUTCOME_ANSWER = 0, /* one of the options */
    DNS_OUTCOME_NODATA,     /* the name has no endpoint of this family at all: NODATA, scope 0 */
    DNS_OUTCOME_SERVFAIL    /* fail_closed, or a group's name without a proven holder */
};

/* One option: `answers` of the `count` records, distinct, chosen by weight; all of them when
 * answers ≥ count. */
struct dns_option_spec {
    uint32_t weight;         /* against the other options, > 0 */
    unsigned answers;        /* ≥ 1 */
    const uint8_t *rdata;    /* count × (4 for A, 16 for AAAA) octets, network order */
    const uint32_t *weights; /* count; NULL = equal. Only used when answers < count */
    size_t count;            /* 1..DNS_STEER_RECORDS_MAX */
};

struct dns_choice_spec {
    uint16_t type; /* A or AAAA */
    uint32_t ttl_s;
    enum dns_outcome outcome;
    const struct dns_option_spec *options; /* for ANSWER */
    size_t options_count;
    uint16_t ede_code;    /* RFC 8914 INFO-CODE for SERVFAIL */
    const char *ede_text; /* or NULL */
};

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

/* One family of a steering table. choices are indexed by slot; an entry that no pick reaches may be
 * NULL. */
struct dns_steer_family {
    struct dns_picks *picks;
    struct dns_choice **choices;
    size_t choices_count;
};

struct dns_steer;
/* Takes references of its own on all parts. Checks that every pick reaches a choice (GTM_EINVAL).
 * families[0] = A, [1] = AAAA. */
struct dns_steer *dns_steer_new(struct dns_classmap *map, const struct dns_steer_family families[2],
                                struct gtm_error *err);
struct dns_steer *dns_steer_ref(struct dns_steer *steer);
void dns_steer_unref(struct dns_steer *steer);

/* Which slot a client's address gets, for explain. */
struct dns_steer_lookup {
    uint32_t class_id;
    unsigned scope;
    uint16_t slot;
};
void dns_steer_find(const struct dns_steer *steer, uint16_t type, int family, const uint8_t *addr,
                    struct dns_steer_lookup *ret);

#endif
