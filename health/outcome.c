/* SPDX-License-Identifier: Apache-2.0
 *
 * Words and sentences for results. See outcome.h and health.h; pure.
 */
#include "health/outcome.h"

#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"
#include "health/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *word;
    enum health_result_class class;
} results[HEALTH_RESULT_COUNT] = {
    [HEALTH_RESULT_NONE] = {"none", HEALTH_CLASS_NONE},
    [HEALTH_RESULT_OK] = {"ok", HEALTH_CLASS_OK},
    [HEALTH_RESULT_REFUSED] = {"refused", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_RESET] = {"reset", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_TIMEOUT] = {"timeout", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_UNREACHABLE] = {"unreachable", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_STATUS] = {"status", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_BODY] = {"body", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_GARBAGE] = {"garbage", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_REDIRECT] = {"redirect", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_TLS] = {"tls", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_CERTIFICATE] = {"certificate", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_ANSWER] = {"answer", HEALTH_CLASS_CONTENT},
    [HEALTH_RESULT_SILENT] = {"silent", HEALTH_CLASS_TRANSPORT},
    [HEALTH_RESULT_LOCAL] = {"local", HEALTH_CLASS_LOCAL},
};

const char *health_result_word(enum health_result result)
{
    return (unsigned)result < HEALTH_RESULT_COUNT ? results[result].word : "none";
}

enum health_result_class health_result_class(enum health_result result)
{
    return (unsigned)result < HEALTH_RESULT_COUNT ? results[result].class : HEALTH_CLASS_NONE;
}

const char *health_class_word(enum health_result_class class)
{
    switch (class) {
    case HEALTH_CLASS_OK:
        return "ok";
    case HEALTH_CLASS_TRANSPORT:
        return "transport";
    case HEALTH_CLASS_CONTENT:
        return "content";
    case HEALTH_CLASS_LOCAL:
        return "local";
    case HEALTH_CLASS_NONE:
        break;
    }
    return "none";
}

void health_outcome_clear(struct health_outcome *outcome)
{
    gtm_free(outcome->text);
    gtm_free(outcome->body);
    outcome->text = NULL;
    outcome->body = NULL;
    outcome->body_len = 0;
}

void health_outcome_from_errno(struct health_outcome *outcome, int os_error)
{
    outcome->os_error = os_error;
    switch (os_error) {
    case ECONNREFUSED:
        outcome->result = HEALTH_RESULT_REFUSED;
        break;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        outcome->result = HEALTH_RESULT_RESET;
        break;
    case ETIMEDOUT:
        outcome->result = HEALTH_RESULT_TIMEOUT;
        break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        outcome->result = HEALTH_RESULT_LOCAL;
        break;
    default:
        outcome->result = HEALTH_RESULT_UNREACHABLE;
    }
}

static const char *errno_text(int os_error)
{
    switch (os_error) {
    case ENETUNREACH:
        return "network unreachable";
    case EHOSTUNREACH:
        return "host unreachable";
    case EACCES:
    case EPERM:
        return "not permitted by this host's firewall or routes";
    case EAFNOSUPPORT:
        return "this host has no such address family";
    case EMFILE:
    case ENFILE:
        return "too many open files here";
    case EADDRNOTAVAIL:
        return "no local port left";
    case ENOBUFS:
    case ENOMEM:
        return "out of memory here";
    default:
        return NULL;
    }
}

static void wanted(const struct health_spec *spec, char *out, size_t bytes)
{
    size_t len = 0;
    if (spec->expect_status_count == 0) {
        snprintf(out, bytes, "200..299");
        return;
    }
    out[0] = '\0';
    for (size_t i = 0; i < spec->expect_status_count && len + 8 < bytes; i++) {
        if (i == 8) {
            snprintf(out + len, bytes - len, ", …");
            return;
        }
        len += (size_t)snprintf(out + len, bytes - len, "%s%u", i ? ", " : "",
                                (unsigned)spec->expect_status[i]);
    }
}

static void timeout_text(const struct health_outcome *o, const struct health_spec *spec, char *out)
{
    static const char *const what[] = {
        [HEALTH_PHASE_CONNECT] = "no connection",
        [HEALTH_PHASE_TLS] = "TLS handshake not complete",
        [HEALTH_PHASE_ANSWER] = "no answer",
        [HEALTH_PHASE_HEADERS] = "headers not complete",
        [HEALTH_PHASE_BODY] = "answer not complete",
    };
    if (o->os_error == ETIMEDOUT)
        snprintf(out, HEALTH_EVIDENCE_BYTES, "connection timed out in the network");
    else
        snprintf(out, HEALTH_EVIDENCE_BYTES, "%s in %u ms", what[o->phase], spec->rules.timeout_ms);
}

