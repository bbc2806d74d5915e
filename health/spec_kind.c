/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a target that only TLS, dns and grpc checks have. See spec_int.h.
 */
#include "health/spec_int.h"

#include "gtm/base/mem.h"
#include "health/dns_message.h"
#include "health/trust.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define HOST_MAX    253 /* octets of a name (RFC 1035 2.3.4), without the final dot */
#define SERVICE_MAX 1024

static bool uses_tls(const struct gtm_monitor *m)
{
    return m->kind == GTM_MONITOR_HTTPS || m->kind == GTM_MONITOR_TLS ||
           (m->kind == GTM_MONITOR_GRPC && m->tls);
}

static bool is_address(const char *s)
{
    unsigned char address[16];
    return inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1;
}

/* Letters, digits, hyphens, underscores and dots: what may stand in a URL and a certificate. */
static bool is_host_name(const char *s)
{
    size_t len = strnlen(s, HOST_MAX + 1);
    if (len == 0 || len > HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
            return false;
    return true;
}

bool health__spec_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

int health__spec_check_kind(const char *key, const struct gtm_monitor *m, struct gtm_error *err)
{
    if (uses_tls(m) && m->tls_name && !is_address(m->tls_name) && !is_host_name(m->tls_name))
        return gtm_error_set(err, GTM_EINVAL, "%s: '%.80s' is no host name or address", key,
                             m->tls_name);
    if (m->kind == GTM_MONITOR_GRPC && m->grpc_service &&
        strnlen(m->grpc_service, SERVICE_MAX + 1) > SERVICE_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "%s: the service's name is too long", key);
    return GTM_OK;
}

/* The name without a port: "www.example.com:8443", "[2001:db8::1]:443". */
static char *host_alone(const char *host)
{
    const char *end = strrchr(host, ':');
    if (host[0] == '[') {
        const char *close = strchr(host, ']');
        return close ? gtm_strndup(host + 1, (size_t)(close - host - 1)) : gtm_strdup(host);
    }
    if (end && strchr(host, ':') == end)
        return gtm_strndup(host, (size_t)(end - host));
    return gtm_strdup(host);
}

/* Certificates and SNI (RFC 6066 3) have no final dot. */
static char *without_dot(char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len > 1 && name[len - 1] == '.')
        name[len - 1] = '\0';
    return name;
}

/* The name of the certificate: as configured, or the Host header's, or the address. */
static char *wanted_name(const struct health_target *t)
{
    const struct gtm_monitor *m = t->monitor;
    char address[INET6_ADDRSTRLEN];
    if (m->tls_name && m->tls_name[0])
        return without_dot(gtm_strdup(m->tls_name));
    char *host = m->host && m->host[0] ? without_dot(host_alone(m->host)) : NULL;
    if (host && (is_address(host) || is_host_name(host)))
        return host;
    gtm_free(host);
    inet_ntop(t->family, &t->addr, address, sizeof(address));
    return gtm_strdup(address);
}

static int copy_tls(struct health_spec *spec, const struct health_target *t)
{
    const struct gtm_monitor *m = t->monitor;
    spec->tls = true;
    spec->tls_insecure = m->tls_insecure;
    spec->tls_expiry_ms = m->tls_expiry_ms;
    spec->tls_name = wanted_name(t);
    spec->tls_sni = spec->tls_name && !is_address(spec->tls_name);
    spec->trust = health_trust_get(m);
    return spec->tls_name && spec->trust ? GTM_OK : GTM_ENOMEM;
}

int health__spec_copy_kind(struct health_spec *spec, const struct health_target *target,
                           struct gtm_error *err)
{
    const struct gtm_monitor *m = target->monitor;
    int rc = GTM_OK;
    spec->http_version = m->http_version;
    if (uses_tls(m))
        rc = copy_tls(spec, target);
    if (rc == GTM_OK && m->kind == GTM_MONITOR_GRPC) {
        spec->grpc_service = gtm_strdup(m->grpc_service ? m->grpc_service : "");
        rc = spec->grpc_service ? GTM_OK : GTM_ENOMEM;
    }
    if (rc == GTM_OK && m->kind == GTM_MONITOR_DNS)
        return health_dns_ask_new(m, &spec->ask, err);
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "%s: out of memory", target->key);
}

void health__spec_free_kind(struct health_spec *spec)
{
    gtm_free(spec->tls_name);
    gtm_free(spec->grpc_service);
    health_trust_put(spec->trust);
    health_dns_ask_free(spec->ask);
}

bool health__spec_same_kind(const struct health_spec *a, const struct health_spec *b)
{
    return a->http_version == b->http_version && a->tls == b->tls &&
           a->tls_insecure == b->tls_insecure && a->tls_expiry_ms == b->tls_expiry_ms &&
           a->trust == b->trust && health__spec_same_text(a->tls_name, b->tls_name) &&
           health__spec_same_text(a->grpc_service, b->grpc_service) &&
           health_dns_ask_equal(a->ask, b->ask);
}
