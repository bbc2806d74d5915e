/* SPDX-License-Identifier: Apache-2.0
 *
 * The tcp probe: connect; send `send` if there is one; wait for `expect.body` in the first 64 KiB
 * if there is one; close. Every probe has a connection of its own.
 *
 * Failure modes: a close or reset before the expected text, a text that does not come (the engine's
 * time-out), more than 64 KiB without it. The engine's thread. See probe.h.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "health/connect.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX    65536
#define RECEIVE_BYTES 4096
#define READS_MAX     4 /* in a row; then other targets get their turn */

struct run {
    struct health_prober *prober;
    struct health_probe *probe;
    struct event ev;
    int fd;
    bool connected;
    size_t sent, received;
    struct health_match match;
};

static enum health_phase phase_of(const struct run *run)
{
    if (!run->connected)
        return HEALTH_PHASE_CONNECT;
    return run->received ? HEALTH_PHASE_BODY : HEALTH_PHASE_ANSWER;
}

static void release(struct run *run)
{
    event_del(&run->ev);
    close(run->fd);
    run->probe->run = NULL;
    gtm_free(run);
}

static void finish(struct run *run, enum health_result result, int os_error)
{
    struct health_probe *probe = run->probe;
    struct health_outcome outcome = {.phase = phase_of(run)};
    if (result == HEALTH_RESULT_NONE)
        health_outcome_from_errno(&outcome, os_error);
    else
        outcome.result = result;
    release(run);
    health__probe_complete(probe, &outcome);
}

/* False when the run is over. */
static bool check_connected(struct run *run)
{
    int os_error = health_connected(run->fd);
    if (os_error != 0) {
        finish(run, HEALTH_RESULT_NONE, os_error);
        return false;
    }
    run->connected = true;
    return true;
}

/* Sends what is left. False when the run is over. */
static bool send_rest(struct run *run)
{
    const char *text = run->prober->spec->send;
    size_t len = text ? strlen(text) : 0;
    while (run->sent < len) {
        ssize_t n = send(run->fd, text + run->sent, len - run->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            run->sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return true;
        } else if (errno != EINTR) {
            finish(run, HEALTH_RESULT_NONE, errno);
            return false;
        }
    }
    if (run->prober->spec->expect_body)
        return true;
    finish(run, HEALTH_RESULT_OK, 0);
    return false;
}

/* False when the run is over. */
static bool receive(struct run *run)
{
    char data[RECEIVE_BYTES];
    for (unsigned i = 0; i < READS_MAX; i++) {
        size_t room = ANSWER_MAX - run->received;
        ssize_t n = recv(run->fd, data, room < sizeof(data) ? room : sizeof(data), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n < 0) {
            finish(run, HEALTH_RESULT_NONE, errno);
            return false;
        }
        run->received += (size_t)n;
        if (health_match_feed(&run->match, &run->prober->spec->needle, data, (size_t)n)) {
            finish(run, HEALTH_RESULT_OK, 0);
            return false;
        }
        if (n == 0 || run->received >= ANSWER_MAX) {
            bool closed_early = n == 0 && run->received == 0;
            finish(run, closed_early ? HEALTH_RESULT_RESET : HEALTH_RESULT_BODY, 0);
            return false;
        }
    }
    return true;
}

static void on_event(evutil_socket_t fd, short what, void *ctx);

/* Watches for what the run needs next. */
static void watch(struct run *run)
{
    const char *text = run->prober->spec->send;
    bool sending = !run->connected || (text && run->sent < strlen(text));
    short flags = EV_PERSIST;
    if (run->connected && run->prober->spec->expect_body)
        flags |= EV_READ; /* also while sending: a greeting may be all that we wait for */
    flags |= sending ? EV_WRITE : 0;
    event_del(&run->ev);
    event_assign(&run->ev, run->prober->io->base, run->fd, flags, on_event, run);
    if (event_add(&run->ev, NULL) != 0)
        finish(run, HEALTH_RESULT_NONE, ENOMEM);
}

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    struct run *run = ctx;
    bool rewatch = false;
    if (what & EV_WRITE) {
        if (!run->connected && !check_connected(run))
            return;
        if (!send_rest(run))
            return;
        rewatch = true;
    }
    if ((what & EV_READ) && !receive(run))
        return;
    if (rewatch)
        watch(run);
}

static void tcp_start(void *ctx, struct health_probe *probe, bool fresh)
{
    (void)fresh; /* always */
    struct health_prober *p = ctx;
    struct run *run = gtm_calloc(1, sizeof(*run));
    int fd = -1, os_error = run ? health_connect(p->spec, SOCK_STREAM, &fd) : ENOMEM;
    if (os_error != 0) {
        struct health_outcome outcome = {0};
        health_outcome_from_errno(&outcome, os_error);
        gtm_free(run);
        health__probe_complete(probe, &outcome);
        return;
    }
    run->prober = p;
    run->probe = probe;
    run->fd = fd;
    probe->run = run;
    event_assign(&run->ev, p->io->base, fd, EV_WRITE | EV_PERSIST, on_event, run);
    watch(run); /* also when connected already: the socket is then writable at once */
}

static enum health_phase tcp_cancel(void *ctx, struct health_probe *probe)
{
    (void)ctx;
    struct run *run = probe->run;
    enum health_phase phase = phase_of(run);
    release(run);
    return phase;
}

const struct health_probe_ops health_probe_tcp = {.open = health__prober_open,
                                                  .close = health__prober_close,
                                                  .start = tcp_start,
                                                  .cancel = tcp_cancel};
