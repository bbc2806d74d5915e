/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of one monitor that a table cannot express, made while it is parsed: which keys fit which
 * kind, and defaults that depend on the kind. See intent_tables.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#include <string.h>

static bool keep_text(struct gtm_parse *p, char **field, const char *text)
{
    if (!*field)
        *field = gtm_strdup(text);
    p->nomem |= *field == NULL;
    return *field != NULL;
}

/* --- which keys fit --- */

#define KIND(name) (1u << GTM_MONITOR_##name)
#define WEB        (KIND(HTTP) | KIND(HTTPS))
#define EXPECTING  (WEB | KIND(TCP) | KIND(TLS) | KIND(DNS))

/* Which kinds know which key. */
struct kind_key {
    const char *key;
    unsigned kinds;
};
static const struct kind_key monitor_keys[] = {
    {"path", WEB},
    {"host", WEB | KIND(TLS) | KIND(GRPC)},
    {"method", WEB},
    {"http_version", WEB},
    {"tls", KIND(HTTPS) | KIND(TLS) | KIND(GRPC)},
    {"ask", KIND(DNS)},
    {"send", KIND(TCP) | KIND(TLS)},
    {"expect", EXPECTING},
    {"service", KIND(GRPC)},
    {"program", KIND(EXEC)},
    {"args", KIND(EXEC)},
    {"token", KIND(PUSH)},
    {"load", WEB | KIND(EXEC) | KIND(PUSH)},
    {"url", KIND(PROMETHEUS)},
    {"query", KIND(PROMETHEUS)},
    {"above", KIND(PROMETHEUS)},
    {"below", KIND(PROMETHEUS)},
    {"port", ~(KIND(ICMP) | KIND(PUSH) | KIND(PROMETHEUS))},
    {"timeout", ~KIND(PUSH)},
};
static const struct kind_key expect_keys[] = {
    {"status", WEB},
    {"body", WEB | KIND(TCP) | KIND(TLS)},
    {"rcode", KIND(DNS)},
    {"answer", KIND(DNS)},
};

static unsigned usual_port(enum gtm_monitor_kind kind)
{
    switch (kind) {
    case GTM_MONITOR_HTTP:
        return 80;
    case GTM_MONITOR_HTTPS:
        return 443;
    case GTM_MONITOR_DNS:
        return 53;
    case GTM_MONITOR_POSTGRESQL:
        return 5432;
    case GTM_MONITOR_REDIS:
        return 6379;
    default:
        return 0;
    }
}

/* Errors for the members of `map` (the monitor, or an object in it) that its kind does not know. */
static void check_fit(struct gtm_parse *p, const struct gtm_yaml_node *map,
                      const struct gtm_monitor *m, const struct kind_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct gtm_yaml_node *member = gtm_yaml_get(map, keys[i].key);
        if (member && !(keys[i].kinds >> m->kind & 1))
            gtm_parse_key_error(p, member, "monitor '%s': the key '%s' does not fit the kind %s",
                                m->name, member->key, gtm_monitor_kind_words[m->kind]);
    }
}

static void need(struct gtm_parse *p, const struct gtm_yaml_node *node, const struct gtm_monitor *m,
                 enum gtm_monitor_kind kind, const char *key)
{
    if (m->kind == kind && !gtm_yaml_get(node, key))
        gtm_parse_error_at(p, m->pos, "monitor '%s': the kind %s needs a '%s'", m->name,
                           gtm_monitor_kind_words[kind], key);
}

static void check_monitor_keys(struct gtm_parse *p, const struct gtm_yaml_node *node,
                               const struct gtm_monitor *m)
{
    check_fit(p, node, m, monitor_keys, sizeof(monitor_keys) / sizeof(monitor_keys[0]));
    if (EXPECTING >> m->kind & 1)
        check_fit(p, gtm_yaml_get(node, "expect"), m, expect_keys,
                  sizeof(expect_keys) / sizeof(expect_keys[0]));
    need(p, node, m, GTM_MONITOR_TCP, "port");
    need(p, node, m, GTM_MONITOR_TLS, "port");
    need(p, node, m, GTM_MONITOR_GRPC, "port");
    need(p, node, m, GTM_MONITOR_EXEC, "program");
    need(p, node, m, GTM_MONITOR_PUSH, "token");
    if (m->kind == GTM_MONITOR_PROMETHEUS &&
        (!gtm_yaml_get(node, "url") || !gtm_yaml_get(node, "query") ||
         (!gtm_yaml_get(node, "above") && !gtm_yaml_get(node, "below"))))
        gtm_parse_error_at(p, m->pos,
                           "monitor '%s': the kind prometheus needs 'url', 'query' and 'above' or "
                           "'below'",
                           m->name);
}

