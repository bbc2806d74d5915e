/* SPDX-License-Identifier: Apache-2.0
 *
 * The node file (node.yaml): who this node is and where it listens. Parsed once at start, and again
 * by a reload, which refuses changes that need a restart. Plain data; one owner.
 */
#ifndef GTM_MODEL_NODE_H
#define GTM_MODEL_NODE_H

#include "gtm/base/diag.h"
#include "gtm/model/intent.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_LISTEN_MAX  64
#define GTM_GEO_DBS_MAX 8

struct gtm_listen {
    struct sockaddr_storage addr; /* AF_INET or AF_INET6, port set */
    socklen_t addr_len;
    char text[64]; /* "127.0.0.1:53", "[::]:53" */
};

enum gtm_role {
    GTM_ROLE_DNS = 1,
    GTM_ROLE_HEALTH = 2,
    GTM_ROLE_CONTROLLER = 4,
    GTM_ROLE_AGENT = 8,
    GTM_ROLE_WITNESS = 16
};

/* What may change while the store is away. */
enum gtm_when_isolated {
    GTM_ISOLATED_LOCAL = 0, /* own checks may remove endpoints */
    GTM_ISOLATED_FREEZE     /* nothing */
};

/* How DNS is answered; everything but the listeners may change by a reload. */
struct gtm_node_dns {
    struct gtm_listen *tls_listen; /* DNS over TLS; none = off */
    size_t tls_listen_count;
    char *tls_cert, *tls_key; /* paths; read again by a reload */
    /* A PROXY protocol v2 header is required from these networks and refused from others. */
    struct gtm_network *proxy;
    size_t proxy_count;
    char *nsid;          /* RFC 5001; NULL = none */
    bool cookies;        /* RFC 7873, 9018; default true */
    char *cookie_secret; /* path of a file with 32 hex digits a line: the first makes cookies, all
                            are accepted; NULL = random, new at each start */
    char *chaos_version, *chaos_hostname; /* answers to version.bind, hostname.bind CH TXT; NULL =
                                             refused */
    /* Response-rate limiting, per client network and kind of answer. */
    unsigned rate_limit;      /* answers a second; 0 = off, the default */
    unsigned rate_limit_slip; /* every n-th of the others is answered truncated; 0 = none;
                                 default 2 */
    struct gtm_network *rate_limit_exempt;
    size_t rate_limit_exempt_count;
    unsigned tcp_clients, tcp_per_client; /* TCP and TLS connections: in all (default 1,000), of
                                             one address or IPv6 /56 (default 100) */
    unsigned tcp_idle_ms;                 /* default 10 s */
    int when_isolated;                    /* enum gtm_when_isolated */
};

/* Where endpoints send heartbeats (monitors of kind push). */
struct gtm_node_push {
    bool has_listen;
    struct gtm_listen listen;
    char *tls_cert, *tls_key; /* NULL = plain HTTP */
};

/* How etcd is reached. Paths and texts, or NULL. */
struct gtm_node_etcd {
    char **endpoints; /* "https://10.0.1.5:2379" */
    size_t endpoints_count;
    char *ca, *cert, *key;
    char *user, *password_file;
    unsigned session_ttl_s; /* default 5 */
};

/* The API over mutual TLS, for other nodes and for operators elsewhere. */
struct gtm_node_api {
    bool has_listen;
    struct gtm_listen listen;
    char *ca, *cert, *key;
    char *advertise; /* what other nodes connect to, "HOST:PORT"; NULL: the address of listen, when
                        it is one */
};

struct gtm_node {
    char *name, *region;
    unsigned roles;     /* bits of enum gtm_role; default dns, health, controller; witness brings
                           health and controller */
    char *data_dir;     /* default /var/lib/gtm */
    char *exec_dir;     /* or NULL */
    char *cluster_file; /* standalone: required without etcd; resolved against the node file's
                           folder */
    bool has_etcd;
    struct gtm_node_etcd etcd;
    struct gtm_node_api api;
    char *secret_key; /* path of a file with 64 hex digits: what is secret in etcd is encrypted with
                         it; NULL = nothing secret is kept there */
    struct gtm_listen *dns_listen;
    size_t dns_listen_count;
    unsigned dns_threads; /* 0 = auto: one per core */
    struct gtm_node_dns dns;
    struct gtm_node_push push;
    char **geo_databases; /* default the libloc database's path */
    size_t geo_databases_count;
    char *api_socket; /* default /run/gtm/gtmd.sock */
    bool has_metrics;
    struct gtm_listen metrics_listen;
    int log_level; /* enum gtm_log_level */
    char *path;    /* of the file */
};

/* NULL on any error; diags has all of them. */
struct gtm_node *gtm_node_load(const char *path, struct gtm_diags *diags);
struct gtm_node *gtm_node_parse(const char *path, const char *text, size_t len,
                                struct gtm_diags *diags);
void gtm_node_free(struct gtm_node *node); /* NULL is fine */

#endif
