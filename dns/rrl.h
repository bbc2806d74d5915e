/* SPDX-License-Identifier: Apache-2.0
 *
 * Response-rate limiting: how often one network may be told one kind of thing over UDP, so that
 * forged queries make a poor weapon. A table of fixed size that all workers share: relaxed
 * atomics, no lock, no allocation after it is made. When it is full, the bucket that is fullest
 * gives way: a flood of made-up networks may lift the limit of one that is hardly limited, but
 * cannot make one where there was none.
 */
#ifndef DNS_RRL_H
#define DNS_RRL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_client;

enum dns_rrl_kind {
    DNS_RRL_POSITIVE = 0,
    DNS_RRL_NODATA,
    DNS_RRL_NXDOMAIN,
    DNS_RRL_REFERRAL,
    DNS_RRL_ERROR
};

struct dns_rrl;
/* rows: rounded up to a power of two; 8 octets each, which cost memory only when used. NULL: out
 * of memory. */
struct dns_rrl *dns_rrl_new(size_t rows);
void dns_rrl_free(struct dns_rrl *rrl); /* NULL is fine */

/* May one more answer of this kind go out? Takes one token of the bucket (client's /24 or /56,
 * kind, what), which fills with `rate` a second up to one second's worth. what: any number that
 * stands for the name or zone, 0 = none. now_us: monotonic. Any thread. */
bool dns_rrl_allows(struct dns_rrl *rrl, const struct dns_client *client, enum dns_rrl_kind kind,
                    uint64_t what, unsigned rate, uint64_t now_us);

#endif
