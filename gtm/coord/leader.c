/* SPDX-License-Identifier: Apache-2.0
 *
 * This node's session and its standing in the election. See leader.h.
 *
 * A session is opened when the store is known to be ours, and kept; whenever it is lost another one
 * is opened, with another lease, and the node stands again with it. A lost session is never
 * revived. All changes are made in one place (tend), from a timer, so that no callback frees what
 * called it.
 */
#include "gtm/coord/leader.h"

#include "gtm/base/clock.h"
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PREFIX  "leader/"
#define TEND_MS 250 /* between looks at what cannot be waited for */
#define TTL_S   5

struct gtm_leader {
    struct gtm_leader_opts opts;
    char *node, *region;
    struct gtm_timer *timer;
    struct etcdc_session *session;
    struct etcdc_election *election;
    bool candidate;
    uint64_t stand_again_ms;   /* monotonic */
    enum gtm_leader_role told; /* by on_change */
    int64_t told_lease;
};

static void tend_soon(struct gtm_leader *leader)
{
    gtm_timer_start(leader->timer, 0);
}

/* --- what holds now --- */

enum gtm_leader_role gtm_leader_role(const struct gtm_leader *leader)
{
    if (!leader->election || etcdc_election_state(leader->election) == ETCDC_ENDED)
        return GTM_LEADER_NONE;
    return etcdc_leads(leader->election, 0) ? GTM_LEADER_LEADS : GTM_LEADER_FOLLOWS;
}

int64_t gtm_leader_lease(const struct gtm_leader *leader)
{
    return leader->session ? etcdc_session_lease(leader->session) : 0;
}

bool gtm_leader_valid(const struct gtm_leader *leader, uint32_t need_ms)
{
    return leader->election && etcdc_leads(leader->election, need_ms);
}

int64_t gtm_leader_fence(const struct gtm_leader *leader)
{
    return gtm_leader_role(leader) == GTM_LEADER_LEADS ? etcdc_election_fence(leader->election) : 0;
}

int gtm_leader_guard(const struct gtm_leader *leader, struct gtm_store_change *ret_change)
{
    int64_t fence = gtm_leader_fence(leader);
    const char *key = fence ? etcdc_election_key(leader->election) : NULL;
    const size_t skip = sizeof(GTM_STORE_PREFIX) - 1;
    if (!key || strncmp(key, GTM_STORE_PREFIX, skip) != 0)
        return GTM_ESTATE;
    /* Its key is never put again, so that its revision stays the one that created it. */
    *ret_change =
        (struct gtm_store_change){.kind = GTM_STORE_CHECK, .key = key + skip, .expect = fence};
    return GTM_OK;
}

/* --- keeping it up --- */

static void on_session(void *arg, enum etcdc_session_state state)
{
    (void)state;
    tend_soon(arg);
}

static void on_election(void *arg, enum etcdc_election_state state)
{
    (void)state;
    tend_soon(arg);
}

static void leave_election(struct gtm_leader *leader)
{
    etcdc_resign(leader->election);
    leader->election = NULL;
}

static void drop_session(struct gtm_leader *leader, bool revoke)
{
    leave_election(leader);
    etcdc_session_close(leader->session, revoke);
    leader->session = NULL;
}

static void stand(struct gtm_leader *leader)
{
    struct gtm_json *json = gtm_json_object();
    gtm_json_add_i64(json, "v", 1);
    gtm_json_add_str(json, "node", leader->node);
    gtm_json_add_str(json, "region", leader->region);
    gtm_json_add_i64(json, "since", gtm_wall_ms(leader->opts.clock));
    char *text = gtm_json_print(json, false);
    gtm_json_free(json);
    if (text)
        leader->election =
            etcdc_elect(leader->opts.client, leader->session, GTM_STORE_PREFIX PREFIX,
                        etcdc_str(text), on_election, leader);
    gtm_free(text);
}

static void tell(struct gtm_leader *leader)
{
    enum gtm_leader_role role = gtm_leader_role(leader);
    int64_t lease = gtm_leader_lease(leader);
    if (lease != leader->told_lease)
        gtm_store_etcd_lease(leader->opts.store, lease);
    bool changed = role != leader->told || lease != leader->told_lease;
    if (role != leader->told)
        gtm_log(GTM_LOG_INFO, "leader",
                role == GTM_LEADER_LEADS           ? "this node leads"
                : leader->told == GTM_LEADER_LEADS ? "this node leads no more"
                : role == GTM_LEADER_FOLLOWS       ? "this node stands for election"
                                                   : "this node does not stand for election",
                gtm_kv_int("fence", gtm_leader_fence(leader)), gtm_kv_int("lease", lease));
    leader->told = role;
    leader->told_lease = lease;
    if (changed && leader->opts.on_change)
        leader->opts.on_change(leader->opts.arg);
}

