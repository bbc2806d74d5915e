/* SPDX-License-Identifier: Apache-2.0
 *
 * A new revision of the intent, from a proposal to intent/cur: what `gtmctl apply`, `rollback` and
 * `delete` ask for. The loop's thread; whatever takes long is on helper threads.
 *
 *     base = what intent/cur says now → chunks of both on this node's disk → the proposal's files
 * in a folder of their own → loaded and compiled exactly as a reload would, in dry → compared with
 *     base → (dry run ends here) → chunks into the store → ONE guarded transaction: intent/cur is
 *     still base, no chunk was deleted meanwhile (else they are put again), intent/rev/N,
 *     intent/cur, the audit entry.
 *
 * Failure modes: any step that fails leaves everything as it was, but for chunks that nobody
 * refers to, which go later (chunks.h); a process that is killed in the middle as well. Of two at a
 * time one gets GTM_ECONFLICT.
 */
#ifndef GTM_DAEMON_INTENT_APPLY_H
#define GTM_DAEMON_INTENT_APPLY_H

#include "gtm/base/diag.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/model/manifest.h"

#include <stdbool.h>
#include <stdint.h>

#define GTM_INTENT_HISTORY_MAX 50 /* revisions that can be rolled back to */
#define GTM_INTENT_APPLIES_MAX 8  /* at a time */

struct gtmd;

/* What is proposed: files, or a change of what is in force. */
struct gtm_intent_proposal {
    struct gtm_manifest *files;      /* taken; NULL: one of the next two */
    int64_t rollback_to;             /* 0 = none */
    char *delete_kind, *delete_name; /* taken (gtm_free) */
    bool has_expect;
    int64_t expect_rev; /* GTM_ECONFLICT when intent/cur is another */
    bool allow_mass_delete, dry_run;
    char *why;        /* taken, or NULL */
    const char *verb; /* "intent apply"; a constant */
    char who[128];
    const char *role; /* a constant, or NULL */
};
void gtm_intent_proposal_fini(struct gtm_intent_proposal *proposal);

/* Borrowed for the callback. */
struct gtm_intent_outcome {
    int code;              /* 0; GTM_EPARSE (findings), GTM_EBLOCKED (mass), GTM_ECONFLICT,
                              GTM_EINVAL, GTM_ENOTFOUND, GTM_EUNREACHABLE, … */
    const char *text;      /* why, when code is not 0 */
    int64_t base_rev, rev; /* rev 0: none was made (a dry run, no differences, a failure) */
    bool changed;          /* the proposal differs from base */
    const struct gtm_diags *findings;
    struct gtm_json *diff, *mass, *summary; /* or NULL; taken by setting them to NULL */
};
typedef void gtm_intent_outcome_fn(void *arg, struct gtm_intent_outcome *outcome);

/* Takes what the proposal holds, also on failure: GTM_ELIMIT (too many at a time), GTM_ENOMEM;
 * done is not called then. */
int gtm_intent_apply(struct gtmd *d, struct gtm_intent_proposal *proposal,
                     gtm_intent_outcome_fn *done, void *arg) GTM_MUST_CHECK;

#endif
