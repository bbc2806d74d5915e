/* SPDX-License-Identifier: Apache-2.0
 *
 * The insides of the http kinds (http, https, grpc), shared by probe_http.c (life and callbacks),
 * http_setup.c (what curl is told) and http_judge.c (what its result means). Internal to those; the
 * engine's thread.
 */
#ifndef GTM_HEALTH_PROBE_HTTP_INT_H
#define GTM_HEALTH_PROBE_HTTP_INT_H

#include "health/grpc.h"
#include "health/probe.h"
#include "health/verify.h"

#include <curl/curl.h>
#include <stdbool.h>

struct health_shard;
struct http_prober;

/* What only https, grpc and load reports need. */
struct http_extra {
    struct health_peer peer;     /* TLS: of the connection made last by this transfer */
    bool shaking;                /* TLS: the handshake has begun */
    char error[CURL_ERROR_SIZE]; /* curl's words, which hold OpenSSL's code */
    struct health_grpc grpc;     /* kind grpc */
};

/* One transfer. The prober's own one is reused; confirming probes that overlap it bring theirs. */
struct http_transfer {
    struct http_prober *prober;
    CURL *easy;
    struct health_probe *probe; /* NULL while idle */
    bool fresh, retried;
    bool headers_done, ours; /* ours: we ended it, `outcome` is decided */
    size_t header_bytes, body_bytes;
    int socket_error; /* errno of a socket that could not be made */
    struct health_match match;
    struct http_extra *extra; /* NULL for plain http */
    char *body;               /* what load pointers look into, or NULL */
    uint32_t body_len;
    struct health_outcome outcome;
};

struct http_prober {
    struct health_io *io;
    const struct health_spec *spec;
    struct health_shard *shard;
    CURLU *url;
    char *connect_to_text;         /* https with a name: where it is */
    char *apart;                   /* TLS: keeps this prober's connections to itself */
    struct curl_slist *connect_to; /* … as a list */
    struct curl_slist *headers;
    uint8_t *request; /* grpc: the body */
    size_t request_len;
    int kept_fd; /* the last connection that may have been kept; see close_kept */
    uint64_t kept_cookie;
    struct http_transfer main;
};

/* --- http_setup.c --- */

/* Makes the texts that all transfers of the prober share; false when out of memory. */
bool health__http_prepare(struct http_prober *prober);
void health__http_unprepare(struct http_prober *prober);
/* Tells a new handle what to fetch and how, callbacks aside; false when out of memory. */
bool health__http_setup(struct http_transfer *transfer);

/* --- http_judge.c --- */

/* How far the transfer got. */
enum health_phase health__http_phase(const struct http_transfer *transfer);
/* At the end of the headers: false when the transfer ends here, with its outcome. */
bool health__http_judge_headers(struct http_transfer *transfer);
/* At the end of a transfer that we did not end: a whole answer, or a failure. */
void health__http_judge(struct http_transfer *transfer, CURLcode code);
/* True when the connection had been used before and nothing came over it this time. */
bool health__http_stale(const struct http_transfer *transfer, CURLcode code);

#endif
