/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of etcdc share. Internal to the folder; the thread of the client's loop, like
 * etcdc.h, unless a function says otherwise.
 *
 * A call passes: an endpoint is chosen → it is greeted (version, cluster, member; once after each
 * failure) → a token, with a user → sent → answer, or the next endpoint. Streams go the same way.
 */
#ifndef GTM_ETCDC_ETCDC_INT_H
#define GTM_ETCDC_ETCDC_INT_H

#include "gtm/base/buf.h"
#include "gtm/base/http.h"
#include "gtm/base/json.h"
#include "gtm/base/loop.h"
#include "gtm/base/rand.h"
#include "gtm/etcdc/etcdc.h"

#define ETCDC__TEXT_BYTES 320
#define ETCDC__NOWHERE    SIZE_MAX /* no endpoint */

struct etcdc__greeting {
    struct etcdc *client;
    size_t endpoint;
};

struct etcdc__endpoint {
    char *url;
    enum { ETCDC__UNKNOWN = 0, ETCDC__GREETING, ETCDC__KNOWN } greeted;
    struct etcdc__greeting greeting;
    struct gtm_http_request *request; /* of the greeting */
    unsigned failures;                /* in a row */
    int failure;                      /* the code of the last */
    uint64_t ejected_until_ns;
    uint64_t latency_us;
    uint64_t member_id, raft_term;
    char version[24];
    char error[160];
};

/* Something that was closed while its calls or its thread were still under way. etcdc_free drops
 * all calls, then calls etcdc__leftovers_drop, then frees the rest. */
struct etcdc__leftover {
    struct etcdc__leftover *next, **prev;
    void (*drop)(struct etcdc__leftover *leftover); /* frees it; no call of it is left */
};

struct etcdc {
    struct gtm_loop *loop;
    const struct gtm_clock *clock;
    struct gtm_http *http;    /* calls */
    struct gtm_http *streams; /* watches: their connections do not take a call's place */
    struct etcdc__endpoint *endpoints;
    size_t endpoints_count, chosen; /* chosen: ETCDC__NOWHERE before the first */
    uint64_t chosen_ns;
    struct gtm_rand rand;
    unsigned connect_ms, call_ms;
    char *ca, *cert, *key, *user, *password_file;
    char *token;         /* NULL = none yet, "" = the servers want none */
    uint64_t token_made; /* rises with every token */
    struct gtm_http_request *authenticating;
    size_t authenticating_at;
    uint64_t refused_until_ns;            /* name and password, by a server; 0 = not */
    char refused_text[ETCDC__TEXT_BYTES]; /* why there is no token */
    uint64_t cluster_id, raft_term;       /* the one expected, the highest seen; 0 = none */
    struct etcdc__call *calls;
    size_t calls_count;
    struct etcdc_counters counters;
    struct etcdc__leftover *leftovers;
};

void etcdc__leftover_add(struct etcdc *client, struct etcdc__leftover *leftover,
                         void (*drop)(struct etcdc__leftover *leftover));
void etcdc__leftover_remove(struct etcdc__leftover *leftover); /* twice is fine */
void etcdc__leftovers_drop(struct etcdc *client);

/* --- a second client --- */

/* Another client with the same options and the same expected cluster, on another loop (a session's
 * thread): call it where client belongs, before loop runs; from then on it belongs to loop's
 * thread. It shares nothing with client. call_ms 0 = as client. NULL with err. */
struct etcdc *etcdc__clone(const struct etcdc *client, struct gtm_loop *loop, unsigned call_ms,
                           struct gtm_error *err);

/* --- streams --- */

struct etcdc__call;

struct etcdc__stream_ask {
    const char *path; /* "/v3/watch" */
    const char *body; /* JSON; copied */
    size_t body_len;
    unsigned idle_ms; /* without a byte for so long it ends with ETCDC_E_TIMEOUT; 0 = none */
    /* Pieces of the answer as they come, cut anywhere. False ends the stream (end comes with
     * ETCDC_E_PROTOCOL). Checking headers and errors inside is the caller's. */
    gtm_http_data_fn *data;
    /* Exactly once, unless closed. Not before a byte came, unless no endpoint gave one within the
     * client's call_ms. The endpoint has been ejected if the failure was its own. ETCDC_OK: the
     * server ended it. */
    void (*end)(void *arg, int code, const char *text);
    void *arg;
};
/* Opens a stream to the endpoint chosen, on a connection of its own, with leader check, token and
 * what else a call has. NULL: out of memory, too many. */
