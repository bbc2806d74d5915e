/* SPDX-License-Identifier: Apache-2.0
 *
 * The dns probe: one question over UDP or TCP (RFC 1035, 7766), judged by dns_message.h. Every
 * probe has a socket of its own, and so a port that the kernel chose at random, and an id at
 * random.
 *
 * Happy path: connect → send → the answer → judged → complete. An answer over UDP that does not fit
 * and is needed in full is asked for again over TCP, in the same probe.
 * Failure modes: over UDP whatever is not the answer is ignored until the engine's time-out, as it
 * may be anyone's; over TCP it is garbage. A port where nobody listens is refused (ICMP). The
 * engine's thread. See probe.h.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "health/connect.h"
#include "health/dns_message.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 65535
#define UDP_MAX     4096 /* longer datagrams are not asked for */
#define READS_MAX   16   /* in a row; then other targets get their turn */

struct run {
    struct health_prober *prober;
    struct health_probe *probe;
    struct event ev;
    int fd;
    bool tcp, connected;
    uint16_t id;
    uint8_t out[2 + HEALTH_DNS_QUERY_MAX]; /* with the length of TCP before it */
    size_t sent;
    uint8_t head[2]; /* TCP: the answer's length */
    uint8_t *in;     /* TCP: the answer, once its length is known */
    size_t received, want;
};

static enum health_phase phase_of(const struct run *run)
{
    if (run->tcp && !run->connected)
        return HEALTH_PHASE_CONNECT;
    return run->received ? HEALTH_PHASE_BODY : HEALTH_PHASE_ANSWER;
}

static void hang_up(struct run *run)
{
    if (run->fd < 0)
        return;
    event_del(&run->ev);
    close(run->fd);
    run->fd = -1;
}

static void release(struct run *run)
{
    hang_up(run);
    run->probe->run = NULL;
    gtm_free(run->in);
    gtm_free(run);
}

static void finish(struct run *run, struct health_outcome *outcome)
{
    struct health_probe *probe = run->probe;
    outcome->phase = phase_of(run);
    release(run);
    health__probe_complete(probe, outcome);
}

static void finish_errno(struct run *run, int os_error)
{
    struct health_outcome outcome = {0};
    health_outcome_from_errno(&outcome, os_error);
    finish(run, &outcome);
}

static void finish_with(struct run *run, enum health_result result)
{
    struct health_outcome outcome = {.result = result};
    finish(run, &outcome);
}

static void on_event(evutil_socket_t fd, short what, void *ctx);

static void watch(struct run *run, short flags)
{
    event_del(&run->ev);
    event_assign(&run->ev, run->prober->io->base, run->fd, (short)(flags | EV_PERSIST), on_event,
                 run);
    if (event_add(&run->ev, NULL) != 0)
        finish_errno(run, ENOMEM);
}

/* Connects and waits to send. The run may be over. */
static void dial(struct run *run, bool tcp)
{
    const struct health_spec *spec = run->prober->spec;
    run->tcp = tcp;
    run->connected = !tcp;
    int os_error = health_connect(spec, tcp ? SOCK_STREAM : SOCK_DGRAM, &run->fd);
    if (os_error != 0) {
        run->fd = -1;
        finish_errno(run, os_error);
        return;
    }
    event_assign(&run->ev, run->prober->io->base, run->fd, EV_WRITE | EV_PERSIST, on_event, run);
    watch(run, EV_WRITE);
}

/* A message is there. False when the run is over or began anew. */
static bool judge(struct run *run, const uint8_t *message, size_t len)
{
    struct health_outcome o = {0};
    switch (health_dns_judge(run->prober->spec->ask, run->id, run->tcp, message, len, &o)) {
    case HEALTH_DNS_DECIDED:
        finish(run, &o);
        return false;
    case HEALTH_DNS_TRUNCATED:
        hang_up(run);
        run->sent = 0;
        dial(run, true);
        return false;
    case HEALTH_DNS_IGNORE:
        break;
    }
    if (!run->tcp)
        return true;
    o.result = HEALTH_RESULT_GARBAGE;
    o.text = gtm_strdup("not the answer to the query");
    finish(run, &o);
    return false;
}

