/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a zone file (RFC 1035 5, RFC 2308 4 for $TTL) record by record: own tokenizer for
 * directives ($ORIGIN, $TTL, $INCLUDE, $GENERATE), owner, TTL and class in either order,
 * parentheses, comments, quoted strings, with line and column; ldns for the rdata, which alone
 * would accept too much. It knows nothing of zone semantics (SOA count, CNAME rules, out-of-zone
 * names): that is dns/zone.h. Blocking: worker threads only.
 */
#ifndef DNS_ZONEFILE_H
#define DNS_ZONEFILE_H

#include "dns/name.h"
#include "gtm/base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_ZONEFILE_INCLUDE_DEPTH 8
#define DNS_ZONEFILE_MAX_BYTES     (1u << 30) /* of one file */
#define DNS_ZONEFILE_TOKEN_MAX     65535
#define DNS_TTL_MAX                0x7fffffffu

/* One record; all pointers are valid during the callback only. */
struct dns_record {
    const uint8_t *owner; /* wire, case as written */
    uint16_t type;
    uint32_t ttl;         /* seconds; > DNS_TTL_MAX is refused before */
    const uint8_t *rdata; /* wire, uncompressed, names' case kept */
    uint16_t rdlen;
    const char *file;
    unsigned line, col; /* of the record's owner or first token */
};

/* Return nonzero to stop the parse (the value is returned by dns_zonefile_parse). */
typedef int (*dns_record_fn)(void *ctx, const struct dns_record *record);

struct dns_zonefile_opts {
    const char *path;      /* for messages and as the base of relative $INCLUDE */
    const uint8_t *origin; /* wire */
    uint32_t default_ttl;  /* used, with a warning, when a first record has no TTL and there is no
                              $TTL (RFC 2308: 0 = none → error) */
};

/* Parses a file, or (text != NULL) memory. Goes on after an error to report them all (at most
 * GTM_DIAG_MAX kept). Returns 0 when no error was found, GTM_EPARSE otherwise, GTM_EIO /
 * GTM_ENOTFOUND when the file cannot be read (also in diags). Only class IN. */
int dns_zonefile_parse(const struct dns_zonefile_opts *opts, const char *text, size_t len,
                       dns_record_fn fn, void *ctx, struct gtm_diags *diags) GTM_MUST_CHECK;

#endif
