/* SPDX-License-Identifier: Apache-2.0
 *
 * See client.h.
 */
#include "gtm/ctl/client.h"

#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/base/tls.h"
#include "gtm/ctl/say.h"
#include "gtm/model/identity.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define REPLY_MAX_BYTES GTM_JSON_MAX_BYTES
#define URL_MAX_BYTES   8192

struct ctl_client {
    CURL *curl;
    struct curl_slist *headers;
    struct gtm_tls_expect expect; /* who answers over TLS */
    char why[CURL_ERROR_SIZE];
};

struct reply {
    long status;
    bool too_large;
    struct gtm_buf body;
};

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct reply *r = ctx;

    r->too_large = r->body.len + size * count > REPLY_MAX_BYTES;
    if (r->too_large)
        return 0;
    gtm_buf_add(&r->body, data, size * count);
    return r->body.failed ? 0 : size * count;
}

char *ctl_path(const char *format, ...)
{
    struct gtm_buf out = {0};
    va_list ap;

    va_start(ap, format);
    for (const char *p = format; *p != 0; p++) {
        if (p[0] != '%' || p[1] != 's') {
            gtm_buf_addc(&out, *p);
            continue;
        }
        p++;
        for (const unsigned char *s = va_arg(ap, const unsigned char *); *s != 0; s++) {
            if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                strchr("-._~", *s) != NULL)
                gtm_buf_addc(&out, (char)*s);
            else
                gtm_buf_addf(&out, "%%%02X", *s);
        }
    }
    va_end(ap);
    return gtm_buf_take(&out);
}

/* ---- what went wrong ---- */

int ctl_exit_of(long http_status, const struct gtm_json *problem)
{
    if (strcmp(gtm_json_str(problem, "code", ""), "blocked") == 0)
        return CTL_BLOCKED;
    switch (http_status) {
    case 400: /* an argument that gtmd alone can judge: no address, no such record type */
        return CTL_USAGE;
    case 401:
    case 403:
        return CTL_DENIED;
    case 404:
        return CTL_NOT_FOUND;
    case 409:
    case 412:
        return CTL_CONFLICT;
    case 423:
        return CTL_BLOCKED;
    default:
        return CTL_FAILED;
    }
}

static int tell_problem(const struct reply *r)
{
    struct gtm_error err = {0};
    struct gtm_json *root =
        gtm_json_parse(r->body.data != NULL ? r->body.data : "", r->body.len, &err);
    const char *detail = gtm_json_str(root, "detail", gtm_json_str(root, "title", NULL));
    const char *hint = gtm_json_str(root, "hint", NULL);

    ctl_tell_findings(gtm_json_get(root, "errors"));
    if (detail != NULL)
        ctl_error("%s", detail);
    else
        ctl_error("gtmd answered HTTP %ld", r->status);
    ctl_tell_rules(gtm_json_get(root, "rules"));
    if (hint != NULL)
        ctl_hint("%s", hint);
    int code = ctl_exit_of(r->status, root);
    gtm_json_free(root);
    return code;
}

/* Over TLS. An alert is the server's word on our certificate; the rest is ours on its. */
static int tell_server(const struct ctl *ctl, CURLcode rc, long os)
{
    const struct ctl_client *c = ctl->client;
    const char *why = c->why[0] != 0 ? c->why : curl_easy_strerror(rc);

    if (rc == CURLE_SSL_CERTPROBLEM || rc == CURLE_SSL_CACERT_BADFILE) {
        ctl_error("%s, %s or %s: %s", ctl->ca, ctl->cert, ctl->key, why);
        return CTL_USAGE;
    }
    if (rc == CURLE_PEER_FAILED_VERIFICATION) {
        ctl_error("gtmd at %s is not to be trusted: %s", ctl->server,
                  c->expect.err.code != 0 ? c->expect.err.text : why);
        return CTL_UNREACHABLE;
    }
    if (strstr(why, "alert") != NULL) {
        ctl_error("gtmd at %s refuses the certificate %s: %s", ctl->server, ctl->cert, why);
        ctl_hint("It must chain to the node's api.tls.ca, be for clients, and not have ended.");
        return CTL_DENIED;
    }
    ctl_error("cannot reach gtmd at %s: %s", ctl->server, os != 0 ? strerror((int)os) : why);
    return CTL_UNREACHABLE;
}

