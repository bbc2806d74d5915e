/* SPDX-License-Identifier: Apache-2.0
 *
 * curl's multi_socket interface on libevent.
 *
 * Happy path: add → curl asks for a time-out of 0 → the shard is put on the list of those to run →
 * run → curl names sockets → events → socket_action → messages → on_end.
 * Failure modes: curl treats a failing socket callback as the death of the whole multi handle, so
 * the watch of a socket is allocated before a transfer may need it.
 * On free: idle connections are closed by curl, which takes back their sockets first.
 */
#include "health/shard.h"

#include "gtm/base/mem.h"
#include "health/probe.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* Idle connections kept by a shard: every target's, and some that are on their way out. */
#define KEPT_CONNECTIONS (HEALTH_SHARD_TARGETS + HEALTH_SHARD_TARGETS / 4)
#define SPARE_WATCHES    4 /* curl may open a second socket before it lets go of the first */

struct watch { /* of one socket */
    struct event ev;
    struct health_shard *shard;
    const CURL *easy;                     /* whose transfer, while added */
    bool added;                           /* … and then in its shard's list of those */
    struct watch *next_added, **at_added; /* at_added: what points here */
    struct watch *next_free, *next_all;
};

struct health_shard {
    struct health_shards *all;
    CURLM *multi;
    struct event timer;
    uint64_t due_ns; /* when curl wants to be run; UINT64_MAX = not by itself */
    uint64_t armed_ns;
    bool kicked;
    unsigned targets, transfers, watches;
    struct watch *free_watches, *all_watches, *added_watches;
    struct health_shard *next, *next_kicked;
};

struct health_shards {
    struct health_io *io;
    void (*on_end)(CURL *easy, CURLcode code);
    struct health_shard *list, *kicked;
};

static void kick(struct health_shard *shard)
{
    if (shard->kicked)
        return;
    shard->kicked = true;
    shard->next_kicked = shard->all->kicked;
    shard->all->kicked = shard;
    health__io_soon(shard->all->io);
}

static void read_messages(struct health_shard *shard)
{
    int left;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(shard->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURL *easy = msg->easy_handle;
        CURLcode code = msg->data.result; /* msg dies with the removal */
        health__shard_remove(shard, easy);
        shard->all->on_end(easy, code);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct watch *watch = ctx;
    struct health_shard *shard = watch->shard;
    int running;
    int bits = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(shard->multi, fd, bits, &running);
    read_messages(shard);
}

static void arm(struct health_shard *shard, uint64_t now_ns)
{
    uint64_t us = shard->due_ns > now_ns ? (shard->due_ns - now_ns) / 1000u + 1 : 0;
    struct timeval tv = {.tv_sec = (time_t)(us / 1000000u),
                         .tv_usec = (suseconds_t)(us % 1000000u)};
    evtimer_add(&shard->timer, &tv);
    shard->armed_ns = shard->due_ns;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct health_shard *shard = ctx;
    uint64_t now_ns = gtm_mono_ns(shard->all->io->clock);
    shard->armed_ns = UINT64_MAX;
    if (now_ns >= shard->due_ns)
        kick(shard);
    else if (shard->due_ns != UINT64_MAX)
        arm(shard, now_ns);
}

/* curl moves its time-out several times in a transfer, mostly to later: an armed timer is left
 * alone and looks again when it fires. */
static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct health_shard *shard = ctx;
    if (timeout_ms == 0) {
        kick(shard);
        return 0;
    }
    if (timeout_ms < 0) {
        shard->due_ns = UINT64_MAX;
        return 0;
    }
    /* curl cuts to whole milliseconds, and does not ask again when it is run too early. */
    uint64_t now_ns = gtm_mono_ns(shard->all->io->clock);
    shard->due_ns = now_ns + ((uint64_t)timeout_ms + 1) * 1000000u;
    if (shard->due_ns < shard->armed_ns)
        arm(shard, now_ns);
    return 0;
}

static struct watch *new_watch(struct health_shard *shard)
{
    struct watch *watch = gtm_calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    watch->shard = shard;
    watch->next_all = shard->all_watches;
    shard->all_watches = watch;
    shard->watches++;
    return watch;
}

static struct watch *take_watch(struct health_shard *shard)
{
    struct watch *watch = shard->free_watches;
    if (!watch)
        return new_watch(shard);
    shard->free_watches = watch->next_free;
    return watch;
}

static void give_watch(struct health_shard *shard, struct watch *watch)
{
    watch->next_free = shard->free_watches;
    shard->free_watches = watch;
}

static void watch_add(struct watch *watch)
{
    struct health_shard *shard = watch->shard;
    if (event_add(&watch->ev, NULL) != 0)
        return;
    watch->added = true;
    watch->next_added = shard->added_watches;
    watch->at_added = &shard->added_watches;
    if (watch->next_added)
        watch->next_added->at_added = &watch->next_added;
    shard->added_watches = watch;
}

