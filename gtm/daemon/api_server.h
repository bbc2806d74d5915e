/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the API's machinery share: listeners and dispatch (api_server.c), requests
 * and answers (api_reply.c). No handler includes it. Loop's thread only.
 */
#ifndef GTM_DAEMON_API_SERVER_H
#define GTM_DAEMON_API_SERVER_H

#include "gtm/daemon/api.h"
#include "gtm/daemon/newcomers.h"

#include <event2/http.h>
#include <event2/listener.h>
#include <stdint.h>

#define GTM_API_LISTENERS     2 /* unix socket, metrics */
#define GTM_API_CODES_MAX     16
#define GTM_API_BUCKETS_COUNT 7

struct gtm_timer;

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
    struct evhttp *http;
    struct evconnlistener *ev; /* owned by http */
    const struct gtm_api_route *routes;
    size_t routes_count;
    struct gtm_api_stats *stats; /* routes_count + 1: the last is for what no route took */
};

struct gtm_api {
    struct gtmd *d;
    struct gtm_api_listener listeners[GTM_API_LISTENERS];
    struct gtm_timer *accept_retry;
    struct gtm_newcomers newcomers;
    struct gtm_api_req *requests; /* not answered yet */
    unsigned connections;
    bool stopping;
    uint16_t metrics_port;
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
    struct gtm_api_req *prev, *next;
    struct gtm_api_target target;
};

/* Bytes that a body of the route may have. Defined beside the table (api_routes.c). */
size_t gtm_api__body_max(const struct gtm_api_route *route);

/* Finds the route and calls its handler, or answers the error. */
void gtm_api__dispatch(struct gtm_api_listener *listener, struct evhttp_request *http);
/* Answers 503 and leaves the shell to whoever still holds it. */
void gtm_api__abandon(struct gtm_api_req *req);

#endif
