/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of a lease. See session_clock.h.
 */
#include "gtm/etcdc/session_clock.h"

#define MS_NS     UINT64_C(1000000)
#define S_NS      UINT64_C(1000000000)
#define MARGIN_NS (500 * MS_NS)
#define TTL_MAX_S (INT64_C(365) * 86400)

struct etcdc__term etcdc__term(uint64_t sent_ns, int64_t ttl_s)
{
    if (ttl_s <= 0)
        return (struct etcdc__term){0};
    return (struct etcdc__term){sent_ns, (uint64_t)(ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s) * S_NS};
}

uint64_t etcdc__term_valid_until(const struct etcdc__term *term)
{
    uint64_t margin = term->ttl_ns / 10 > MARGIN_NS ? term->ttl_ns / 10 : MARGIN_NS;
    return term->ttl_ns > margin ? term->sent_ns + term->ttl_ns - margin : 0;
}

uint64_t etcdc__term_risk_at(const struct etcdc__term *term)
{
    return term->sent_ns + term->ttl_ns / 3 * 2;
}

uint64_t etcdc__term_beat_at(const struct etcdc__term *term, uint64_t failed_sent_ns)
{
    uint64_t third = term->sent_ns + term->ttl_ns / 3;
    uint64_t again = failed_sent_ns ? failed_sent_ns + ETCDC__RETRY_MS * MS_NS : 0;
    return third > again ? third : again;
}
