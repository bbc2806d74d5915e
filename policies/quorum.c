/* SPDX-License-Identifier: Apache-2.0
 *
 * See quorum.h. Pure.
 */
#include "policies/quorum.h"

#include "gtm/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

unsigned policy_quorum_needed(enum gtm_quorum kind, unsigned regions, enum gtm_health health)
{
    if (health == GTM_HEALTH_DOWN && kind == GTM_QUORUM_ANY)
        return 1;
    if (health == GTM_HEALTH_DOWN && kind == GTM_QUORUM_ALL)
        return regions > 0 ? regions : 1;
    return regions / 2 + 1;
}

/* What the vantages of one region say. */
struct tally {
    uint32_t up, down, content;
};

static void count(const struct policy_vote *vote, struct tally *tally)
{
    if (!vote->fit)
        return;
    if (vote->health == GTM_HEALTH_DOWN) {
        tally->down++;
        tally->content += vote->content;
    } else if (vote->health == GTM_HEALTH_UP || vote->health == GTM_HEALTH_DEGRADED) {
        tally->up++;
    }
}

static void tally_all(const struct policy_vote *votes, size_t votes_count, unsigned regions,
                      struct tally *tallies)
{
    memset(tallies, 0, regions * sizeof(*tallies));
    for (size_t i = 0; i < votes_count; i++) {
        if (votes[i].region < regions)
            count(&votes[i], &tallies[votes[i].region]);
    }
}

static enum gtm_health region_vote(const struct tally *tally, enum gtm_health before)
{
    if (tally->up != tally->down)
        return tally->up > tally->down ? GTM_HEALTH_UP : GTM_HEALTH_DOWN;
    return tally->up > 0 ? before : GTM_HEALTH_UNKNOWN;
}

static unsigned clip(unsigned regions)
{
    return regions < POLICY_VANTAGE_REGIONS_MAX ? regions : POLICY_VANTAGE_REGIONS_MAX;
}

struct policy_quorum policy_quorum(const struct policy_vote *votes, size_t votes_count,
                                   unsigned regions, enum gtm_quorum kind, enum gtm_health before)
{
    struct tally tallies[POLICY_VANTAGE_REGIONS_MAX];
    struct policy_quorum q = {.health = before, .regions = clip(regions)};
    unsigned content = 0;

    tally_all(votes, votes_count, q.regions, tallies);
    for (unsigned r = 0; r < q.regions; r++) {
        enum gtm_health vote = region_vote(&tallies[r], before);
        q.down += vote == GTM_HEALTH_DOWN;
        q.up += vote == GTM_HEALTH_UP || vote == GTM_HEALTH_DEGRADED;
        content += vote == GTM_HEALTH_DOWN && tallies[r].content * 2 > tallies[r].down;
    }
    q.silent = q.regions - q.up - q.down;
    q.content = content * 2 > q.down;

    unsigned to_fall = policy_quorum_needed(kind, q.regions, GTM_HEALTH_DOWN);
    unsigned to_rise = policy_quorum_needed(kind, q.regions, GTM_HEALTH_UP);
    if (q.down >= to_fall || q.up >= to_rise) {
        q.health = q.down >= to_fall ? GTM_HEALTH_DOWN : GTM_HEALTH_UP;
        q.needed = q.down >= to_fall ? to_fall : to_rise;
        return q;
    }
    q.needed = to_fall > to_rise ? to_fall : to_rise;
    q.state = q.up + q.down < q.needed ? POLICY_STALE : POLICY_SPLIT;
    return q;
}

/* --- the text --- */

struct text {
    char *out;
    size_t len;
    bool full;
};

