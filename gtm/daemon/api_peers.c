/* SPDX-License-Identifier: Apache-2.0
 *
 * /peer: what other nodes ask of this one; /peers: what this one knows of them. See peers.h.
 */
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/peers.h"

static void add_seen(void *arg, const struct gtm_peer *peer)
{
    if (peer->up)
        gtm_json_append_str(arg, peer->name);
}

void gtm_api_get_peer(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "node", d->node->name);
    gtm_json_add_str(item, "region", d->node->region);
    gtm_json_add_str(item, "mode",
                     d->cluster ? policy_role_word(gtm_cluster_mode(d->cluster)) : "standalone");
    gtm_json_add_i64(item, "view",
                     d->cluster ? gtm_cluster_view(d->cluster) : (int64_t)gtmd_revision(d));
    gtm_json_add_i64(item, "intent", d->cluster ? gtm_cluster_intent(d->cluster) : 0);
    gtm_json_add_bool(item, "serving", d->dns && d->phase == GTMD_SERVING);
    gtm_json_add_i64(item, "now", gtm_wall_ms(d->clock));
    gtm_peers_each(d->peers, add_seen, gtm_json_add_array(item, "sees"));
    gtm_api_item(req, 200, "Peer", item);
}

struct listing {
    const struct gtmd *d;
    struct gtm_json *items;
};

static void add_peer(void *arg, const struct gtm_peer *peer)
{
    const struct listing *listing = arg;
    const struct gtmd *d = listing->d;
    struct gtm_json *one = gtm_json_append_object(listing->items);
    gtm_json_add_str(one, "name", peer->name);
    gtm_json_add_str(one, "region", peer->region);
    gtm_json_add_str(one, "api", peer->api);
    gtm_json_add_bool(one, "listed", peer->listed);
    gtm_json_add_bool(one, "up", peer->up);
    if (peer->answered_ms)
        gtm_json_add_num(one, "answered_seconds_ago",
                         (double)((int64_t)gtm_mono_ms(d->clock) - peer->answered_ms) / 1000.0);
    else
        gtm_json_add_null(one, "answered_seconds_ago");
    gtm_json_add_num(one, "latency_seconds", (double)peer->latency_us / 1e6);
    gtm_json_add_i64(one, "failures", peer->failures);
    gtm_json_add_str(one, "error", peer->error[0] ? peer->error : NULL);
    gtm_json_add_str(one, "mode", peer->mode[0] ? peer->mode : NULL);
    gtm_json_add_i64(one, "view", peer->view);
    gtm_json_add_i64(one, "intent", peer->intent);
    gtm_json_add_bool(one, "serving", peer->serving);
    if (peer->has_clock)
        gtm_json_add_num(one, "clock_ahead_seconds",
                         (double)gtm_peer_ahead_ms(peer, d->clock) / 1000.0);
    else
        gtm_json_add_null(one, "clock_ahead_seconds");
    gtm_json_add(one, "seen_by", gtm_peers_seen_by(d->peers, peer->name));
}

void gtm_api_get_peers(struct gtm_api_req *req)
{
    struct listing listing = {gtm_api_daemon(req), gtm_json_array()};
    gtm_peers_each(listing.d->peers, add_peer, &listing);
    gtm_api_list(req, "PeerList", listing.items);
}
