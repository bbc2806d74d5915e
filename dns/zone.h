/* SPDX-License-Identifier: Apache-2.0
 *
 * One zone, compiled: immutable after dns_zone_finish, counted, shared between views. Every name
 * (empty non-terminals too) is a node in a hash table over whole names; its record sets are wire
 * images ready to be copied. Dynamic names are nodes whose set of a type points to a *slot*, a
 * number that the view turns into a steering table, so that a change of health never touches a
 * zone. Building: one thread. Reading: any thread, no locks.
 */
#ifndef DNS_ZONE_H
#define DNS_ZONE_H

#include "dns/name.h"
#include "gtm/base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_zone;
struct dns_zone_builder;
struct dns_record;

/* A dynamic name to put into the zone. */
struct dns_zone_dynamic {
    const char *name;      /* relative to the zone, "@" or "*.x" allowed */
    const uint16_t *types; /* each of a kind that can be steered (dns/steer.h) */
    size_t types_count;
    uint32_t slot;    /* < slot_count given to dns_zone_load */
    const char *file; /* where it was configured, for messages; may be NULL */
    unsigned line, col;
};

struct dns_zone_spec {
    const char *origin; /* text, with or without the final dot */
    const char *path;   /* zone file */
    const struct dns_zone_dynamic *dynamics;
    size_t dynamics_count;
    uint32_t slot_count;
};

/* Reads, checks and compiles. NULL when any error was found; diags then has all of them, in either
 * case the warnings. Checked: exactly one SOA at the top and nowhere else, NS at the top, no name
 * outside the zone, CNAME alone, one DNAME and nothing below it, equal TTLs in a set (warning;
 * lowest used), glue for delegations inside the zone, dynamic types not also static, no dynamic
 * name at or below a delegation. Returns one reference. May take long: worker threads only. */
struct dns_zone *dns_zone_load(const struct dns_zone_spec *spec, struct gtm_diags *diags);
/* The same from memory (tests, fuzzing, `zone check -`). */
struct dns_zone *dns_zone_load_text(const struct dns_zone_spec *spec, const char *text, size_t len,
                                    struct gtm_diags *diags);

struct dns_zone *dns_zone_ref(struct dns_zone *zone);
void dns_zone_unref(struct dns_zone *zone); /* NULL is fine */

struct dns_zone_info {
    const uint8_t *apex; /* wire, lower case */
    uint32_t serial;
    size_t names, records, dynamics, bytes;
    uint32_t slot_count;
};
void dns_zone_info(const struct dns_zone *zone, struct dns_zone_info *ret_info);

/* Walks all static records and dynamic markers (type, slot ≥ 0; rdata NULL) in no particular order,
 * for `zone show`, export and transfers. A nonzero return stops. */
typedef int (*dns_zone_walk_fn)(void *ctx, const uint8_t *owner, uint16_t type, uint32_t ttl,
                                const uint8_t *rdata, uint16_t rdlen, int64_t slot);
int dns_zone_walk(const struct dns_zone *zone, dns_zone_walk_fn fn, void *ctx);

/* The zone's SOA record: its rdata (uncompressed) and TTL. Returns the octets written. */
#define DNS_SOA_RDATA_MAX (2 * DNS_NAME_MAX + 20)
size_t dns_zone_soa(const struct dns_zone *zone, uint8_t out[DNS_SOA_RDATA_MAX],
                    uint32_t *ret_ttl_s);

/* What a name has of a type, wildcards included (RFC 4592), but no CNAME followed; for aliases and
 * explain. The answer path has a faster way of its own (dns/query.c, dns/answer.c). */
enum dns_zone_what {
    DNS_ZONE_MISSING = 0, /* no such name */
    DNS_ZONE_NODATA,      /* the name is there, the type is not */
    DNS_ZONE_RECORDS,
    DNS_ZONE_DYNAMIC,       /* slot */
    DNS_ZONE_CNAME,         /* target */
    DNS_ZONE_DYNAMIC_CNAME, /* slot */
    DNS_ZONE_DNAME,         /* below one */
    DNS_ZONE_DELEGATED      /* at or below a cut */
};
struct dns_zone_found {
    enum dns_zone_what what;
    uint32_t slot;
    uint32_t ttl_s;
    uint8_t target[DNS_NAME_MAX]; /* wire */
    const void *image;            /* private: RECORDS */
};
/* `name` is wire, any case, at or below the apex. */
void dns_zone_look(const struct dns_zone *zone, const uint8_t *name, uint16_t type,
                   struct dns_zone_found *ret);
/* Copies the rdata of RECORDS of type A or AAAA after one another, at most `room` octets. Returns
 * how many records there are. */
size_t dns_zone_addresses(const struct dns_zone_found *found, uint8_t *out, size_t room);

/* The slot that a question for (name, type) reaches in the zone, wildcards included (RFC 4592), but
 * no CNAME followed; -1 when that is no dynamic name. `name` is wire, any case, at or below the
 * apex. For explain. */
int64_t dns_zone_slot(const struct dns_zone *zone, const uint8_t *name, uint16_t type);

#endif
