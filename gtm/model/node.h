/* SPDX-License-Identifier: Apache-2.0
 *
 * The node file (node.yaml): who this node is and where it listens. Parsed once at start, and again
 * by a reload, which refuses changes that need a restart. Plain data; one owner.
 */
#ifndef GTM_MODEL_NODE_H
#define GTM_MODEL_NODE_H

#include "gtm/base/diag.h"

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

struct gtm_node {
    char *name, *region;
    unsigned roles;     /* bits of enum gtm_role; default dns, health, controller */
    char *data_dir;     /* default /var/lib/gtm */
    char *exec_dir;     /* or NULL */
    char *cluster_file; /* standalone: required without etcd; resolved against the node file's
                           folder */
    bool has_etcd;      /* accepted; this build refuses to start with it, saying so */
    struct gtm_listen *dns_listen;
    size_t dns_listen_count;
    unsigned dns_threads; /* 0 = auto: one per core */
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
