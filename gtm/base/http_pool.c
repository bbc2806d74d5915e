/* SPDX-License-Identifier: Apache-2.0
 *
 * curl's sockets and time-out on the loop. See http_int.h.
 *
 * Happy path: add → curl asks for a time-out of 0 → timer → run → curl names sockets → events →
 * run → after.
 * Failure modes: curl takes a failing socket callback for the death of the whole multi handle, so
 * the watches that a transfer may need are allocated before it starts. curl may close a socket
 * before it takes it back, and its number may belong to another thread by then: closing goes
 * through us, and the watch goes first.
 */
#include "gtm/base/http_int.h"

#include "gtm/base/loop.h"
#include "gtm/base/mem.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_WATCHES   8u /* a transfer tries several addresses at a time */
#define USER_TIMEOUT_MS 10000

struct watch { /* of one socket */
    struct event ev;
    struct http__pool *pool;
    curl_socket_t fd;
    bool added;
    struct watch *next; /* in the pool's used or spare */
};

struct http__pool {
    CURLM *multi;
    struct gtm_loop *loop;
    struct gtm_timer *timer;
    void (*after)(void *arg);
    void *arg;
    unsigned transfers;
    struct watch *used, *spare;
    unsigned used_count, spare_count;
};

static void run(struct http__pool *pool, curl_socket_t fd, int bits)
{
    int running;
    curl_multi_socket_action(pool->multi, fd, bits, &running);
    pool->after(pool->arg);
}

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct watch *watch = ctx;
    run(watch->pool, fd,
        (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
    run(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct http__pool *pool = ctx;
    /* curl cuts to whole milliseconds, and does not ask again when it is run too early. */
    if (timeout_ms < 0)
        gtm_timer_stop(pool->timer);
    else
        gtm_timer_start(pool->timer, timeout_ms > 0 ? (uint64_t)timeout_ms + 1 : 0);
    return 0;
}

static void watch_stop(struct watch *watch)
{
    if (watch->added)
        event_del(&watch->ev);
    watch->added = false;
}

static struct watch *watch_of(struct http__pool *pool, curl_socket_t fd)
{
    struct watch *watch = pool->used;
    while (watch && watch->fd != fd)
        watch = watch->next;
    return watch;
}

static void watch_drop(struct http__pool *pool, struct watch *watch)
{
    watch_stop(watch);
    for (struct watch **at = &pool->used; *at; at = &(*at)->next)
        if (*at == watch) {
            *at = watch->next;
            break;
        }
    watch->next = pool->spare;
    pool->spare = watch;
    pool->used_count--;
    pool->spare_count++;
}

static struct watch *watch_take(struct http__pool *pool, curl_socket_t fd)
{
    struct watch *watch = pool->spare;
    if (watch) {
        pool->spare = watch->next;
        pool->spare_count--;
    } else if (!(watch = gtm_calloc(1, sizeof(*watch)))) {
        return NULL;
    }
    watch->pool = pool;
    watch->fd = fd;
    watch->next = pool->used;
    pool->used = watch;
    pool->used_count++;
    return watch;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    (void)easy;
    (void)socket_ctx;
    struct http__pool *pool = ctx;
    struct watch *watch = watch_of(pool, fd);
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            watch_drop(pool, watch);
        return 0;
    }
    if (watch)
        watch_stop(watch);
    else
        watch = watch_take(pool, fd);
    if (!watch) /* beyond the spare ones; the transfer runs into its time-out */
        return 0;
    short flags = EV_PERSIST;
    flags |= what & CURL_POLL_IN ? EV_READ : 0;
    flags |= what & CURL_POLL_OUT ? EV_WRITE : 0;
    event_assign(&watch->ev, gtm_loop_base(pool->loop), fd, flags, on_socket, watch);
    watch->added = event_add(&watch->ev, NULL) == 0;
    return 0;
}

static int on_curl_close(void *ctx, curl_socket_t fd)
{
    struct http__pool *pool = ctx;
    struct watch *watch = watch_of(pool, fd);
    if (watch)
        watch_drop(pool, watch);
    return close(fd);
}

/* A peer that vanished is noticed also where nothing has a time-out. */
static int on_curl_sockopt(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    (void)ctx;
    (void)purpose;
    int ms = USER_TIMEOUT_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)); /* a nicety */
    return CURL_SOCKOPT_OK;
}

struct http__pool *http__pool_new(struct gtm_loop *loop, unsigned connections,
                                  void (*after)(void *arg), void *arg)
{
    struct http__pool *pool = gtm_calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->loop = loop;
    pool->after = after;
    pool->arg = arg;
    pool->timer = gtm_timer_new(loop, on_timer, pool);
    pool->multi = curl_multi_init();
    if (!pool->timer || !pool->multi) {
        http__pool_free(pool);
        return NULL;
    }
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)connections);
    /* curl's default follows the transfers that run now: with few it would keep nothing. */
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, 4L * (long)connections);
    return pool;
}

void http__pool_free(struct http__pool *pool)
{
    if (!pool)
        return;
    if (pool->multi)
        curl_multi_cleanup(pool->multi);
    gtm_timer_free(pool->timer);
    while (pool->used)
        watch_drop(pool, pool->used);
    for (struct watch *watch = pool->spare, *next; watch; watch = next) {
        next = watch->next;
        gtm_free(watch);
    }
    gtm_free(pool);
}

int http__pool_add(struct http__pool *pool, CURL *easy)
{
    while (pool->used_count + pool->spare_count < pool->transfers + SPARE_WATCHES) {
        struct watch *watch = gtm_calloc(1, sizeof(*watch));
        if (!watch)
            return GTM_ENOMEM;
        watch->next = pool->spare;
        pool->spare = watch;
        pool->spare_count++;
    }
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_curl_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, pool);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_curl_sockopt);
    if (curl_multi_add_handle(pool->multi, easy) != CURLM_OK)
        return GTM_ENOMEM;
    pool->transfers++;
    return GTM_OK;
}

void http__pool_remove(struct http__pool *pool, CURL *easy)
{
    if (curl_multi_remove_handle(pool->multi, easy) == CURLM_OK && pool->transfers > 0)
        pool->transfers--;
}

unsigned http__pool_count(const struct http__pool *pool)
{
    return pool->transfers;
}

CURL *http__pool_ended(struct http__pool *pool, CURLcode *ret_code)
{
    int left;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(pool->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        *ret_code = msg->data.result;
        return msg->easy_handle;
    }
    return NULL;
}
