/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners of the API over evhttp, which has no limit of connections: the listeners are paused
 * while too many are open, and ends are learnt through the close callback that each connection gets
 * right after evhttp made it (newcomers.h). See api.h.
 */
#include "gtm/daemon/api_server.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPT_RETRY_MS 100
#define BACKLOG         1024 /* a full one is an error for who does not block */

/* --- the limit of connections --- */

static void listeners_switch(struct gtm_api *api)
{
    bool open = !api->stopping && api->connections + api->newcomers.count < GTM_API_CONNECTIONS_MAX;
    for (size_t i = 0; i < GTM_API_LISTENERS; i++) {
        struct evconnlistener *ev = api->listeners[i].ev;
        if (ev && open)
            evconnlistener_enable(ev);
        else if (ev)
            evconnlistener_disable(ev);
    }
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    struct gtm_api *api = arg;
    if (api->connections > 0)
        api->connections--;
    listeners_switch(api);
}

static void on_made(void *arg, struct evhttp_connection *evcon)
{
    struct gtm_api *api = arg;
    if (evcon) {
        evhttp_connection_set_closecb(evcon, on_closed, api);
        api->connections++;
    }
    listeners_switch(api);
}

/* evhttp asks for the bufferevent of a connection that it has accepted. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct gtm_api *api = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
    if (!bev || gtm_newcomers_add(&api->newcomers, base, bev) != GTM_OK)
        return bev;        /* not counted, but closed by its time-out */
    listeners_switch(api); /* libevent accepts until a callback pauses the listener */
    return bev;
}

/* Out of descriptors: without a pause the loop would spin on the waiting connection. */
static void on_accept_error(struct evconnlistener *ev, void *arg)
{
    struct gtm_api_listener *listener = arg;
    gtm_log(GTM_LOG_WARN, "api", "cannot accept a connection",
            gtm_kv_str("error", strerror(errno)));
    evconnlistener_disable(ev);
    gtm_timer_start(listener->api->accept_retry, ACCEPT_RETRY_MS);
}

static void on_accept_retry(void *arg)
{
    listeners_switch(arg);
}

/* --- sockets --- */

static int fail(int fd, struct gtm_error *err, int errnum, const char *what, const char *where)
{
    if (fd >= 0)
        close(fd);
    int code = errnum == EADDRINUSE ? GTM_EEXIST : gtm_err_from_errno(errnum);
    gtm_error_set(err, code, "%s %s: %s", what, where, strerror(errnum));
    return -1;
}

/* Removes a socket file that nobody answers on. */
static int clear_stale(const struct sockaddr_un *addr, struct gtm_error *err)
{
    struct stat st;
    if (lstat(addr->sun_path, &st))
        return errno == ENOENT ? 0
                               : fail(-1, err, errno, "cannot look at the socket", addr->sun_path);
    if (!S_ISSOCK(st.st_mode)) {
        gtm_error_set(err, GTM_EEXIST, "api socket %s: a file that is no socket is in the way",
                      addr->sun_path);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, err, errno, "api socket", addr->sun_path);
    int rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    int e = rc ? errno : 0;
    close(fd);
    if (e != ECONNREFUSED && e != ENOENT) {
        gtm_error_set(err, GTM_EEXIST, "api socket %s: %s", addr->sun_path,
                      e == 0 || e == EAGAIN ? "another process answers there" : strerror(e));
        return -1;
    }
    if (unlink(addr->sun_path) && errno != ENOENT)
        return fail(-1, err, errno, "cannot replace the socket", addr->sun_path);
    return 0;
}

static int open_unix(struct gtm_api *api, const char *path, struct gtm_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path)) {
        gtm_error_set(err, GTM_ELIMIT, "api socket %s: the path is longer than %zu bytes", path,
                      sizeof(addr.sun_path) - 1);
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    char *dir = gtm_fs_dirname(path);
    int rc = dir ? gtm_fs_mkdirs(dir, 0755, err) : gtm_error_set(err, GTM_ENOMEM, "out of memory");
    gtm_free(dir);
    if (rc || clear_stale(&addr, err))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, err, errno, "api socket", path);
    mode_t old = umask(0117); /* born with mode 0660 */
    rc = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    int e = errno;
    umask(old);
    if (rc)
        return fail(fd, err, e, "cannot bind the api socket", path);
    struct stat st;
    if (!lstat(path, &st)) {
        api->socket_dev = st.st_dev;
        api->socket_ino = st.st_ino;
        api->socket_made = true;
        memcpy(api->socket_path, path, strlen(path) + 1);
    }
    if (listen(fd, BACKLOG))
        return fail(fd, err, errno, "cannot listen on the api socket", path);
    return fd;
}

