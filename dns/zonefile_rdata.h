/* SPDX-License-Identifier: Apache-2.0
 *
 * Rdata from tokens to wire: the fields of every type that ldns describes, each checked strictly
 * with the place of what is wrong, and the generic form of RFC 3597. What ldns made, or somebody
 * wrote as \#, is read back by ldns before it is believed. Internal to dns/; one thread at a time.
 */
#ifndef DNS_ZONEFILE_RDATA_H
#define DNS_ZONEFILE_RDATA_H

#include "dns/zonefile.h"
#include "dns/zonefile_lex.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS__RDATA_MAX      65535 /* octets */
#define DNS__RDATA_HEADROOM 11    /* octets before rd->out: name, type, class, TTL and length */

/* The rdata under construction. Fields take tokens from `i` on and append to out. */
struct dns__rd {
    const struct dns__token *tokens;
    size_t count, i;
    const uint8_t *origin;         /* wire */
    const struct dns__token *last; /* of the record: a missing field is reported behind it */
    uint8_t *out;                  /* room for DNS__RDATA_MAX, and DNS__RDATA_HEADROOM before it */
    size_t len;
    struct gtm_error err; /* line, col and text of the failure; file is the caller's */
    unsigned width;       /* of the token to blame */
};

/* Number of a type's mnemonic or TYPEnnn; false when there is none, or it is one that cannot be in
 * a zone (RFC 6895 3.1: 0, OPT, 128-255). */
bool dns__type_parse(const char *text, size_t len, uint16_t *ret_type);

/* Parses the tokens as rdata of the type: 0 with out and len, GTM_EPARSE with err and width. */
int dns__rdata_parse(struct dns__rd *rd, uint16_t type) GTM_MUST_CHECK;

/* Reports a failure at a token (NULL: something is missing at the end). Returns GTM_EPARSE. */
int dns__rd_fail(struct dns__rd *rd, const struct dns__token *token, const char *fmt, ...)
    GTM_PRINTF(3, 4);
/* The next token, or NULL after reporting that `what` is missing. */
const struct dns__token *dns__rd_next(struct dns__rd *rd, const char *what);
/* The same, refusing a quoted one. */
const struct dns__token *dns__rd_word(struct dns__rd *rd, const char *what);
/* Append; GTM_EPARSE when the rdata would be too long. */
int dns__rd_put(struct dns__rd *rd, const void *data, size_t len) GTM_MUST_CHECK;
int dns__rd_put8(struct dns__rd *rd, unsigned v) GTM_MUST_CHECK;
int dns__rd_put16(struct dns__rd *rd, unsigned v) GTM_MUST_CHECK;
int dns__rd_put32(struct dns__rd *rd, uint32_t v) GTM_MUST_CHECK;

/* zonefile_fields.c: a decimal number of len characters, at most max; false otherwise. */
bool dns__decimal(const char *text, size_t len, uint64_t max, uint64_t *ret);
/* Seconds, or 1w2d3h4m5s (as BIND has it); false when malformed, *ret = UINT64_MAX when huge. */
bool dns__period(const char *text, size_t len, uint64_t *ret);
/* Strict dotted quad; IPv6 as RFC 4291 2.2 has it. */
bool dns__ipv4(const char *text, size_t len, uint8_t out[4]);
bool dns__ipv6(const char *text, size_t len, uint8_t out[16]);
int dns__hex_digit(char c); /* -1 = none */
int dns__field_int(struct dns__rd *rd, unsigned octets, const char *what) GTM_MUST_CHECK;
int dns__field_period(struct dns__rd *rd) GTM_MUST_CHECK;
int dns__field_time(struct dns__rd *rd) GTM_MUST_CHECK;
int dns__field_ip(struct dns__rd *rd, int family) GTM_MUST_CHECK;
int dns__field_name(struct dns__rd *rd) GTM_MUST_CHECK;
int dns__field_string(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 1035 <character-string> */
int dns__field_long_string(struct dns__rd *rd) GTM_MUST_CHECK; /* the rest of the rdata */
/* One token of hexadecimal digits, or (all) all that are left, joined. At least one octet. */
int dns__field_hex(struct dns__rd *rd, bool all) GTM_MUST_CHECK;
int dns__field_base64(struct dns__rd *rd, bool all) GTM_MUST_CHECK;
int dns__field_types(struct dns__rd *rd) GTM_MUST_CHECK; /* RFC 4034 4.1.2, of all tokens left */
int dns__field_type(struct dns__rd *rd) GTM_MUST_CHECK;

/* zonefile_special.c: fields with a grammar of their own. */
int dns__field_loc(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 1876 */
int dns__field_wks(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 1035 3.4.2, protocol and ports */
int dns__field_apl(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 3123, one item */
int dns__field_ipseckey(struct dns__rd *rd) GTM_MUST_CHECK; /* RFC 4025 */
int dns__field_amtrelay(struct dns__rd *rd) GTM_MUST_CHECK; /* RFC 8777 */
int dns__field_hip(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 8005, without the servers */
int dns__field_salt(struct dns__rd *rd) GTM_MUST_CHECK;     /* RFC 5155 3.3 */
int dns__field_next_hash(struct dns__rd *rd) GTM_MUST_CHECK; /* RFC 5155 3.3 */
int dns__field_nsap(struct dns__rd *rd) GTM_MUST_CHECK;      /* RFC 1706 */
int dns__field_atma(struct dns__rd *rd) GTM_MUST_CHECK;      /* ATM Forum AF-DANS-0152 */
/* Groups of `digits` hexadecimal digits: EUI48, EUI64 (RFC 7043), NID, L64 (RFC 6742). */
int dns__field_groups(struct dns__rd *rd, unsigned groups, unsigned digits,
                      char separator) GTM_MUST_CHECK;
int dns__field_tag(struct dns__rd *rd) GTM_MUST_CHECK; /* RFC 8659 4.1 */

/* zonefile_svcb.c: all tokens left (RFC 9460 2.1). */
int dns__field_svcparams(struct dns__rd *rd) GTM_MUST_CHECK;
/* What is wrong with SvcParams in wire form, or NULL. */
const char *dns__svcparams_check(const uint8_t *params, size_t len);

#endif
