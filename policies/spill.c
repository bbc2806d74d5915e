/* SPDX-License-Identifier: Apache-2.0
 *
 * See spill.h. Pure.
 */
#include "policies/spill.h"

#include <math.h>
#include <stdio.h>

#define KEPT_MIN 0.01 /* below it utilisation says nothing of demand */

static double middle(const struct policy_spill_rules *rules)
{
    return (rules->low + rules->high) / 2;
}

/* Is any other region at most so full? One that does not say is full. */
static bool any_below(const struct policy_spill_region *regions, size_t count, size_t but,
                      double mark)
{
    for (size_t i = 0; i < count; i++) {
        const struct policy_spill_region *r = &regions[i];
        if (i != but && r->serves && isfinite(r->utilisation) && r->utilisation >= 0 &&
            r->utilisation <= mark)
            return true;
    }
    return false;
}

/* The part of the users that follow by now. */
static void follow(struct policy_spill_region *r, const struct policy_spill_rules *rules)
{
    double lag = rules->lag_ms > 0 ? (double)rules->lag_ms : 1;
    double keeps = 1 - r->shed / 1000.0;
    if (!r->known)
        r->kept = keeps;
    r->known = true;
    r->kept += (1 - exp(-(double)rules->elapsed_ms / lag)) * (keeps - r->kept);
}

/* Of 1000 users: what brings the region to the middle between its marks. */
static double needed(const struct policy_spill_region *r, const struct policy_spill_rules *rules)
{
    double demand = r->utilisation / fmax(r->kept, KEPT_MIN);
    return demand > middle(rules) ? 1000 * (1 - middle(rules) / demand) : 0;
}

/* Goes towards `want` by at most `most` in ten seconds, in whole thousandths. */
static bool approach(struct policy_spill_region *r, double want, double most,
                     const struct policy_spill_rules *rules)
{
    double elapsed = fmin((double)rules->elapsed_ms / POLICY_SPILL_STEP_MS, 1);
    double now = r->shed + r->rest, way = want - now, step = most * elapsed;
    now += fmin(fmax(way, -step), step);
    now = fmin(fmax(now, 0), 1000);
    unsigned was = r->shed;
    r->shed = (unsigned)now;
    r->rest = now - r->shed;
    if (want <= 0 && now < 1) { /* no last thousandth for ever */
        r->shed = 0;
        r->rest = 0;
    }
    return r->shed != was;
}

/* room: another region is below the middle of its marks; full: all others are above the high one.
 */
static bool step_one(struct policy_spill_region *r, bool room, bool full,
                     const struct policy_spill_rules *rules)
{
    bool sheds = r->shed > 0 || r->rest > 0;
    bool known = r->serves && isfinite(r->utilisation) && r->utilisation >= 0;
    double want = known ? needed(r, rules) : r->shed;
    if (rules->high < 0) {
        r->state = sheds ? POLICY_SPILL_FALLING : POLICY_SPILL_IDLE;
        return approach(r, 0, POLICY_SPILL_FALL, rules);
    }
    if (full && (sheds || (known && r->utilisation > rules->high))) {
        r->state = POLICY_SPILL_BLOCKED;
        return approach(r, 0, POLICY_SPILL_FALL, rules);
    }
    if (!known) {
        r->state = POLICY_SPILL_UNKNOWN;
        return false;
    }
    if (r->utilisation > rules->high && room) {
        r->state = POLICY_SPILL_RISING;
        return approach(r, fmax(want, r->shed), POLICY_SPILL_RISE, rules);
    }
    if (r->utilisation < rules->low && sheds) {
        r->state = POLICY_SPILL_FALLING;
        return approach(r, fmin(want, r->shed), POLICY_SPILL_FALL, rules);
    }
    r->state = sheds || r->utilisation > rules->high ? POLICY_SPILL_STEADY : POLICY_SPILL_IDLE;
    return false;
}

bool policy_spill_step(struct policy_spill_region *regions, size_t count,
                       const struct policy_spill_rules *rules)
{
    bool changed = false;
    for (size_t i = 0; i < count; i++)
        follow(&regions[i], rules);
    for (size_t i = 0; i < count; i++)
        changed |= step_one(&regions[i], any_below(regions, count, i, middle(rules)),
                            !any_below(regions, count, i, rules->high), rules);
    return changed;
}

const char *policy_spill_say(const struct policy_spill_region *r,
                             const struct policy_spill_rules *rules, char out[POLICY_SPILL_TEXT])
{
    static const char *const ends[] = {
        [POLICY_SPILL_RISING] = " and rising",
        [POLICY_SPILL_STEADY] = "",
        [POLICY_SPILL_FALLING] = " and falling",
    };
    out[0] = '\0';
    if (r->state == POLICY_SPILL_BLOCKED)
        snprintf(out, POLICY_SPILL_TEXT,
                 "at %.0f %%, above %.0f %%, but no other region has room%s", r->utilisation * 100,
                 rules->high * 100, r->shed ? ": its shed ends" : "");
    else if (r->state == POLICY_SPILL_UNKNOWN && r->shed > 0)
        snprintf(out, POLICY_SPILL_TEXT, "no fresh load report: goes on shedding %.1f %%",
                 r->shed / 10.0);
    else if (r->state != POLICY_SPILL_IDLE && r->state != POLICY_SPILL_UNKNOWN)
        snprintf(out, POLICY_SPILL_TEXT, "at %.0f %% (marks %.0f and %.0f %%): sheds %.1f %%%s",
                 r->utilisation * 100, rules->low * 100, rules->high * 100, r->shed / 10.0,
                 ends[r->state]);
    return out;
}
