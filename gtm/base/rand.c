/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeding of the generator, and secrets from getrandom(2). See rand.h.
 */
#include "gtm/base/rand.h"

#include "gtm/base/clock.h"
#include "gtm/base/err.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void gtm_rand_seed(struct gtm_rand *r, uint64_t seed)
{
    /* splitmix64 is a bijection over four different states, so the words are never all zero. */
    for (unsigned i = 0; i < 4; i++)
        r->s[i] = splitmix64(&seed);
}

void gtm_rand_seed_os(struct gtm_rand *r)
{
    uint64_t seed;
    if (gtm_rand_secure(r->s, sizeof(r->s)) == 0 && (r->s[0] | r->s[1] | r->s[2] | r->s[3]) != 0)
        return;
    /* Jitter and choices need no secret: an unseeded machine must still start. */
    seed = gtm_mono_ns(gtm_clock_system()) ^ ((uint64_t)getpid() << 40) ^ (uint64_t)(uintptr_t)r;
    gtm_rand_seed(r, seed);
}

int gtm_rand_secure(void *out, size_t n)
{
    unsigned char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return GTM_EIO;
        p += got;
        n -= (size_t)got;
    }
    return GTM_OK;
}
