/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks the API, and may they: by certificate over mutual TLS, by the peer credentials of the
 * unix socket. Nothing that a request says of itself counts. See api.h.
 *
 * On the unix socket its group may do everything up to admin; root and gtmd's own user also what is
 * past the rules of safety. The metrics listener has nothing that a viewer may not see.
 */
#include "gtm/base/tls.h"
#include "gtm/daemon/api_server.h"
#include "gtm/daemon/daemon.h"

#include <event2/bufferevent.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool peer_of(const struct gtm_api_req *req, struct ucred *ret)
{
    struct evhttp_connection *con = evhttp_request_get_connection(req->http);
    struct bufferevent *bev = con ? evhttp_connection_get_bufferevent(con) : NULL;
    socklen_t len = sizeof(*ret);
    return bev && !getsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_PEERCRED, ret, &len);
}

static enum gtm_api_role role_of_peer(const struct gtm_api_req *req)
{
    struct ucred cred;
    bool own = peer_of(req, &cred) && (cred.uid == 0 || cred.uid == geteuid());
    return own ? GTM_API_BREAKGLASS : GTM_API_ADMIN;
}

/* A connection may be older than the CA in force, and than the end of its certificate. */
static int check_certificate(struct gtm_api_req *req, struct gtm_identity *ret,
                             struct gtm_error *err)
{
    SSL *ssl = gtm_listener_ssl(req->http);
    const X509 *cert = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    SSL_CTX *now = gtm_listener_tls(req->listener->listener);
    char uri[GTM_TLS_URI_MAX];
    if (!cert)
        return gtm_error_set(err, GTM_EDENIED, "there is no certificate");
    if (SSL_get_SSL_CTX(ssl) != now || X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
        int rc = gtm_tls_recheck(now, ssl, err);
        if (rc != GTM_OK)
            return rc;
    }
    int rc = gtm_tls_cert_uri(cert, uri, err);
    return rc == GTM_OK ? gtm_identity_parse(uri, ret, err) : rc;
}

static bool admit_certificate(struct gtm_api_req *req)
{
    struct gtm_identity id = {0};
    struct gtm_error err = {0};
    if (check_certificate(req, &id, &err) != GTM_OK) {
        evhttp_add_header(evhttp_request_get_output_headers(req->http), "Connection", "close");
        gtm_api_problem(req, 403, "denied", "%s", err.text);
        return false;
    }
    req->role = (enum gtm_api_role)id.role;
    if (id.kind == GTM_IDENTITY_NODE)
        snprintf(req->owner, sizeof(req->owner), "node/%.58s", id.name);
    else
        snprintf(req->owner, sizeof(req->owner), "%s", id.name);
    return true;
}

bool gtm_api__admit(struct gtm_api_req *req)
{
    const struct gtm_api *api = req->api;
    if (req->listener == &api->listeners[GTM_API_TLS]) {
        if (!admit_certificate(req))
            return false;
    } else if (req->listener == &api->listeners[GTM_API_UNIX]) {
        req->role = role_of_peer(req);
    }
    if (req->role >= req->route->role)
        return true;
    gtm_api_owner(req, req->owner);
    gtm_api_problem(req, 403, "denied", "%s has role %s; this needs role %s", req->owner,
                    gtm_api_role_word(req->role), gtm_api_role_word(req->route->role));
    return false;
}

enum gtm_api_role gtm_api_role(const struct gtm_api_req *req)
{
    return req->role;
}

void gtm_api_owner(const struct gtm_api_req *req, char out[GTM_API_OWNER_MAX])
{
    struct ucred cred;
    struct passwd pw, *found = NULL;
    char room[2048];
    if (req->owner[0])
        memmove(out, req->owner, GTM_API_OWNER_MAX);
    else if (!peer_of(req, &cred))
        snprintf(out, GTM_API_OWNER_MAX, "unknown");
    else if (!getpwuid_r(cred.uid, &pw, room, sizeof(room), &found) && found)
        snprintf(out, GTM_API_OWNER_MAX, "%.*s", GTM_API_OWNER_MAX - 1, found->pw_name);
    else
        snprintf(out, GTM_API_OWNER_MAX, "uid %u", (unsigned)cred.uid);
}
