/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit chain: every mutation is committed together with an entry "audit/<seq>" whose hash
 * covers the entry before it, and with "head/audit", which only one of two writers at a time can
 * move. An entry that was changed, removed or put in later breaks the chain where it stands.
 *
 *     audit/000000000042  {"v":1,"seq":42,"prev":HEX,"time":…,"who":…,"role":…,"node":…,
 *                          "verb":"endpoint drain","subject":"endpoint/www/www-us","why":…,
 *                          "before":…,"after":…,"hash":HEX}
 *     head/audit          {"v":1,"seq":42,"hash":HEX,"first":1}
 *
 * hash = SHA-256 over the entry's canonical JSON without "hash". Entries before "first" were pruned
 * (the leader keeps the newest GTM_AUDIT_KEEP). Pure but for the commits; loop's thread.
 */
#ifndef GTM_COORD_AUDIT_H
#define GTM_COORD_AUDIT_H

#include "gtm/base/json.h"
#include "gtm/coord/store.h"

#define GTM_AUDIT_KEEP      100000u /* in etcd; GTM_AUDIT_KEEP_FILE in a standalone store */
#define GTM_AUDIT_KEEP_FILE 2000u
#define GTM_AUDIT_TEXT_MAX  4096u /* of before and after; longer ones are cut and their hash given \
                                   */

struct gtm_audit_entry {
    int64_t time_ms;
    const char *who, *role, *node;    /* role: "operator"; NULL = "local" */
    const char *verb, *subject, *why; /* why may be NULL */
    const char *before, *after;       /* texts, usually JSON; NULL = none */
};

/* Commits changes (at most GTM_STORE_CHANGES_MAX - 4) with an entry. A conflict about the head
 * alone (somebody else's entry came first) is tried again; a conflict about one of the caller's own
 * guards ends with GTM_ECONFLICT. Everything is copied. done comes once. */
int gtm_audit_commit(struct gtm_store *store, const struct gtm_audit_entry *entry,
                     const struct gtm_store_change *changes, size_t count, gtm_store_done_fn *done,
                     void *arg) GTM_MUST_CHECK;

/* Checks entries in order of seq. Pure. */
struct gtm_audit_check {
    int64_t first, next; /* seq of the first entry seen, and the one expected now; 0 = none yet */
    char prev[65];       /* hash that the next one must name; "" = any (the first) */
};
/* GTM_ECORRUPT with err saying which entry and what is wrong. */
int gtm_audit_verify(struct gtm_audit_check *check, const char *key, const char *text, size_t len,
                     struct gtm_error *err) GTM_MUST_CHECK;
/* At the end: does the head agree? */
int gtm_audit_verify_head(const struct gtm_audit_check *check, const char *text, size_t len,
                          struct gtm_error *err) GTM_MUST_CHECK;

#endif
