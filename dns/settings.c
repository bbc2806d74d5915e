/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of settings, counted.
 */
#include "dns/settings.h"

#include "gtm/base/mem.h"

#include <stdatomic.h>
#include <string.h>

/* The public part first: a pointer to it is a pointer to the whole. */
struct owned {
    struct dns_settings settings;
    atomic_int refs;
    char *nsid, *version, *hostname;
    struct dns_network *exempt, *proxy;
    struct dns_tsig_key *keys;
    const struct dns_tsig_key **key_ptrs;
};

bool dns_networks_have(const struct dns_network *networks, size_t count, uint8_t family,
                       const uint8_t *addr)
{
    for (size_t i = 0; i < count; i++) {
        const struct dns_network *n = &networks[i];
        unsigned whole = n->prefix_len / 8u, rest = n->prefix_len % 8u;
        if (n->family != family || memcmp(n->addr, addr, whole) != 0)
            continue;
        if (rest == 0 || ((n->addr[whole] ^ addr[whole]) >> (8u - rest)) == 0)
            return true;
    }
    return false;
}

static void owned_free(struct owned *o)
{
    gtm_free(o->nsid);
    gtm_free(o->version);
    gtm_free(o->hostname);
    gtm_free(o->exempt);
    gtm_free(o->proxy);
    if (o->keys != NULL)
        explicit_bzero(o->keys, o->settings.keys_count * sizeof(*o->keys));
    gtm_free(o->keys);
    gtm_free((void *)(uintptr_t)o->key_ptrs);
    explicit_bzero(o->settings.cookie_keys, sizeof(o->settings.cookie_keys));
    gtm_free(o);
}

static bool copy_text(char **to, const char **shown, const char *from)
{
    *to = from ? gtm_strdup(from) : NULL;
    *shown = *to;
    return from == NULL || *to != NULL;
}

static bool copy_networks(struct dns_network **to, const struct dns_network **shown,
                          const struct dns_network *from, size_t count)
{
    *to = count ? gtm_memdup(from, count * sizeof(*from)) : NULL;
    *shown = *to;
    return count == 0 || *to != NULL;
}

static bool copy_keys(struct owned *o, const struct dns_settings *spec)
{
    size_t n = spec->keys_count;

    o->settings.keys = NULL;
    o->settings.keys_count = 0;
    if (n == 0)
        return true;
    o->keys = gtm_calloc(n, sizeof(*o->keys));
    o->key_ptrs = gtm_calloc(n, sizeof(*o->key_ptrs));
    if (o->keys == NULL || o->key_ptrs == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        o->keys[i] = *spec->keys[i];
        o->key_ptrs[i] = &o->keys[i];
    }
    o->settings.keys = o->key_ptrs;
    o->settings.keys_count = n;
    return true;
}

struct dns_settings *dns_settings_new(const struct dns_settings *spec)
{
    struct owned *o = gtm_calloc(1, sizeof(*o));

    if (o == NULL)
        return NULL;
    o->settings = *spec;
    atomic_init(&o->refs, 1);
    if (!copy_keys(o, spec) || !copy_text(&o->nsid, &o->settings.nsid, spec->nsid) ||
        !copy_text(&o->version, &o->settings.chaos_version, spec->chaos_version) ||
        !copy_text(&o->hostname, &o->settings.chaos_hostname, spec->chaos_hostname) ||
        !copy_networks(&o->exempt, &o->settings.rate_limit_exempt, spec->rate_limit_exempt,
                       spec->rate_limit_exempt_count) ||
        !copy_networks(&o->proxy, &o->settings.proxy, spec->proxy, spec->proxy_count)) {
        owned_free(o);
        return NULL;
    }
    return &o->settings;
}

struct dns_settings *dns_settings_ref(const struct dns_settings *settings)
{
    struct owned *o = (struct owned *)(uintptr_t)settings;

    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return &o->settings;
}

void dns_settings_unref(struct dns_settings *settings)
{
    struct owned *o = (struct owned *)settings;

    if (o != NULL && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        owned_free(o);
}

const struct dns_tsig_key *dns_settings_key(const struct dns_settings *settings,
                                            const uint8_t *name)
{
    for (size_t i = 0; i < settings->keys_count; i++)
        if (dns_name_equal(settings->keys[i]->name, name))
            return settings->keys[i];
    return NULL;
}
