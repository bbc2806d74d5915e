/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens: got by name and password when a call needs one, thrown away when a server does not know
 * it any more (it restarted, it expired, users were changed). One for all members: they agree on
 * tokens through raft, or can check their signature.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PASSWORD_MAX 4096u
#define TOKEN_MAX    (16u << 10)
#define REFUSED_NS   UINT64_C(5000000000) /* servers check passwords slowly, on purpose */

void etcdc__token_drop(struct etcdc *client)
{
    if (client->token)
        explicit_bzero(client->token, strlen(client->token));
    gtm_free(client->token);
    client->token = NULL;
}

/* Name and password are wrong: nobody is asked again for a while. */
static void refused(struct etcdc *client, const char *text)
{
    client->refused_until_ns = gtm_mono_ns(client->clock) + REFUSED_NS;
    snprintf(client->refused_text, sizeof(client->refused_text), "%s", text);
}

/* A token becomes a header: no line may end in it. */
static bool token_good(const char *token)
{
    if (!token || !*token || strlen(token) > TOKEN_MAX)
        return false;
    for (const char *p = token; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return true;
}

static int take_token(struct etcdc *client, const char *token)
{
    etcdc__token_drop(client);
    client->token = gtm_strdup(token);
    client->token_made++;
    return client->token ? ETCDC_OK : ETCDC_E_NOMEM;
}

static void on_token(void *arg, const struct gtm_http_result *result)
{
    struct etcdc *client = arg;
    char text[ETCDC__TEXT_BYTES] = "";
    int code;
    client->authenticating = NULL;
    if (result->code != GTM_OK) {
        code = etcdc__code_of_http(result, text);
        etcdc__authenticated(client, client->authenticating_at, code, text);
        return;
    }
    code = etcdc__error_of_body(result->body, result->body_len, result->status, text);
    struct gtm_json *json = gtm_json_parse(result->body, result->body_len, NULL);
    const char *token = gtm_json_str(json, "token", NULL);
    if (strstr(text, "authentication is not enabled"))
        code = take_token(client, ""); /* as etcd's own clients do */
    else if (code == ETCDC_OK && token_good(token))
        code = take_token(client, token);
    else if (code == ETCDC_OK)
        code = ETCDC_E_PROTOCOL;
    else if (code == ETCDC_E_ARG) /* wrong names and passwords come as "invalid argument" */
        code = ETCDC_E_AUTH;
    if (code == ETCDC_E_AUTH)
        refused(client, text);
    gtm_json_free(json);
    etcdc__authenticated(client, client->authenticating_at, code, text);
}

static int write_request(struct etcdc *client, struct gtm_buf *body)
{
    char *password = NULL;
    size_t len = 0;
    struct gtm_error err = {0};
    if (client->password_file &&
        gtm_fs_read(client->password_file, PASSWORD_MAX, &password, &len, &err) != GTM_OK) {
        snprintf(client->refused_text, sizeof(client->refused_text), "%.100s: %.200s",
                 client->password_file, err.text);
        return ETCDC_E_AUTH;
    }
    size_t all = len;
    while (len > 0 && (password[len - 1] == '\n' || password[len - 1] == '\r'))
        len--;
    gtm_buf_adds(body, "{\"name\":");
    gtm_json_quote(body, client->user, strlen(client->user));
    gtm_buf_adds(body, ",\"password\":");
    gtm_json_quote(body, password ? password : "", len);
    gtm_buf_addc(body, '}');
    if (password)
        explicit_bzero(password, all);
    gtm_free(password);
    return body->failed ? ETCDC_E_NOMEM : ETCDC_OK;
}

int etcdc__authenticate(struct etcdc *client, size_t endpoint)
{
    struct gtm_buf body = {0};
    if (client->authenticating)
        return ETCDC_OK;
    if (gtm_mono_ns(client->clock) < client->refused_until_ns)
        return ETCDC_E_AUTH;
    int code = write_request(client, &body);
    if (code == ETCDC_OK) {
        client->authenticating_at = endpoint;
        code = etcdc__ask(client, endpoint, "POST", "/v3/auth/authenticate", &body, on_token,
                          client, &client->authenticating);
    }
    if (body.data)
        explicit_bzero(body.data, body.cap);
    gtm_buf_fini(&body);
    return code;
}
