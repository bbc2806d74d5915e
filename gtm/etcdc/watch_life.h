/* SPDX-License-Identifier: Apache-2.0
 *
 * Is what a watch has given out all there is? etcd 3.4 has no frequent progress, and a stream on
 * HTTP/1.1 cannot be asked, so silence proves nothing: the watch reads a key by quorum on an
 * ordinary call and compares the answer's revision with what the stream has given. Above it, other
 * keys may have changed, or the stream is behind: when it has not caught up by the next beat, a
 * listing tells. A tick key, whose changes come all the time, saves most of that. Pure: time comes
 * in.
 */
#ifndef GTM_ETCDC_WATCH_LIFE_H
#define GTM_ETCDC_WATCH_LIFE_H

#include <stdbool.h>
#include <stdint.h>

enum etcdc__life_state { ETCDC__LIFE_NEW = 0, ETCDC__LIFE_FRESH, ETCDC__LIFE_STALE };
enum etcdc__life_act {
    ETCDC__LIFE_REST = 0,
    ETCDC__LIFE_CHECK, /* read a key by quorum */
    ETCDC__LIFE_LIST   /* the stream seems to be behind */
};

struct etcdc__life {
    uint64_t stale_ns;
    uint64_t opened_ns;
    uint64_t heard_ns;  /* everything that was true then has been given; 0 = never */
    uint64_t proven_ns; /* the same, not counting ticks */
    int64_t want;       /* a check found this revision; not reached yet; 0 = none */
    uint64_t want_ns;   /* when that check was asked */
    uint64_t spare_ns;  /* until then silence is not the store's; see _stood_still */
    enum etcdc__life_state state;
};

void etcdc__life_init(struct etcdc__life *life, uint64_t stale_ms, uint64_t now_ns);
/* A listing that was asked at asked_ns has been given. */
void etcdc__life_listed(struct etcdc__life *life, uint64_t asked_ns);
/* A check that was asked at asked_ns found `revision`; next: the watch's. */
void etcdc__life_checked(struct etcdc__life *life, uint64_t asked_ns, int64_t revision,
                         int64_t next);
/* The stream has gone on to `next`. */
void etcdc__life_moved(struct etcdc__life *life, int64_t next);
/* The tick key has changed. Prolongs freshness, but does not begin it: what a member sends after a
 * pause may be ticks of long ago. */
void etcdc__life_ticked(struct etcdc__life *life, uint64_t now_ns);
/* This process did not look for a while: what was said meanwhile lies unread, so the silence is its
 * own. Freshness does not end before the next beat has asked and the one after it can tell; after
 * three times stale_ns it does, for so old a copy is no good, whoever stood still. */
void etcdc__life_stood_still(struct etcdc__life *life, uint64_t now_ns);
/* True when the state has changed. */
bool etcdc__life_turn(struct etcdc__life *life, uint64_t now_ns);
enum etcdc__life_act etcdc__life_act(const struct etcdc__life *life, uint64_t now_ns);
uint64_t etcdc__life_beat_ms(const struct etcdc__life *life); /* until the next look */

#endif