static int tell_unreachable(const struct ctl *ctl, const struct reply *r, CURLcode rc, long os)
{
    if (r->too_large) {
        ctl_error("the reply is larger than %u MiB", REPLY_MAX_BYTES >> 20);
        return CTL_FAILED;
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        ctl_error("no answer from gtmd at %s in %g s (--timeout)",
                  ctl->server != NULL ? ctl->server : ctl->socket, (double)ctl->timeout_ms / 1000);
        return CTL_UNREACHABLE;
    }
    if (ctl->server != NULL)
        return tell_server(ctl, rc, os);
    if (rc != CURLE_COULDNT_CONNECT) {
        ctl_error("talking to gtmd at %s: %s", ctl->socket, curl_easy_strerror(rc));
        return CTL_UNREACHABLE;
    }
    ctl_error("cannot reach gtmd at %s: %s", ctl->socket,
              os != 0 ? strerror((int)os) : "connection failed");
    if (os == EACCES || os == EPERM)
        ctl_hint("Its group may open it: be root or in group gtm.");
    else
        ctl_hint("Does gtmd run (systemctl status gtmd), and is this its api.socket? Another "
                 "path: --socket PATH, --config node.yaml or GTM_SOCKET.");
    return CTL_UNREACHABLE;
}

/* ---- one exchange ---- */

void ctl_client_free(struct ctl_client *client)
{
    if (client == NULL)
        return;
    curl_slist_free_all(client->headers);
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    gtm_free(client);
}

static struct ctl_client *client_of(struct ctl *ctl)
{
    if (ctl->client != NULL)
        return ctl->client;
    struct ctl_client *c = gtm_calloc(1, sizeof(*c));
    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        gtm_free(c);
        return NULL;
    }
    ctl->client = c;
    c->curl = curl_easy_init();
    c->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more =
        c->headers != NULL ? curl_slist_append(c->headers, "Expect:") : NULL; /* no 100-continue */
    if (c->curl != NULL && more != NULL)
        return c;
    ctl_client_free(c);
    ctl->client = NULL;
    return NULL;
}

/* Nodes move and keep their names: the certificate names the node, not the host. */
static int check_identity(void *arg, const char *uri, struct gtm_error *err)
{
    const struct ctl *ctl = arg;
    struct gtm_identity id;
    int rc = gtm_identity_parse(uri, &id, err);

    if (rc != GTM_OK)
        return rc;
    if (id.kind != GTM_IDENTITY_NODE)
        return gtm_error_set(err, GTM_EDENIED, "it is %s, no node", uri);
    if (ctl->node != NULL && strcmp(ctl->node, id.name) != 0)
        return gtm_error_set(err, GTM_EDENIED, "it is node %s, not %s", id.name, ctl->node);
    return GTM_OK;
}

static CURLcode on_tls(CURL *curl, void *tls, void *arg)
{
    struct ctl_client *c = arg;

    (void)curl;
    return gtm_tls_expect(tls, &c->expect) == GTM_OK ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static void set_tls(struct ctl *ctl)
{
    CURL *curl = ctl->client->curl;

    ctl->client->expect = (struct gtm_tls_expect){.check = check_identity, .arg = ctl};
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L); /* but see check_identity */
    curl_easy_setopt(curl, CURLOPT_CAINFO, ctl->ca);
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(curl, CURLOPT_SSLCERT, ctl->cert);
    curl_easy_setopt(curl, CURLOPT_SSLKEY, ctl->key);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, ctl->client);
}

static void set_common(struct ctl *ctl, const char *url)
{
    CURL *curl = ctl->client->curl;

    curl_easy_reset(curl); /* connections stay */
    ctl->client->why[0] = 0;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, ctl->client->why);
    if (ctl->server != NULL)
        set_tls(ctl);
    else
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ctl->timeout_ms);
}

/* With TLS 1.3 a server judges our certificate after the handshake, and its alert can be lost
 * behind the broken connection. With TLS 1.2 the handshake itself fails: asked once more, without a
 * request, for the reason. */
