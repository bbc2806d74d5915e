/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of the conductor share: deciding (conductor.c), writing (conductor_write.c) and
 * looking whether verdicts are answered (conductor_dispute.c).
 */
#ifndef GTM_DAEMON_CONDUCTOR_INT_H
#define GTM_DAEMON_CONDUCTOR_INT_H

#include "gtm/daemon/conductor.h"

struct gtm_timer;
struct conductor__flight;

/* A verdict, as far as it matters whether two are the same. */
struct conductor__print {
    uint64_t health; /* who is up and who is down */
    uint64_t core;   /* … and what it rests on */
    uint64_t full;   /* … and shares and weights */
};

/* A pool of the intent. */
struct conductor__pool {
    struct conductor__print stored; /* what the store has; 0 = nothing readable */
    uint64_t written_ms;            /* monotonic; 0 = not by this one */
    bool dirty, look;
    bool differs;         /* merging: what this node made of its health is not what the store has */
    uint64_t disputed_ms; /* since when the verdict in force is not what is agreed on; 0 = it is */
};

struct gtm_conductor {
    struct gtm_conductor_opts opts;
    const struct gtm_clock *clock;
    char node[64];
    enum policy_role_mode mode;
    const struct gtm_intent *intent; /* a reference; NULL before the first */
    int64_t intent_rev;
    uint64_t generation; /* of pools and gone: indexes into older ones mean nothing */
    struct gtm_state *pipe;
    bool kept; /* it is a leader's that lost sight of the store; it decides nothing meanwhile */
    struct conductor__pool *pools;
    size_t dirty;
    char **gone; /* pools whose verdicts must go */
    size_t gone_count, gone_cap;
    bool starting;       /* the pipeline is being filled: nothing is put in force yet */
    bool takeover;       /* a view is due, whatever it says: the first of this term */
    bool merging;        /* the followed state has this node's own merge */
    int64_t merging_rev; /* the view before that */
    uint64_t merging_ms; /* monotonic */
    size_t differing;    /* pools that differ */
    int64_t view_rev;    /* in force */
    uint64_t view_ms;    /* when it came; monotonic */
    uint64_t unanswered_ms;
    struct conductor__flight *flight;
    struct gtm_timer *timer; /* writes */
    struct gtm_store_watch *resumes;
    uint64_t pruned_ms, second_ms; /* monotonic */
    struct gtm_conductor_info info;
};

/* conductor_write.c */
void conductor__mark(struct gtm_conductor *c, size_t pool);
void conductor__write(void *conductor); /* timer */
/* Prints of what the store has, and what it has too much. With seed: the pipeline, before its first
 * prepare, and the table go on from there. */
int conductor__load(struct gtm_conductor *c, bool seed) GTM_MUST_CHECK;
struct conductor__print conductor__print_of(const struct gtm_verdict_doc *doc);
/* The view in the store: its number, and the revision that wrote it (GTM_STORE_ABSENT). */
int64_t conductor__stored_view(const struct gtm_conductor *c, int64_t *ret_revision);
void conductor__let_go(struct gtm_conductor *c); /* before it is freed */

/* conductor_duty.c */
void conductor__prune(struct gtm_conductor *c);
void conductor__resumes(struct gtm_conductor *c);
void conductor__on_resume(void *conductor, const struct gtm_store_entry *entry); /* watch */

/* conductor_dispute.c */
void conductor__disputes(struct gtm_conductor *c);       /* pools to look at */
void conductor__disputes_again(struct gtm_conductor *c); /* what is disputed */

#endif
