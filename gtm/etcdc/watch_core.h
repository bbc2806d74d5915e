/* SPDX-License-Identifier: Apache-2.0
 *
 * What a watch makes of listings and of its stream's messages: events that never go back, a
 * transaction at a time; a listing after the first as the difference. No I/O, no clock: the same
 * input gives the same events. One thread.
 *
 * `next` is the revision that is expected next: everything below has been given. It only rises:
 * by events, by progress, by listings. It never rises by the header of an answer with events or of
 * a creation, which may be ahead of what has been sent.
 */
#ifndef GTM_ETCDC_WATCH_CORE_H
#define GTM_ETCDC_WATCH_CORE_H

#include "gtm/etcdc/watch_keys.h"
#include "gtm/etcdc/watch_parse.h"

/* False: no more is wanted (the watch was closed). */
typedef bool etcdc__emit_fn(void *arg, const struct etcdc_event *event);

struct etcdc__copied;

struct etcdc__core {
    etcdc__emit_fn *emit;
    void *arg;
    size_t queue_bytes; /* of the fragments of one transaction, as text */
    size_t keys_bytes;  /* of what is remembered; 0 = 512 MiB */
    struct etcdc_buf tick;

    int64_t next;             /* 0 = nothing known: the first listing gives it */
    struct etcdc__keys *keys; /* NULL: what was given out is not all known: the next listing is
                                 given in full */
    uint64_t events;          /* given out */
    bool tick_seen;           /* since the caller cleared it */

    struct etcdc__watch_message *fragments, **fragments_end;
    size_t fragments_bytes;
    struct etcdc__copied *listed, **listed_end; /* what a listing has that was not given yet */
    int listing_code;
};

/* after: as in etcdc_watch_opts. emit, arg, queue_bytes, keys_bytes and tick are set before. */
void etcdc__core_init(struct etcdc__core *core, int64_t after);
void etcdc__core_fini(struct etcdc__core *core);

/* A listing: begin, a page at a time, end. The last gives the events and ETCDC_OK, or a code:
 * ETCDC_E_NOMEM, ETCDC_E_OVERFLOW (list again: it will come in full), ETCDC_E_CLUSTER_CHANGED (its
 * revision is below what was given: a restored backup). ret_changed: it had something to tell. */
void etcdc__core_list_begin(struct etcdc__core *core);
void etcdc__core_list_page(struct etcdc__core *core, const struct etcdc_kv *kvs, size_t count,
                           bool restart);
int etcdc__core_list_end(struct etcdc__core *core, const struct etcdc_header *header,
                         bool *ret_changed) GTM_MUST_CHECK;

/* A message of the stream; taken. ETCDC_OK, or what ends the stream: the message's code,
 * ETCDC_E_COMPACTED (a listing is needed), ETCDC_E_OVERFLOW (too). */
int etcdc__core_message(struct etcdc__core *core,
                        struct etcdc__watch_message *message) GTM_MUST_CHECK;
/* The stream has ended: half a transaction is forgotten. */
void etcdc__core_stream_ended(struct etcdc__core *core);

#endif
