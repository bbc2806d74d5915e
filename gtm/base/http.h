/* SPDX-License-Identifier: Apache-2.0
 *
 * An HTTP client on the event loop: libcurl's multi interface over libevent, for whoever in gtm
 * asks others (etcd, other nodes, later providers and hooks). Health checks have their own, since
 * ten thousand a second need another shape. HTTP/1.1; HTTP/2 over TLS where the server speaks it.
 * No redirects, no proxies, no cookies; certificates and names are always verified.
 *
 * Everything belongs to the loop's thread. Callbacks never come from inside a call of these
 * functions, and may call all of them but gtm_http_free. A request answers exactly once by its
 * `done`, unless it is cancelled (then never).
 *
 * Traps met here (libcurl 7.88): NOSIGNAL; no "Expect:"; numeric or resolvable hosts (the threaded
 * resolver, bounded by the time-out); a reset of a kept-alive connection after bytes went out must
 * not be repeated by libcurl for requests that change something: `once`.
 */
#ifndef GTM_BASE_HTTP_H
#define GTM_BASE_HTTP_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_HTTP_BODY_MAX (64u << 20)

struct gtm_loop;
struct gtm_http;
struct gtm_http_request;

/* Paths of PEM files, or NULL. ca NULL = the system's. */
struct gtm_http_tls {
    const char *ca, *cert, *key;
    const char *uri; /* the identity that the server's certificate must have, such as
                        "gtm:node/us-east/a" (gtm/base/tls.h), instead of the host's name: then
                        only https:// is taken. NULL = the host's name counts */
};

struct gtm_http_opts {
    struct gtm_loop *loop;   /* borrowed */
    struct gtm_http_tls tls; /* copied */
    unsigned connections;    /* open at a time, to one host; 0 = 16 */
    unsigned connect_ms;     /* 0 = 2,000 */
    bool http1_only;         /* never HTTP/2 */
};

/* How far a request got when it failed: may it be repeated? */
enum gtm_http_sent {
    GTM_HTTP_NOT_SENT = 0, /* no byte of it left: repeating is safe */
    GTM_HTTP_SENT          /* the server may have acted */
};

struct gtm_http_result {
    int code; /* 0 = there is a whole answer, of any status; GTM_ETIMEOUT, GTM_EUNREACHABLE, GTM_EIO
                 (reset), GTM_EDENIED (TLS: certificate or name), GTM_ELIMIT (body over the bound),
                 GTM_ENOMEM, GTM_ESTATE (closing) */
    enum gtm_http_sent sent;
    int status;       /* HTTP status, 0 = none */
    const char *body; /* NUL beyond body_len; borrowed for the call; "" when streamed */
    size_t body_len;
    const char *address; /* of the server, as connected to; "" = none */
    uint64_t latency_us; /* from the start to the end */
    const struct gtm_error *err;
};
typedef void gtm_http_done_fn(void *arg, const struct gtm_http_result *result);
/* A piece of a streamed answer whose status is 200. Return false to end the request (done comes
 * with GTM_EIO). */
typedef bool gtm_http_data_fn(void *arg, const char *data, size_t len);

struct gtm_http_ask {
    const char *method;         /* "GET", "POST", … */
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL = none */
    const char *body;           /* copied */
    size_t body_len;
    unsigned timeout_ms; /* of the whole; 0 = none (streams) */
    unsigned idle_ms;    /* streams: without a byte for so long it ends GTM_ETIMEOUT; 0 = none */
    size_t body_max;     /* 0 = 1 MiB; at most GTM_HTTP_BODY_MAX */
    bool once;           /* never repeated on another connection by the library */
    bool fresh;          /* a connection of its own, closed afterwards (streams) */
    gtm_http_data_fn *on_data; /* NULL: the body is collected */
    gtm_http_done_fn *done;
    void *arg;
};

/* NULL with err: TLS files that cannot be read, out of memory. */
struct gtm_http *gtm_http_new(const struct gtm_http_opts *opts, struct gtm_error *err);
/* Drops what is under way without a callback. NULL is fine. Before gtm_loop_free. */
void gtm_http_free(struct gtm_http *http);
/* Starts a request; everything is copied. GTM_EINVAL, GTM_ENOMEM, GTM_ELIMIT (over 4,096 wait). */
int gtm_http_start(struct gtm_http *http, const struct gtm_http_ask *ask,
                   struct gtm_http_request **ret_request) GTM_MUST_CHECK;
/* Ends a request before its done: closes its connection when it is under way. NULL is fine. */
void gtm_http_cancel(struct gtm_http_request *request);
/* Closes idle connections, so that the next request connects anew. */
void gtm_http_reset(struct gtm_http *http);

#endif
