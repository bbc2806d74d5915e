/* SPDX-License-Identifier: Apache-2.0
 *
 * Response-rate limiting; see rrl.h. Each row is one 64-bit word: 24 bits that tell buckets apart
 * and, in 40 bits of microseconds, the time at which the bucket will be full again (the generic
 * cell rate algorithm: a token bucket in one number). A row is found by a keyed hash in a set of
 * four. Failure: two workers change a row at once; the loser tries again a few times, then lets the
 * answer go.
 */
#include "dns/rrl.h"

#include "dns/answer.h"
#include "dns/cookie.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <stdatomic.h>
#include <string.h>

#define WAYS      4
#define TRIES     4
#define TIME_BITS 40
#define TIME_MASK (((uint64_t)1 << TIME_BITS) - 1)
#define SECOND_US 1000000u
#define LATE_US   (10u * SECOND_US) /* how far one worker's time may be behind another's */

struct dns_rrl {
    uint64_t sets_mask;
    uint8_t key[16];
    _Atomic uint64_t *rows;
};

struct dns_rrl *dns_rrl_new(size_t rows)
{
    struct dns_rrl *rrl = gtm_calloc(1, sizeof(*rrl));
    uint64_t sets = 1;

    while (sets * WAYS < rows && sets < ((uint64_t)1 << 30))
        sets *= 2;
    if (rrl == NULL)
        return NULL;
    rrl->sets_mask = sets - 1;
    rrl->rows = gtm_calloc(sets * WAYS, sizeof(*rrl->rows));
    if (rrl->rows == NULL || gtm_rand_secure(rrl->key, sizeof(rrl->key)) != 0) {
        dns_rrl_free(rrl);
        return NULL;
    }
    return rrl;
}

void dns_rrl_free(struct dns_rrl *rrl)
{
    if (rrl != NULL)
        gtm_free((void *)rrl->rows);
    gtm_free(rrl);
}

static uint64_t bucket_hash(const struct dns_rrl *rrl, const struct dns_client *client,
                            enum dns_rrl_kind kind, uint64_t what)
{
    uint8_t data[17] = {0}, out[8];
    uint64_t h;

    data[0] = (uint8_t)(client->family << 4 | kind);
    memcpy(data + 1, client->addr, client->family == 4 ? 3 : 7);
    memcpy(data + 8, &what, 8);
    dns_siphash24(rrl->key, data, sizeof(data), out);
    memcpy(&h, out, 8);
    return h;
}

/* How far in the future the row's bucket is full again; 0 = it is full. Times further ahead than
 * any worker can have written are left-overs of long ago (40 bits wrap after 12 days). */
static uint64_t owed_us(uint64_t row, uint64_t now_us)
{
    uint64_t ahead = (row - now_us) & TIME_MASK;

    return row == 0 || ahead > SECOND_US + LATE_US ? 0 : ahead;
}

bool dns_rrl_allows(struct dns_rrl *rrl, const struct dns_client *client, enum dns_rrl_kind kind,
                    uint64_t what, unsigned rate, uint64_t now_us)
{
    uint64_t h = bucket_hash(rrl, client, kind, what), tag = (h >> TIME_BITS) | 1;
    _Atomic uint64_t *set = &rrl->rows[(h & rrl->sets_mask) * WAYS];
    uint64_t cost_us = SECOND_US / (rate < SECOND_US ? rate : SECOND_US);

    for (unsigned tries = 0; tries < TRIES; tries++) {
        unsigned take = 0;
        uint64_t least = UINT64_MAX, old = 0;
        for (unsigned i = 0; i < WAYS; i++) {
            uint64_t row = atomic_load_explicit(&set[i], memory_order_relaxed);
            bool ours = row >> TIME_BITS == tag;
            uint64_t owed = owed_us(row, now_us);
            if (!ours && owed >= least)
                continue;
            take = i;
            old = row;
            least = owed;
            if (ours)
                break;
        }
        uint64_t owed = old >> TIME_BITS == tag ? least : 0;
        if (owed + cost_us > SECOND_US)
            return false;
        uint64_t next = tag << TIME_BITS | ((now_us + owed + cost_us) & TIME_MASK);
        if (atomic_compare_exchange_strong_explicit(&set[take], &old, next, memory_order_relaxed,
                                                    memory_order_relaxed))
            return true;
    }
    return true;
}
