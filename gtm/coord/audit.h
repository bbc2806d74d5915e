/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the audit chain (gtm/model/audit.h), and checking it where it is kept: every mutation is
 * committed together with an entry "audit/<seq>" and with "head/audit", which only one of two
 * writers at a time can move. The leader keeps the newest GTM_AUDIT_KEEP entries. Loop's thread.
 */
#ifndef GTM_COORD_AUDIT_H
#define GTM_COORD_AUDIT_H

#include "gtm/coord/store.h"
#include "gtm/model/audit.h"

#define GTM_AUDIT_KEEP      100000u /* in etcd; GTM_AUDIT_KEEP_FILE in a standalone store */
#define GTM_AUDIT_KEEP_FILE 2000u

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

/* The whole chain as it is kept (in etcd, a page at a time), while others go on adding to it. */
struct gtm_audit_report {
    int code;            /* 0, GTM_ECORRUPT, or of gtm_store_fetch */
    int64_t first, last; /* seq of what was checked; 0 = there are none */
    const char *hash;    /* of the last; "" = there are none */
    const struct gtm_error *err;
};
typedef void gtm_audit_report_fn(void *arg, const struct gtm_audit_report *report);
int gtm_audit_verify_store(struct gtm_store *store, gtm_audit_report_fn *done,
                           void *arg) GTM_MUST_CHECK;

#endif