/* Appends, or else ends the text with "…" at the end of a whole character. */
static void say(struct text *t, const char *fmt, ...) GTM_PRINTF(2, 3);
static void say(struct text *t, const char *fmt, ...)
{
    static const char more[] = "…";
    const size_t room = POLICY_QUORUM_TEXT - (sizeof(more) - 1);
    va_list args;
    if (t->full)
        return;
    va_start(args, fmt);
    int n = vsnprintf(t->out + t->len, POLICY_QUORUM_TEXT - t->len, fmt, args);
    va_end(args);
    if (n >= 0 && t->len + (size_t)n < POLICY_QUORUM_TEXT) {
        t->len += (size_t)n;
        return;
    }
    t->full = true;
    size_t cut = 0, have = strlen(t->out), step;
    while (cut < have && (step = gtm_utf8_len(t->out + cut, have - cut)) > 0 && cut + step < room)
        cut += step;
    memcpy(t->out + cut, more, sizeof(more));
}

/* The first of a region's votes that says down, with what it saw. */
static void say_evidence(struct text *t, const struct policy_vote *votes, size_t votes_count,
                         unsigned region)
{
    const struct policy_vote *first = NULL;
    unsigned voting = 0;
    for (size_t i = 0; i < votes_count; i++) {
        struct tally one = {0};
        if (votes[i].region == region)
            count(&votes[i], &one);
        voting += one.up + one.down;
        if (one.down > 0 && !first)
            first = &votes[i];
    }
    if (first && voting > 1 && first->vantage)
        say(t, "/%s", first->vantage);
    if (first && first->evidence && first->evidence[0])
        say(t, " %s", first->evidence);
}

enum part { PART_DOWN = 0, PART_TIED, PART_UP, PART_SILENT, PART_COUNT };

static enum part part_of(const struct tally *tally)
{
    switch (region_vote(tally, GTM_HEALTH_UNKNOWN)) {
    case GTM_HEALTH_DOWN:
        return PART_DOWN;
    case GTM_HEALTH_UP:
        return PART_UP;
    default:
        return tally->up > 0 ? PART_TIED : PART_SILENT;
    }
}

static void say_head(struct text *t, const struct policy_quorum *q)
{
    const char *word = gtm_health_word(q->health);
    unsigned agree = q->health == GTM_HEALTH_DOWN ? q->down : q->up;
    if (q->state == POLICY_AGREED)
        say(t, "%s: %u of %u regions (needs %u)", word, agree, q->regions, q->needed);
    else if (q->state == POLICY_STALE)
        say(t, "%s, stale: %u of %u regions vote (needs %u)", word, q->up + q->down, q->regions,
            q->needed);
    else
        say(t, "%s, undecided: %u down, %u up of %u regions (needs %u)", word, q->down, q->up,
            q->regions, q->needed);
}

const char *policy_quorum_text(const struct policy_quorum *result, const struct policy_vote *votes,
                               size_t votes_count, const char *const *region_names,
                               char out[POLICY_QUORUM_TEXT])
{
    static const char *const titles[PART_COUNT] = {"down: ", "tied: ", "up: ", "silent: "};
    struct tally tallies[POLICY_VANTAGE_REGIONS_MAX];
    struct text t = {.out = out};
    unsigned regions = clip(result->regions);
    bool down = result->state == POLICY_AGREED && result->health == GTM_HEALTH_DOWN;

    out[0] = '\0';
    tally_all(votes, votes_count, regions, tallies);
    say_head(&t, result);
    for (int part = PART_DOWN; part < PART_COUNT; part++) {
        const char *lead = part == PART_DOWN && down ? ": " : "; ";
        const char *title = part == PART_DOWN && down ? "" : titles[part];
        if (part == PART_UP && result->up == regions)
            continue; /* needs no list */
        for (unsigned r = 0; r < regions && !t.full; r++) {
            if ((int)part_of(&tallies[r]) != part)
                continue;
            say(&t, "%s%s%s", lead, title, region_names[r]);
            if (part == PART_DOWN)
                say_evidence(&t, votes, votes_count, r);
            lead = ", ";
            title = "";
        }
    }
    return out;
}
