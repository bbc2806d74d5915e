/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the gRPC health service. See grpc.h.
 */
#include "health/grpc.h"

#include "gtm/base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX_BYTES 5 /* compressed or not, and the length */

/* A varint; its size. Room for 10 octets. */
static size_t put_varint(uint8_t *out, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

uint8_t *health_grpc_request(const char *service, size_t *ret_len)
{
    uint8_t head[11];
    size_t len = strlen(service), head_len = 0;
    if (len > 0) { /* field 1, a string */
        head[0] = 0x0a;
        head_len = 1 + put_varint(head + 1, len);
    }
    uint8_t *out = gtm_malloc(PREFIX_BYTES + head_len + len);
    if (!out)
        return NULL;
    size_t message = head_len + len;
    out[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        out[1 + i] = (uint8_t)(message >> (24 - 8 * i));
    memcpy(out + PREFIX_BYTES, head, head_len);
    memcpy(out + PREFIX_BYTES + head_len, service, len);
    *ret_len = PREFIX_BYTES + message;
    return out;
}

/* The value of a header line without its name, colon and white space; NULL for another header. */
static const char *value_of(const char *line, size_t len, const char *name, size_t *ret_len)
{
    size_t at = strlen(name);
    if (len <= at || strncasecmp(line, name, at) != 0 || line[at] != ':')
        return NULL;
    at++;
    while (at < len && (line[at] == ' ' || line[at] == '\t'))
        at++;
    while (len > at && isspace((unsigned char)line[len - 1]))
        len--;
    *ret_len = len - at;
    return line + at;
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Percent-encoded text, cut to what fits. */
static void decode(const char *in, size_t len, char out[HEALTH_GRPC_MESSAGE_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < HEALTH_GRPC_MESSAGE_BYTES; i++) {
        if (in[i] == '%' && i + 2 < len && hex(in[i + 1]) >= 0 && hex(in[i + 2]) >= 0) {
            out[n++] = (char)(hex(in[i + 1]) * 16 + hex(in[i + 2]));
            i += 2;
        } else {
            out[n++] = in[i];
        }
    }
    out[n] = '\0';
}

void health_grpc_header(struct health_grpc *grpc, const char *line, size_t len)
{
    size_t n = 0;
    const char *value = value_of(line, len, "grpc-status", &n);
    if (value) {
        unsigned status = 0;
        bool digits = n > 0 && n <= 3;
        for (size_t i = 0; digits && i < n; i++) {
            digits = isdigit((unsigned char)value[i]);
            status = status * 10 + (unsigned)(value[i] - '0');
        }
        grpc->has_status = digits;
        grpc->status = digits ? status : 0;
        return;
    }
    value = value_of(line, len, "grpc-message", &n);
    if (value)
        decode(value, n, grpc->message);
}

void health_grpc_body(struct health_grpc *grpc, const void *data, size_t len)
{
    size_t room = sizeof(grpc->body) - grpc->len;
    grpc->too_long = grpc->too_long || len > room;
    memcpy(grpc->body + grpc->len, data, len < room ? len : room);
    grpc->len += len < room ? len : room;
}

/* Reads a varint; 0 when it is cut off or too long. */
static size_t get_varint(const uint8_t *p, size_t len, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < len && i < 10; i++) {
        *ret |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] < 0x80)
            return i + 1;
    }
    return 0;
}

/* The octets of a field's value behind its tag; 0 when it does not fit. */
static size_t skip_value(const uint8_t *p, size_t len, unsigned wire)
{
    uint64_t v;
    size_t n;
    switch (wire) {
    case 0:
        return get_varint(p, len, &v);
    case 1:
        return len >= 8 ? 8 : 0;
    case 2:
        n = get_varint(p, len, &v);
        return n && v <= len - n ? n + (size_t)v : 0;
    case 5:
        return len >= 4 ? 4 : 0;
    default:
        return 0;
    }
}

/* The status (field 1, an enum) of a HealthCheckResponse. False when it is malformed. */
static bool read_response(const uint8_t *p, size_t len, uint64_t *ret_status)
{
    *ret_status = 0;
    while (len > 0) {
        uint64_t tag;
        size_t n = get_varint(p, len, &tag);
        size_t value = n ? skip_value(p + n, len - n, (unsigned)(tag & 7)) : 0;
        if (value == 0)
            return false;
        if (tag == (1u << 3))
            get_varint(p + n, len - n, ret_status);
        p += n + value;
        len -= n + value;
    }
    return true;
}

static void judge_failed_call(const struct health_grpc *g, const char *service,
                              struct health_outcome *o)
{
    static const char *const words[] = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
    const char *word =
        g->status < sizeof(words) / sizeof(words[0]) ? words[g->status] : "not a gRPC status";
    if (g->status == 12)
        o->text = gtm_asprintf("the server has no grpc.health.v1.Health service (%s)", word);
    else if (g->status == 5)
        o->text =
            gtm_asprintf("the server does not know the service \"%.64s\" (%s)", service, word);
    else
        o->text = gtm_asprintf("gRPC status %u, %s%s%s", g->status, word, g->message[0] ? ": " : "",
                               g->message);
}

static void judge_status(uint64_t status, struct health_outcome *o)
{
    static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    if (status == 1)
        o->result = HEALTH_RESULT_OK;
    if (status < sizeof(words) / sizeof(words[0]))
        o->text = gtm_asprintf("%s%s", words[status], status == 1 ? "" : ", wanted SERVING");
    else
        o->text = gtm_asprintf("health status %llu, wanted SERVING", (unsigned long long)status);
}

void health_grpc_judge(const struct health_grpc *g, const char *service, struct health_outcome *o)
{
    uint64_t status;
    o->result = HEALTH_RESULT_ANSWER;
    if (!g->has_status) {
        o->text = gtm_strdup("the answer has no gRPC status");
        return;
    }
    if (g->status != 0) {
        judge_failed_call(g, service, o);
        return;
    }
    size_t message = g->len >= PREFIX_BYTES ? (size_t)g->body[1] << 24 | (size_t)g->body[2] << 16 |
                                                  (size_t)g->body[3] << 8 | g->body[4]
                                            : 0;
    if (g->too_long || g->len < PREFIX_BYTES || g->body[0] != 0 ||
        message != g->len - PREFIX_BYTES ||
        !read_response(g->body + PREFIX_BYTES, message, &status)) {
        o->result = HEALTH_RESULT_GARBAGE;
        o->text = gtm_strdup("malformed gRPC answer");
        return;
    }
    judge_status(status, o);
}