static void check_method(struct gtm_parse *p, const struct gtm_yaml_node *node)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "POST"};
    const char *method = gtm_parse_text(node, "method", NULL);
    for (size_t i = 0; method && i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(method, methods[i]) == 0)
            return;
    }
    if (method)
        gtm_parse_error(p, gtm_yaml_get(node, "method"),
                        "'method' is GET, HEAD, OPTIONS or POST, not '%s'", method);
}

/* --- parts --- */

void gtm_check_monitor_tls(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    const struct gtm_monitor *m = obj;
    const struct gtm_yaml_node *cert = gtm_yaml_get(node, "cert"), *key = gtm_yaml_get(node, "key");
    const struct gtm_yaml_node *ca = gtm_yaml_get(node, "ca"), *alone = cert ? cert : key;
    if (!cert != !key)
        gtm_parse_key_error(p, alone, "a client certificate needs both 'cert' and 'key'");
    if (m && m->tls_insecure && ca)
        gtm_parse_key_error(p, ca, "'ca' does not fit insecure: true, which takes any certificate");
}

void gtm_check_monitor_load(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    if (node->count == 0)
        gtm_parse_error(p, node, "'load' needs at least one of %s, %s, %s and %s",
                        gtm_load_words[0], gtm_load_words[1], gtm_load_words[2], gtm_load_words[3]);
}

static void fill_question(struct gtm_monitor *m, const struct gtm_yaml_node *node)
{
    const char *transport = gtm_parse_text(gtm_yaml_get(node, "ask"), "transport", "udp");
    m->query_tcp = strcmp(transport, "tcp") == 0;
    if (m->query_name && strcmp(m->query_name, ".") == 0) {
        gtm_free(m->query_name);
        m->query_name = NULL;
    }
    gtm_drop_final_dot(m->query_name);
    if (m->query_type == 0)
        m->query_type = m->query_name ? GTM_TYPE_A : 2 /* NS */;
}

static void fill_pointers(struct gtm_parse *p, struct gtm_monitor *m)
{
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        char pointer[32];
        snprintf(pointer, sizeof(pointer), "/%s", gtm_load_words[i]);
        keep_text(p, &m->load_pointer[i], pointer);
    }
}

static void fill_times(struct gtm_parse *p, struct gtm_monitor *m, const struct gtm_yaml_node *node)
{
    const struct gtm_yaml_node *timeout = gtm_yaml_get(node, "timeout");
    char limit[32];
    if (m->interval_ms == 0)
        m->interval_ms = m->kind == GTM_MONITOR_PUSH ? 5000 : 1000;
    if (m->timeout_ms == 0)
        m->timeout_ms = m->interval_ms < 800 ? m->interval_ms : 800;
    uint64_t longest = (uint64_t)m->interval_ms * m->fall;
    if (timeout && m->timeout_ms > longest)
        gtm_parse_error(p, timeout,
                        "monitor '%s': the timeout %s is longer than interval × fall (%s)", m->name,
                        timeout->text, gtm_duration_format(longest, limit));
}

/* --- monitors --- */

void gtm_check_monitor(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    struct gtm_monitor *m = obj;
    if (!m)
        return;
    check_monitor_keys(p, node, m);
    check_method(p, node);
    fill_times(p, m, node);
    if (m->port == 0)
        m->port = (uint16_t)usual_port(m->kind);
    m->tls |= m->kind == GTM_MONITOR_HTTPS || m->kind == GTM_MONITOR_TLS;
    if (m->kind == GTM_MONITOR_DNS)
        fill_question(m, node);
    if (m->kind == GTM_MONITOR_PUSH)
        fill_pointers(p, m);
    if (WEB >> m->kind & 1 && keep_text(p, &m->path, "/"))
        keep_text(p, &m->method, "GET");
}
