/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is connected: the order of idleness, how many connections a network has, who must go.
 * Networks with equally many connections form a list, so the largest is found without a search.
 */
#include "dns/stream_int.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"

#include <event2/bufferevent.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_BYTES (16u << 10) /* a slow reader takes that much in idle_ms, or all */
#define SHARE          16          /* a network above 1/16 of all connections loses its own first */

uint64_t dns__stream_now_ms(void)
{
    return gtm_mono_ms(gtm_clock_system());
}

/* ---- networks ---- */

static void key_of(const struct dns_client *who, uint8_t key[9])
{
    memset(key, 0, 9);
    key[0] = who->family;
    memcpy(key + 1, who->addr, who->family == 4 ? 4 : 7); /* RFC 6177: a site has a /56 */
}

static struct dns__net **place_of(struct dns_stream *s, const uint8_t key[9])
{
    uint64_t h = 0;
    for (unsigned i = 0; i < 9; i++) /* chains are bounded by max_clients */
        h = (h ^ key[i]) * 0x9e3779b97f4a7c15u;
    return &s->nets[h >> (64 - DNS__NET_BITS)];
}

static void leave_count(struct dns_stream *s, struct dns__net *net)
{
    *(net->peer_prev ? &net->peer_prev->peer_next : &s->by_count[net->count]) = net->peer_next;
    if (net->peer_next)
        net->peer_next->peer_prev = net->peer_prev;
    net->peer_prev = net->peer_next = NULL;
}

static void enter_count(struct dns_stream *s, struct dns__net *net)
{
    net->peer_next = s->by_count[net->count];
    if (net->peer_next)
        net->peer_next->peer_prev = net;
    s->by_count[net->count] = net;
    if (net->count > s->largest)
        s->largest = net->count;
    while (s->largest > 0 && !s->by_count[s->largest])
        s->largest--;
}

static void net_unlink(struct dns__client *c)
{
    *(c->net_prev ? &c->net_prev->net_next : &c->net->oldest) = c->net_next;
    *(c->net_next ? &c->net_next->net_prev : &c->net->newest) = c->net_prev;
    c->net_prev = c->net_next = NULL;
}

static void net_append(struct dns__client *c)
{
    c->net_prev = c->net->newest;
    *(c->net->newest ? &c->net->newest->net_next : &c->net->oldest) = c;
    c->net->newest = c;
}

static void leave_net(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    struct dns__net *net = c->net;
    if (!net)
        return;
    net_unlink(c);
    leave_count(s, net);
    net->count--;
    if (net->count > 0) {
        enter_count(s, net);
    } else {
        struct dns__net **at = place_of(s, net->key);
        while (*at != net)
            at = &(*at)->next;
        *at = net->next;
        gtm_free(net);
        while (s->largest > 0 && !s->by_count[s->largest])
            s->largest--;
    }
    c->net = NULL;
}

static struct dns__net *find_net(struct dns_stream *s, const uint8_t key[9])
{
    struct dns__net *net = *place_of(s, key);
    while (net && memcmp(net->key, key, sizeof(net->key)) != 0)
        net = net->next;
    return net;
}

bool dns__clients_join(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    uint8_t key[9];
    key_of(&c->who, key);
    struct dns__net *net = find_net(s, key);
    if (net && net->count >= s->per_client) {
        DNS__STREAM_COUNT(s, evicted);
        dns__clients_close(net->oldest);
        net = find_net(s, key); /* it may have gone with its last client */
    }
    if (net) {
        leave_count(s, net);
    } else {
        net = gtm_calloc(1, sizeof(*net));
        if (!net)
            return false;
        memcpy(net->key, key, sizeof(key));
        struct dns__net **place = place_of(s, key);
        net->next = *place;
        *place = net;
    }
    net->count++;
    enter_count(s, net);
    c->net = net;
    net_append(c);
    return true;
}

/* ---- the order of idleness ---- */

static void unlink_client(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    *(c->prev ? &c->prev->next : &s->oldest) = c->next;
    *(c->next ? &c->next->prev : &s->newest) = c->prev;
    c->prev = c->next = NULL;
}

static void append_client(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    c->prev = s->newest;
    *(s->newest ? &s->newest->next : &s->oldest) = c;
    s->newest = c;
}

void dns__clients_add(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    c->last_ms = dns__stream_now_ms();
    append_client(c);
    atomic_fetch_add_explicit(&s->clients, 1, memory_order_relaxed);
    if (s->oldest == c)
        dns__clients_arm(s);
}

void dns__clients_touch(struct dns__client *c)
{
    c->last_ms = dns__stream_now_ms();
    c->drained = 0;
    size_t waiting = dns__stream_waiting(c);
    c->drain_goal = waiting < PROGRESS_BYTES ? waiting : PROGRESS_BYTES;
    unlink_client(c);
    append_client(c);
    if (c->net) {
        net_unlink(c);
        net_append(c);
    }
}

static void close_hello(struct dns__hello *hello)
{
    if (!hello)
        return;
    if (hello->readable)
        event_free(hello->readable);
    if (hello->fd >= 0)
        close(hello->fd);
    gtm_free(hello);
}

void dns__clients_close(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    unlink_client(c);
    if (c->xfer) {
        dns_xfer_out_free(c->xfer);
        s->transfers--;
        c->net->transfers--;
    }
    leave_net(c);
    atomic_fetch_sub_explicit(&s->clients, 1, memory_order_relaxed);
    close_hello(c->hello);
    if (c->bev) {
        s->out_total -= dns__stream_waiting(c);
        if (c->on_output)
            evbuffer_remove_cb_entry(bufferevent_get_output(c->bev), c->on_output);
        if (c->ssl && c->greeted)
            (void)SSL_shutdown(c->ssl); /* the alert only; nobody waits for the other side's */
        bufferevent_free(c->bev);
    }
    dns_frame_fini(&c->frame);
    gtm_free(c);
}

bool dns__clients_evict(struct dns_stream *s)
{
    unsigned share = s->max_clients / SHARE > 1 ? s->max_clients / SHARE : 1;
    struct dns__client *goes = s->oldest;
    if (!goes)
        return false;
    if (s->largest > share)
        goes = s->by_count[s->largest]->oldest;
    DNS__STREAM_COUNT(s, evicted);
    dns__clients_close(goes);
    return true;
}

/* ---- time ---- */

static unsigned idle_ms(const struct dns_stream *s)
{
    return s->draining ? s->drain_idle_ms : s->idle_ms;
}

void dns__clients_arm(struct dns_stream *s)
{
    if (!s->oldest) {
        event_del(s->idle_timer);
        atomic_store(&s->ended, s->draining);
        return;
    }
    uint64_t now = dns__stream_now_ms(), due = s->oldest->last_ms + idle_ms(s);
    if (s->draining && s->drain_until_ms < due)
        due = s->drain_until_ms;
    uint64_t wait = due > now ? due - now : 1;
    struct timeval tv = {(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};
    event_add(s->idle_timer, &tv);
}

void dns__clients_idle_over(struct dns_stream *s)
{
    uint64_t now = dns__stream_now_ms();
    bool over = s->draining && now >= s->drain_until_ms;
    while (s->oldest && (over || now - s->oldest->last_ms >= idle_ms(s))) {
        DNS__STREAM_COUNT(s, timed_out);
        dns__clients_close(s->oldest);
    }
    dns__clients_arm(s);
}