static void garbage_text(const struct health_outcome *o, char *out)
{
    static const char *const what[] = {
        [HEALTH_FLAW_NONE] = "malformed answer",
        [HEALTH_FLAW_NOT_HTTP] = "the answer is not HTTP",
        [HEALTH_FLAW_HEADERS] = "headers too large",
        [HEALTH_FLAW_ENDLESS] = "the body does not end",
        [HEALTH_FLAW_ENCODING] = "malformed body encoding",
    };
    snprintf(out, HEALTH_EVIDENCE_BYTES, "%s", what[o->flaw]);
}

static void ok_text(const struct health_outcome *o, char *out)
{
    if (o->status)
        snprintf(out, HEALTH_EVIDENCE_BYTES, "HTTP %u", o->status);
    else
        snprintf(out, HEALTH_EVIDENCE_BYTES, "%s",
                 o->phase == HEALTH_PHASE_BODY ? "expected text received" : "connected");
}

static void reset_text(const struct health_outcome *o, char *out)
{
    snprintf(out, HEALTH_EVIDENCE_BYTES, "connection %s %s",
             o->os_error == ECONNRESET ? "reset" : "closed",
             o->phase <= HEALTH_PHASE_ANSWER ? "without an answer" : "before the answer's end");
}

/* What is expected of a server, and what it says, may hold line breaks, control characters of a
 * terminal (ISO 6429: also U+0080 to U+009F), no UTF-8 at all, or be cut within a character. */
static const char *make_printable(char *text)
{
    size_t left = strlen(text);
    for (char *p = text; left > 0;) {
        size_t n = gtm_utf8_len(p, left);
        bool control = n == 1 ? (unsigned char)*p < ' ' || *p == 0x7f
                              : n == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0;
        bool bad = n == 0;
        n += bad;
        if (bad || control)
            memset(p, '.', n);
        p += n;
        left -= n;
    }
    return text;
}

const char *health_outcome_text(const struct health_outcome *o, const struct health_spec *spec,
                                char out[HEALTH_EVIDENCE_BYTES])
{
    char list[64];
    const char *os = errno_text(o->os_error);

    out[0] = '\0';
    if (o->text) {
        snprintf(out, HEALTH_EVIDENCE_BYTES, "%s", o->text);
        return make_printable(out);
    }
    switch (o->result) {
    case HEALTH_RESULT_OK:
        ok_text(o, out);
        break;
    case HEALTH_RESULT_REFUSED:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "connection refused");
        break;
    case HEALTH_RESULT_RESET:
        reset_text(o, out);
        break;
    case HEALTH_RESULT_TIMEOUT:
        timeout_text(o, spec, out);
        break;
    case HEALTH_RESULT_UNREACHABLE:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "%s", os ? os : "cannot be reached");
        break;
    case HEALTH_RESULT_STATUS:
    case HEALTH_RESULT_REDIRECT:
        wanted(spec, list, sizeof(list));
        snprintf(out, HEALTH_EVIDENCE_BYTES, "HTTP %u, wanted %s", o->status, list);
        break;
    case HEALTH_RESULT_BODY:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "%s lacks \"%.48s\"",
                 o->status ? "body" : "the answer", spec->expect_body ? spec->expect_body : "");
        break;
    case HEALTH_RESULT_GARBAGE:
        garbage_text(o, out);
        break;
    case HEALTH_RESULT_TLS:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "TLS handshake failed");
        break;
    case HEALTH_RESULT_CERTIFICATE:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "certificate not accepted");
        break;
    case HEALTH_RESULT_ANSWER:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "unexpected answer");
        break;
    case HEALTH_RESULT_SILENT:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "no heartbeat");
        break;
    case HEALTH_RESULT_LOCAL:
        snprintf(out, HEALTH_EVIDENCE_BYTES, "not checked: %s", os ? os : "a failure of this host");
        break;
    case HEALTH_RESULT_NONE:
    case HEALTH_RESULT_COUNT:
        break;
    }
    return make_printable(out);
}
