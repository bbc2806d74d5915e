/* SPDX-License-Identifier: Apache-2.0
 *
 * A small world for fuzzing and benchmarks of the answer path: one zone with everything in it and
 * dynamic names of every kind of choice.
 */
#ifndef TESTS_SUPPORT_DNS_WORLD_H
#define TESTS_SUPPORT_DNS_WORLD_H

#include "dns/view.h"

/* Never NULL: aborts when it cannot be made. The caller drops the reference. */
struct dns_view *dns_world(void);

/* Checks that len octets at packet form a well-formed answer to the query: counts agree with what
 * is there, no record reaches over the end, names end, pointers point backwards. Returns NULL, or
 * what is wrong. */
const char *dns_world_check(const uint8_t *query, size_t query_len, const uint8_t *packet,
                            size_t len);

#endif
