/* SPDX-License-Identifier: Apache-2.0
 *
 * Fresh or stale. See watch_life.h.
 */
#include "gtm/etcdc/watch_life.h"

/* Times stale_ns: how long ticks alone, or a pause of ours, are believed. */
#define PROVE_EVERY 3u

void etcdc__life_init(struct etcdc__life *life, uint64_t stale_ms, uint64_t now_ns)
{
    *life = (struct etcdc__life){.stale_ns = stale_ms * 1000000u, .opened_ns = now_ns};
}

static void proven(struct etcdc__life *life, uint64_t as_of_ns)
{
    if (as_of_ns > life->heard_ns)
        life->heard_ns = as_of_ns;
    if (as_of_ns > life->proven_ns)
        life->proven_ns = as_of_ns;
    life->want = 0;
}

void etcdc__life_listed(struct etcdc__life *life, uint64_t asked_ns)
{
    proven(life, asked_ns);
}

void etcdc__life_checked(struct etcdc__life *life, uint64_t asked_ns, int64_t revision,
                         int64_t next)
{
    if (revision < next) {
        proven(life, asked_ns);
    } else if (life->want == 0) {
        life->want = revision;
        life->want_ns = asked_ns;
    }
}

void etcdc__life_moved(struct etcdc__life *life, int64_t next)
{
    if (life->want > 0 && life->want < next)
        proven(life, life->want_ns);
}

void etcdc__life_ticked(struct etcdc__life *life, uint64_t now_ns)
{
    if (life->state == ETCDC__LIFE_FRESH)
        life->heard_ns = now_ns;
}

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

void etcdc__life_stood_still(struct etcdc__life *life, uint64_t now_ns)
{
    life->spare_ns = now_ns + 2 * life->stale_ns / 3;
}

static bool spared(const struct etcdc__life *life, uint64_t silent_ns, uint64_t now_ns)
{
    return life->state == ETCDC__LIFE_FRESH && now_ns < life->spare_ns &&
           silent_ns <= PROVE_EVERY * life->stale_ns;
}

bool etcdc__life_turn(struct etcdc__life *life, uint64_t now_ns)
{
    enum etcdc__life_state state = life->state;
    uint64_t from = life->heard_ns ? life->heard_ns : life->opened_ns;
    uint64_t silent_ns = since(from, now_ns);
    if (silent_ns > life->stale_ns && spared(life, silent_ns, now_ns))
        return false;
    if (silent_ns > life->stale_ns)
        life->state = ETCDC__LIFE_STALE;
    else if (life->heard_ns)
        life->state = ETCDC__LIFE_FRESH;
    return life->state != state;
}

enum etcdc__life_act etcdc__life_act(const struct etcdc__life *life, uint64_t now_ns)
{
    if (life->want > 0)
        return since(life->want_ns, now_ns) >= life->stale_ns / 4 ? ETCDC__LIFE_LIST
                                                                  : ETCDC__LIFE_REST;
    bool ticks = life->heard_ns > life->proven_ns;
    if (life->state != ETCDC__LIFE_FRESH ||
        since(life->heard_ns, now_ns) >= life->stale_ns / (ticks ? 2 : 4) ||
        since(life->proven_ns, now_ns) >= PROVE_EVERY * life->stale_ns)
        return ETCDC__LIFE_CHECK;
    return ETCDC__LIFE_REST;
}

uint64_t etcdc__life_beat_ms(const struct etcdc__life *life)
{
    uint64_t ms = life->stale_ns / 3000000u;
    if (life->state != ETCDC__LIFE_FRESH && ms > 300)
        ms = 300; /* who waits for the quorum's return looks more often */
    return ms > 20 ? ms : 20;
}
