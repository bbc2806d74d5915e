/* SPDX-License-Identifier: Apache-2.0
 *
 * The listeners of the API: unix socket, metrics, and mutual TLS. Their connections are
 * listener.h's. See api.h.
 */
#include "gtm/daemon/api_server.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024 /* a full one is an error for who does not block */

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

/* --- life --- */

static void on_request(struct evhttp_request *http, void *arg)
{
    gtm_api__dispatch(arg, http);
}

/* Takes fd; -1: err is filled already. */
static bool serve(struct gtm_api_listener *at, int fd, SSL_CTX *tls, struct gtm_error *err)
{
    struct gtm_api *api = at->api;
    bool remote = at == &api->listeners[GTM_API_TLS];
    bool metrics = at == &api->listeners[GTM_API_METRICS];
    const struct gtm_listener_opts opts = {
        .loop = api->d->loop,
        .clock = api->d->clock,
        .connections_max = remote ? GTM_API_REMOTE_MAX : GTM_API_CONNECTIONS_MAX,
        .per_address_max = remote ? GTM_API_PER_ADDRESS_MAX : 0,
        .handshake_ms = GTM_API_HANDSHAKE_MS,
        .idle_ms = GTM_API_IDLE_MS,
        .io_timeout_s = GTM_API_TIMEOUT_S,
        .header_max = GTM_API_HEADER_MAX,
        /* What only one route takes is refused to the others by the dispatch. */
        .body_max = metrics ? GTM_API_BODY_MAX : GTM_API_TABLE_MAX,
        .request = on_request,
        .arg = at,
    };
    if (fd < 0)
        return false;
    at->routes = metrics ? gtm_api_metrics_routes : gtm_api_routes;
    at->routes_count = metrics ? gtm_api_metrics_routes_count : gtm_api_routes_count;
    at->stats = remote ? api->listeners[GTM_API_UNIX].stats
                       : gtm_calloc(at->routes_count + 1, sizeof(*at->stats));
    if (!at->stats) {
        close(fd);
        gtm_error_set(err, GTM_ENOMEM, "out of memory for the api's listener");
        return false;
    }
    at->listener = gtm_listener_new(&opts, fd, tls, err);
    return at->listener != NULL;
}

static bool serve_remote(struct gtm_api *api, struct gtm_error *err)
{
    const struct gtm_node *node = api->d->node;
    if (!node->api.has_listen)
        return true;
    struct gtm_api_tls *tls = gtm_api_tls_new(node, gtm_wall_ms(api->d->clock), err);
    if (!tls)
        return false;
    gtm_api_set_tls(api, tls);
    int fd = gtm_listener_socket(&node->api.listen, "api.listen", err);
    return serve(&api->listeners[GTM_API_TLS], fd, tls->ctx, err);
}

static bool serve_all(struct gtm_api *api, struct gtm_error *err)
{
    const struct gtm_node *node = api->d->node;
    if (!serve(&api->listeners[GTM_API_UNIX], open_unix(api, node->api_socket, err), NULL, err))
        return false;
    if (node->has_metrics &&
        !serve(&api->listeners[GTM_API_METRICS],
               gtm_listener_socket(&node->metrics_listen, "metrics.listen", err), NULL, err))
        return false;
    return serve_remote(api, err);
}

struct gtm_api *gtm_api_new(struct gtmd *d, struct gtm_error *err)
{
    struct gtm_api *api = gtm_calloc(1, sizeof(*api));
    if (!api) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    api->d = d;
    for (size_t i = 0; i < GTM_API_LISTENERS; i++)
        api->listeners[i].api = api;
    if (serve_all(api, err))
        return api;
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
    remove_socket(api);
    while (api->requests)
        gtm_api__abandon(api->requests);
    for (size_t i = 0; i < GTM_API_LISTENERS; i++)
        gtm_listener_free(api->listeners[i].listener);
    gtm_free(api->listeners[GTM_API_UNIX].stats); /* shared with TLS */
    gtm_free(api->listeners[GTM_API_METRICS].stats);
    gtm_api_tls_free(api->tls);
    gtm_free(api);
}

void gtm_api_set_tls(struct gtm_api *api, struct gtm_api_tls *tls)
{
    gtm_api_tls_free(api->tls);
    api->tls = tls;
    if (api->listeners[GTM_API_TLS].listener)
        gtm_listener_set_tls(api->listeners[GTM_API_TLS].listener, tls->ctx);
}

const struct gtm_api_tls *gtm_api_tls(const struct gtm_api *api)
{
    return api ? api->tls : NULL;
}

uint16_t gtm_api_metrics_port(const struct gtm_api *api)
{
    return gtm_listener_port(api->listeners[GTM_API_METRICS].listener);
}

unsigned gtm_api__connections(const struct gtm_api *api)
{
    unsigned n = 0;
    for (size_t i = 0; i < GTM_API_LISTENERS; i++)
        n += gtm_listener_count(api->listeners[i].listener);
    return n;
}
