/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit chain's texts: each entry's hash covers the entry before it, so that one that was
 * changed, removed or put in later breaks the chain where it stands.
 *
 *     audit/000000000042  {"v":1,"seq":42,"prev":HEX,"time":…,"who":…,"role":…,"node":…,
 *                          "verb":"endpoint drain","subject":"endpoint/www/www-us","why":…,
 *                          "before":…,"after":…,"hash":HEX}
 *     head/audit          {"v":1,"seq":42,"hash":HEX,"first":1}
 *
 * hash = SHA-256 over the entry's text as it stands, without `,"hash":HEX` at its end. Entries
 * before "first" were pruned. Who has the head's hash from elsewhere knows that nobody made the
 * whole chain anew. Pure; any thread. Writing the chain is in gtm/coord/audit.h.
 */
#ifndef GTM_MODEL_AUDIT_H
#define GTM_MODEL_AUDIT_H

#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_AUDIT_PREFIX    "audit/"
#define GTM_AUDIT_HEAD      "head/audit"
#define GTM_AUDIT_KEY_BYTES 32
#define GTM_AUDIT_TEXT_MAX  4096u /* of before and after; longer ones are cut, their hash given */
#define GTM_AUDIT_LINE_MAX  (256u << 10) /* of an exported entry */

struct gtm_audit_entry {
    int64_t time_ms;
    const char *who, *role, *node;    /* role: "operator"; NULL = "local" */
    const char *verb, *subject, *why; /* why may be NULL */
    const char *before, *after;       /* texts, usually JSON; NULL = none */
};

struct gtm_audit_head {
    int64_t seq, first;
    char hash[GTM_SHA256_HEX_BYTES]; /* "" = none yet */
};

/* --- making --- */

void gtm_audit_key(int64_t seq, char out[GTM_AUDIT_KEY_BYTES]);
/* The fields that do not depend on the chain; NULL: out of memory. */
struct gtm_json *gtm_audit_entry_json(const struct gtm_audit_entry *entry);
/* The text of the entry that follows head, and moves head to it. NULL: out of memory. */
char *gtm_audit_entry_print(const struct gtm_json *entry, struct gtm_audit_head *head);
char *gtm_audit_head_print(const struct gtm_audit_head *head);
/* GTM_ECORRUPT, GTM_EUNSUPPORTED, GTM_ENOMEM. */
int gtm_audit_head_parse(const char *text, size_t len, struct gtm_audit_head *ret_head,
                         struct gtm_error *err) GTM_MUST_CHECK;

/* --- checking --- */

/* Checks entries in order of seq. */
struct gtm_audit_check {
    int64_t first, next; /* seq of the first entry seen, and the one expected now; 0 = none yet */
    char prev[GTM_SHA256_HEX_BYTES]; /* hash that the next one must name; "" = any (the first) */
};
/* key NULL: whatever its number says. GTM_ECORRUPT with err saying which entry and what is wrong;
 * GTM_EUNSUPPORTED, GTM_ENOMEM. */
int gtm_audit_verify(struct gtm_audit_check *check, const char *key, const char *text, size_t len,
                     struct gtm_error *err) GTM_MUST_CHECK;
/* At the end: does the head agree? text NULL: there is no head. The entries must reach from the
 * head's first (or before it: they may have been pruned meanwhile) to its newest. */
int gtm_audit_verify_head(const struct gtm_audit_check *check, const char *text, size_t len,
                          struct gtm_error *err) GTM_MUST_CHECK;

/* An exported chain, line by line: the entries as they stand, and at the end the head. Begins with
 * all zero. Errors as above, with err->line. */
struct gtm_audit_export {
    struct gtm_audit_check check;
    uint64_t line; /* seen */
    bool ended;    /* the head was seen, and agrees */
};
/* text without its line end. */
int gtm_audit_export_line(struct gtm_audit_export *export, const char *text, size_t len,
                          struct gtm_error *err) GTM_MUST_CHECK;
/* No more lines: is it whole? */
int gtm_audit_export_end(const struct gtm_audit_export *export,
                         struct gtm_error *err) GTM_MUST_CHECK;

#endif