static CURLcode ask_why(struct ctl *ctl, const char *url, CURLcode rc)
{
    CURL *curl = ctl->client->curl;

    if (ctl->server == NULL || (rc != CURLE_SEND_ERROR && rc != CURLE_RECV_ERROR) ||
        strstr(ctl->client->why, "alert") != NULL)
        return rc;
    set_common(ctl, url);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                     (long)CURL_SSLVERSION_TLSv1_2 | (long)CURL_SSLVERSION_MAX_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode why = curl_easy_perform(curl);
    return why != CURLE_OK ? why : rc;
}

static CURLcode perform(struct ctl *ctl, const char *method, const char *url, const char *body,
                        struct reply *ret)
{
    CURL *curl = ctl->client->curl;

    set_common(ctl, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, ctl->client->headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    if (body != NULL || strcmp(method, "GET") != 0)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body != NULL ? body : "");
    return ask_why(ctl, url, curl_easy_perform(curl));
}

/* 0, or the exit code after having said why. Takes path. */
static int exchange(struct ctl *ctl, const char *method, char *path, const char *body,
                    struct reply *ret)
{
    char url[URL_MAX_BYTES];
    long os = 0;
    size_t n = path == NULL ? sizeof(url)
               : ctl->server != NULL
                   ? (size_t)snprintf(url, sizeof(url), "https://%s%s", ctl->server, path)
                   : (size_t)snprintf(url, sizeof(url), "http://gtmd%s", path);

    if (path != NULL)
        ctl_note(ctl, "%s %s", method, path);
    gtm_free(path);
    if (n >= sizeof(url) || client_of(ctl) == NULL) {
        ctl_error("the request cannot be made: too long, or out of memory");
        return CTL_FAILED;
    }
    if (ctl->socket != NULL && strlen(ctl->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        ctl_error("the socket's path is too long: %s", ctl->socket);
        return CTL_USAGE;
    }
    CURLcode rc = perform(ctl, method, url, body, ret);
    curl_easy_getinfo(ctl->client->curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_getinfo(ctl->client->curl, CURLINFO_OS_ERRNO, &os);
    if (rc != CURLE_OK)
        return tell_unreachable(ctl, ret, rc, os);
    ctl_note(ctl, "HTTP %ld, %zu bytes", ret->status, ret->body.len);
    return ret->status >= 200 && ret->status <= 299 ? CTL_OK : tell_problem(ret);
}

int ctl_request(struct ctl *ctl, const char *method, char *path, const char *body,
                struct gtm_json **ret_json)
{
    struct reply r = {0};
    struct gtm_error err = {0};
    int rc = exchange(ctl, method, path, body, &r);

    if (rc == CTL_OK) {
        struct gtm_json *root =
            gtm_json_parse(r.body.data != NULL ? r.body.data : "", r.body.len, &err);
        if (root == NULL) {
            ctl_error("gtmd's reply is no JSON: %s", err.text);
            rc = CTL_FAILED;
        } else if (ret_json != NULL) {
            *ret_json = root;
        } else {
            gtm_json_free(root);
        }
    }
    gtm_buf_fini(&r.body);
    return rc;
}

int ctl_get(struct ctl *ctl, char *path, struct gtm_json **ret_json)
{
    return ctl_request(ctl, "GET", path, NULL, ret_json);
}

int ctl_get_buf(struct ctl *ctl, char *path, struct gtm_buf *out)
{
    struct reply r = {0};
    int rc = exchange(ctl, "GET", path, NULL, &r);

    if (rc == CTL_OK && r.body.len > 0)
        gtm_buf_add(out, r.body.data, r.body.len);
    gtm_buf_fini(&r.body);
    if (rc == CTL_OK && out->failed) {
        ctl_error("out of memory");
        rc = CTL_FAILED;
    }
    return rc;
}

int ctl_get_text(struct ctl *ctl, char *path)
{
    struct reply r = {0};
    int rc = exchange(ctl, "GET", path, NULL, &r);

    if (rc == CTL_OK && r.body.len > 0)
        fwrite(r.body.data, 1, r.body.len, stdout); /* main checks the stream */
    gtm_buf_fini(&r.body);
    return rc;
}
