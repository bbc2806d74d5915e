/* SPDX-License-Identifier: Apache-2.0
 *
 * See api_tls.h.
 */
#include "gtm/daemon/api_tls.h"

#include "gtm/base/mem.h"
#include "gtm/base/tls.h"
#include "gtm/model/identity.h"

#include <string.h>

/* What others look at when they connect. */
static int check_own(const struct gtm_node *node, const X509 *cert, int64_t expires_ms,
                     int64_t now_ms, struct gtm_error *err)
{
    struct gtm_identity id;
    char uri[GTM_TLS_URI_MAX];
    int rc = gtm_tls_cert_uri(cert, uri, err);
    if (rc == GTM_OK)
        rc = gtm_identity_parse(uri, &id, err);
    if (rc == GTM_OK && (id.kind != GTM_IDENTITY_NODE || strcmp(id.name, node->name) != 0 ||
                         strcmp(id.region, node->region) != 0))
        rc = gtm_error_set(err, GTM_EINVAL,
                           "the certificate is for %s, and this node is gtm:node/%s/%s", uri,
                           node->region, node->name);
    if (rc == GTM_OK && expires_ms <= now_ms)
        rc = gtm_error_set(err, GTM_EINVAL, "the certificate has expired");
    if (rc != GTM_OK)
        gtm_error_wrap(err, "api.tls.cert %s", node->api.cert);
    return rc;
}

struct gtm_api_tls *gtm_api_tls_new(const struct gtm_node *node, int64_t now_ms,
                                    struct gtm_error *err)
{
    const struct gtm_tls_files files = {
        .section = "api.tls", .ca = node->api.ca, .cert = node->api.cert, .key = node->api.key};
    struct gtm_api_tls *tls = gtm_calloc(1, sizeof(*tls));
    if (!tls) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    tls->ctx = gtm_tls_server(&files, err);
    const X509 *cert = tls->ctx ? SSL_CTX_get0_certificate(tls->ctx) : NULL;
    tls->expires_ms = cert ? gtm_tls_cert_expires_ms(cert) : 0;
    if (cert && check_own(node, cert, tls->expires_ms, now_ms, err) == GTM_OK)
        return tls;
    gtm_api_tls_free(tls);
    return NULL;
}

void gtm_api_tls_free(struct gtm_api_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    gtm_free(tls);
}
