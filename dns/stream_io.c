/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading, answering, writing. Happy path: a segment comes → each message in it is answered into
 * the output buffer → written. A transfer fills the output as far as it may, and goes on when it
 * has drained. Failure: a malformed stream is answered up to there and closed; a client that does
 * not read is read from no more, and the idle timer closes it.
 */
#include "dns/stream_int.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/base/rcu.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define OUT_LIMIT_BYTES (256u << 10) /* waiting to be sent: above it nothing more is read */
#define OUT_TOTAL_BYTES (64u << 20)  /* of all clients: above it, each gets one answer at a time */
#define TRANSFERS       8            /* at once, */
#define TRANSFERS_NET   2            /* and of one network */

size_t dns__stream_waiting(const struct dns__client *c)
{
    return c->bev ? evbuffer_get_length(bufferevent_get_output(c->bev)) : 0;
}

/* Does so much wait to be sent that nothing more may be read? */
static bool output_full(const struct dns__client *c)
{
    size_t limit = c->stream->out_total > OUT_TOTAL_BYTES ? 0 : OUT_LIMIT_BYTES;
    return dns__stream_waiting(c) > limit;
}

/* ---- answering ---- */

/* Queues the message of `octets` that stands in the stream's answer. */
static int put_answer(struct dns__client *c, size_t octets)
{
    struct dns_stream *s = c->stream;
    s->answer[0] = (uint8_t)(octets >> 8);
    s->answer[1] = (uint8_t)octets;
    if (evbuffer_add(bufferevent_get_output(c->bev), s->answer, 2 + octets) != 0)
        return GTM_ENOMEM;
    dns__clients_touch(c);
    return GTM_OK;
}

static uint64_t wall_s(void)
{
    return (uint64_t)(gtm_wall_ms(gtm_clock_system()) / 1000);
}

static void end_transfer(struct dns__client *c)
{
    dns_xfer_out_free(c->xfer);
    c->xfer = NULL;
    c->stream->transfers--;
    c->net->transfers--;
}

