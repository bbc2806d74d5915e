/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret of DNS cookies that nodes share, put in force on this one. See shared_cookie.h.
 */
#include "gtm/base/log.h"
#include "gtm/daemon/cluster.h"
#include "gtm/daemon/daemon.h"

#include <string.h>

static int guard(void *arg, struct gtm_store_change *ret_change)
{
    struct gtmd *d = arg;
    struct gtm_leader *leader = d->cluster ? gtm_cluster_leader(d->cluster) : NULL;
    return leader ? gtm_leader_guard(leader, ret_change) : GTM_ESTATE;
}

/* Few and small files: on the loop's thread. */
static void apply(void *arg, const uint8_t keys[][16], unsigned count)
{
    struct gtmd *d = arg;
    const struct dns_settings *now = d->settings ? d->settings->dns : NULL;
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    if (d->phase != GTMD_SERVING || !now || !now->cookies || d->node->dns.cookie_secret ||
        (now->cookie_keys_count == count && !memcmp(now->cookie_keys, keys, 16 * count)))
        return;
    struct gtm_settings *settings = gtm_settings_load(d->node, d->intent, &diags);
    if (settings) {
        gtm_publisher_settings(d->publisher, settings);
        if (gtm_publisher_refresh(d->publisher, &err) == GTM_OK) {
            gtm_settings_unref(d->settings);
            d->settings = gtm_settings_ref(settings);
            gtm_log0(GTM_LOG_INFO, "cookie", "the nodes' shared secret is in force");
        } else {
            gtm_log_error(GTM_LOG_ERROR, "cookie", "the last secret stays", &err);
        }
    }
    gtm_settings_unref(settings);
    gtm_diags_fini(&diags);
}

int gtmd__share_cookie(struct gtmd *d)
{
    if (!d->cluster || !d->node->secret_key || !d->node->dns.cookies || d->node->dns.cookie_secret)
        return GTMD_OK;
    d->cookie =
        gtm_shared_cookie_new(&(struct gtm_shared_cookie_opts){.loop = d->loop,
                                                               .clock = d->clock,
                                                               .store = d->store,
                                                               .key_path = d->node->secret_key,
                                                               .guard = guard,
                                                               .apply = apply,
                                                               .arg = d});
    return d->cookie ? GTMD_OK : gtmd__say(GTMD_FAILED, "out of memory");
}
