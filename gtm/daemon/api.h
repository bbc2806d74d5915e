/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP API of the daemon: its listeners (unix socket; metrics on TCP; mutual TLS) and what a
 * handler needs to read a request and to answer it. Handlers are in api_<noun>.c and are named in
 * the table of api_routes.c. Everything runs on the loop's thread; what may take longer than 5 ms
 * goes through gtm_api_build or gtm_loop_work.
 *
 * Happy path: evhttp parses → the route is found → its handler answers, at once or later.
 * Failure modes: a client that goes away before the answer costs nothing; the answer is dropped.
 * On stop: requests that wait for a worker are answered 503.
 */
#ifndef GTM_DAEMON_API_H
#define GTM_DAEMON_API_H

#include "gtm/base/diag.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/base/metrics.h"
#include "gtm/daemon/api_route.h"
#include "gtm/daemon/api_tls.h"
#include "gtm/model/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GTM_API_CONNECTIONS_MAX 256 /* of the unix socket, of metrics; more wait in the backlog */
#define GTM_API_REMOTE_MAX      512 /* over TLS */
#define GTM_API_PER_ADDRESS_MAX 128 /* over TLS; more are closed */
#define GTM_API_HANDSHAKE_MS    5000
#define GTM_API_IDLE_MS         60000 /* without a whole request */
#define GTM_API_HEADER_MAX      (16 * 1024)
#define GTM_API_BODY_MAX        (1024 * 1024)
#define GTM_API_TABLE_MAX       (64 * 1024 * 1024) /* of a pushed table of latencies, an intent */
#define GTM_API_CHUNKS_MAX      (4 * 1024 * 1024)  /* of uploaded chunks */
#define GTM_API_TIMEOUT_S       30
#define GTM_API_OWNER_MAX       64 /* bytes of who asks, with the NUL; longer ones are cut */

struct gtmd;
struct gtm_api;
struct gtm_api_req;

/* --- the server --- */

/* Listens. d is handed to handlers. NULL on failure; err names the socket or address and why
 * (GTM_EEXIST: somebody answers there or the port is in use). A socket file that nobody answers on
 * is replaced; a file of another kind never. */
struct gtm_api *gtm_api_new(struct gtmd *d, struct gtm_error *err);
/* Answers what waits with 503, closes, removes the socket file. NULL is fine. */
void gtm_api_free(struct gtm_api *api);
/* The port bound by the metrics listener (host order), 0 = none. */
uint16_t gtm_api_metrics_port(const struct gtm_api *api);
/* New connections over TLS use it, those that are open are looked at again. Takes tls. Only with
 * api.listen. */
void gtm_api_set_tls(struct gtm_api *api, struct gtm_api_tls *tls);
/* In force; NULL = no api.listen. */
const struct gtm_api_tls *gtm_api_tls(const struct gtm_api *api);
/* gtm_api_requests_total, gtm_api_request_duration_seconds, gtm_api_connections. */
void gtm_api_metrics(const struct gtm_api *api, struct gtm_metrics *m);

/* The rows (api_routes.c). */
extern const struct gtm_api_route gtm_api_routes[];
extern const size_t gtm_api_routes_count;
/* Those of the metrics listener. */
extern const struct gtm_api_route gtm_api_metrics_routes[];
extern const size_t gtm_api_metrics_routes_count;

/* --- reading a request --- */

struct gtmd *gtm_api_daemon(const struct gtm_api_req *req);
/* Path and query parameters; NULL when absent. Valid until the answer. */
const char *gtm_api_path(const struct gtm_api_req *req, const char *name);
const char *gtm_api_query(const struct gtm_api_req *req, const char *name);
/* A whole number from the query; false: it is none or outside, and 400 was answered. */
bool gtm_api_query_u64(struct gtm_api_req *req, const char *name, uint64_t fallback, uint64_t min,
                       uint64_t max, uint64_t *ret);
/* dryRun=true|false; false when it is neither, and 400 was answered. */
bool gtm_api_query_dry_run(struct gtm_api_req *req, bool *ret_dry_run);
/* If-Match against the present revision; false: it differs, and 412 was answered. */
bool gtm_api_if_match(struct gtm_api_req *req);
/* The body's bytes (not NUL-terminated); NULL when empty or out of memory. */
const char *gtm_api_body(struct gtm_api_req *req, size_t *ret_len);
/* The body as a JSON object with no other members than the space-separated `allowed`; NULL: it is
 * not, and 400 or 415 was answered. Caller frees. */
struct gtm_json *gtm_api_body_object(struct gtm_api_req *req, const char *allowed);
/* The media type without parameters, lower case is up to the client; NULL when absent. */
const char *gtm_api_content_type(const struct gtm_api_req *req);
/* Who asks: by their certificate the user's name or "node/NAME"; else by the socket's peer
 * credentials a user's name, "uid N", or "unknown". */
void gtm_api_owner(const struct gtm_api_req *req, char out[GTM_API_OWNER_MAX]);
/* What they may do. */
enum gtm_api_role gtm_api_role(const struct gtm_api_req *req);

/* --- answering: exactly one of these per request; req is gone afterwards --- */

void gtm_api_item(struct gtm_api_req *req, int status, const char *kind, struct gtm_json *item);
void gtm_api_list(struct gtm_api_req *req, const char *kind, struct gtm_json *items);
/* Any root, taken; NULL or incomplete gives 500. */
void gtm_api_json(struct gtm_api_req *req, int status, struct gtm_json *root);
/* Text of another type, taken (gtm_free); NULL gives 500. */
void gtm_api_text(struct gtm_api_req *req, int status, const char *type, char *text);
/* RFC 9457. code is the stable word. */
void gtm_api_problem(struct gtm_api_req *req, int status, const char *code, const char *fmt, ...)
    GTM_PRINTF(4, 5);
/* The same with errors[] = all findings. */
void gtm_api_problem_diags(struct gtm_api_req *req, int status, const char *code,
                           const char *detail, const struct gtm_diags *diags);

/* 409 "blocked": the names of the rules that refuse, and what all rules say; both taken. */
void gtm_api_problem_blocked(struct gtm_api_req *req, struct gtm_json *blocked_by,
                             struct gtm_json *rules, const char *fmt, ...) GTM_PRINTF(4, 5);

/* Builds and prints a large answer on a helper thread when `big`, else here: build(arg) returns the
 * root (gtm_api_list_root and the like) and touches nothing that the loop's thread owns; fini(arg)
 * is called on the loop's thread. */
void gtm_api_build(struct gtm_api_req *req, bool big, struct gtm_json *(*build)(void *arg),
                   void (*fini)(void *arg), void *arg);

/* --- parts of answers; any thread --- */

/* The envelopes; take item or items. */
struct gtm_json *gtm_api_item_root(const char *kind, uint64_t revision, struct gtm_json *item);
struct gtm_json *gtm_api_list_root(const char *kind, uint64_t revision, struct gtm_json *items);
/* [{severity, file, line, column, message}, …] */
struct gtm_json *gtm_api_diags(const struct gtm_diags *diags);
/* RFC 3339, or null when wall_ms is 0. */
void gtm_api_add_time(struct gtm_json *object, const char *key, int64_t wall_ms);

#endif