/* The next messages of a transfer, as many as the output takes. */
static int pump(struct dns__client *c)
{
    struct dns_stream *s = c->stream;
    while (c->xfer && !output_full(c)) {
        int rc = GTM_OK;
        size_t octets = dns_xfer_out_next(c->xfer, s->answer + 2, DNS_MESSAGE_MAX, wall_s(), &rc);
        if (rc != GTM_OK)
            return rc; /* half a transfer: the client must not take it for a whole one */
        if (octets == 0)
            end_transfer(c);
        else if ((rc = put_answer(c, octets)) != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

static int begin_transfer(struct dns__client *c, struct dns_view *view)
{
    struct dns_stream *s = c->stream;
    bool room = s->transfers < TRANSFERS && c->net->transfers < TRANSFERS_NET;
    size_t octets = dns_xfer_out_begin(&s->query, view, &c->who, room, wall_s(), s->answer + 2,
                                       DNS_MESSAGE_MAX, &c->xfer);
    if (!c->xfer) {
        DNS__STREAM_COUNT(s, transfers_refused);
        return octets ? put_answer(c, octets) : GTM_ENOMEM;
    }
    DNS__STREAM_COUNT(s, transfers);
    s->transfers++;
    c->net->transfers++;
    return GTM_OK;
}

/* Answers one message; an error when the client must be closed. */
static int answer(struct dns__client *c, struct dns_view *view, const uint8_t *msg, size_t len)
{
    struct dns_stream *s = c->stream;
    memcpy(s->packet, msg, len);
    dns_query_prepare(&s->query, view, s->packet, len);
    if (view && dns_xfer_out_wanted(&s->query))
        return begin_transfer(c, view);
    size_t octets =
        dns_query_answer(&s->answerer, &s->query, view, &c->who, s->answer + 2, DNS_MESSAGE_MAX);
    if (octets == 0)
        return GTM_OK; /* such a message deserves none, and does not keep the client alive */
    return put_answer(c, octets);
}

/* Answers what lies in the first piece of the input. 0, or why nothing more can be read. */
static int answer_piece(struct dns__client *c, struct dns_view *view, struct evbuffer *in)
{
    struct evbuffer_iovec piece;
    if (evbuffer_peek(in, -1, NULL, &piece, 1) < 1 || piece.iov_len == 0)
        return GTM_EIO; /* cannot be: the caller saw octets */
    const uint8_t *data = piece.iov_base, *msg;
    size_t left = piece.iov_len, msg_len;
    int rc = 0;
    while (!c->xfer && !output_full(c) &&
           (rc = dns_frame_next(&c->frame, &data, &left, &msg, &msg_len)) > 0)
        if ((rc = answer(c, view, msg, msg_len)) != GTM_OK)
            break;
    evbuffer_drain(in, piece.iov_len - left);
    return rc < 0 ? rc : GTM_OK;
}

/* What can be sent and read now that the answers are queued; may close the client. */
static void settle(struct dns__client *c)
{
    c->paused = c->xfer || output_full(c);
    if (c->paused || c->half_closed)
        bufferevent_disable(c->bev, EV_READ);
    else
        bufferevent_enable(c->bev, EV_READ);
    if (!c->half_closed)
        return;
    if (dns__stream_waiting(c) == 0 && !c->xfer)
        dns__clients_close(c); /* what is left of the input is no whole message */
    else if (c->ssl)
        bufferevent_enable(c->bev, EV_WRITE); /* libevent ended both directions of TLS */
}

/* Answers all input, or as much as the output takes; may close the client. */
static void serve(struct dns__client *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    gtm_rcu_online();
    struct dns_view *view = gtm_rcu_read(c->stream->view);
    int rc = pump(c);
    while (rc == GTM_OK && !c->xfer && evbuffer_get_length(in) > 0 && !output_full(c)) {
        rc = answer_piece(c, view, in);
        if (rc == GTM_OK)
            rc = pump(c);
    }
    gtm_rcu_offline();
    if (rc != GTM_OK) { /* the answers to what was right are still sent, then it is closed */
        evbuffer_drain(in, evbuffer_get_length(in));
        c->half_closed = true;
        if (c->xfer)
            end_transfer(c);
    }
    settle(c);
}

/* ---- what libevent tells ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct dns__client *c = arg;
    if (!c->paused)
        serve(c);
}

/* Called whenever at most DNS__STREAM_RESUME octets are left to be sent. */
static void on_write(struct bufferevent *bev, void *arg)
{
    (void)bev;
    struct dns__client *c = arg;
    if (c->paused || c->half_closed)
        serve(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    struct dns__client *c = arg;
    if (what & BEV_EVENT_CONNECTED) {
        c->greeted = true;
        DNS__STREAM_COUNT(c->stream, tls_handshakes);
        if (SSL_session_reused(c->ssl))
            DNS__STREAM_COUNT(c->stream, tls_resumed);
        return;
    }
    if (c->ssl && !c->greeted) {
        DNS__STREAM_COUNT(c->stream, tls_failed);
        dns__clients_close(c);
    } else if (what & BEV_EVENT_ERROR) {
        c->greeted = false; /* no farewell on a broken connection */
        dns__clients_close(c);
    } else if (what & BEV_EVENT_EOF) {
        c->half_closed = true; /* it asks no more, and may still read (RFC 7766 6.2.4) */
        if (!c->paused || c->ssl)
            serve(c);
    }
}

/* Sees every octet that comes and leaves, for the bound and for clients that read slowly. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    (void)buffer;
    struct dns__client *c = arg;
    c->stream->out_total += info->n_added;
    c->stream->out_total -= info->n_deleted;
    c->drained += info->n_deleted;
    if (info->n_deleted > 0 && c->drained >= c->drain_goal)
        dns__clients_touch(c);
}

/* ---- the beginning ---- */

/* Takes the descriptor. Callbacks of TLS are deferred: libevent would call them from inside
 * bufferevent_enable. */
static struct bufferevent *new_tls(struct dns__client *c, int fd)
{
    struct ssl_st *ssl = c->stream->tls ? SSL_new(c->stream->tls) : NULL;
    struct bufferevent *bev =
        ssl ? bufferevent_openssl_socket_new(c->stream->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
            : NULL;
    if (!bev) {
        close(fd);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1); /* an end without alert is an end */
    c->ssl = ssl;
    return bev;
}

static struct bufferevent *new_plain(struct dns__client *c, int fd)
{
    struct bufferevent *bev = bufferevent_socket_new(c->stream->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        close(fd);
    return bev;
}

bool dns__stream_io_begin(struct dns__client *c, int fd)
{
    c->bev = c->tls ? new_tls(c, fd) : new_plain(c, fd);
    if (!c->bev)
        return false;
    c->on_output = evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, DNS__STREAM_INPUT);
    bufferevent_setwatermark(c->bev, EV_WRITE, DNS__STREAM_RESUME, 0);
    return c->on_output && bufferevent_enable(c->bev, EV_READ | EV_WRITE) == 0;
}
