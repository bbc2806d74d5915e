/* SPDX-License-Identifier: Apache-2.0
 *
 * Where endpoints send heartbeats: POST /v1/heartbeat/POOL/ENDPOINT[/MONITOR][?family=4|6] with
 * `Authorization: Bearer TOKEN`, the token of the monitor, over HTTP or HTTPS. The body is empty
 * (all is well) or a JSON object: {"status": "up"|"down", "text": "…", "load": 0.4, …}. Without
 * MONITOR it is for all monitors of kind push of the pool whose token it is; without family for
 * both.
 *
 * Happy path: 204. Failure modes, as RFC 9457 problems: 400 (body, query), 401 (no or a wrong
 * token; then 429 for addresses that go on), 404 (no such target; only said to who has a token),
 * 405, 413, 503 (not ready yet). Connections are bounded, in all and by address, and closed when
 * they bring no request in time. A token file that cannot be read keeps the last token that could.
 *
 * The control thread.
 */
#ifndef GTM_DAEMON_PUSH_H
#define GTM_DAEMON_PUSH_H

#include "gtm/base/err.h"
#include "gtm/base/metrics.h"

#include <stdbool.h>

struct gtmd;
struct gtm_push;

/* Listens as d->node says, and begins to read the tokens of d->intent. Borrows d until free. NULL
 * on failure (err filled): address in use, certificate. Blocks for the certificate's files. */
struct gtm_push *gtm_push_new(struct gtmd *d, struct gtm_error *err);
/* Would a listener take this certificate and key? Reads files. GTM_EIO (err filled). */
int gtm_push_check_tls(const char *cert, const char *key, struct gtm_error *err) GTM_MUST_CHECK;
/* Closes the listener and all connections. NULL is fine. */
void gtm_push_free(struct gtm_push *push);
/* Reads tokens and certificate again, soon: after a reload of the configuration. NULL is fine. */
void gtm_push_reload(struct gtm_push *push);
/* Is there a token for the monitor? True also while tokens are not read yet. */
bool gtm_push_has_token(const struct gtm_push *push, const char *monitor);
/* gtm_push_heartbeats_total{status}, gtm_push_refused_total{reason}, gtm_push_load_errors_total,
 * gtm_push_connections. NULL is fine. */
void gtm_push_metrics(const struct gtm_push *push, struct gtm_metrics *metrics);

#endif
