/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch as its two units share it: watch.c (listings, liveness, events) and watch_stream.c (the
 * stream and what waits to be taken from it). Internal; the client's loop.
 */
#ifndef GTM_ETCDC_WATCH_INT_H
#define GTM_ETCDC_WATCH_INT_H

#include "gtm/etcdc/splitter.h"
#include "gtm/etcdc/watch_core.h"
#include "gtm/etcdc/watch_life.h"

struct etcdc__watch_job;

/* An object of the stream that has not been taken yet. */
struct etcdc__queued {
    struct etcdc__queued *next;
    size_t len;
    char text[];
};

struct etcdc_watch {
    struct etcdc *client;
    etcdc_watch_fn *cb;
    void *arg;
    struct etcdc_watch_opts opts; /* key, end and tick point to `octets` */
    uint8_t *octets;
    struct etcdc__core core;
    struct etcdc__life life;
    struct etcdc__splitter splitter;
    struct gtm_timer *retry, *beat;

    struct etcdc__call *stream;
    bool must_list; /* before the next stream */
    bool listing, catching_up, checking;
    uint64_t list_asked_ns, check_asked_ns, relist_at_ns, opened_ns;
    uint64_t looked_ns; /* when it was last settled: a beat apart, unless the loop stood still */
    int64_t check_next; /* core.next when the check was asked */
    struct etcdc__queued *queue, **queue_end;
    size_t queue_bytes;
    struct etcdc__watch_job *job;
    unsigned failures;
    int failed_code; /* told by ETCDC_FAILED; 0 = none */
    char text[ETCDC__TEXT_BYTES];

    bool heard;   /* anything on the stream since the last beat */
    bool renewed; /* the token, for want of which a stream ended */
    bool closed;
    unsigned busy;
};

/* --- watch.c --- */

uint64_t etcdc__watch_now_ns(const struct etcdc_watch *w);
/* What began with w->busy++ ends: frees a closed watch. */
void etcdc__watch_leave(struct etcdc_watch *w);
/* Tries again later; what is permanent is told, once. */
void etcdc__watch_failed(struct etcdc_watch *w, int code, const char *text);
/* Tells that a failure that was told is over, unless STALE says more. */
void etcdc__watch_recovered(struct etcdc_watch *w);
/* Tells a change between fresh and stale. */
void etcdc__watch_settle(struct etcdc_watch *w);

/* --- watch_stream.c --- */

void etcdc__watch_open_stream(struct etcdc_watch *w);
/* Closes the stream, with what of it was not given. */
void etcdc__watch_end_stream(struct etcdc_watch *w);
void etcdc__watch_count_end(struct etcdc_watch *w); /* before that, when another is to follow */
/* The stream is of no use any more: another begins where it was. */
void etcdc__watch_break(struct etcdc_watch *w, int code, const char *text);
/* Is there anything of the stream that has come and is not given yet? */
bool etcdc__watch_backlog(const struct etcdc_watch *w);
/* Takes what waits, as far as may be now. */
void etcdc__watch_pump(struct etcdc_watch *w);

#endif
