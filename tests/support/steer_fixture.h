/* SPDX-License-Identifier: Apache-2.0
 *
 * A zone example.com with steering tables of any kind, put together by tests of dns/.
 */
#ifndef TESTS_SUPPORT_STEER_FIXTURE_H
#define TESTS_SUPPORT_STEER_FIXTURE_H

#include "dns/steer.h"
#include "dns/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const char steer_zone_text[];
#define SOA "example.com. 5 SOA ns.example.com. admin.example.com. 1 2 3 4 5"

/* 203.0.113.64/26 is class 1, all else class 0. */
struct dns_classmap *steer_map(void);
/* TTL 30. */
struct dns_choice *steer_choice(uint16_t type, const struct dns_option_spec *options, size_t n);
/* A steering table with one choice of each kind for everybody; takes map and choices, NULL = none.
 */
struct dns_steer *steer_of(struct dns_classmap *map, struct dns_choice *choices[DNS_KINDS]);
/* Each name gets a slot of its own. Takes the tables. */
struct dns_view *steer_view(const struct dns_zone_dynamic *names, size_t count,
                            struct dns_steer **steers, bool expired);

#endif
