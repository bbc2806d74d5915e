/* SPDX-License-Identifier: Apache-2.0
 *
 * The tls probe: connect; handshake, with the server's certificate judged by verify.h; send `send`
 * if there is one; wait for `expect.body` in the first 64 KiB if there is one; close. Every probe
 * has a connection of its own, and no session is resumed: the certificate is seen each time.
 *
 * OpenSSL works on the socket itself; whenever it wants to read or write, the probe waits for just
 * that. Failure modes: a certificate that is not accepted, a handshake that fails otherwise, then
 * those of the tcp probe. A server that wants a client certificate may say so only after its side
 * of the handshake (TLS 1.3): without an expected text such a refusal is not seen.
 * The engine's thread. See probe.h.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "health/connect.h"
#include "health/trust.h"
#include "health/verify.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
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
    SSL *ssl;
    bool connected, shaken;
    size_t sent, received;
    struct health_match match;
    struct health_peer peer;
};

static enum health_phase phase_of(const struct run *run)
{
    if (!run->connected)
        return HEALTH_PHASE_CONNECT;
    if (!run->shaken)
        return HEALTH_PHASE_TLS;
    return run->received ? HEALTH_PHASE_BODY : HEALTH_PHASE_ANSWER;
}

static void release(struct run *run)
{
    if (run->fd >= 0) {
        event_del(&run->ev);
        close(run->fd);
    }
    SSL_free(run->ssl);
    health_peer_reset(&run->peer);
    run->probe->run = NULL;
    gtm_free(run);
}

/* Ends the run with an outcome whose result and text are set. */
static void finish(struct run *run, struct health_outcome *outcome)
{
    struct health_probe *probe = run->probe;
    outcome->phase = phase_of(run);
    outcome->cert_expires_wall_ms = run->peer.expires_wall_ms;
    if (run->shaken)
        SSL_shutdown(run->ssl); /* says goodbye when the socket takes it */
    ERR_clear_error();
    release(run);
    health__probe_complete(probe, outcome);
}

static void finish_with(struct run *run, enum health_result result)
{
    struct health_outcome outcome = {.result = result};
    if (result == HEALTH_RESULT_OK && !run->received)
        outcome.text = gtm_asprintf("%s handshake", SSL_get_version(run->ssl));
    finish(run, &outcome);
}

static void finish_errno(struct run *run, int os_error)
{
    struct health_outcome outcome = {0};
    health_outcome_from_errno(&outcome, os_error);
    finish(run, &outcome);
}

static void on_event(evutil_socket_t fd, short what, void *ctx);

static void watch(struct run *run, short flags)
{
    event_del(&run->ev);
    event_assign(&run->ev, run->prober->io->base, run->fd, flags, on_event, run);
    if (event_add(&run->ev, NULL) != 0)
        finish_errno(run, ENOMEM);
}

