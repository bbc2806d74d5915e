/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server's error means. Three generations of gateways say it in three ways, and one gRPC
 * code stands for many things: so the text decides, then the code, then the HTTP status. Pure.
 * Source: etcd api/v3rpc/rpctypes/error.go.
 */
#include "gtm/etcdc/etcdc_int.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *part; /* of the server's text */
    int code;
} texts[] = {
    {"revision has been compacted", ETCDC_E_COMPACTED},
    {"is a future revision", ETCDC_E_FUTURE_REV},
    {"requested lease not found", ETCDC_E_LEASE_NOT_FOUND},
    {"lease already exists", ETCDC_E_LEASE_EXISTS},
    {"too many operations in txn", ETCDC_E_TOO_LARGE},
    {"request is too large", ETCDC_E_TOO_LARGE},
    {"message larger than max", ETCDC_E_TOO_LARGE},
    {"database space exceeded", ETCDC_E_NO_SPACE},
    {"too many requests", ETCDC_E_TOO_MANY},
    {"invalid auth token", ETCDC_E_AUTH},
    {"auth store is old", ETCDC_E_AUTH},
    {"user name is empty", ETCDC_E_AUTH},
    {"authentication failed", ETCDC_E_AUTH},
    {"permission denied", ETCDC_E_DENIED},
    {"no leader", ETCDC_E_NO_LEADER},
    {"not a primary lessor", ETCDC_E_UNAVAILABLE}, /* comes as "unknown" after an election */
    {"corrupt", ETCDC_E_CORRUPT},
};

/* By gRPC code; 0 = not one of gRPC's. */
static const int codes[] = {
    [1] = ETCDC_E_UNAVAILABLE, /* cancelled: the server is going down */
    [2] = ETCDC_E_UNAVAILABLE, /* unknown: whatever etcd did not translate */
    [3] = ETCDC_E_ARG,          [4] = ETCDC_E_TIMEOUT,      [5] = ETCDC_E_ARG,
    [6] = ETCDC_E_ARG,          [7] = ETCDC_E_DENIED,       [8] = ETCDC_E_TOO_MANY,
    [9] = ETCDC_E_ARG,          [10] = ETCDC_E_UNAVAILABLE, [11] = ETCDC_E_ARG,
    [12] = ETCDC_E_PROTOCOL, /* unimplemented: not this gateway, or a proxy */
    [13] = ETCDC_E_UNAVAILABLE, [14] = ETCDC_E_UNAVAILABLE, [15] = ETCDC_E_CORRUPT,
    [16] = ETCDC_E_AUTH,
};
#define CODES (int64_t)(sizeof(codes) / sizeof(codes[0]))

static int by_status(int status)
{
    switch (status) {
    case 401:
        return ETCDC_E_AUTH;
    case 403:
        return ETCDC_E_DENIED;
    case 408:
    case 504:
        return ETCDC_E_TIMEOUT;
    case 429:
        return ETCDC_E_TOO_MANY;
    default:
        return status >= 500 ? ETCDC_E_UNAVAILABLE : ETCDC_E_PROTOCOL;
    }
}

/* The server's words may be anything: one line, printable. */
static void say(char *text, int status, const char *words, size_t len)
{
    size_t at = 0;
    if (status && status != 200)
        at = (size_t)snprintf(text, ETCDC__TEXT_BYTES, "HTTP %d: ", status);
    for (size_t i = 0; i < len && at + 1 < ETCDC__TEXT_BYTES; i++) {
        unsigned char c = (unsigned char)words[i];
        text[at++] = isprint(c) ? (char)c : ' ';
    }
    text[at] = 0;
}

int etcdc__error_of(const struct gtm_json *answer, int http_status, char *text)
{
    const struct gtm_json *error = gtm_json_get(answer, "error");
    const struct gtm_json *from = gtm_json_type(error) == GTM_JSON_OBJECT ? error : answer;
    const char *words = gtm_json_str(from, "message", gtm_json_as_str(error));
    int64_t code = gtm_json_i64(from, "grpc_code", gtm_json_i64(from, "code", 0));
    bool bad_status = http_status != 0 && http_status != 200;
    text[0] = 0;
    if (!error && !words && code == 0 && !bad_status)
        return ETCDC_OK;
    say(text, http_status, words ? words : "", words ? strlen(words) : 0);
    for (size_t i = 0; words && i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strstr(words, texts[i].part))
            return texts[i].code;
    if (code > 0 && code < CODES)
        return codes[code];
    return bad_status ? by_status(http_status) : ETCDC_E_PROTOCOL;
}

int etcdc__error_of_body(const char *body, size_t len, int http_status, char *text)
{
    struct gtm_json *json = gtm_json_parse(body, len, NULL);
    if (gtm_json_type(json) == GTM_JSON_OBJECT) {
        int code = etcdc__error_of(json, http_status, text);
        gtm_json_free(json);
        return code;
    }
    gtm_json_free(json);
    say(text, http_status, body, len < 80 ? len : 80);
    return http_status >= 500 || http_status == 429 ? by_status(http_status) : ETCDC_E_PROTOCOL;
}

bool etcdc__surely_refused(int code, const char *text)
{
    switch (code) {
    case ETCDC_E_TIMEOUT:
    case ETCDC_E_PROTOCOL:
        return false;
    case ETCDC_E_UNAVAILABLE:
        return strstr(text, "not supported for learner") != NULL;
    default: /* also no leader: said before anything is proposed */
        return true;
    }
}

bool etcdc__endpoint_failed(int code)
{
    switch (code) {
    case ETCDC_E_TIMEOUT:
    case ETCDC_E_CONNECT:
    case ETCDC_E_NO_LEADER:
    case ETCDC_E_UNAVAILABLE:
    case ETCDC_E_CORRUPT:
    case ETCDC_E_STALE_MEMBER:
    case ETCDC_E_CLUSTER_CHANGED:
    case ETCDC_E_PROTOCOL:
    case ETCDC_E_VERSION:
        return true;
    default:
        return false;
    }
}
