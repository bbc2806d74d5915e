/* SPDX-License-Identifier: Apache-2.0
 *
 * One object of a watch's stream, decoded. Pure, any thread. Source: etcd api/v3 rpc.proto,
 * WatchResponse, as the gateway writes it (zeros left out, the enum by name).
 */
#ifndef GTM_ETCDC_WATCH_PARSE_H
#define GTM_ETCDC_WATCH_PARSE_H

#include "gtm/etcdc/etcdc_int.h"

struct etcdc__watch_event {
    bool deleted;
    struct etcdc_kv kv; /* points into the message's arena */
};
struct etcdc__watch_message {
    struct etcdc__watch_message *next;
    struct etcdc_header header;
    int64_t watch_id;
    bool created, canceled;
    bool fragment;            /* the next message goes on with the same transactions */
    int64_t compact_revision; /* canceled because this is the oldest there is; 0 = not that */
    int code;                 /* of an error object, or of a cancel's reason; ETCDC_OK */
    char text[ETCDC__TEXT_BYTES];
    struct etcdc__watch_event *events;
    size_t events_count;
    size_t bytes; /* of the text it came from: what it costs to keep, roughly */
    struct etcdc__arena arena;
};

/* NULL: *ret_code is ETCDC_E_PROTOCOL (not such an object) or ETCDC_E_NOMEM. An error object is a
 * message with a code. */
struct etcdc__watch_message *etcdc__watch_parse(const char *text, size_t len, int *ret_code);
void etcdc__watch_message_free(struct etcdc__watch_message *message); /* NULL is fine */

#endif