static void watch_del(struct watch *watch)
{
    if (!watch->added)
        return;
    event_del(&watch->ev);
    watch->added = false;
    *watch->at_added = watch->next_added;
    if (watch->next_added)
        watch->next_added->at_added = watch->at_added;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct health_shard *shard = ctx;
    struct watch *watch = socket_ctx;

    if (watch)
        watch_del(watch);
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(shard->multi, fd, NULL);
            give_watch(shard, watch);
        }
        return 0;
    }
    if (!watch) {
        watch = take_watch(shard);
        if (!watch) /* beyond what add made sure of; the transfer will run into its time-out */
            return 0;
        curl_multi_assign(shard->multi, fd, watch);
    }
    short flags = EV_PERSIST;
    flags |= what & CURL_POLL_IN ? EV_READ : 0;
    flags |= what & CURL_POLL_OUT ? EV_WRITE : 0;
    event_assign(&watch->ev, shard->all->io->base, fd, flags, on_socket, watch);
    watch->easy = easy;
    watch_add(watch);
    return 0;
}

struct health_shards *health__shards_new(struct health_io *io,
                                         void (*on_end)(CURL *easy, CURLcode code))
{
    struct health_shards *shards = gtm_calloc(1, sizeof(*shards));
    if (!shards)
        return NULL;
    shards->io = io;
    shards->on_end = on_end;
    return shards;
}

static struct health_shard *new_shard(struct health_shards *shards)
{
    struct health_shard *shard = gtm_calloc(1, sizeof(*shard));
    if (!shard)
        return NULL;
    shard->multi = curl_multi_init();
    if (!shard->multi) {
        gtm_free(shard);
        return NULL;
    }
    shard->all = shards;
    shard->due_ns = UINT64_MAX;
    shard->armed_ns = UINT64_MAX;
    evtimer_assign(&shard->timer, shards->io->base, on_timer, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
    /* curl's default follows the transfers that run now, which are few: it would keep nothing. */
    curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(shard->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    shard->next = shards->list;
    shards->list = shard;
    return shard;
}

static void free_shard(struct health_shard *shard)
{
    struct health_shards *all = shard->all;
    curl_multi_cleanup(shard->multi);
    evtimer_del(&shard->timer);
    for (struct health_shard **at = &all->kicked; *at; at = &(*at)->next_kicked)
        if (*at == shard) {
            *at = shard->next_kicked;
            break;
        }
    for (struct health_shard **at = &all->list; *at; at = &(*at)->next)
        if (*at == shard) {
            *at = shard->next;
            break;
        }
    for (struct watch *watch = shard->all_watches; watch;) {
        struct watch *next = watch->next_all;
        gtm_free(watch);
        watch = next;
    }
    gtm_free(shard);
}

void health__shards_free(struct health_shards *shards)
{
    if (!shards)
        return;
    while (shards->list)
        free_shard(shards->list);
    gtm_free(shards);
}

struct health_shard *health__shard_take(struct health_shards *shards)
{
    struct health_shard *shard = shards->list;
    while (shard && shard->targets >= HEALTH_SHARD_TARGETS)
        shard = shard->next;
    if (!shard)
        shard = new_shard(shards);
    if (shard)
        shard->targets++;
    return shard;
}

void health__shard_give(struct health_shard *shard)
{
    if (--shard->targets == 0)
        free_shard(shard);
}

int health__shard_add(struct health_shard *shard, CURL *easy)
{
    while (shard->watches < shard->transfers + 1 + SPARE_WATCHES) {
        struct watch *watch = new_watch(shard);
        if (!watch)
            return GTM_ENOMEM;
        give_watch(shard, watch);
    }
    if (curl_multi_add_handle(shard->multi, easy) != CURLM_OK)
        return GTM_ENOMEM;
    shard->transfers++;
    return GTM_OK;
}

/* curl closes a socket that is still connecting before it takes it back from us; by then its number
 * may belong to another thread. So the watch goes first. Only sockets in use are looked through: a
 * shard has many that are idle. */
static void stop_watching(struct health_shard *shard, const CURL *easy)
{
    for (struct watch *watch = shard->added_watches, *next; watch; watch = next) {
        next = watch->next_added;
        if (watch->easy == easy)
            watch_del(watch);
    }
}

void health__shard_remove(struct health_shard *shard, CURL *easy)
{
    stop_watching(shard, easy);
    if (curl_multi_remove_handle(shard->multi, easy) == CURLM_OK && shard->transfers > 0)
        shard->transfers--;
}

bool health__shards_run(struct health_shards *shards)
{
    if (!shards || !shards->kicked)
        return false;
    struct health_shard *shard;
    while ((shard = shards->kicked) != NULL) {
        int running;
        shards->kicked = shard->next_kicked;
        shard->kicked = false;
        curl_multi_socket_action(shard->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        read_messages(shard);
    }
    return true;
}