static void receive_udp(struct run *run)
{
    uint8_t data[UDP_MAX];
    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(run->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0) {
            finish_errno(run, errno);
            return;
        }
        if (!judge(run, data, (size_t)n))
            return;
    }
}

/* The length is known: makes room. False when the run is over. */
static bool begin_message(struct run *run)
{
    run->want = (size_t)run->head[0] << 8 | run->head[1];
    run->in = gtm_malloc(run->want ? run->want : 1);
    if (!run->in) {
        finish_errno(run, ENOMEM);
        return false;
    }
    return true;
}

static void receive_tcp(struct run *run)
{
    for (unsigned i = 0; i < READS_MAX; i++) {
        uint8_t *at = run->in ? run->in + (run->received - 2) : run->head + run->received;
        size_t room = run->in ? run->want + 2 - run->received : 2 - run->received;
        ssize_t n = room ? recv(run->fd, at, room, MSG_DONTWAIT) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0) {
            finish_errno(run, errno);
            return;
        }
        if (n == 0 && room > 0) {
            finish_with(run, HEALTH_RESULT_RESET);
            return;
        }
        run->received += (size_t)n;
        if (!run->in && run->received == 2 && !begin_message(run))
            return;
        if (run->in && run->received == run->want + 2) {
            judge(run, run->in, run->want);
            return;
        }
    }
}

static void send_query(struct run *run)
{
    const struct health_dns_ask *ask = run->prober->spec->ask;
    size_t skip = run->tcp ? 0 : 2, len = ask->len + 2;
    if (run->sent == 0)
        run->sent = skip;
    while (run->sent < len) {
        ssize_t n =
            send(run->fd, run->out + run->sent, len - run->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0) {
            finish_errno(run, errno);
            return;
        }
        run->sent += (size_t)n;
    }
    watch(run, EV_READ);
}

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    struct run *run = ctx;
    if (!run->connected) {
        int os_error = health_connected(run->fd);
        if (os_error != 0) {
            finish_errno(run, os_error);
            return;
        }
        run->connected = true;
    }
    if (what & EV_WRITE)
        send_query(run);
    else if (run->tcp)
        receive_tcp(run);
    else
        receive_udp(run);
}

static void dns_start(void *ctx, struct health_probe *probe, bool fresh)
{
    (void)fresh; /* always */
    struct health_prober *p = ctx;
    const struct health_dns_ask *ask = p->spec->ask;
    struct health_outcome no_memory = {.result = HEALTH_RESULT_LOCAL, .os_error = ENOMEM};
    struct run *run = gtm_calloc(1, sizeof(*run));
    if (!run || gtm_rand_secure(&run->id, sizeof(run->id)) != GTM_OK) {
        gtm_free(run);
        health__probe_complete(probe, &no_memory);
        return;
    }
    run->prober = p;
    run->probe = probe;
    probe->run = run;
    run->out[0] = (uint8_t)(ask->len >> 8);
    run->out[1] = (uint8_t)ask->len;
    memcpy(run->out + 2, ask->query, ask->len);
    run->out[2] = (uint8_t)(run->id >> 8);
    run->out[3] = (uint8_t)run->id;
    dial(run, ask->tcp);
}

static enum health_phase dns_cancel(void *ctx, struct health_probe *probe)
{
    (void)ctx;
    struct run *run = probe->run;
    enum health_phase phase = phase_of(run);
    release(run);
    return phase;
}

const struct health_probe_ops health_probe_dns = {.open = health__prober_open,
                                                  .close = health__prober_close,
                                                  .start = dns_start,
                                                  .cancel = dns_cancel};
