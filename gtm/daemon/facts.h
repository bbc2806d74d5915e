/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known about an intent's endpoints, pools and regions, and what operators ordered, in one
 * place: the states that steering reads plus what only people want to see (since when, who, why).
 * The control thread owns the live one (state.h); a clone may be read by any one thread.
 */
#ifndef GTM_DAEMON_FACTS_H
#define GTM_DAEMON_FACTS_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/map.h"
#include "gtm/model/intent.h"
#include "gtm/model/states.h"
#include "policies/recovery.h"
#include "policies/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_OVERRIDE_OWNER_BYTES  64   /* with the NUL */
#define GTM_OVERRIDE_REASON_BYTES 512  /* with the NUL */
#define GTM_OVERRIDES_MAX         5000 /* at a time */
#define GTM_OVERRIDE_KEY_BYTES    160  /* "endpoint/" + 2 × 63 + … */

#define GTM_SHARE_TEXT_BYTES 160

/* An operator's order. Its key says what it is about:
 *
 *     endpoint/POOL/NAME  pool/POOL  region/REGION  node/NODE    up, down or drain
 *     shift/REGION        users of the region leave it in steps
 *     switch/NAME         what rules of kind gate look at
 *     automation          nothing is decided by itself: no step of a shift, no ramp, no balancing.
 *                         Health goes on to be obeyed
 */
enum gtm_order_kind { GTM_ORDER_ADMIN = 0, GTM_ORDER_SHIFT, GTM_ORDER_SWITCH, GTM_ORDER_PAUSE };
#define GTM_ORDER_RULES_BYTES 256
#define GTM_AUTOMATION_KEY    "automation"
struct gtm_override {
    enum gtm_order_kind kind;
    enum gtm_admin admin; /* never auto: that is "no order"; auto in other kinds */
    enum gtm_switch on;   /* switch */
    struct policy_shift shift;
    unsigned shift_unwell; /* endpoints outside the region that were not well when it began */
    char shift_why[GTM_SHARE_TEXT_BYTES]; /* held: why */
    char rules[GTM_ORDER_RULES_BYTES];    /* overridden, with commas between; "" = none */
    char owner[GTM_OVERRIDE_OWNER_BYTES];
    char reason[GTM_OVERRIDE_REASON_BYTES]; /* may be empty */
    int64_t since_ms;                       /* Unix time */
    int64_t until_ms;                       /* 0 = until it is withdrawn */
    uint64_t over_ms;                       /* drain: this long, in steps; 0 = at once */
    bool draining;                          /* … and that is not over */
    bool saved;                             /* the store has it */
};

/* Orders by key, also for objects that the present intent does not have. */
struct gtm_overrides {
    struct gtm_map *map;
};
int gtm_overrides_init(struct gtm_overrides *all) GTM_MUST_CHECK;
void gtm_overrides_fini(struct gtm_overrides *all);
const struct gtm_override *gtm_overrides_get(const struct gtm_overrides *all, const char *key);
/* Copies. GTM_ENOMEM, GTM_ELIMIT. */
int gtm_overrides_put(struct gtm_overrides *all, const char *key,
                      const struct gtm_override *override) GTM_MUST_CHECK;
void gtm_overrides_remove(struct gtm_overrides *all, const char *key);
/* The earliest end, 0 = none ends. */
int64_t gtm_overrides_next_end(const struct gtm_overrides *all);
/* The key of one that ended at or before now; false: none. */
bool gtm_overrides_ended(const struct gtm_overrides *all, int64_t now_ms,
                         char ret_key[GTM_OVERRIDE_KEY_BYTES]);
/* The text kept in the store, new; NULL when out of memory. And back: GTM_ECORRUPT. */
char *gtm_override_print(const struct gtm_override *override);
int gtm_override_parse(const char *text, size_t len,
                       struct gtm_override *ret_override) GTM_MUST_CHECK;
/* "drain", "shift 50 %", "on", "paused". Returns out. */
#define GTM_OVERRIDE_WORD_BYTES 24
const char *gtm_override_word(const struct gtm_override *override,
                              char out[GTM_OVERRIDE_WORD_BYTES]);
/* Keys; false when they do not fit. */
bool gtm_override_key(const char *pool, const char *endpoint, /* NULL = the pool */
                      char ret_key[GTM_OVERRIDE_KEY_BYTES]);
/* "region", "shift", "switch" or "node". */
bool gtm_override_key_of(const char *noun, const char *name, char ret_key[GTM_OVERRIDE_KEY_BYTES]);

/* What an endpoint said of its load last, each figure with its time. */
struct gtm_endpoint_load {
    double value[GTM_LOAD_COUNT];
    uint64_t mono_ms[GTM_LOAD_COUNT]; /* monotonic; 0 = never */
};

/* Health of a group of endpoints and since when. */
struct gtm_group_health {
    enum gtm_health health;
    int64_t since_ms; /* Unix time */
};

