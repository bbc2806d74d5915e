/* SPDX-License-Identifier: Apache-2.0
 *
 * What only few queries carry: signatures, cookies, questions of class CHAOS, NOTIFY. Found by
 * dns/query.c, answered by dns/extra.c (what the answer says) and dns/answer_opt.c (options,
 * signature). A query without any of it passes none of this code. Internal to dns/.
 */
#ifndef DNS_EXTRA_H
#define DNS_EXTRA_H

#include "dns/answer_int.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns__extra {
    DNS__EXTRA_TSIG = 1,
    DNS__EXTRA_NOTIFY = 2,
    DNS__EXTRA_CHAOS = 4,
    DNS__EXTRA_BARE = 8, /* no question: only the cookie is asked for (RFC 7873 5.4) */
    DNS__EXTRA_COOKIE = 16,
    DNS__EXTRA_NSID = 32,
    DNS__EXTRA_KEEPALIVE = 64,
    DNS__EXTRA_PADDING = 128,
    DNS__EXTRA_ODD = DNS__EXTRA_NOTIFY | DNS__EXTRA_CHAOS | DNS__EXTRA_BARE
};

enum dns__cookie { DNS__COOKIE_NONE = 0, DNS__COOKIE_NEW, DNS__COOKIE_GOOD };

/* Before anything is composed: checks signature and cookie, sets c->tsig, c->cookie and perhaps
 * c->rcode, and lowers c->limit by what the options will take. Changes *room to what is left for
 * all but the signature. */
void dns__extra_begin(struct dns__compose *c, size_t *room, size_t out_bytes);
/* The body of an answer to NOTIFY, a CHAOS question or none; and why an RCODE was sent. */
void dns__extra_answer(struct dns__compose *c);
/* The extended error that explains c->rcode when nothing else does, or -1 (RFC 8914). */
int dns__extra_ede(const struct dns__compose *c);
/* Writes cookie, NSID and keepalive options; returns their octets: what dns__extra_begin left free.
 */
unsigned dns__extra_options(const struct dns__compose *c, uint8_t *out);

/* Rate limiting, when the settings have a limit: may the composed answer go out? It may have been
 * changed to say: come back by TCP, or with a cookie. */
bool dns__limit_answer(struct dns__compose *c);

/* Wall clock in seconds and monotonic microseconds, read once per dns_answerer_tick. */
uint64_t dns__wall_s(struct dns_answerer *a);
uint64_t dns__mono_us(struct dns_answerer *a);

#endif
