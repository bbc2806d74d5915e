/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the node file's sections `etcd` and `api`: how a node reaches others and is reached
 * by them. See node.h for what the settings mean.
 */
#include "gtm/model/node_tables.h"

#include <netinet/in.h>
#include <string.h>

#define ENDPOINTS_MAX 16

static const struct gtm_field url_item = {
    .type = GTM_T_FORM, .size = sizeof(char *), .form = &gtm_form_url};

static const struct gtm_field etcd_tls_fields[] = {
    NODE_TEXT("ca", GTM_F_REQUIRED, etcd.ca, gtm_form_path, NULL,
              "the certificates that are trusted"),
    NODE_TEXT("cert", GTM_F_REQUIRED, etcd.cert, gtm_form_path, NULL, "the own certificate"),
    NODE_TEXT("key", GTM_F_REQUIRED, etcd.key, gtm_form_path, NULL, "its key"),
};
static const struct gtm_table etcd_tls_table = {.title = "tls", GTM_FIELDS(etcd_tls_fields)};

static const struct gtm_field etcd_fields[] = {
    {.key = "endpoints",
     .doc = "addresses of the members, the nearest first",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_SINGLE | GTM_F_UNIQUE,
     GTM_LIST_AT(struct gtm_node, etcd.endpoints, etcd.endpoints_count),
     .item = &url_item,
     .min = 1,
     .max = ENDPOINTS_MAX},
    SECTION("tls", 0, etcd_tls_table, "mutual TLS to etcd"),
    {.key = "user",
     .doc = "the etcd user",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_node, etcd.user),
     .max = 128},
    {.key = "password",
     .doc = "the file with its password",
     .type = GTM_T_SECRET,
     GTM_AT(struct gtm_node, etcd.password_file)},
    {.key = "session_ttl",
     .doc = "how long after its last sign of life this node is gone for the others",
     .type = GTM_T_DURATION,
     .flags = GTM_F_SECONDS,
     GTM_AT(struct gtm_node, etcd.session_ttl_s),
     .min = 2000,
     .max = 60000,
     .def = "5s"},
};
const struct gtm_table gtm_node_etcd_table = {.title = "etcd", GTM_FIELDS(etcd_fields)};

static const struct gtm_field api_tls_fields[] = {
    NODE_TEXT("ca", GTM_F_REQUIRED, api.ca, gtm_form_path, NULL,
              "the certificates that clients must chain to"),
    NODE_TEXT("cert", GTM_F_REQUIRED, api.cert, gtm_form_path, NULL,
              "this node's certificate, with gtm:node/REGION/NAME; read again by a reload"),
    NODE_TEXT("key", GTM_F_REQUIRED, api.key, gtm_form_path, NULL, "its key"),
};
static const struct gtm_table api_tls_table = {.title = "tls", GTM_FIELDS(api_tls_fields)};

static const struct gtm_field api_fields[] = {
    NODE_TEXT("socket", 0, api_socket, gtm_form_path, "/run/gtm/gtmd.sock",
              "the unix socket of the API"),
    {.key = "listen",
     .doc = "where the API listens with mutual TLS",
     .type = GTM_T_LISTEN,
     GTM_AT(struct gtm_node, api.listen),
     .has_offset = offsetof(struct gtm_node, api.has_listen)},
    NODE_TEXT("advertise", 0, api.advertise, gtm_form_host_port, NULL,
              "what other nodes connect to; default: the address of listen, when it is one"),
    SECTION("tls", 0, api_tls_table, "its certificates"),
};
const struct gtm_table gtm_node_api_table = {.title = "api", GTM_FIELDS(api_fields)};

/* --- checks --- */

struct gtm_srcpos gtm_node_place(const struct gtm_yaml_node *root, const char *section,
                                 const char *key)
{
    const struct gtm_yaml_node *parent = gtm_yaml_get(root, section);
    const struct gtm_yaml_node *n = key ? gtm_yaml_get(parent, key) : parent;
    n = n ? n : root;
    return (struct gtm_srcpos){n->line, n->col};
}

static bool any_address(const struct gtm_listen *listen)
{
    if (listen->addr.ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&listen->addr)->sin6_addr);
    return ((const struct sockaddr_in *)&listen->addr)->sin_addr.s_addr == 0;
}

static void check_api(struct gtm_parse *p, const struct gtm_yaml_node *root,
                      const struct gtm_node *node)
{
    const struct gtm_yaml_node *api = gtm_yaml_get(root, "api");
    bool listen = gtm_yaml_get(api, "listen"), tls = gtm_yaml_get(api, "tls");
    if (listen && !tls)
        gtm_parse_error_at(p, gtm_node_place(root, "api", "listen"),
                           "the API listens with mutual TLS only: give 'tls'");
    if (tls && !listen)
        gtm_parse_error_at(p, gtm_node_place(root, "api", "tls"),
                           "'tls' is for the API over TCP: give 'listen' too");
    if (node->api.advertise && !listen)
        gtm_parse_error_at(p, gtm_node_place(root, "api", "advertise"),
                           "'advertise' says where 'listen' is reached: give 'listen' too");
    if (node->has_etcd && node->api.listen.text[0] && !node->api.advertise &&
        any_address(&node->api.listen))
        gtm_parse_warn_at(p, gtm_node_place(root, "api", "listen"),
                          "other nodes cannot tell where to reach %s: give 'advertise'",
                          node->api.listen.text);
}

static void check_etcd(struct gtm_parse *p, const struct gtm_yaml_node *root,
                       const struct gtm_node *node)
{
    const struct gtm_node_etcd *etcd = &node->etcd;
    size_t plain = 0; /* an endpoint that is none is NULL and reported already */
    if (etcd->user && !etcd->password_file)
        gtm_parse_error_at(p, gtm_node_place(root, "etcd", "user"),
                           "'user' needs 'password': {file: PATH}");
    if (etcd->password_file && !etcd->user)
        gtm_parse_error_at(p, gtm_node_place(root, "etcd", "password"), "'password' needs 'user'");
    for (size_t i = 0; i < etcd->endpoints_count; i++)
        plain += etcd->endpoints[i] && strncmp(etcd->endpoints[i], "http://", 7) == 0;
    if (plain > 0 && plain < etcd->endpoints_count)
        gtm_parse_error_at(p, gtm_node_place(root, "etcd", "endpoints"),
                           "'endpoints' mixes http:// and https://");
    else if (plain > 0 && etcd->ca)
        gtm_parse_error_at(p, gtm_node_place(root, "etcd", "tls"),
                           "'tls' needs endpoints with https://");
    if (plain > 0 && plain == etcd->endpoints_count && etcd->user)
        gtm_parse_warn_at(p, gtm_node_place(root, "etcd", "endpoints"),
                          "the password of etcd user '%s' travels in clear: use https://",
                          etcd->user);
}

void gtm_node_check_cluster(struct gtm_parse *p, const struct gtm_yaml_node *root,
                            const struct gtm_node *node)
{
    check_api(p, root, node);
    if (node->has_etcd)
        check_etcd(p, root, node);
}