static void tend(void *arg)
{
    struct gtm_leader *leader = arg;
    struct gtm_store_etcd_info info;
    uint64_t now = gtm_mono_ms(leader->opts.clock);
    gtm_timer_start(leader->timer, TEND_MS);
    gtm_store_etcd_info(leader->opts.store, &info);
    bool lost = leader->session && etcdc_session_state(leader->session) == ETCDC_SESSION_LOST;
    if (lost || (leader->session && info.link == GTM_STORE_REFUSED))
        drop_session(leader, !lost);
    if (leader->election && (etcdc_election_state(leader->election) == ETCDC_ENDED ||
                             !leader->candidate || now < leader->stand_again_ms))
        leave_election(leader);
    /* Into a store that may be another's nothing is written. */
    if (!leader->session && info.link == GTM_STORE_FRESH)
        leader->session =
            etcdc_session_open(leader->opts.client, leader->opts.ttl_s, on_session, leader);
    if (leader->session && !leader->election && leader->candidate &&
        now >= leader->stand_again_ms && etcdc_session_lease(leader->session))
        stand(leader);
    tell(leader);
}

void gtm_leader_resign(struct gtm_leader *leader, uint64_t pause_ms)
{
    leader->stand_again_ms = gtm_mono_ms(leader->opts.clock) + pause_ms;
    leave_election(leader);
    tend_soon(leader);
}

void gtm_leader_stand(struct gtm_leader *leader, bool candidate)
{
    leader->candidate = candidate;
    if (!candidate)
        leave_election(leader);
    tend_soon(leader);
}

struct gtm_leader *gtm_leader_new(const struct gtm_leader_opts *opts)
{
    struct gtm_leader *leader = gtm_calloc(1, sizeof(*leader));
    if (!leader)
        return NULL;
    leader->opts = *opts;
    leader->opts.clock = opts->clock ? opts->clock : gtm_clock_system();
    leader->opts.ttl_s = opts->ttl_s ? opts->ttl_s : TTL_S;
    leader->candidate = opts->candidate;
    leader->node = gtm_strdup(opts->node);
    leader->region = gtm_strdup(opts->region);
    leader->timer = gtm_timer_new(opts->loop, tend, leader);
    if (!leader->node || !leader->region || !leader->timer) {
        gtm_timer_free(leader->timer);
        gtm_free(leader->node);
        gtm_free(leader->region);
        gtm_free(leader);
        return NULL;
    }
    leader->opts.node = leader->node;
    leader->opts.region = leader->region;
    tend_soon(leader);
    return leader;
}

void gtm_leader_free(struct gtm_leader *leader)
{
    if (!leader)
        return;
    drop_session(leader, true);
    gtm_store_etcd_lease(leader->opts.store, 0);
    gtm_timer_free(leader->timer);
    gtm_free(leader->node);
    gtm_free(leader->region);
    gtm_free(leader);
}

/* --- who leads --- */

struct lowest {
    struct gtm_store_entry entry;
};

static int take_lower(void *arg, const struct gtm_store_entry *entry)
{
    struct lowest *lowest = arg;
    if (!lowest->entry.key || entry->revision < lowest->entry.revision)
        lowest->entry = *entry;
    return 0;
}

void gtm_leader_info(const struct gtm_store *store, struct gtm_leader_info *ret_info)
{
    struct lowest lowest = {0};
    *ret_info = (struct gtm_leader_info){0};
    if (gtm_store_list(store, PREFIX, take_lower, &lowest) != GTM_OK || !lowest.entry.key)
        return;
    struct gtm_json *json = gtm_json_parse(lowest.entry.value, lowest.entry.value_len, NULL);
    snprintf(ret_info->node, sizeof(ret_info->node), "%s", gtm_json_str(json, "node", ""));
    snprintf(ret_info->region, sizeof(ret_info->region), "%s", gtm_json_str(json, "region", ""));
    snprintf(ret_info->key, sizeof(ret_info->key), "%s", lowest.entry.key);
    ret_info->fence = lowest.entry.revision;
    ret_info->since_ms = gtm_json_i64(json, "since", 0);
    gtm_json_free(json);
}
