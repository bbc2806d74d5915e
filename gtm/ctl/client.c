/* SPDX-License-Identifier: Apache-2.0
 *
 * Talks to gtmd over its unix socket, by libcurl. Turns problem documents (RFC 9457) into one line
 * and an exit code.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLY_MAX_BYTES (256u << 20)

struct reply {
    long status;
    struct gtm_buf body;
};

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct reply *r = ctx;

    if (r->body.len + size * count > REPLY_MAX_BYTES)
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

static int exit_of(long status)
{
    switch (status) {
    case 404:
        return CTL_NOT_FOUND;
    case 401:
    case 403:
        return CTL_DENIED;
    case 409:
    case 412:
        return CTL_CONFLICT;
    case 423:
        return CTL_BLOCKED;
    default:
        return CTL_FAILED;
    }
}

static int tell_problem(const struct reply *r, const struct gtm_json *root)
{
    const char *detail = gtm_json_str(root, "detail", NULL);

    if (detail == NULL)
        ctl_error("gtmd answered HTTP %ld", r->status);
    else
        ctl_error("%s", detail);
    for (const struct gtm_json *e = gtm_json_first(gtm_json_get(root, "errors")); e != NULL;
         e = gtm_json_next(e)) {
        const char *file = gtm_json_str(e, "file", NULL);
        if (file != NULL)
            fprintf(stderr, "  %s:%lld:%lld: ", file, (long long)gtm_json_i64(e, "line", 0),
                    (long long)gtm_json_i64(e, "column", 0));
        else
            fprintf(stderr, "  ");
        const char *text = gtm_json_as_str(e);
        fprintf(stderr, "%s\n", text != NULL ? text : gtm_json_str(e, "message", "?"));
    }
    const char *hint = gtm_json_str(root, "hint", NULL);
    if (hint != NULL)
        fprintf(stderr, "  %s\n", hint);
    return exit_of(r->status);
}

static int tell_unreachable(const struct ctl *ctl, CURLcode rc)
{
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        ctl_error("no answer from gtmd in %g s (%s)", ctl->timeout_s, ctl->socket);
    } else if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST) {
        ctl_error("cannot reach gtmd at %s", ctl->socket);
        fprintf(stderr,
                "  Is gtmd running, and may you open its socket? Another path: --socket PATH or "
                "GTM_SOCKET.\n");
    } else {
        ctl_error("talking to gtmd at %s: %s", ctl->socket, curl_easy_strerror(rc));
    }
    return CTL_UNREACHABLE;
}

/* 0, or the exit code after having said why. */
static int exchange(const struct ctl *ctl, const char *method, const char *path, const char *body,
                    const char *type, struct reply *ret)
{
    char url[4096], header[128];
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;

    if (curl == NULL || (size_t)snprintf(url, sizeof(url), "http://gtmd%s", path) >= sizeof(url)) {
        ctl_error("the request cannot be made");
        curl_easy_cleanup(curl);
        return CTL_FAILED;
    }
    snprintf(header, sizeof(header), "Content-Type: %s", type != NULL ? type : "application/json");
    headers = curl_slist_append(headers, header);
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(ctl->timeout_s * 1000));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    if (body != NULL || strcmp(method, "GET") != 0)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body != NULL ? body : "");
    ctl_note(ctl, "%s %s", method, path);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return rc == CURLE_OK ? 0 : tell_unreachable(ctl, rc);
}

int ctl_request(const struct ctl *ctl, const char *method, const char *path, const char *body,
                const char *type, struct gtm_json **ret_json)
{
    struct reply r = {0};
    struct gtm_error err = {0};

    if (path == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }
    int rc = exchange(ctl, method, path, body, type, &r);
    if (rc != 0) {
        gtm_buf_fini(&r.body);
        return rc;
    }
    struct gtm_json *root =
        gtm_json_parse(r.body.data != NULL ? r.body.data : "", r.body.len, &err);
    gtm_buf_fini(&r.body);
    if (r.status < 200 || r.status > 299) {
        rc = tell_problem(&r, root);
        gtm_json_free(root);
        return rc;
    }
    if (root == NULL) {
        ctl_error("gtmd's reply is no JSON: %s", err.text);
        return CTL_FAILED;
    }
    if (ret_json != NULL)
        *ret_json = root;
    else
        gtm_json_free(root);
    return 0;
}

int ctl_get_text(const struct ctl *ctl, const char *path)
{
    struct reply r = {0};
    int rc = exchange(ctl, "GET", path, NULL, NULL, &r);

    if (rc == 0 && (r.status < 200 || r.status > 299)) {
        struct gtm_error err = {0};
        struct gtm_json *root =
            gtm_json_parse(r.body.data != NULL ? r.body.data : "", r.body.len, &err);
        rc = tell_problem(&r, root);
        gtm_json_free(root);
    } else if (rc == 0 && r.body.len > 0) {
        fwrite(r.body.data, 1, r.body.len, stdout);
    }
    gtm_buf_fini(&r.body);
    return rc;
}
