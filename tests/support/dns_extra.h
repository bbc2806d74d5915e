/* SPDX-License-Identifier: Apache-2.0
 *
 * A small world for tests of what surrounds an answer: two zones (the first a secondary's), two
 * keys, a clock that stands still, and one question at a time.
 */
#ifndef TESTS_SUPPORT_DNS_EXTRA_H
#define TESTS_SUPPORT_DNS_EXTRA_H

#include "tests/support/dns_msg.h"

#include "dns/answer.h"

#define WALL_S 1700000000u

extern const char zone_text[]; /* of example.com and example.org */
extern struct dns_tsig_key key, other_key;
extern struct dns_answerer answerer;
extern struct gtm_clock_fake fake;
extern struct dns_client client;
extern struct msg m;       /* the query */
extern uint8_t out[65535]; /* the answer */
extern size_t out_len;
extern struct dns_zone_peers *peers; /* of the view made last, borrowed from it */

/* For cmocka_unit_test_setup: everything as at the beginning. */
int extra_set_up(void **state);
/* example.com copied from 203.0.113.0/24, or with `key` from 2001:db8::/32; spec NULL: no settings;
 * else both keys are added to it. */
struct dns_view *make_view(struct dns_settings *spec);
/* Asks m; the RCODE, 999 for silence. */
unsigned ask(const struct dns_view *view);
/* An option of the answer, NULL when it is not there. */
const uint8_t *option(unsigned code, size_t *len);
int ede(void); /* extended error of the answer, -1 = none */
uint64_t counted(enum dns_counter c);
/* The query www.example.com A with a cookie. */
void query_cookie(const uint8_t *cookie, size_t len);

#endif
