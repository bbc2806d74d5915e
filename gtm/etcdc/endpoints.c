/* SPDX-License-Identifier: Apache-2.0
 *
 * Which endpoint is asked: the one in use stays in use until it fails, or until a minute has gone
 * and a better one is there. Better is the order given, unless a later one answers in less than
 * half the time. Who fails is left out for 1, 2, 4 … 30 s; when all are left out, all are tried
 * nevertheless.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STICKY_NS     60000000000ull
#define EJECT_MS      1000u
#define EJECT_MAX_MS  30000u
#define EJECT_DOUBLES 5u

const char *etcdc__url(const struct etcdc *client, size_t endpoint)
{
    return endpoint < client->endpoints_count ? client->endpoints[endpoint].url : "";
}

static bool may(const struct etcdc *client, size_t i, uint32_t tried, uint64_t now_ns)
{
    return !(tried >> i & 1) && client->endpoints[i].ejected_until_ns <= now_ns;
}

/* Is endpoint i, later in order, better than `best`? */
static bool faster(const struct etcdc *client, size_t i, size_t best)
{
    uint64_t mine = client->endpoints[i].latency_us, theirs = client->endpoints[best].latency_us;
    return mine > 0 && theirs > 0 && mine < theirs / 2;
}

static size_t soonest(const struct etcdc *client, uint32_t tried)
{
    size_t best = ETCDC__NOWHERE;
    for (size_t i = 0; i < client->endpoints_count; i++)
        if (!(tried >> i & 1) &&
            (best == ETCDC__NOWHERE ||
             client->endpoints[i].ejected_until_ns < client->endpoints[best].ejected_until_ns))
            best = i;
    return best;
}

size_t etcdc__choose(struct etcdc *client, uint32_t tried)
{
    uint64_t now_ns = gtm_mono_ns(client->clock);
    size_t best = ETCDC__NOWHERE, chosen = client->chosen;
    if (chosen != ETCDC__NOWHERE && may(client, chosen, tried, now_ns) &&
        now_ns - client->chosen_ns < STICKY_NS)
        return chosen;
    for (size_t i = 0; i < client->endpoints_count; i++)
        if (may(client, i, tried, now_ns) && (best == ETCDC__NOWHERE || faster(client, i, best)))
            best = i;
    if (best == ETCDC__NOWHERE)
        best = soonest(client, tried);
    if (best != ETCDC__NOWHERE) {
        client->chosen = best;
        client->chosen_ns = now_ns;
    }
    return best;
}

uint64_t etcdc__soonest_ns(const struct etcdc *client)
{
    size_t i = soonest(client, 0);
    return i == ETCDC__NOWHERE ? 0 : client->endpoints[i].ejected_until_ns;
}

static void log_failure(const struct etcdc__endpoint *e, int code, uint64_t ms)
{
    gtm_log(GTM_LOG_WARN, "etcdc", "endpoint left out", gtm_kv_str("endpoint", e->url),
            gtm_kv_str("code", etcdc_word(code)), gtm_kv_str("error", e->error),
            gtm_kv_int("ms", (int64_t)ms));
}

void etcdc__eject(struct etcdc *client, size_t endpoint, int code, const char *text)
{
    if (endpoint >= client->endpoints_count)
        return;
    struct etcdc__endpoint *e = &client->endpoints[endpoint];
    uint64_t now_ns = gtm_mono_ns(client->clock);
    snprintf(e->error, sizeof(e->error), "%s: %s", etcdc_text(code), text);
    if (e->greeted == ETCDC__KNOWN)
        e->greeted = ETCDC__UNKNOWN;
    bool news = e->failure != code;
    e->failure = code;
    if (now_ns < e->ejected_until_ns) { /* many calls fail of one cause */
        if (news)
            log_failure(e, code, (e->ejected_until_ns - now_ns) / 1000000u);
        return;
    }
    unsigned doubles = e->failures < EJECT_DOUBLES ? e->failures : EJECT_DOUBLES;
    uint64_t ms = (uint64_t)EJECT_MS << doubles;
    ms = ms < EJECT_MAX_MS ? ms : EJECT_MAX_MS;
    ms = ms * 4 / 5 + gtm_rand_below(&client->rand, (uint32_t)(ms * 2 / 5) + 1);
    e->failures++;
    e->ejected_until_ns = now_ns + ms * 1000000u;
    log_failure(e, code, ms);
}

