/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks dns_answer a question and shows the answer as one line of text, decoded by ldns, so that the
 * tests read like a session with dig and an independent decoder sees every packet.
 */
#ifndef TESTS_SUPPORT_DNS_ASK_H
#define TESTS_SUPPORT_DNS_ASK_H

#include "dns/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask {
    const char *name; /* presentation form */
    uint16_t type;
    bool edns, dnssec_ok, tcp;
    uint16_t payload;   /* with edns; 0 = 1232 */
    const char *ecs;    /* "192.0.2.0/24" or NULL; implies edns */
    const char *client; /* "198.51.100.1" by default */
};

/* Writes the query's packet; returns its octets. */
size_t ask_packet(const struct ask *ask, uint8_t out[512]);

/* "NOERROR aa | www.example.com. 30 A 192.0.2.1 | | opt scope=24": flags in small letters, then
 * answer, authority and additional with
 * `; ` between records and sorted inside each. Static storage. */
const char *ask_view(const struct dns_view *view, const struct ask *ask);

/* The text of a raw answer of len octets. */
const char *ask_show(const uint8_t *packet, size_t len);

/* A view of one zone without dynamic names; fails the test when the text is refused. */
struct dns_view *ask_zone(const char *origin, const char *text);

#endif
