/* SPDX-License-Identifier: Apache-2.0
 *
 * Safety rules: may an order be carried out? The world as it is and as the order would leave it
 * come in; for every rule a word and a sentence with its numbers come out. Pure. An order is never
 * refused for what was wrong before it and does not become worse by it: so what puts things right
 * always passes.
 *
 *     kind           looks at                                               refuses when it becomes
 *     answers_left   every policy that a name has, by address family: what  fewer than min
 *                    serves and its answers can draw on
 *     regions_out    regions with endpoints of which none serves, by order  more than max
 *                    or by verdict, or that a shift empties
 *     capacity_left  every pool: what serves ÷ what its users ask for now   less than min
 *     gate           a switch                                               not at `allow`
 *     cooldown       the last order that moved users of another region      less than time ago
 *
 * capacity_left: where no load is reported, the endpoints that serve now are taken to be half full;
 * where a capacity is not known, endpoints count alike. Unknown is never zero, and the sentence
 * says what was assumed.
 *
 * `when: planned`: when the region that the order is about is down by its verdict, the rule warns
 * instead: it must not hold users in a dead region.
 */
#ifndef GTM_POLICIES_RULES_H
#define GTM_POLICIES_RULES_H

#include "gtm/base/err.h"
#include "gtm/model/intent.h"
#include "gtm/model/states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_RULES_MAX 1000 /* of one intent */
#define POLICY_RULE_TEXT 320

/* The world at one moment. Arrays are borrowed; region arrays may be NULL: nothing of it. */
struct policy_world {
    const struct gtm_states *states;
    const unsigned *shifted; /* by region: of 1000 users, those that an order moves away */
};

#define POLICY_NO_REGION (-1)
struct policy_order {
    struct policy_world before, after;
    const enum gtm_health *regions; /* by region: the verdict now */
    /* By pool: requests a second that its users ask for now; negative = not known. NULL: none is.
     */
    const double *demand;
    /* Switches that are on; every other one is off. */
    const char *const *switches_on;
    size_t switches_on_count;
    int region;        /* that it is about, also that of an endpoint; POLICY_NO_REGION */
    bool moves;        /* takes users from where they are: what only gives back passes gates */
    bool moves_region; /* … those of the whole region */
    /* The last order that moved the users of another region than `region`, started or ended. */
    int last_region; /* POLICY_NO_REGION: none */
    uint64_t last_ago_ms;
};

enum policy_rule_word {
    POLICY_RULE_OK = 0,
    POLICY_RULE_WARNED,
    POLICY_RULE_OVERRIDDEN, /* blocked, and named in policy_rules_override */
    POLICY_RULE_BLOCKED,
    POLICY_RULE_WORD_COUNT
};
/* "ok", "warned", "overridden", "blocked". Never NULL. */
const char *policy_rule_word(enum policy_rule_word word);

struct policy_verdict {
    const struct gtm_rule *rule; /* of the intent, or of its defaults */
    enum policy_rule_word word;
    char text[POLICY_RULE_TEXT]; /* the numbers, and how to go on when it is not ok */
};

/* One verdict for each rule of the intent, in its order: a new array (gtm_free), *ret_count of
 * them. Both states are of `intent`. NULL: out of memory. */
struct policy_verdict *policy_rules(const struct gtm_intent *intent,
                                    const struct policy_order *order, size_t *ret_count);
/* Turns blocked into overridden for a rule of that name; false: no rule has it. */
bool policy_rules_override(struct policy_verdict *verdicts, size_t count, const char *name);
/* The greatest word of all. */
enum policy_rule_word policy_rules_worst(const struct policy_verdict *verdicts, size_t count);

/* --- moving users away in steps --- */

#define POLICY_SHIFT_STEPS 16
struct policy_shift {
    uint8_t steps[POLICY_SHIFT_STEPS]; /* percent of the users gone after each, rising, 1..100 */
    unsigned count;
    unsigned done;     /* steps taken; 0 = none yet */
    uint64_t pause_ms; /* between two */
    int64_t since_ms;  /* when the last one was taken; Unix time */
    bool held;         /* goes no further until it is resumed */
};
/* Of 1000 users, those that are moved away now. */
unsigned policy_shift_now(const struct policy_shift *shift);
/* When the next step is due; 0 = never (held, or all are taken). */
int64_t policy_shift_due_ms(const struct policy_shift *shift);
/* "10,50,100" → steps; GTM_EINVAL with a reason. */
int policy_shift_parse(const char *text, struct policy_shift *ret,
                       struct gtm_error *err) GTM_MUST_CHECK;
/* And back. Returns out. */
#define POLICY_SHIFT_TEXT 80
const char *policy_shift_print(const struct policy_shift *shift, char out[POLICY_SHIFT_TEXT]);

#endif