struct gtm_facts {
    const struct gtm_intent *intent; /* a reference */
    struct gtm_states *states;
    size_t *base;      /* by pool: index of its first endpoint */
    size_t endpoints;  /* of all pools */
    int64_t *since_ms; /* [endpoint * 2 + family]: of its health; 0 = never known */
    bool *panic_held;  /* [endpoint * 2 + family]: fails by content, which is not believed */
    struct policy_recovery *recovery; /* [endpoint * 2 + family] */
    bool *panic;                      /* [pool * 2 + family]: failures of content are held */
    struct gtm_endpoint_load *loads;  /* [endpoint] */
    struct gtm_group_health *pools;   /* by pool */
    struct gtm_group_health *regions; /* by region */
    unsigned *shifted;                /* by region: of 1000 users, those that an order moves away */
    struct gtm_overrides overrides;
};

/* Everything unknown. Takes a reference of its own. NULL when out of memory. */
struct gtm_facts *gtm_facts_new(const struct gtm_intent *intent);
struct gtm_facts *gtm_facts_clone(const struct gtm_facts *facts); /* NULL when out of memory */
void gtm_facts_free(struct gtm_facts *facts);                     /* NULL is fine */
/* Takes over what `from` knows, by name; orders too. GTM_ENOMEM. */
int gtm_facts_carry(struct gtm_facts *facts, const struct gtm_facts *from) GTM_MUST_CHECK;

/* What the key of an order names: *ret_endpoint is -1 for a whole pool. False: nothing that the
 * intent has. */
bool gtm_facts_find(const struct gtm_facts *facts, const char *key, size_t *ret_pool,
                    long *ret_endpoint);
/* The region that the key of an order names (region/ or shift/), or -1. */
int gtm_facts_find_region(const struct gtm_facts *facts, const char *key);
/* Calls fn for every endpoint that the key names: its own, its pool's or its region's. */
void gtm_facts_each(const struct gtm_facts *facts, const char *key,
                    void (*fn)(void *ctx, size_t pool, size_t endpoint), void *ctx);
/* Does an order hold what decides by itself? */
bool gtm_facts_paused(const struct gtm_facts *facts);
/* Puts the order under key (or its absence) into the states; unknown names are ignored. One that
 * drains gradually is as none until it is over: the shares do it. */
void gtm_facts_apply_override(struct gtm_facts *facts, const char *key,
                              struct gtm_touched *touched);
/* All orders. */
void gtm_facts_apply_overrides(struct gtm_facts *facts, struct gtm_touched *touched);

/* The share that gradual drains of the endpoint, its pool and its region leave is written to *share
 * when it is less; false: none is under way. */
bool gtm_facts_drain(const struct gtm_facts *facts, size_t pool, size_t endpoint, int64_t wall_ms,
                     unsigned *share);
/* Puts the share of an address into the states: what its way back, drains and shifts come to. */
void gtm_facts_put_share(struct gtm_facts *facts, size_t pool, size_t endpoint,
                         enum gtm_family family, const struct gtm_clock *clock,
                         struct gtm_touched *touched);
/* Why an address takes less than its weight: "held for 12 s more (failback.hold)"; "" when it does
 * not. Times as of now, by clock. Returns out. */
const char *gtm_facts_share_text(const struct gtm_facts *facts, size_t pool, size_t endpoint,
                                 enum gtm_family family, const struct gtm_clock *clock,
                                 char out[GTM_SHARE_TEXT_BYTES]);

/* How full an endpoint is by its own word: 1 = full. `load`, else requests_per_s of its capacity;
 * -1 = not known, or older than stale_ms. */
double gtm_facts_utilisation(const struct gtm_facts *facts, size_t pool, size_t endpoint,
                             uint64_t now_ms, uint64_t stale_ms);

/* Works out the health of a pool, of all regions; `since` moves when the word changes. Returns
 * whether it did. */
bool gtm_facts_update_pool(struct gtm_facts *facts, size_t pool, int64_t now_ms);
void gtm_facts_update_regions(struct gtm_facts *facts, int64_t now_ms);

/* Up and down together are degraded; unknown counts only when nothing else is known. */
enum gtm_health gtm_facts_endpoint_health(const struct gtm_facts *facts, size_t pool,
                                          size_t endpoint);
/* In any family. */
bool gtm_facts_endpoint_serves(const struct gtm_facts *facts, size_t pool, size_t endpoint);
/* Endpoints of a pool that get users, in any family or in one. */
size_t gtm_facts_serving(const struct gtm_facts *facts, size_t pool);
size_t gtm_facts_serving_family(const struct gtm_facts *facts, size_t pool, enum gtm_family family);
/* Of a region over all pools. */
size_t gtm_facts_region_endpoints(const struct gtm_facts *facts, size_t region,
                                  size_t *ret_serving);

#endif
