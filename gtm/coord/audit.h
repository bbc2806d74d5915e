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
 * hash = SHA-256 over the entry's text as it stands, without `,"hash":HEX` at its end. Entries
 * before "first" were pruned (the leader keeps the newest GTM_AUDIT_KEEP). Pure but for the
 * commits; loop's thread.
 */
#ifndef GTM_COORD_AUDIT_H
#define GTM_COORD_AUDIT_H

#include "gtm/base/json.h"
#include "gtm/coord/store.h"

#define GTM_AUDIT_PREFIX    "audit/"
#define GTM_AUDIT_HEAD      "head/audit"
#define GTM_AUDIT_KEEP      100000u /* in etcd; GTM_AUDIT_KEEP_FILE in a standalone store */
#define GTM_AUDIT_KEEP_FILE 2000u
#define GTM_AUDIT_TEXT_MAX                                                 \
    4096u /* of before and after; longer ones are cut and their hash given \
           */

struct gtm_audit_entry {
    int64_t time_ms;
    const char *who, *role, *node;    /* role: "operator"; NULL = "local" */
    const char *verb, *subject, *why; /* why may be NULL */
    const char *before, *after;       /* texts, usually JSON; NULL = none */
};

/* Commits changes (at most GTM_STORE_CHANGES_MAX - 4) with an entry. A conflict about the head
 * alone (somebody else's entry came first) is tried again; a conflict about one of the caller's own
 * guards ends with GTM_ECONFLICT. Entries of one node go one after the other. In a standalone store
 * the oldest entries beyond GTM_AUDIT_KEEP_FILE go with it. Everything is copied. done comes once;
 * errors as in gtm_store_commit. */
int gtm_audit_commit(struct gtm_store *store, const struct gtm_audit_entry *entry,
                     const struct gtm_store_change *changes, size_t count, gtm_store_done_fn *done,
                     void *arg) GTM_MUST_CHECK;

/* The leader's: deletes some of the oldest entries beyond the newest `keep` (0 = GTM_AUDIT_KEEP)
 * with one commit, which also holds `guard` (of gtm_leader_guard; may be NULL). GTM_ENOTFOUND:
 * there is nothing to prune; done (may be NULL) is not called then. */
int gtm_audit_prune(struct gtm_store *store, int64_t keep, const struct gtm_store_change *guard,
                    gtm_store_done_fn *done, void *arg) GTM_MUST_CHECK;

/* Checks entries in order of seq. Pure. */
struct gtm_audit_check {
    int64_t first, next; /* seq of the first entry seen, and the one expected now; 0 = none yet */
    char prev[65];       /* hash that the next one must name; "" = any (the first) */
};
/* GTM_ECORRUPT with err saying which entry and what is wrong. */
int gtm_audit_verify(struct gtm_audit_check *check, const char *key, const char *text, size_t len,
                     struct gtm_error *err) GTM_MUST_CHECK;
/* At the end: does the head agree? text NULL: there is no head. The entries must reach from the
 * head's first (or before it: they may have been pruned meanwhile) to its newest. */
int gtm_audit_verify_head(const struct gtm_audit_check *check, const char *text, size_t len,
                          struct gtm_error *err) GTM_MUST_CHECK;

/* The whole chain as it is kept (in etcd, a page at a time), while others go on adding to it. */
struct gtm_audit_report {
    int code;            /* 0, GTM_ECORRUPT, or of gtm_store_fetch */
    int64_t first, last; /* seq of what was checked; 0 = there are none */
    const struct gtm_error *err;
};
typedef void gtm_audit_report_fn(void *arg, const struct gtm_audit_report *report);
int gtm_audit_verify_store(struct gtm_store *store, gtm_audit_report_fn *done,
                           void *arg) GTM_MUST_CHECK;

#endif
