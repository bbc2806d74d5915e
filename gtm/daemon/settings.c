/* SPDX-License-Identifier: Apache-2.0
 *
 * See settings.h.
 */
#include "gtm/daemon/settings.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/base/tls.h"

#include <pthread.h>
#include <string.h>

#define SECRET_FILE_MAX 4096

/* Cookies of a node without a secret file: one secret for the life of the process, so that a reload
 * invalidates none. Made once, on the first load. */
static uint8_t process_secret[16];
static int process_secret_made;

/* Those that the nodes share; few and rare, so a lock. */
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t shared_keys[DNS_COOKIE_KEYS_MAX][16];
static unsigned shared_count;

struct loading {
    const struct gtm_node *node;
    const struct gtm_intent *intent;
    struct gtm_diags *diags;
    struct dns_settings spec;
    struct dns_tsig_key *keys;
    const struct dns_tsig_key **key_ptrs;
    struct dns_network *exempt, *proxy;
};

static void say(struct loading *l, const char *path, const struct gtm_srcpos *pos, const char *what,
                const char *file, const char *why)
{
    gtm_diags_add(l->diags, GTM_SEV_ERROR, path, pos ? pos->line : 0, pos ? pos->col : 0,
                  "%s: %s: %s", what, file, why);
}

/* --- keys --- */

static void read_key(struct loading *l, size_t i)
{
    const struct gtm_tsig_key *conf = &l->intent->keys[i];
    struct gtm_error err = {0};
    char *text = NULL, what[GTM_ERROR_TEXT_BYTES];
    size_t len = 0;
    snprintf(what, sizeof(what), "key %s", conf->name);
    if (gtm_fs_read(conf->secret_file, SECRET_FILE_MAX, &text, &len, &err) != GTM_OK ||
        dns_tsig_key_init(&l->keys[i], conf->name, (enum dns_tsig_algorithm)conf->algorithm, text,
                          len, &err) != GTM_OK)
        say(l, l->intent->path, &conf->pos, what, conf->secret_file, err.text);
    if (text)
        explicit_bzero(text, len);
    gtm_free(text);
    l->key_ptrs[i] = &l->keys[i];
}

static int read_keys(struct loading *l)
{
    size_t n = l->intent->keys_count;
    if (n == 0)
        return GTM_OK;
    l->keys = gtm_calloc(n, sizeof(*l->keys));
    l->key_ptrs = gtm_calloc(n, sizeof(*l->key_ptrs));
    if (!l->keys || !l->key_ptrs)
        return GTM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        read_key(l, i);
    l->spec.keys = l->key_ptrs;
    l->spec.keys_count = n;
    return GTM_OK;
}

