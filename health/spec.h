/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's own copy of what to probe and what to expect. Immutable once made; reading is
 * thread-safe.
 */
#ifndef GTM_HEALTH_SPEC_H
#define GTM_HEALTH_SPEC_H

#include "health/health.h"
#include "health/match.h"
#include "health/schedule.h"

#include <stdbool.h>
#include <sys/socket.h>

struct health_dns_ask;
struct health_trust;

struct health_spec {
    char *key, *monitor;
    enum gtm_monitor_kind kind;
    struct sockaddr_storage addr; /* with the port */
    socklen_t addr_len;
    char authority[64]; /* "192.0.2.1:80", "[2001:db8::1]:80" */
    char *path, *host, *method;
    uint16_t *expect_status; /* NULL = 200..299 */
    size_t expect_status_count;
    char *expect_body, *send;    /* or NULL */
    struct health_needle needle; /* of expect_body */
    char *pool, *endpoint;       /* exec: of its environment and arguments; may be "" */
    char *program;               /* exec: a file name */
    char **args;                 /* exec: as configured */
    size_t args_count;
    char *load_pointer[GTM_LOAD_COUNT]; /* JSON pointers into the answer's body, or NULL */
    bool wants_load;                    /* there is one: the kind keeps the body (outcome.h) */
    enum gtm_http_version http_version;
    /* https, tls, and grpc over TLS; elsewhere all empty */
    bool tls, tls_insecure;
    char *tls_name; /* what the certificate must be for: a host name or an address */
    bool tls_sni;   /* it is a host name, and is sent */
    uint64_t tls_expiry_ms;
    struct health_trust *trust; /* one reference; also tells whether the files changed */
    struct health_dns_ask *ask; /* dns: the question and what is expected; owned */
    char *grpc_service;         /* grpc: "" = the server as a whole */
    struct health_rules rules;
    enum gtm_health initial;
};

/* Checks and copies. NULL on failure: GTM_EINVAL, GTM_ELIMIT, GTM_ENOMEM in err. */
struct health_spec *health_spec_new(const struct health_target *target, struct gtm_error *err);
void health_spec_free(struct health_spec *spec); /* NULL is fine */

/* True when one probe can serve both: they are probed in the same way (the initial health is no
 * part of that, the key only for kind push). */
bool health_spec_equal(const struct health_spec *a, const struct health_spec *b);

/* True when the HTTP status is one that the monitor expects. */
bool health_spec_expects(const struct health_spec *spec, long status);

#endif
