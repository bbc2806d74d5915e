/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers: a small seedable generator (xoshiro256**, Blackman & Vigna 2018) for choices and
 * jitter, and the operating system's for secrets. A gtm_rand belongs to one thread.
 */
#ifndef GTM_BASE_RAND_H
#define GTM_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct gtm_rand {
    uint64_t s[4];
};

/* Same seed, same sequence (splitmix64 expands it). */
void gtm_rand_seed(struct gtm_rand *r, uint64_t seed);
/* Seeds from the operating system. */
void gtm_rand_seed_os(struct gtm_rand *r);

static inline uint64_t gtm_rand_next(struct gtm_rand *r)
{
    uint64_t *s = r->s;
    uint64_t x = s[1] * 5, result = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in [0, n), n ≥ 1; multiply-shift, bias below 2^-32 (Lemire 2019). */
static inline uint32_t gtm_rand_below(struct gtm_rand *r, uint32_t n)
{
    return (uint32_t)(((gtm_rand_next(r) >> 32) * n) >> 32);
}

/* Bytes fit for secrets; 0 or GTM_EIO. */
int gtm_rand_secure(void *out, size_t n);

#endif
