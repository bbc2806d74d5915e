/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a node among others. See problems.h.
 */
#include "gtm/daemon/cluster_int.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/intent_sync.h"
#include "gtm/daemon/problems_int.h"

#include <stdio.h>

static void check_store(struct gtm_problem_list *list, const struct gtm_cluster *c)
{
    struct gtm_store_etcd_info info;
    gtm_store_etcd_info(c->d->store, &info);
    if (info.link == GTM_STORE_REFUSED)
        gtm_problem__add(
            list,
            &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "StoreRefused", "etcd",
                                  "if this etcd is meant (restored, moved): gtmctl snapshot adopt "
                                  "--reason TEXT; else correct etcd.endpoints",
                                  info.since_ms},
            "%s; the last verdicts stand", info.why);
    else if (info.link != GTM_STORE_FRESH)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "StoreAway", "etcd",
                                               "see gtmctl status -o json, cluster.store.endpoints",
                                               info.since_ms},
                         "no quorum of etcd is heard%s%s; the last verdicts stand%s",
                         info.why[0] ? ": " : "", info.why,
                         info.saved_copy ? " (from this node's disk)" : "");
    else if (c->observer && gtm_observer_full(c->observer))
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "StoreFull", "etcd",
                                               "etcdctl compact, defrag, then alarm disarm; raise "
                                               "--quota-backend-bytes",
                                               0},
                         "etcd's space quota is used up: no verdict, order or intent can be "
                         "written; own checks only remove");
    else if (info.unwritable[0])
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "StoreNotWritable", "etcd",
                                               "give the etcd user readwrite on /gtm/v1/; a full "
                                               "etcd: compact, defrag, alarm disarm",
                                               info.unwritable_since_ms},
                         "etcd takes no changes: %s", info.unwritable);
    if (info.unsaved[0])
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "StateNotSaved", "state",
                                               "make room in data_dir, or make it writable; saving "
                                               "is tried again every two seconds",
                                               info.unsaved_since_ms},
                         "verdicts and orders are in force, but a restart without etcd would begin "
                         "with older ones: %s",
                         info.unsaved);
    if (info.alien)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "StoreAlienObjects",
                                               info.alien_key,
                                               "remove what does not belong under /gtm/v1/, or "
                                               "upgrade this node",
                                               0},
                         "%llu objects of the store are left out; %s: %s",
                         (unsigned long long)info.alien, info.alien_key, info.alien_why);
}

static void check_leader(struct gtm_problem_list *list, const struct gtm_cluster *c)
{
    if (c->mode == POLICY_ROLE_MERGE)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "NoLeader", "cluster",
                                               "if it lasts: does any node have the role "
                                               "controller, and is etcd fast enough?",
                                               c->mode_since_ms},
                         "%s", c->why);
}

static void check_vantages(struct gtm_problem_list *list, const struct gtm_cluster *c)
{
    struct gtm_quorum_table_info info;
    const char *why = "";
    gtm_quorum_table_info(c->table, &info);
    unsigned regions = (unsigned)info.regions;
    if (regions &&
        info.voting < policy_quorum_needed(GTM_QUORUM_MAJORITY, regions, GTM_HEALTH_DOWN))
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "VantageQuorumLost", "health",
                                               "start gtmd with the role health in more of "
                                               "health.vantages",
                                               0},
                         "%zu of %zu vantage regions have a vote: verdicts stay as they were",
                         info.voting, info.regions);
    else if (info.voting < info.regions)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "VantageMissing", "health",
                                               "see gtmctl node list", 0},
                         "%zu of %zu vantage regions have a vote", info.voting, info.regions);
    if ((c->d->node->roles & GTM_ROLE_HEALTH) && !gtm_canaries_fit(c->canaries, &why))
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "VantageUnfit",
                                               c->d->node->name,
                                               "this node's own network is in doubt", 0},
                         "this vantage has no vote: %s", why);
    if (info.bad)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "ObservationsDamaged",
                                               info.bad_key, "another version of gtmd writes them?",
                                               0},
                         "%zu observations cannot be read: %s", info.bad, info.bad_why);
}

static void check_verdicts(struct gtm_problem_list *list, const struct gtm_cluster *c)
{
    char key[160] = "", why[160] = "";
    int64_t since_ms = 0;
    size_t bad = gtm_follower_bad(c->follower, key, why, &since_ms);
    if (bad)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "VerdictsDamaged", key,
                                               "the verdicts before stay; another version of gtmd "
                                               "writes them?",
                                               since_ms},
                         "%zu verdicts cannot be read: %s", bad, why);
    const char *alone = gtm_follower_isolated_why(c->follower);
    if (alone[0])
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "IsolatedFrozen", "dns",
                                               "see dns.when_isolated and health.canaries", 0},
                         "own checks may remove nothing: %s", alone);
}

static void check_intent(struct gtm_problem_list *list, const struct gtm_cluster *c)
{
    struct gtm_intent_status status;
    gtm_intent_sync_status(c->d->intent_sync, &status);
    if (status.problem[0])
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "IntentNotServed", "intent",
                                               "mend it and gtmctl apply again, or gtmctl rollback",
                                               status.problem_ms},
                         "revision %lld is wanted, %lld is served: %s",
                         (long long)status.wanted_rev, (long long)status.served_rev,
                         status.problem);
}

static void check_clock(struct gtm_problem_list *list, const struct gtmd *d)
{
    long long off_ms = gtm_peers_clock_off_ms(d->peers);
    if (off_ms)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "ClockOff", d->node->name,
                                               "set the clock, and let chrony or "
                                               "systemd-timesyncd keep it",
                                               0},
                         "this node's clock is %lld s %s that of most others: ends of orders, "
                         "certificates and the times it shows are; health and elections do not "
                         "depend on it",
                         (off_ms < 0 ? -off_ms : off_ms) / 1000,
                         off_ms < 0 ? "ahead of" : "behind");
}

void gtm_problem__cluster(struct gtm_problem_list *list, const struct gtmd *d)
{
    const struct gtm_cluster *c = d->cluster;
    int64_t since_ms = 0;
    const char *rival = c && c->registry ? gtm_registry_rival(c->registry, &since_ms) : NULL;
    if (!c || !c->table)
        return;
    check_store(list, c);
    check_leader(list, c);
    check_vantages(list, c);
    check_verdicts(list, c);
    check_intent(list, c);
    check_clock(list, d);
    if (rival)
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_CRITICAL, "NodeNameTaken", d->node->name,
                                               "give each node a name of its own in node.yaml, and "
                                               "start it again",
                                               since_ms},
                         "%s; this one follows and answers, but has no vote and does not lead",
                         rival);
    if (gtm_shared_cookie_problem(d->cookie))
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_WARNING, "SecretNotUsed",
                                               GTM_SHARED_COOKIE_KEY,
                                               "every node needs the same secret_key; to begin "
                                               "anew, delete the key in etcd",
                                               0},
                         "%s; this node makes cookies with a secret of its own",
                         gtm_shared_cookie_problem(d->cookie));
    if (gtm_cluster_drained(c))
        gtm_problem__add(list,
                         &(struct gtm_problem){GTM_PROBLEM_NOTE, "NodeDrained", d->node->name,
                                               "gtmctl node undrain", 0},
                         "this node is drained: it answers, but has no vote and does not lead");
}
