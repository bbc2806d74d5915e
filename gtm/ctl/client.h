/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks gtmd: HTTP/1.1 over its unix socket, or over mutual TLS, one request at a time over one
 * connection (libcurl), blocking up to --timeout. Turns problem documents (RFC 9457) into lines and
 * an exit code.
 */
#ifndef GTM_CTL_CLIENT_H
#define GTM_CTL_CLIENT_H

#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"

/* One request; body is JSON, or NULL. Takes path (gtm_free; NULL counts as out of memory). On
 * success *ret_json (if ret_json is not NULL) is the reply's root, owned by the caller. On failure
 * the reason was said and the exit code is returned. */
int ctl_request(struct ctl *ctl, const char *method, char *path, const char *body,
                struct gtm_json **ret_json) GTM_MUST_CHECK;
/* GET that is JSON. */
int ctl_get(struct ctl *ctl, char *path, struct gtm_json **ret_json) GTM_MUST_CHECK;
/* GET of text, appended to out. */
int ctl_get_buf(struct ctl *ctl, char *path, struct gtm_buf *out) GTM_MUST_CHECK;
/* GET of text (metrics) to standard output. */
int ctl_get_text(struct ctl *ctl, char *path) GTM_MUST_CHECK;

/* A new path: format with every %s percent-encoded (RFC 3986 2.1); NULL when out of memory. */
char *ctl_path(const char *format, ...);

/* The exit code for a problem document; detail not needed. Pure. */
int ctl_exit_of(long http_status, const struct gtm_json *problem);

void ctl_client_free(struct ctl_client *client); /* NULL is fine */

#endif