struct etcdc__call *etcdc__stream_open(struct etcdc *client, const struct etcdc__stream_ask *ask);
void etcdc__stream_close(struct etcdc__call *stream); /* also from its callbacks; NULL is fine */
/* Where it goes; ETCDC__NOWHERE before. */
size_t etcdc__stream_endpoint(const struct etcdc__call *stream);

/* --- endpoints --- */

const char *etcdc__url(const struct etcdc *client, size_t endpoint); /* "" for ETCDC__NOWHERE */
/* Leaves the endpoint out for 1, 2, 4 … 30 s (jittered), and has it greeted again afterwards. */
void etcdc__eject(struct etcdc *client, size_t endpoint, int code, const char *text);
/* It answered well: its failures are forgotten. latency_us 0 = not measured. */
void etcdc__endpoint_good(struct etcdc *client, size_t endpoint, uint64_t latency_us);
/* The header of an answer or event from endpoint: ETCDC_OK, ETCDC_E_CLUSTER_CHANGED or
 * ETCDC_E_STALE_MEMBER (the endpoint is ejected then; text, of ETCDC__TEXT_BYTES, says why). Fixes
 * the cluster when none is. Fields that are 0 are not judged. */
int etcdc__check_header(struct etcdc *client, size_t endpoint, const struct etcdc_header *header,
                        char *text);

/* --- requests: JSON members, appended to an object that is being written --- */

/* Each puts a comma first unless an object or array has just been opened. Zero, false and empty
 * are left out, as protobuf does. */
void etcdc__put_bytes(struct gtm_buf *out, const char *name, struct etcdc_buf value); /* base64 */
void etcdc__put_i64(struct gtm_buf *out, const char *name, int64_t value);            /* as text */
void etcdc__put_bool(struct gtm_buf *out, const char *name, bool value);
void etcdc__put_word(struct gtm_buf *out, const char *name, const char *word); /* an enum */
void etcdc__put_name(struct gtm_buf *out, const char *name);                   /* "name": */
void etcdc__base64(struct gtm_buf *out, struct etcdc_buf value);

/* --- answers --- */

/* Octets decoded from an answer of so many bytes fit into as many. */
struct etcdc__arena {
    uint8_t *data;
    size_t used, cap;
};
int etcdc__arena_init(struct etcdc__arena *arena, size_t bytes) GTM_MUST_CHECK; /* or E_NOMEM */
void etcdc__arena_fini(struct etcdc__arena *arena);

/* A 64-bit number, as text or number; absent = 0. false: it is something else, or does not fit. */
bool etcdc__get_i64(const struct gtm_json *object, const char *name, int64_t *ret);
bool etcdc__get_u64(const struct gtm_json *object, const char *name, uint64_t *ret);
/* base64; absent = empty. false: not base64, not a string, arena full. */
bool etcdc__get_bytes(const struct gtm_json *object, const char *name, struct etcdc__arena *arena,
                      struct etcdc_buf *ret);
/* The member "header" of an answer; absent = zeros. */
bool etcdc__get_header(const struct gtm_json *answer, struct etcdc_header *ret);
bool etcdc__get_kv(const struct gtm_json *value, struct etcdc__arena *arena, struct etcdc_kv *ret);

/* What an error means. An object that holds no error gives ETCDC_OK. Knows the dialects {"error":
 * text, "message", "code"}, {"code", "message"} and {"error": {"grpc_code"|"code", "message"}}.
 * http_status: used only where code and message do not tell; 0 or 200 = none. text (of
 * ETCDC__TEXT_BYTES) gets the server's words. Does not know whether a write may have happened:
 * etcdc__surely_refused does. */
int etcdc__error_of(const struct gtm_json *answer, int http_status, char *text);
/* The same from the bytes of a whole body, which may be no JSON at all (ETCDC_E_PROTOCOL). */
int etcdc__error_of_body(const char *body, size_t len, int http_status, char *text);
/* The result of error_of for a write: has the server refused it before doing anything? */
bool etcdc__surely_refused(int code, const char *text);
/* Is this a failure of the endpoint, so that another may do better (and this one is ejected)? */
bool etcdc__endpoint_failed(int code);

#endif
