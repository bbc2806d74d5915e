/* SPDX-License-Identifier: Apache-2.0
 *
 * See notifier.h.
 */
#include "gtm/daemon/notifier.h"

#include "dns/notify.h"
#include "gtm/base/log.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"

#include <arpa/inet.h>
#include <string.h>

/* Which serial of a zone was told of. */
struct told {
    uint32_t serial;
    unsigned peers; /* to how many; other peers are told again */
};

struct gtm_notifier {
    struct gtmd *d;
    struct dns_notify *notify; /* made when first needed */
    struct gtm_map *told;      /* by the zone's name */
};

struct gtm_notifier *gtm_notifier_new(struct gtmd *d)
{
    struct gtm_notifier *n = gtm_calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->d = d;
    n->told = gtm_map_new();
    if (n->told)
        return n;
    gtm_free(n);
    return NULL;
}

void gtm_notifier_free(struct gtm_notifier *n)
{
    if (!n)
        return;
    dns_notify_free(n->notify);
    gtm_map_free(n->told, gtm_free);
    gtm_free(n);
}

static void on_result(void *ctx, const struct dns_notify_result *result)
{
    char zone[DNS_NAME_TEXT_MAX], peer[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_storage *at = &result->target.addr;
    (void)ctx;
    if (at->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)at)->sin_addr, peer, sizeof(peer));
    else
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)at)->sin6_addr, peer, sizeof(peer));
    gtm_log(result->outcome == DNS_NOTIFY_TAKEN ? GTM_LOG_INFO : GTM_LOG_WARN, "zone",
            "secondary told of the change", gtm_kv_str("zone", dns_name_text(result->zone, zone)),
            gtm_kv_str("secondary", peer), gtm_kv_int("serial", result->serial),
            gtm_kv_str("outcome", dns_notify_outcome_text(result->outcome)));
}

/* Secondaries look at where a NOTIFY comes from: the address that answers, if it is only one. */
static void set_source(const struct gtm_node *node, struct dns_notify_opts *opts)
{
    for (size_t i = 0; i < node->dns_listen_count; i++) {
        const struct sockaddr_storage *at = &node->dns_listen[i].addr;
        static const struct in6_addr any6 = IN6ADDR_ANY_INIT;
        if (at->ss_family == AF_INET && opts->source4.ss_family == 0 &&
            ((const struct sockaddr_in *)at)->sin_addr.s_addr != 0)
            opts->source4 = *at;
        if (at->ss_family == AF_INET6 && opts->source6.ss_family == 0 &&
            memcmp(&((const struct sockaddr_in6 *)at)->sin6_addr, &any6, sizeof(any6)) != 0)
            opts->source6 = *at;
    }
}

static bool ready(struct gtm_notifier *n)
{
    struct gtm_error err = {0};
    struct dns_notify_opts opts = {
        .loop = n->d->loop, .clock = n->d->clock, .done = on_result, .ctx = n};
    if (n->notify)
        return true;
    set_source(n->d->node, &opts);
    n->notify = dns_notify_new(&opts, &err);
    if (!n->notify)
        gtm_log_error(GTM_LOG_ERROR, "zone", "secondaries are not told of changes", &err);
    return n->notify != NULL;
}

static struct dns_notify_target target(const struct gtm_zone_peer *peer,
                                       const struct dns_tsig_key *key)
{
    struct dns_notify_target t = {.key = key};
    if (peer->address.family == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(peer->port)};
        memcpy(&v4.sin_addr, peer->address.addr, 4);
        memcpy(&t.addr, &v4, sizeof(v4));
        t.addr_len = sizeof(v4);
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(peer->port)};
        memcpy(&v6.sin6_addr, peer->address.addr, 16);
        memcpy(&t.addr, &v6, sizeof(v6));
        t.addr_len = sizeof(v6);
    }
    return t;
}

static bool tell(struct gtm_notifier *n, const struct gtm_zone_conf *conf,
                 const struct dns_zone *zone)
{
    struct dns_notify_target targets[GTM_ZONE_PEERS_MAX];
    size_t count =
        conf->secondaries_count < GTM_ZONE_PEERS_MAX ? conf->secondaries_count : GTM_ZONE_PEERS_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct gtm_zone_peer *peer = &conf->secondaries[i];
        targets[i] =
            target(peer, peer->has_key ? gtm_settings_key(n->d->settings, peer->key) : NULL);
    }
    if (dns_notify_send(n->notify, zone, targets, count) == GTM_OK)
        return true;
    gtm_log(GTM_LOG_WARN, "zone", "too many secondaries wait to be told",
            gtm_kv_str("zone", conf->name));
    return false;
}

bool gtm_notifier_tell(struct gtm_notifier *n, size_t z)
{
    const struct gtmd *d = n->d;
    const struct gtm_zone_conf *conf = &d->intent->zones[z];
    return conf->secondaries_count > 0 && ready(n) &&
           tell(n, conf, gtm_compiled_zone(d->compiled, z));
}

void gtm_notifier_zones(struct gtm_notifier *n)
{
    const struct gtmd *d = n->d;
    for (size_t z = 0; z < d->intent->zones_count; z++) {
        const struct gtm_zone_conf *conf = &d->intent->zones[z];
        if (conf->secondaries_count == 0 || gtm_compiled_placeholder(d->compiled, z) || !ready(n))
            continue;
        struct dns_zone *zone = gtm_compiled_zone(d->compiled, z);
        struct told *told = gtm_map_get(n->told, conf->name);
        struct dns_zone_info info;
        dns_zone_info(zone, &info);
        if (told && told->serial == info.serial && told->peers == conf->secondaries_count)
            continue;
        if (!told && (told = gtm_calloc(1, sizeof(*told))) != NULL &&
            gtm_map_put(n->told, conf->name, told, NULL) != GTM_OK) {
            gtm_free(told);
            told = NULL;
        }
        if (told)
            *told = (struct told){info.serial, (unsigned)conf->secondaries_count};
        (void)tell(n, conf, zone);
    }
}