void etcdc__endpoint_good(struct etcdc *client, size_t endpoint, uint64_t latency_us)
{
    if (endpoint >= client->endpoints_count)
        return;
    struct etcdc__endpoint *e = &client->endpoints[endpoint];
    if (e->failures > 0)
        gtm_log(GTM_LOG_INFO, "etcdc", "endpoint answers again", gtm_kv_str("endpoint", e->url));
    e->failures = 0;
    e->failure = ETCDC_OK;
    e->ejected_until_ns = 0;
    if (latency_us)
        e->latency_us = e->latency_us ? (e->latency_us * 7 + latency_us) / 8 : latency_us;
}

int etcdc__check_header(struct etcdc *client, size_t endpoint, const struct etcdc_header *header,
                        char *text)
{
    int code = ETCDC_OK;
    text[0] = 0;
    if (header->cluster_id && !client->cluster_id)
        client->cluster_id = header->cluster_id;
    if (header->cluster_id && header->cluster_id != client->cluster_id) {
        code = ETCDC_E_CLUSTER_CHANGED;
        snprintf(text, ETCDC__TEXT_BYTES,
                 "cluster %" PRIx64 " answers, %" PRIx64 " is expected: another etcd at this "
                 "address, or one restored from a backup (an operator must say so)",
                 header->cluster_id, client->cluster_id);
    } else if (header->raft_term && header->raft_term < client->raft_term) {
        code = ETCDC_E_STALE_MEMBER;
        snprintf(text, ETCDC__TEXT_BYTES, "its raft term %" PRIu64 " is below %" PRIu64,
                 header->raft_term, client->raft_term);
    }
    if (code != ETCDC_OK) {
        etcdc__eject(client, endpoint, code, text);
        return code;
    }
    if (header->raft_term > client->raft_term)
        client->raft_term = header->raft_term;
    if (endpoint < client->endpoints_count && header->member_id) {
        client->endpoints[endpoint].member_id = header->member_id;
        client->endpoints[endpoint].raft_term = header->raft_term;
    }
    return ETCDC_OK;
}

void etcdc_expect_cluster(struct etcdc *client, uint64_t cluster_id)
{
    client->cluster_id = cluster_id;
    client->raft_term = 0; /* terms of another cluster say nothing */
    for (size_t i = 0; i < client->endpoints_count; i++) {
        client->endpoints[i].ejected_until_ns = 0;
        client->endpoints[i].failures = 0;
    }
}

size_t etcdc_endpoints(const struct etcdc *client, struct etcdc_endpoint_info *ret, size_t max)
{
    uint64_t now_ns = gtm_mono_ns(client->clock);
    for (size_t i = 0; i < client->endpoints_count && i < max; i++) {
        const struct etcdc__endpoint *e = &client->endpoints[i];
        struct etcdc_endpoint_info *info = &ret[i];
        memset(info, 0, sizeof(*info));
        info->url = e->url;
        info->chosen = i == client->chosen;
        if (e->ejected_until_ns > now_ns)
            info->ejected_ms = (e->ejected_until_ns - now_ns) / 1000000u + 1;
        info->latency_us = e->latency_us;
        info->member_id = e->member_id;
        info->raft_term = e->raft_term;
        snprintf(info->version, sizeof(info->version), "%s", e->version);
        snprintf(info->error, sizeof(info->error), "%s", e->error);
    }
    return client->endpoints_count;
}
