/* SPDX-License-Identifier: Apache-2.0
 *
 * What the API's TLS listener shows and trusts: api.tls of the node file, read and checked. The
 * node's own certificate must say that it is this node: others go by it (peers.h). Immutable.
 */
#ifndef GTM_DAEMON_API_TLS_H
#define GTM_DAEMON_API_TLS_H

#include "gtm/base/err.h"
#include "gtm/model/node.h"

#include <openssl/ssl.h>
#include <stdint.h>

struct gtm_api_tls {
    SSL_CTX *ctx;
    int64_t expires_ms; /* of the node's certificate, Unix time */
};

/* Reads the files of node->api (which has a listener). NULL: err says which file or what in it is
 * wrong; a certificate that has ended is: others refuse it. Blocks for the disk: worker threads, or
 * the start. */
struct gtm_api_tls *gtm_api_tls_new(const struct gtm_node *node, int64_t now_ms,
                                    struct gtm_error *err);
void gtm_api_tls_free(struct gtm_api_tls *tls); /* NULL is fine */

#endif
