/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret of DNS cookies (RFC 9018 5) that the nodes of a cluster share, so that a client keeps
 * its cookie whichever node answers: secret/dns-cookie, sealed with node.yaml's secret_key. The
 * leader makes it when there is none, and a new one every week; the one before stays accepted. Only
 * with secret_key, and unless dns.cookies names a file of its own.
 *
 * A key that is wrong, or a secret that cannot be opened, is a problem that is said; this node goes
 * on with a random secret of its own, and as a leader leaves what is there alone. Control thread.
 */
#ifndef GTM_DAEMON_SHARED_COOKIE_H
#define GTM_DAEMON_SHARED_COOKIE_H

#include "gtm/base/clock.h"
#include "gtm/base/err.h"
#include "gtm/coord/store.h"

#include <stdbool.h>
#include <stdint.h>

#define GTM_SHARED_COOKIE_KEY     "secret/dns-cookie"
#define GTM_SHARED_COOKIE_WEEK_MS (7LL * 24 * 3600 * 1000)

struct gtm_loop;
struct gtm_shared_cookie;

struct gtm_shared_cookie_opts {
    struct gtm_loop *loop;
    const struct gtm_clock *clock;
    struct gtm_store *store;
    const char *key_path;
    /* The change that makes a commit fail unless this node leads; anything but 0: it does not. */
    int (*guard)(void *arg, struct gtm_store_change *ret_change);
    /* The secrets that are shared now (and given to gtm_settings_share_cookies): about every
     * second, so that settings that have others are made anew, whatever they were made of. */
    void (*apply)(void *arg, const uint8_t keys[][16], unsigned count);
    void *arg;
};

/* NULL: out of memory. Blocks for the key's file. */
struct gtm_shared_cookie *gtm_shared_cookie_new(const struct gtm_shared_cookie_opts *opts);
void gtm_shared_cookie_free(struct gtm_shared_cookie *cookie); /* NULL is fine */
/* What is wrong; NULL = nothing. Borrowed. */
const char *gtm_shared_cookie_problem(const struct gtm_shared_cookie *cookie);

#endif