/* OpenSSL did not get what it wanted: waits for it, or ends the run. */
static void wait_or_fail(struct run *run, int n)
{
    struct health_outcome o = {0};
    int os_error = errno;
    int why = SSL_get_error(run->ssl, n);
    unsigned long code = ERR_peek_error();
    if (why == SSL_ERROR_WANT_READ) {
        watch(run, EV_READ);
        return;
    }
    if (why == SSL_ERROR_WANT_WRITE) {
        watch(run, EV_WRITE);
        return;
    }
    if (run->peer.refused) {
        o.result = HEALTH_RESULT_CERTIFICATE;
        o.text = run->peer.text;
        run->peer.text = NULL;
    } else if (!run->shaken || (why == SSL_ERROR_SSL &&
                                ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        health_verify_failed(&o, code, os_error);
    } else if (why == SSL_ERROR_SYSCALL && os_error != 0) {
        health_outcome_from_errno(&o, os_error);
    } else { /* closed, with or without a goodbye */
        o.result = run->received ? HEALTH_RESULT_BODY : HEALTH_RESULT_RESET;
    }
    finish(run, &o);
}

/* False when the run waits or is over. */
static bool send_rest(struct run *run)
{
    const char *text = run->prober->spec->send;
    size_t len = text ? strlen(text) : 0;
    while (run->sent < len) {
        int n = SSL_write(run->ssl, text + run->sent, (int)(len - run->sent));
        if (n <= 0) {
            wait_or_fail(run, n);
            return false;
        }
        run->sent += (size_t)n;
    }
    if (run->prober->spec->expect_body)
        return true;
    finish_with(run, HEALTH_RESULT_OK);
    return false;
}

static void receive(struct run *run)
{
    char data[RECEIVE_BYTES];
    for (unsigned i = 0; i < READS_MAX; i++) {
        size_t room = ANSWER_MAX - run->received;
        int n = SSL_read(run->ssl, data, (int)(room < sizeof(data) ? room : sizeof(data)));
        if (n <= 0) {
            wait_or_fail(run, n);
            return;
        }
        run->received += (size_t)n;
        if (health_match_feed(&run->match, &run->prober->spec->needle, data, (size_t)n)) {
            finish_with(run, HEALTH_RESULT_OK);
            return;
        }
        if (run->received >= ANSWER_MAX) {
            finish_with(run, HEALTH_RESULT_BODY);
            return;
        }
    }
    /* What is left may be inside OpenSSL already, where no event comes from. */
    watch(run, EV_WRITE);
}

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct run *run = ctx;
    if (!run->connected) {
        int os_error = health_connected(run->fd);
        if (os_error != 0) {
            finish_errno(run, os_error);
            return;
        }
        run->connected = true;
    }
    ERR_clear_error();
    errno = 0;
    if (!run->shaken) {
        int n = SSL_do_handshake(run->ssl);
        if (n != 1) {
            wait_or_fail(run, n);
            return;
        }
        run->shaken = true;
    }
    if (send_rest(run))
        receive(run);
}

static bool set_up(struct run *run)
{
    const struct health_spec *spec = run->prober->spec;
    run->ssl = SSL_new(spec->trust->ctx);
    if (!run->ssl || SSL_set_fd(run->ssl, run->fd) != 1)
        return false;
    SSL_set_app_data(run->ssl, &run->peer);
    SSL_set_connect_state(run->ssl);
    return !spec->tls_sni || SSL_set_tlsext_host_name(run->ssl, spec->tls_name) == 1;
}

static void tls_start(void *ctx, struct health_probe *probe, bool fresh)
{
    (void)fresh; /* always */
    struct health_prober *p = ctx;
    struct health_outcome no_trust = {.result = HEALTH_RESULT_LOCAL};
    struct run *run = gtm_calloc(1, sizeof(*run));
    if (!run || p->spec->trust->error) {
        no_trust.os_error = run ? 0 : ENOMEM;
        no_trust.text = run ? gtm_asprintf("not checked: %s", p->spec->trust->error) : NULL;
        gtm_free(run);
        health__probe_complete(probe, &no_trust);
        return;
    }
    run->prober = p;
    run->probe = probe;
    run->peer = (struct health_peer){.spec = p->spec, .clock = p->io->clock};
    probe->run = run;
    run->fd = -1;
    int os_error = health_connect(p->spec, SOCK_STREAM, &run->fd);
    if (os_error == 0) {
        event_assign(&run->ev, p->io->base, run->fd, EV_WRITE, on_event, run);
        if (!set_up(run))
            os_error = ENOMEM;
    }
    if (os_error != 0)
        finish_errno(run, os_error);
    else
        watch(run, EV_WRITE);
}

static enum health_phase tls_cancel(void *ctx, struct health_probe *probe)
{
    (void)ctx;
    struct run *run = probe->run;
    enum health_phase phase = phase_of(run);
    release(run);
    return phase;
}

const struct health_probe_ops health_probe_tls = {.open = health__prober_open,
                                                  .close = health__prober_close,
                                                  .start = tls_start,
                                                  .cancel = tls_cancel};
