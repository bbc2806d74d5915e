/* SPDX-License-Identifier: Apache-2.0
 *
 * The verdict on one pool as every node serves it: the text under "verdict/<pool>". It holds all
 * that the leader decided (health, shares while ramping or draining, what panic holds, what a full
 * region sheds, balanced weights) and what its successor needs to go on (recovery), so that each
 * node makes the same view of the same revision and none has a clock of its own in it.
 *
 * {"v":1,"rev":VIEW_REV,"intent":INTENT_REV,"at":MS,"by":NODE,"fence":N,"stale":bool,
 *  "e":{"www-us":{"4":{"h":"up","s":SINCE_MS,"q":"agreed","w":1000,"held":false,"c":"cause",
 *                      "r":[…recovery, opaque numbers…]}}},
 *  "shed":{"us-east":250},"balance":{"POLICY":{"www-us":120}},"panic":{"4":false,"6":false}}
 *
 * Defaults are left out ("w" 1000, "q" agreed, "held", "stale", "panic" false, "c" and "r" empty).
 * Unknown members are ignored (newer minor writers). Pure; any thread.
 */
#ifndef GTM_MODEL_VERDICT_DOC_H
#define GTM_MODEL_VERDICT_DOC_H

#include "gtm/base/buf.h"
#include "gtm/base/err.h"
#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_VERDICT_FORMAT    1
#define GTM_VERDICT_CAUSE     200 /* with the NUL */
#define GTM_VERDICT_BYTES_MAX (256u << 10)
#define GTM_VERDICT_NUMBERS   10 /* of recovery */

struct gtm_verdict_address {
    const char *endpoint;
    uint8_t family; /* enum gtm_family */
    uint8_t health; /* enum gtm_health */
    uint8_t quorum; /* enum policy_quorum_state: agreed, split, stale */
    bool held;      /* panic: not believed */
    unsigned share; /* 0..GTM_SHARE_FULL */
    int64_t since_ms;
    const char *cause; /* never NULL */
    double recovery[GTM_VERDICT_NUMBERS];
    unsigned recovery_count;
};
struct gtm_verdict_weight { /* of a shed (name: region) or a balance (name: endpoint) */
    const char *policy;     /* NULL: a shed */
    const char *name;
    uint32_t value;
};
struct gtm_verdict_doc {
    int64_t rev, intent, at_ms, fence;
    char by[64];
    bool stale;    /* quorum lost for some of it: last verdicts stand */
    bool panic[2]; /* by family */
    struct gtm_verdict_address *addresses;
    size_t count;
    struct gtm_verdict_weight *weights;
    size_t weights_count;
    void *own;
};
/* As gtm_obs_print and _parse; causes are dropped first when it grows too long. Addresses and
 * weights in any order: they are sorted. GTM_EINVAL also for numbers out of their range, more of
 * them than GTM_VERDICT_NUMBERS or not finite. */
int gtm_verdict_doc_print(const struct gtm_verdict_doc *doc, struct gtm_buf *ret) GTM_MUST_CHECK;
int gtm_verdict_doc_parse(const char *text, size_t len, struct gtm_verdict_doc *ret_doc,
                          struct gtm_error *err) GTM_MUST_CHECK;
void gtm_verdict_doc_fini(struct gtm_verdict_doc *doc);

#endif
