/* SPDX-License-Identifier: Apache-2.0
 *
 * How the server answers, zones aside: part of a view, so that a reload changes it without a
 * restart and without a lock. Immutable, counted. The lists are copied.
 */
#ifndef DNS_SETTINGS_H
#define DNS_SETTINGS_H

#include "dns/tsig.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NSID_MAX        128 /* octets */
#define DNS_CHAOS_MAX       255 /* octets of one character string */
#define DNS_COOKIE_KEYS_MAX 4
#define DNS_NETWORKS_MAX    1024

struct dns_network {
    uint8_t family; /* 4 or 6 */
    uint8_t prefix_len;
    uint8_t addr[16]; /* network order */
};
/* Is the address (family 4 or 6) in one of them? */
bool dns_networks_have(const struct dns_network *networks, size_t count, uint8_t family,
                       const uint8_t *addr);

/* Another name server, or a rule for some: an address or network, and the key it must use. */
struct dns_peer {
    struct dns_network network;
    const struct dns_tsig_key *key; /* NULL = none; one of the settings' keys */
};

struct dns_settings {
    const char *nsid; /* NULL = none */
    bool cookies;
    unsigned cookie_keys_count; /* the first makes, all are accepted */
    uint8_t cookie_keys[DNS_COOKIE_KEYS_MAX][16];
    const char *chaos_version, *chaos_hostname; /* NULL = refused */
    unsigned rate_limit;                        /* answers a second, 0 = off */
    unsigned rate_limit_slip;
    const struct dns_network *rate_limit_exempt;
    size_t rate_limit_exempt_count;
    const struct dns_network *proxy;
    size_t proxy_count;
    const struct dns_tsig_key *const *keys; /* the same objects as peers name */
    size_t keys_count;
};

/* Copies *spec and all that it points to. One reference; NULL: out of memory. Keys are copied too:
 * dns_settings_key finds the copy by its name in wire form, NULL when there is none. */
struct dns_settings *dns_settings_new(const struct dns_settings *spec);
struct dns_settings *dns_settings_ref(const struct dns_settings *settings);
void dns_settings_unref(struct dns_settings *settings); /* NULL is fine */
const struct dns_tsig_key *dns_settings_key(const struct dns_settings *settings,
                                            const uint8_t *name);

#endif
