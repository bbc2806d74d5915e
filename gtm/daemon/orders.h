/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders of operators, and the steps that follow from them: what an order would change, what the
 * safety rules (policies/rules.h) say of that, and its commit with an entry in the audit chain. One
 * way for all of them, on a standalone node and in a cluster. Control thread.
 *
 * Happy path: gtm_orders_plan → (blocked? tell) → gtm_orders_commit → gtm_order_plan_fini.
 * In a cluster two nodes may look at the same world at the same time: the key "head/orders" moves
 * with every order, so that of two plans over one world only the first can be committed, and the
 * other gets GTM_ECONFLICT.
 */
#ifndef GTM_DAEMON_ORDERS_H
#define GTM_DAEMON_ORDERS_H

#include "gtm/daemon/facts.h"
#include "gtm/daemon/state.h"
#include "policies/rules.h"

struct gtmd;

#define GTM_ORDER_VERB_BYTES 32
struct gtm_order {
    char key[GTM_OVERRIDE_KEY_BYTES];
    char verb[GTM_ORDER_VERB_BYTES]; /* "region drain"; for the audit */
    bool clear;                      /* withdraw what is there; of `put` only owner and reason */
    struct gtm_override put;         /* put.rules: the rules that may be broken */
    const char *role;                /* of who orders: static text */
    bool guarded; /* the leader's own: not committed unless this node still leads */
    bool ended;   /* cleared because its time is over */
};

struct gtm_order_plan {
    bool had_before;
    struct gtm_override before;
    struct policy_verdict *verdicts; /* NULL for what the rules have no word on */
    size_t verdicts_count;
    size_t serving_before, serving_after; /* endpoints of the pool, else of all pools */
    int64_t head;                         /* revision of "head/orders" */
};

/* What the order would do. GTM_ENOMEM; GTM_EINVAL: put.rules names a rule that there is not, which
 * err says. */
int gtm_orders_plan(struct gtmd *d, const struct gtm_order *order, struct gtm_order_plan *ret_plan,
                    struct gtm_error *err) GTM_MUST_CHECK;
void gtm_order_plan_fini(struct gtm_order_plan *plan);
bool gtm_order_plan_blocked(const struct gtm_order_plan *plan);
/* "one-at-a-time, room": the rules with that word. Returns out. */
const char *gtm_order_plan_names(const struct gtm_order_plan *plan, enum policy_rule_word word,
                                 char out[GTM_ORDER_RULES_BYTES]);
/* Carries it out (also when it is blocked: that is the caller's to look at), says it among the
 * events; results as gtm_state_override, and GTM_ECONFLICT: another order came first. */
int gtm_orders_commit(struct gtmd *d, const struct gtm_order *order,
                      const struct gtm_order_plan *plan, gtm_state_done_fn done,
                      void *arg) GTM_MUST_CHECK;

/* Of the endpoints outside the region that its pools have: how many are down now? A shift that
 * finds more than at its beginning holds. */
unsigned gtm_orders_unwell(const struct gtm_facts *facts, size_t region);

/* Every second, on the node that decides: the next steps of shifts that are due (a step that the
 * rules forbid, or an endpoint elsewhere that went down, holds the shift), and, in a cluster, the
 * end of orders whose time is over. */
void gtm_orders_tick(struct gtmd *d);

#endif