/* --- cookies --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One line: 32 hex digits; false when it is anything else. */
static bool parse_secret(const char *line, size_t len, uint8_t out[16])
{
    if (len != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        int high = hex_digit(line[2 * i]), low = hex_digit(line[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void parse_secrets(struct loading *l, const char *text, const char *file)
{
    unsigned line = 0;
    for (const char *at = text; *at;) {
        size_t whole = strcspn(at, "\n"), len = whole;
        line++;
        while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t' || at[len - 1] == '\r'))
            len--;
        if (len > 0 && at[0] != '#') {
            if (l->spec.cookie_keys_count == DNS_COOKIE_KEYS_MAX)
                gtm_diags_add(l->diags, GTM_SEV_ERROR, file, line, 1, "more than %d cookie secrets",
                              DNS_COOKIE_KEYS_MAX);
            else if (!parse_secret(at, len, l->spec.cookie_keys[l->spec.cookie_keys_count]))
                gtm_diags_add(l->diags, GTM_SEV_ERROR, file, line, 1,
                              "a cookie secret is 32 hexadecimal digits");
            else
                l->spec.cookie_keys_count++;
            if (l->diags->errors)
                return;
        }
        at += whole + (at[whole] == '\n');
    }
    if (l->spec.cookie_keys_count == 0)
        gtm_diags_add(l->diags, GTM_SEV_ERROR, file, 0, 0, "no cookie secret in the file");
}

void gtm_settings_share_cookies(const uint8_t keys[][16], unsigned count)
{
    pthread_mutex_lock(&shared_lock);
    shared_count = count < DNS_COOKIE_KEYS_MAX ? count : DNS_COOKIE_KEYS_MAX;
    explicit_bzero(shared_keys, sizeof(shared_keys));
    if (shared_count)
        memcpy(shared_keys, keys, shared_count * sizeof(shared_keys[0]));
    pthread_mutex_unlock(&shared_lock);
}

static bool take_shared(struct loading *l)
{
    pthread_mutex_lock(&shared_lock);
    memcpy(l->spec.cookie_keys, shared_keys, sizeof(shared_keys));
    l->spec.cookie_keys_count = shared_count;
    pthread_mutex_unlock(&shared_lock);
    return l->spec.cookie_keys_count > 0;
}

static void make_cookies(struct loading *l)
{
    if (take_shared(l))
        return;
    if (!__atomic_load_n(&process_secret_made, __ATOMIC_ACQUIRE)) {
        if (gtm_rand_secure(process_secret, sizeof(process_secret)) != GTM_OK) {
            gtm_diags_add(l->diags, GTM_SEV_ERROR, l->node->path, 0, 0,
                          "no random secret for cookies");
            return;
        }
        __atomic_store_n(&process_secret_made, 1, __ATOMIC_RELEASE);
    }
    memcpy(l->spec.cookie_keys[0], process_secret, sizeof(process_secret));
    l->spec.cookie_keys_count = 1;
}

static void read_cookies(struct loading *l)
{
    const struct gtm_node_dns *dns = &l->node->dns;
    struct gtm_error err = {0};
    char *text = NULL;
    size_t len = 0;
    l->spec.cookies = dns->cookies;
    if (!dns->cookies)
        return;
    if (!dns->cookie_secret) {
        make_cookies(l);
        return;
    }
    if (gtm_fs_read(dns->cookie_secret, SECRET_FILE_MAX, &text, &len, &err) != GTM_OK)
        say(l, l->node->path, NULL, "dns.cookies.secret", dns->cookie_secret, err.text);
    else
        parse_secrets(l, text, dns->cookie_secret);
    if (text)
        explicit_bzero(text, len);
    gtm_free(text);
}

/* --- networks --- */

static struct dns_network network(const struct gtm_network *from)
{
    struct dns_network to = {.family = from->family, .prefix_len = from->prefix_len};
    memcpy(to.addr, from->addr, sizeof(to.addr));
    return to;
}

/* *ret stays NULL for an empty list; false: out of memory. */
static bool networks(const struct gtm_network *from, size_t count, struct dns_network **ret)
{
    if (count == 0)
        return true;
    *ret = gtm_calloc(count, sizeof(**ret));
    for (size_t i = 0; *ret && i < count; i++)
        (*ret)[i] = network(&from[i]);
    return *ret != NULL;
}

static int fill_node(struct loading *l)
{
    const struct gtm_node_dns *dns = &l->node->dns;
    struct dns_settings *spec = &l->spec;
    spec->nsid = dns->nsid;
    spec->chaos_version = dns->chaos_version;
    spec->chaos_hostname = dns->chaos_hostname;
    spec->rate_limit = dns->rate_limit;
    spec->rate_limit_slip = dns->rate_limit_slip;
    if (!networks(dns->rate_limit_exempt, dns->rate_limit_exempt_count, &l->exempt) ||
        !networks(dns->proxy, dns->proxy_count, &l->proxy))
        return GTM_ENOMEM;
    spec->rate_limit_exempt = l->exempt;
    spec->rate_limit_exempt_count = dns->rate_limit_exempt_count;
    spec->proxy = l->proxy;
    spec->proxy_count = dns->proxy_count;
    read_cookies(l);
    return GTM_OK;
}

/* --- zones --- */

const struct dns_tsig_key *gtm_settings_key(const struct gtm_settings *settings, size_t index)
{
    return index < settings->dns->keys_count ? settings->dns->keys[index] : NULL;
}

static size_t add_peer(struct dns_peer *list, size_t n, const struct gtm_settings *s,
                       const struct gtm_network *at, bool has_key, unsigned key)
{
    list[n] =
        (struct dns_peer){.network = network(at), .key = has_key ? gtm_settings_key(s, key) : NULL};
    return n + 1;
}

static size_t transfer_peers(const struct gtm_settings *s, const struct gtm_zone_conf *zone,
                             struct dns_peer *list)
{
    static const struct gtm_network anywhere[2] = {{.family = 4}, {.family = 6}};
    size_t n = 0;
    for (size_t i = 0; i < zone->secondaries_count; i++)
        n = add_peer(list, n, s, &zone->secondaries[i].address, zone->secondaries[i].has_key,
                     zone->secondaries[i].key);
    for (size_t i = 0; i < zone->transfer_count; i++) {
        const struct gtm_transfer_rule *rule = &zone->transfer[i];
        const struct gtm_network *from = rule->networks_count ? rule->networks : anywhere;
        size_t count = rule->networks_count ? rule->networks_count : 2;
        for (size_t k = 0; k < count; k++)
            n = add_peer(list, n, s, &from[k], rule->has_key, rule->key);
    }
    return n;
}

static bool zone_peers(struct gtm_settings *s, const struct gtm_zone_conf *zone, size_t at)
{
    size_t room = zone->secondaries_count + zone->primaries_count;
    for (size_t i = 0; i < zone->transfer_count; i++)
        room += zone->transfer[i].networks_count + 2;
    if (room == 0)
        return true;
    struct dns_peer *list = gtm_calloc(room, sizeof(*list));
    if (!list)
        return false;
    size_t transfer = transfer_peers(s, zone, list), n = transfer;
    for (size_t i = 0; i < zone->primaries_count; i++)
        n = add_peer(list, n, s, &zone->primaries[i].address, zone->primaries[i].has_key,
                     zone->primaries[i].key);
    s->peers[at] = dns_zone_peers_new(list, transfer, list + transfer, n - transfer);
    gtm_free(list);
    return s->peers[at] != NULL;
}

static struct gtm_settings *make(struct loading *l)
{
    struct gtm_settings *s = gtm_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->refs = 1;
    s->dns = dns_settings_new(&l->spec);
    s->peers = gtm_calloc(l->intent->zones_count + 1, sizeof(struct dns_zone_peers *));
    bool ok = s->dns && s->peers;
    for (; ok && s->zones_count < l->intent->zones_count; s->zones_count++)
        ok = zone_peers(s, &l->intent->zones[s->zones_count], s->zones_count);
    if (ok)
        return s;
    gtm_settings_unref(s);
    return NULL;
}

/* When the first certificate of the file ends, Unix time in ms; 0 = it cannot be read, which
 * whoever serves with it says. */
static int64_t cert_expires_ms(const char *path)
{
    struct gtm_error err = {0};
    X509 *cert = path ? gtm_tls_cert_load(path, &err) : NULL;
    int64_t ms = cert ? gtm_tls_cert_expires_ms(cert) : 0;
    X509_free(cert);
    return ms;
}

struct gtm_settings *gtm_settings_load(const struct gtm_node *node, const struct gtm_intent *intent,
                                       struct gtm_diags *diags)
{
    struct loading l = {.node = node, .intent = intent, .diags = diags};
    struct gtm_settings *settings = NULL;
    size_t before = diags->errors;
    int rc = read_keys(&l);
    if (rc == GTM_OK)
        rc = fill_node(&l);
    if (rc == GTM_OK && diags->errors == before)
        settings = make(&l);
    if (settings && node->dns.tls_listen_count > 0)
        settings->tls_expires_ms = cert_expires_ms(node->dns.tls_cert);
    if (!settings && diags->errors == before)
        gtm_diags_add(diags, GTM_SEV_ERROR, node->path, 0, 0, "no memory for the DNS settings");
    if (l.keys)
        explicit_bzero(l.keys, intent->keys_count * sizeof(*l.keys));
    explicit_bzero(l.spec.cookie_keys, sizeof(l.spec.cookie_keys));
    gtm_free(l.keys);
    gtm_free((void *)(uintptr_t)l.key_ptrs);
    gtm_free(l.exempt);
    gtm_free(l.proxy);
    return settings;
}

struct gtm_settings *gtm_settings_ref(struct gtm_settings *settings)
{
    __atomic_fetch_add(&settings->refs, 1, __ATOMIC_RELAXED);
    return settings;
}

void gtm_settings_unref(struct gtm_settings *settings)
{
    if (!settings || __atomic_fetch_sub(&settings->refs, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    for (size_t i = 0; i < settings->zones_count; i++)
        dns_zone_peers_unref(settings->peers[i]);
    gtm_free((void *)(uintptr_t)settings->peers);
    dns_settings_unref(settings->dns);
    gtm_free(settings);
}
