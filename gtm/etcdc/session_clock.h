/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a lease surely holds: counted from before the last good beat was sent, since the server
 * counts from when it came, less a margin for clocks that differ in speed and for what is done
 * between the question and the act. Pure; times are CLOCK_BOOTTIME.
 */
#ifndef GTM_ETCDC_SESSION_CLOCK_H
#define GTM_ETCDC_SESSION_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define ETCDC__RETRY_MS 500u /* between beats that fail */

struct etcdc__term {
    uint64_t sent_ns; /* when the last good beat was sent; 0 = none */
    uint64_t ttl_ns;  /* as granted */
};

/* ttl_s as the server said; more than a year counts as a year. */
struct etcdc__term etcdc__term(uint64_t sent_ns, int64_t ttl_s);
uint64_t etcdc__term_valid_until(const struct etcdc__term *term); /* 0 = it never was */
uint64_t etcdc__term_risk_at(const struct etcdc__term *term);
/* The next beat: a third after the last good one; after a failure, RETRY_MS after that was sent. */
uint64_t etcdc__term_beat_at(const struct etcdc__term *term, uint64_t failed_sent_ns);

#endif
