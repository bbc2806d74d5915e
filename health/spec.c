/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying, checking and comparing of targets. See spec.h.
 */
#include "health/spec.h"

#include "gtm/base/mem.h"
#include "health/probe.h"
#include "health/spec_int.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define INTERVAL_MIN_MS 10
#define INTERVAL_MAX_MS 86400000u
#define TEXT_MAX        4096 /* bytes of a path, host or send text */

static bool text_fits(const char *s)
{
    return !s || strnlen(s, TEXT_MAX + 1) <= TEXT_MAX;
}

/* Nothing that could break out of a request line or header. */
static bool is_visible(const char *s)
{
    for (; s && *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool is_token(const char *s)
{
    for (const char *p = s; p && *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
    return !s || *s != '\0';
}

static int check_monitor(const char *key, const struct gtm_monitor *m, struct gtm_error *err)
{
    if (m->kind != GTM_MONITOR_PUSH && !health_probe_ops_of(m->kind))
        return gtm_error_set(err, GTM_EINVAL, "%s: this kind of monitor is not active yet", key);
    if (!m->name || strnlen(m->name, GTM_NAME_MAX + 1) > GTM_NAME_MAX)
        return gtm_error_set(err, GTM_EINVAL, "%s: the monitor's name is missing or too long", key);
    if (m->port == 0 && m->kind != GTM_MONITOR_PUSH && m->kind != GTM_MONITOR_EXEC &&
        m->kind != GTM_MONITOR_ICMP)
        return gtm_error_set(err, GTM_EINVAL, "%s: port 0", key);
    if (m->interval_ms < INTERVAL_MIN_MS || m->interval_ms > INTERVAL_MAX_MS || m->timeout_ms < 1 ||
        m->timeout_ms > INTERVAL_MAX_MS)
        return gtm_error_set(err, GTM_EINVAL, "%s: interval or timeout out of range", key);
    if (m->fall < 1 || m->rise < 1)
        return gtm_error_set(err, GTM_EINVAL, "%s: fall and rise are at least 1", key);
    if (!text_fits(m->path) || !text_fits(m->host) || !text_fits(m->send) ||
        !text_fits(m->method) || (m->expect_body && strlen(m->expect_body) > HEALTH_NEEDLE_MAX))
        return gtm_error_set(err, GTM_ELIMIT, "%s: a text of the monitor is too long", key);
    if (!is_visible(m->path) || !is_visible(m->host) || !is_token(m->method) ||
        (m->path && m->path[0] && m->path[0] != '/'))
        return gtm_error_set(err, GTM_EINVAL, "%s: path, host or method is malformed", key);
    return health__spec_check_kind(key, m, err);
}

static int check(const struct health_target *t, struct gtm_error *err)
{
    if (!t->key || t->key[0] == '\0')
        return gtm_error_set(err, GTM_EINVAL, "a target has no key");
    if (strnlen(t->key, HEALTH_KEY_BYTES) == HEALTH_KEY_BYTES)
        return gtm_error_set(err, GTM_EINVAL, "%.40s…: the key is too long", t->key);
    if (t->family != AF_INET && t->family != AF_INET6)
        return gtm_error_set(err, GTM_EINVAL, "%s: unknown address family", t->key);
    if (!t->monitor)
        return gtm_error_set(err, GTM_EINVAL, "%s: no monitor", t->key);
    return check_monitor(t->key, t->monitor, err);
}

static void set_address(struct health_spec *spec, const struct health_target *t)
{
    char text[INET6_ADDRSTRLEN];
    uint16_t port = t->monitor->port;
    inet_ntop(t->family, &t->addr, text, sizeof(text));
    if (t->family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&spec->addr;
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        in->sin_addr = t->addr.v4;
        spec->addr_len = sizeof(*in);
        snprintf(spec->authority, sizeof(spec->authority), "%s:%u", text, (unsigned)port);
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&spec->addr;
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        in6->sin6_addr = t->addr.v6;
        spec->addr_len = sizeof(*in6);
        snprintf(spec->authority, sizeof(spec->authority), "[%s]:%u", text, (unsigned)port);
    }
}

/* Copies s, or NULL when there is none; false when out of memory. */
static bool copy(char **to, const char *s)
{
    *to = s ? gtm_strdup(s) : NULL;
    return !s || *to;
}

static bool copy_texts(struct health_spec *spec, const struct health_target *t)
{
    const struct gtm_monitor *m = t->monitor;
    const char *body = m->expect_body && m->expect_body[0] ? m->expect_body : NULL;
    const char *out = m->send && m->send[0] ? m->send : NULL;
    if (!copy(&spec->key, t->key) || !copy(&spec->monitor, m->name) ||
        !copy(&spec->path, m->path && m->path[0] ? m->path : "/") ||
        !copy(&spec->host, m->host && m->host[0] ? m->host : NULL) ||
        !copy(&spec->method, m->method ? m->method : "GET") || !copy(&spec->expect_body, body) ||
        !copy(&spec->send, out))
        return false;
    if (m->expect_status && m->expect_status_count > 0) {
        spec->expect_status =
            gtm_memdup(m->expect_status, m->expect_status_count * sizeof(*m->expect_status));
        if (!spec->expect_status)
            return false;
        spec->expect_status_count = m->expect_status_count;
    }
    return !body || health_needle_init(&spec->needle, spec->expect_body, strlen(body)) == GTM_OK;
}

static bool copy_exec(struct health_spec *spec, const struct health_target *t)
{
    const struct gtm_monitor *m = t->monitor;
    if (!copy(&spec->program, m->program) || !copy(&spec->pool, t->pool ? t->pool : "") ||
        !copy(&spec->endpoint, t->endpoint ? t->endpoint : ""))
        return false;
    spec->args = m->args_count ? gtm_calloc(m->args_count, sizeof(char *)) : NULL;
    if (m->args_count && !spec->args)
        return false;
    for (size_t i = 0; i < m->args_count; i++, spec->args_count++)
        if (!copy(&spec->args[i], m->args[i]))
            return false;
    return true;
}

static bool copy_load(struct health_spec *spec, const struct gtm_monitor *m)
{
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        if (!copy(&spec->load_pointer[i], m->load_pointer[i]))
            return false;
        spec->wants_load = spec->wants_load || m->load_pointer[i];
    }
    return true;
}

struct health_spec *health_spec_new(const struct health_target *target, struct gtm_error *err)
{
    if (check(target, err) != GTM_OK)
        return NULL;
    struct health_spec *spec = gtm_calloc(1, sizeof(*spec));
    if (!spec || !copy_texts(spec, target) || !copy_load(spec, target->monitor) ||
        (target->monitor->kind == GTM_MONITOR_EXEC && !copy_exec(spec, target))) {
        gtm_error_set(err, GTM_ENOMEM, "%s: out of memory", target->key);
        health_spec_free(spec);
        return NULL;
    }
    const struct gtm_monitor *m = target->monitor;
    spec->kind = m->kind;
    if (health__spec_copy_kind(spec, target, err) != GTM_OK) {
        health_spec_free(spec);
        return NULL;
    }
    spec->initial = target->initial;
    spec->rules = (struct health_rules){.interval_ms = m->interval_ms,
                                        .timeout_ms = m->timeout_ms,
                                        .fall = m->fall,
                                        .rise = m->rise};
    set_address(spec, target);
    return spec;
}

void health_spec_free(struct health_spec *spec)
{
    if (!spec)
        return;
    health_needle_fini(&spec->needle);
    health__spec_free_kind(spec);
    gtm_free(spec->key);
    gtm_free(spec->monitor);
    gtm_free(spec->path);
    gtm_free(spec->host);
    gtm_free(spec->method);
    gtm_free(spec->expect_status);
    gtm_free(spec->expect_body);
    gtm_free(spec->send);
    gtm_free(spec->pool);
    gtm_free(spec->endpoint);
    gtm_free(spec->program);
    for (size_t i = 0; i < spec->args_count; i++)
        gtm_free(spec->args[i]);
    gtm_free(spec->args);
    for (int i = 0; i < GTM_LOAD_COUNT; i++)
        gtm_free(spec->load_pointer[i]);
    gtm_free(spec);
}

static bool same(const char *a, const char *b)
{
    return health__spec_same_text(a, b);
}

/* What only exec, push and load reports depend on. */
static bool same_extras(const struct health_spec *a, const struct health_spec *b)
{
    if (!same(a->program, b->program) || !same(a->pool, b->pool) ||
        !same(a->endpoint, b->endpoint) || a->args_count != b->args_count)
        return false;
    for (size_t i = 0; i < a->args_count; i++)
        if (!same(a->args[i], b->args[i]))
            return false;
    for (int i = 0; i < GTM_LOAD_COUNT; i++)
        if (!same(a->load_pointer[i], b->load_pointer[i]))
            return false;
    return a->kind != GTM_MONITOR_PUSH || same(a->key, b->key);
}

bool health_spec_equal(const struct health_spec *a, const struct health_spec *b)
{
    /* The authority is the address and port in one canonical form. */
    return a->kind == b->kind && same_extras(a, b) && health__spec_same_kind(a, b) &&
           same(a->monitor, b->monitor) && same(a->authority, b->authority) &&
           same(a->path, b->path) && same(a->host, b->host) && same(a->method, b->method) &&
           same(a->expect_body, b->expect_body) && same(a->send, b->send) &&
           a->expect_status_count == b->expect_status_count &&
           (a->expect_status_count == 0 ||
            memcmp(a->expect_status, b->expect_status,
                   a->expect_status_count * sizeof(*a->expect_status)) == 0) &&
           a->rules.interval_ms == b->rules.interval_ms &&
           a->rules.timeout_ms == b->rules.timeout_ms && a->rules.fall == b->rules.fall &&
           a->rules.rise == b->rules.rise;
}

bool health_spec_expects(const struct health_spec *spec, long status)
{
    if (spec->expect_status_count == 0)
        return status >= 200 && status <= 299;
    for (size_t i = 0; i < spec->expect_status_count; i++)
        if (spec->expect_status[i] == status)
            return true;
    return false;
}
