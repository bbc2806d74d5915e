/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of ended probes and the event that works it off. Results are told from one place, never
 * from inside a callback of curl or libevent, so that what they cause (new probes, closed probers)
 * cannot re-enter either. See probe.h; the engine's thread.
 */
#include "health/probe.h"

#include "gtm/base/mem.h"
#include "health/probe_icmp.h"
#include "health/shard.h"

#include <event2/event.h>

#define SETTLE_ROUNDS 64 /* then other events get their turn */

const struct health_probe_ops *health_probe_ops_of(enum gtm_monitor_kind kind)
{
    switch (kind) {
    case GTM_MONITOR_HTTP:
    case GTM_MONITOR_HTTPS:
    case GTM_MONITOR_GRPC:
        return &health_probe_http;
    case GTM_MONITOR_TCP:
        return &health_probe_tcp;
    case GTM_MONITOR_EXEC:
        return &health_probe_exec;
    case GTM_MONITOR_TLS:
        return &health_probe_tls;
    case GTM_MONITOR_DNS:
        return &health_probe_dns;
    case GTM_MONITOR_ICMP:
        return &health_probe_icmp;
    default:
        return NULL;
    }
}

static void on_after(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    health__io_settle(ctx);
}

int health__io_init(struct health_io *io, struct event_base *base, const struct gtm_clock *clock)
{
    io->base = base;
    io->clock = clock;
    io->done = NULL;
    io->done_end = &io->done;
    io->after = event_new(base, -1, 0, on_after, io);
    return io->after ? GTM_OK : GTM_ENOMEM;
}

void health__io_fini(struct health_io *io)
{
    if (io->after)
        event_free(io->after);
    io->after = NULL;
    health__icmp_free(io->icmp);
    io->icmp = NULL;
}

void health__io_soon(struct health_io *io)
{
    event_active(io->after, EV_TIMEOUT, 1);
}

/* Forgets an ended probe that was not told yet. */
static void forget(struct health_probe *probe)
{
    struct health_io *io = probe->io;
    if (!probe->ended)
        return;
    probe->ended = false;
    for (struct health_probe **at = &io->done; *at; at = &(*at)->next) {
        if (*at != probe)
            continue;
        *at = probe->next;
        if (!*at)
            io->done_end = at;
        return;
    }
}

void health__io_settle(struct health_io *io)
{
    for (unsigned i = 0; i < SETTLE_ROUNDS; i++) {
        bool ran = health__shards_run(io->shards);
        struct health_probe *probe = io->done;
        if (!probe && !ran)
            return;
        while ((probe = io->done) != NULL) {
            forget(probe);
            io->on_done(io->ctx, probe);
        }
    }
    health__io_soon(io);
}

void health__probe_begin(struct health_probe *probe)
{
    probe->start_ns = gtm_mono_ns(probe->io->clock);
    probe->outcome = (struct health_outcome){0};
}

void health__probe_complete(struct health_probe *probe, const struct health_outcome *outcome)
{
    struct health_io *io = probe->io;
    uint64_t us = (gtm_mono_ns(io->clock) - probe->start_ns) / 1000u;
    probe->outcome = *outcome;
    probe->outcome.latency_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    probe->ended = true;
    probe->next = NULL;
    *io->done_end = probe;
    io->done_end = &probe->next;
    health__io_soon(io);
}

enum health_phase health__probe_cancel(const struct health_probe_ops *ops, void *prober,
                                       struct health_probe *probe)
{
    if (probe->run)
        return ops->cancel(prober, probe);
    forget(probe);
    return probe->outcome.phase;
}

void *health__prober_open(struct health_io *io, const struct health_spec *spec)
{
    struct health_prober *p = gtm_calloc(1, sizeof(*p));
    if (p)
        *p = (struct health_prober){.io = io, .spec = spec};
    return p;
}

void health__prober_close(void *prober)
{
    gtm_free(prober);
}