/* In host order, 0 = unknown. */
static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {0};
    socklen_t len = sizeof(bound);
    if (getsockname(fd, &bound.any, &len))
        return 0;
    return ntohs(bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
}

static int open_tcp(struct gtm_api *api, const struct gtm_listen *at, struct gtm_error *err)
{
    int fd = socket(at->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return fail(fd, err, errno, "metrics.listen", at->text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Inherited by what is accepted; without it a kept-alive request waits 40 ms for the client's
     * delayed acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (at->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&at->addr, at->addr_len) || listen(fd, BACKLOG))
        return fail(fd, err, errno, "metrics.listen", at->text);
    api->metrics_port = bound_port(fd);
    return fd;
}

/* --- life --- */

static void on_request(struct evhttp_request *http, void *arg)
{
    gtm_api__dispatch(arg, http);
}

/* Takes fd. */
static int serve(struct gtm_api_listener *listener, int fd, const struct gtm_api_route *routes,
                 size_t count, struct gtm_error *err)
{
    struct event_base *base = gtm_loop_base(listener->api->d->loop);
    listener->routes = routes;
    listener->routes_count = count;
    listener->stats = gtm_calloc(count + 1, sizeof(*listener->stats));
    listener->http = evhttp_new(base);
    listener->ev =
        evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!listener->ev)
        close(fd);
    if (!listener->stats || !listener->http || !listener->ev ||
        !evhttp_bind_listener(listener->http, listener->ev)) {
        if (listener->ev)
            evconnlistener_free(listener->ev);
        listener->ev = NULL;
        return gtm_error_set(err, GTM_ENOMEM, "out of memory for the api's listener");
    }
    evconnlistener_set_error_cb(listener->ev, on_accept_error);
    evhttp_set_max_headers_size(listener->http, GTM_API_HEADER_MAX);
    /* What only one route takes is refused to the others by the dispatch. */
    evhttp_set_max_body_size(listener->http,
                             routes == gtm_api_routes ? GTM_API_TABLE_MAX : GTM_API_BODY_MAX);
    evhttp_set_timeout(listener->http, GTM_API_TIMEOUT_S);
    evhttp_set_default_content_type(listener->http, NULL);
    /* All that evhttp knows, so that a wrong one gets our 405 with Allow. */
    evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                   EVHTTP_REQ_POST | EVHTTP_REQ_DELETE |
                                                   EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
    evhttp_set_bevcb(listener->http, on_accept, listener->api);
    evhttp_set_gencb(listener->http, on_request, listener);
    return 0;
}

struct gtm_api *gtm_api_new(struct gtmd *d, struct gtm_error *err)
{
    struct gtm_api *api = gtm_calloc(1, sizeof(*api));
    if (!api) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    api->d = d;
    api->newcomers = (struct gtm_newcomers){.fn = on_made, .ctx = api};
    for (size_t i = 0; i < GTM_API_LISTENERS; i++)
        api->listeners[i].api = api;
    api->accept_retry = gtm_timer_new(d->loop, on_accept_retry, api);
    int fd = api->accept_retry ? open_unix(api, d->node->api_socket, err) : -1;
    if (fd < 0 || serve(&api->listeners[0], fd, gtm_api_routes, gtm_api_routes_count, err))
        goto fail;
    if (d->node->has_metrics) {
        fd = open_tcp(api, &d->node->metrics_listen, err);
        if (fd < 0 || serve(&api->listeners[1], fd, gtm_api_metrics_routes,
                            gtm_api_metrics_routes_count, err))
            goto fail;
    }
    return api;
fail:
    gtm_api_free(api);
    return NULL;
}

static void remove_socket(const struct gtm_api *api)
{
    struct stat st;
    if (api->socket_made && !lstat(api->socket_path, &st) && st.st_dev == api->socket_dev &&
        st.st_ino == api->socket_ino)
        unlink(api->socket_path);
}

void gtm_api_free(struct gtm_api *api)
{
    if (!api)
        return;
    api->stopping = true;
    remove_socket(api);
    while (api->requests)
        gtm_api__abandon(api->requests);
    /* evhttp_free frees a listener before its connections, whose end looks at the listeners. */
    for (size_t i = 0; i < GTM_API_LISTENERS; i++)
        api->listeners[i].ev = NULL;
    for (size_t i = 0; i < GTM_API_LISTENERS; i++) {
        if (api->listeners[i].http)
            evhttp_free(api->listeners[i].http);
        gtm_free(api->listeners[i].stats);
    }
    gtm_newcomers_clear(&api->newcomers);
    gtm_timer_free(api->accept_retry);
    gtm_free(api);
}

uint16_t gtm_api_metrics_port(const struct gtm_api *api)
{
    return api->metrics_port;
}
