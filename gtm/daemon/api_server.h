/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the API's machinery share: listeners (api_server.c), who asks (api_access.c),
 * requests and answers (api_reply.c). No handler includes it. Loop's thread only.
 */
#ifndef GTM_DAEMON_API_SERVER_H
#define GTM_DAEMON_API_SERVER_H

#include "gtm/daemon/api.h"
#include "gtm/daemon/listener.h"

#include <event2/http.h>
#include <stdint.h>

#define GTM_API_CODES_MAX     16
#define GTM_API_BUCKETS_COUNT 7

enum { GTM_API_UNIX = 0, GTM_API_METRICS, GTM_API_TLS, GTM_API_LISTENERS };

/* Upper bounds of the buckets of durations, in seconds. */
extern const double gtm_api__bounds_s[GTM_API_BUCKETS_COUNT];

struct gtm_api_stats {
    struct {
        int code;
        uint64_t count;
    } codes[GTM_API_CODES_MAX];
    uint64_t count, sum_us;
    uint64_t buckets[GTM_API_BUCKETS_COUNT];
};

struct gtm_api_listener {
    struct gtm_api *api;
    struct gtm_listener *listener; /* NULL: not configured */
    const struct gtm_api_route *routes;
    size_t routes_count;
    struct gtm_api_stats *stats; /* routes_count + 1: the last is for what no route took */
};

struct gtm_api {
    struct gtmd *d;
    struct gtm_api_listener listeners[GTM_API_LISTENERS];
    struct gtm_api_tls *tls;      /* NULL: no api.listen */
    struct gtm_api_req *requests; /* not answered yet */
    char socket_path[108];
    dev_t socket_dev; /* of the file we made: only that one is removed at the end */
    ino_t socket_ino;
    bool socket_made;
};

struct gtm_api_req {
    struct gtm_api *api;
    struct gtm_api_listener *listener;
    struct evhttp_request *http; /* NULL: the daemon stops and 503 was sent */
    const struct gtm_api_route *route;
    uint64_t started_ns;
    enum gtm_api_role role;        /* of who asks */
    char owner[GTM_API_OWNER_MAX]; /* "" = by the socket's peer credentials, when asked for */
    struct gtm_api_req *prev, *next;
    struct gtm_api_target target;
};

/* Bytes that a body of the route may have. Defined beside the table (api_routes.c). */
size_t gtm_api__body_max(const struct gtm_api_route *route);

/* Finds the route and calls its handler, or answers the error. */
void gtm_api__dispatch(struct gtm_api_listener *listener, struct evhttp_request *http);
/* Who asks, and whether the route is for them: else 403 was answered. */
bool gtm_api__admit(struct gtm_api_req *req);
/* Open ones of all listeners. */
unsigned gtm_api__connections(const struct gtm_api *api);
/* Answers 503 and leaves the shell to whoever still holds it. */
void gtm_api__abandon(struct gtm_api_req *req);

#endif
