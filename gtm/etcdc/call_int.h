/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls on their way: what call.c shares with the units that start calls. Internal to the folder;
 * the client's thread.
 */
#ifndef GTM_ETCDC_CALL_INT_H
#define GTM_ETCDC_CALL_INT_H

#include "gtm/etcdc/etcdc_int.h"

#define ETCDC__CALLS_MAX 4096u

enum etcdc__kind {
    ETCDC__RANGE = 0,
    ETCDC__PUT,
    ETCDC__DELETE,
    ETCDC__TXN,
    ETCDC__LEASE_GRANT,
    ETCDC__LEASE_REVOKE,
    ETCDC__LEASE_KEEP_ALIVE,
    ETCDC__COMPACT,
    ETCDC__STATUS,
    ETCDC__STREAM
};

struct etcdc__call {
    struct etcdc *client;
    enum etcdc__kind kind;
    char *body;
    size_t body_len;
    bool write, idempotent, leader_check;
    size_t only; /* the endpoint asked for, or ETCDC__NOWHERE */
    struct etcdc__stream_ask stream;
    etcdc_done_fn *done;
    etcdc_status_fn *status_done;
    void *arg;
    const void *user;        /* the arg of who asked; arg itself unless set */
    void (*drop)(void *arg); /* what else goes when the call is dropped; NULL = nothing */

    enum {
        ETCDC__PAUSED = 0,
        ETCDC__AWAITS_GREETING,
        ETCDC__AWAITS_TOKEN,
        ETCDC__SENT,
        ETCDC__ENDED
    } state;
    uint32_t tried;  /* endpoints, as bits */
    unsigned rounds; /* through all of them */
    size_t endpoint;
    uint64_t deadline_ns, token_made;
    bool renewed; /* the token, for this call */
    bool maybe;   /* a write went out without a clear answer, and may be repeated */
    bool heard;   /* a stream that has begun */
    bool in_callback, closed;
    struct gtm_timer *timer;
    struct gtm_http_request *request;
    int code; /* the last failure that tells most */
    char text[ETCDC__TEXT_BYTES];
    struct etcdc__call *next, **at;
};

/* Starts a call of that kind: fills kind, write, idempotent and leader_check from kind and flags,
 * takes body (emptied; freed also on failure). ret_call (may be NULL) to set more before the loop
 * runs. ETCDC_E_NOMEM, ETCDC_E_TOO_MANY. */
int etcdc__call_start(struct etcdc *client, enum etcdc__kind kind, unsigned flags,
                      struct gtm_buf *body, etcdc_done_fn *done, void *arg,
                      struct etcdc__call **ret_call) GTM_MUST_CHECK;
void etcdc__call_free(struct etcdc__call *call);
/* Without a callback; with what is its own (drop). */
void etcdc__call_drop(struct etcdc__call *call);
/* The greeting of an endpoint, or the making of a token there, ended: goes on with who waited. code
 * ETCDC_OK or why it failed. */
void etcdc__greeted(struct etcdc *client, size_t endpoint, int code, const char *text);
void etcdc__authenticated(struct etcdc *client, size_t endpoint, int code, const char *text);

/* endpoints.c: the one to use next, but none of those tried; ETCDC__NOWHERE = all have been. */
size_t etcdc__choose(struct etcdc *client, uint32_t tried);
/* When the first of those left out may be asked again; 0 = one may be now. */
uint64_t etcdc__soonest_ns(const struct etcdc *client);
/* greet.c: asks version, cluster and member; ends with etcdc__greeted, never from inside. */
int etcdc__greet(struct etcdc *client, size_t endpoint) GTM_MUST_CHECK;
/* auth.c: gets a token from the endpoint; ends with etcdc__authenticated, never from inside.
 * ETCDC_E_AUTH, with client->refused_text: no password, or it was refused a moment ago. */
int etcdc__authenticate(struct etcdc *client, size_t endpoint) GTM_MUST_CHECK;
void etcdc__token_drop(struct etcdc *client);
/* A short request of a client's own (greeting, token) to an endpoint. */
int etcdc__ask(struct etcdc *client, size_t endpoint, const char *method, const char *path,
               struct gtm_buf *body, gtm_http_done_fn *done, void *arg,
               struct gtm_http_request **ret_request) GTM_MUST_CHECK;
/* What a request that got no whole answer means. */
int etcdc__code_of_http(const struct gtm_http_result *result, char *text);

/* request.c: whole operations, as the value of a member or as a body. */
void etcdc__write_range(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf end,
                        int64_t limit, int64_t revision, unsigned flags);
void etcdc__write_put(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf value,
                      int64_t lease, unsigned flags);
void etcdc__write_delete(struct gtm_buf *out, struct etcdc_buf key, struct etcdc_buf end,
                         unsigned flags);
bool etcdc__key_good(struct etcdc_buf key);
bool etcdc__end_good(struct etcdc_buf end);

/* decode.c: answers of each kind. An answer owns its parts until fini. */
struct etcdc__decoded {
    struct etcdc_answer answer;
    struct etcdc_status status;
    char alarms[64], version[24];
    struct etcdc__arena arena;
};
/* bytes: of the body that answer was parsed from. ETCDC_OK, ETCDC_E_PROTOCOL,
 * ETCDC_E_LEASE_NOT_FOUND (said by 200), ETCDC_E_NOMEM; fini in any case. */
int etcdc__decode(enum etcdc__kind kind, const struct gtm_json *answer, size_t bytes,
                  struct etcdc__decoded *ret);
void etcdc__decoded_fini(struct etcdc__decoded *decoded);

#endif
