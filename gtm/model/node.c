/* SPDX-License-Identifier: Apache-2.0
 *
 * The node file: its table, its defaults and its checks. See node.h.
 */
#include "gtm/model/node.h"

#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/model/config_file.h"
#include "gtm/model/node_tables.h"

#include <string.h>
#include <sys/un.h>

#define DEFAULT_GEO    "/usr/share/libloc-location/location.db"
#define NODE_BYTES_MAX (1u << 20)

/* --- the table --- */

static const char *const role_words[] = {"dns", "health", "controller", "agent", "witness"};
static const char *const level_words[] = {"error", "warn", "info", "debug"};

static const struct gtm_field role_item = {.type = GTM_T_ENUM, GTM_WORDS(role_words)};
static const struct gtm_field path_item = {
    .type = GTM_T_FORM, .size = sizeof(char *), .form = &gtm_form_path};

static const struct gtm_field self_fields[] = {
    NODE_TEXT("name", GTM_F_REQUIRED, name, gtm_form_name, NULL, "the node's name"),
    NODE_TEXT("region", GTM_F_REQUIRED, region, gtm_form_name, NULL, "the region it stands in"),
};
static const struct gtm_table self_table = {.title = "node", GTM_FIELDS(self_fields)};

static const struct gtm_field member_fields[] = {
    FORM("group", GTM_F_REQUIRED, gtm_form_name, "the group"),
    FORM("member", GTM_F_REQUIRED, gtm_form_name, "which of its members runs on this host"),
    FORM("data", 0, gtm_form_path, "the database's data folder"),
    TEXT("service", 0, 256, "the systemd unit of the database"),
};
static const struct gtm_table member_table = {.title = "member", GTM_FIELDS(member_fields)};
static const struct gtm_field member_item = OBJECT_ITEM(member_table);
static const struct gtm_field agent_fields[] = {
    LIST("members", GTM_F_REQUIRED, member_item, 1, 64, "the databases of this host"),
};
static const struct gtm_table agent_table = {.title = "agent", GTM_FIELDS(agent_fields)};

static const struct gtm_field push_tls_fields[] = {
    NODE_TEXT("cert", GTM_F_REQUIRED, push.tls_cert, gtm_form_path, NULL, "the certificate"),
    NODE_TEXT("key", GTM_F_REQUIRED, push.tls_key, gtm_form_path, NULL, "its key"),
};
static const struct gtm_table push_tls_table = {.title = "push.tls", GTM_FIELDS(push_tls_fields)};
static const struct gtm_field push_fields[] = {
    {.key = "listen",
     .doc = "where endpoints send heartbeats",
     .type = GTM_T_LISTEN,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_node, push.listen),
     .has_offset = offsetof(struct gtm_node, push.has_listen)},
    SECTION("tls", 0, push_tls_table, "HTTPS instead of HTTP"),
};
static const struct gtm_table push_table = {.title = "push", GTM_FIELDS(push_fields)};

static const struct gtm_field geo_fields[] = {
    {.key = "databases",
     .doc = "libloc or .mmdb files, layered in this order; default " DEFAULT_GEO,
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_node, geo_databases, geo_databases_count),
     .item = &path_item,
     .max = GTM_GEO_DBS_MAX},
};
static const struct gtm_table geo_table = {.title = "geo", GTM_FIELDS(geo_fields)};

static const struct gtm_field metrics_fields[] = {
    {.key = "listen",
     .doc = "where Prometheus reads /metrics",
     .type = GTM_T_LISTEN,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_node, metrics_listen),
     .has_offset = offsetof(struct gtm_node, has_metrics)},
};
static const struct gtm_table metrics_table = {.title = "metrics", GTM_FIELDS(metrics_fields)};

static const struct gtm_field log_fields[] = {
    {.key = "level",
     .doc = "what is logged",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_node, log_level),
     GTM_WORDS(level_words),
     .def = "info"},
};
static const struct gtm_table log_table = {.title = "log", GTM_FIELDS(log_fields)};

static const struct gtm_field node_fields[] = {
    SECTION("node", GTM_F_REQUIRED, self_table, "who this node is"),
    LIST(
        "roles", GTM_F_SINGLE | GTM_F_UNIQUE, role_item, 1, 5,
        "what it does; default dns, health and controller; a witness is health and controller too"),
    OBJECT("agent", 0, agent_table, "the databases that it looks after"),
    NODE_TEXT("exec_dir", 0, exec_dir, gtm_form_path, NULL,
              "the only folder whose programs hooks and exec checks may name"),
    NODE_TEXT("data_dir", 0, data_dir, gtm_form_path, "/var/lib/gtm", "where state is kept"),
    NODE_TEXT("cluster_file", 0, cluster_file, gtm_form_path, NULL,
              "without etcd: the file with the intent, from this file's folder"),
    {.key = "etcd",
     .doc = "how to reach etcd; without it the node is standalone",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .has_offset = offsetof(struct gtm_node, has_etcd),
     .table = &gtm_node_etcd_table},
    {.key = "secret_key",
     .doc = "a file with 64 hex digits, the same on every node: what is secret in etcd is "
            "encrypted with it; without it the node keeps and reads nothing secret there",
     .type = GTM_T_SECRET,
     GTM_AT(struct gtm_node, secret_key)},
    SECTION("dns", GTM_F_DEFAULTS, gtm_node_dns_table, "where and how DNS is answered"),
    SECTION("push", 0, push_table, "where heartbeats of push monitors come in"),
    SECTION("geo", 0, geo_table, "where clients are"),
    SECTION("api", GTM_F_DEFAULTS, gtm_node_api_table, "where operators reach it"),
    SECTION("metrics", 0, metrics_table, "figures for Prometheus"),
    SECTION("log", GTM_F_DEFAULTS, log_table, "what is logged"),
};
const struct gtm_table gtm_node_table = {.title = "node file", GTM_FIELDS(node_fields)};

/* --- defaults and checks --- */

static void take_roles(const struct gtm_yaml_node *root, struct gtm_node *node)
{
    const struct gtm_yaml_node *roles = gtm_yaml_get(root, "roles");
    const struct gtm_yaml_node *n = roles && roles->kind == GTM_YAML_LIST ? roles->first : roles;
    for (; n && n->kind == GTM_YAML_SCALAR; n = n->next) {
        for (unsigned r = 0; r < sizeof(role_words) / sizeof(role_words[0]); r++) {
            if (strcmp(n->text, role_words[r]) == 0)
                node->roles |= 1u << r;
        }
        if (n == roles)
            break;
    }
    if (node->roles & GTM_ROLE_WITNESS) /* what it is there for */
        node->roles |= GTM_ROLE_HEALTH | GTM_ROLE_CONTROLLER;
    if (!roles)
        node->roles = GTM_ROLE_DNS | GTM_ROLE_HEALTH | GTM_ROLE_CONTROLLER;
}

static void default_listen(struct gtm_parse *p, struct gtm_node *node)
{
    static const char *const defaults[] = {"0.0.0.0:53", "[::]:53"};
    struct gtm_error err = {0};
    if (node->dns_listen)
        return;
    node->dns_listen = gtm_calloc(2, sizeof(*node->dns_listen));
    if (!node->dns_listen) {
        p->nomem = true;
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (gtm_listen_parse(defaults[i], &node->dns_listen[i], &err) == GTM_OK)
            node->dns_listen_count++;
    }
}

static void default_geo(struct gtm_parse *p, const struct gtm_yaml_node *root,
                        struct gtm_node *node)
{
    if (gtm_yaml_get(gtm_yaml_get(root, "geo"), "databases"))
        return; /* also an empty list: no geography is wanted */
    node->geo_databases = gtm_calloc(1, sizeof(*node->geo_databases));
    if (node->geo_databases) {
        node->geo_databases[0] = gtm_strdup(DEFAULT_GEO);
        node->geo_databases_count = 1;
    }
    p->nomem |= !node->geo_databases || !node->geo_databases[0];
}

static void resolve_paths(struct gtm_parse *p, struct gtm_node *node)
{
    char *dir = gtm_fs_dirname(p->file);
    if (!dir) {
        p->nomem = true;
        return;
    }
    char **paths[] = {&node->data_dir,           &node->exec_dir,
                      &node->cluster_file,       &node->api_socket,
                      &node->dns.tls_cert,       &node->dns.tls_key,
                      &node->dns.cookie_secret,  &node->push.tls_cert,
                      &node->push.tls_key,       &node->etcd.ca,
                      &node->etcd.cert,          &node->etcd.key,
                      &node->etcd.password_file, &node->api.ca,
                      &node->api.cert,           &node->api.key,
                      &node->secret_key};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        gtm_config_resolve(p, dir, paths[i]);
    for (size_t i = 0; i < node->geo_databases_count; i++)
        gtm_config_resolve(p, dir, &node->geo_databases[i]);
    gtm_free(dir);
}

static void note_later(struct gtm_parse *p, const struct gtm_yaml_node *root, const char *section,
                       const char *key)
{
    const struct gtm_yaml_node *n = gtm_yaml_get(root, section);
    n = key ? gtm_yaml_get(n, key) : n;
    if (n)
        gtm_diags_add(p->diags, GTM_SEV_NOTE, p->file, n->key_line, n->key_col,
                      "'%s%s%s' is not active yet", section, key ? "." : "", key ? key : "");
}

static void check_twice(struct gtm_parse *p, struct gtm_srcpos pos, const struct gtm_listen *list,
                        size_t count, const struct gtm_listen *listen)
{
    for (size_t i = 0; i < count && &list[i] != listen; i++) {
        if (list[i].text[0] && strcmp(list[i].text, listen->text) == 0)
            gtm_parse_error_at(p, pos, "'listen' names %s twice", listen->text);
    }
}

static void check_listen(struct gtm_parse *p, const struct gtm_yaml_node *root,
                         const struct gtm_node *node)
{
    const struct gtm_node_dns *dns = &node->dns;
    for (size_t i = 0; i < node->dns_listen_count; i++)
        check_twice(p, gtm_node_place(root, "dns", "listen"), node->dns_listen,
                    node->dns_listen_count, &node->dns_listen[i]);
    for (size_t i = 0; i < dns->tls_listen_count; i++) { /* so there is a section */
        struct gtm_srcpos tls = gtm_node_place(gtm_yaml_get(root, "dns"), "tls", "listen");
        check_twice(p, tls, dns->tls_listen, dns->tls_listen_count, &dns->tls_listen[i]);
        check_twice(p, tls, node->dns_listen, node->dns_listen_count, &dns->tls_listen[i]);
    }
    const struct gtm_listen *metrics = &node->metrics_listen;
    if (node->push.has_listen && node->has_metrics)
        check_twice(p, gtm_node_place(root, "push", "listen"), metrics, 1, &node->push.listen);
    if (node->api.has_listen && node->has_metrics)
        check_twice(p, gtm_node_place(root, "api", "listen"), metrics, 1, &node->api.listen);
    if (node->api.has_listen && node->push.has_listen)
        check_twice(p, gtm_node_place(root, "api", "listen"), &node->push.listen, 1,
                    &node->api.listen);
}

static void check_node(struct gtm_parse *p, const struct gtm_yaml_node *root, struct gtm_node *node)
{
    struct sockaddr_un un;
    if (!node->has_etcd && !gtm_yaml_get(root, "cluster_file"))
        gtm_parse_error_at(p, gtm_node_place(root, "node", NULL),
                           "a node without 'etcd' is standalone and needs 'cluster_file'");
    if (node->has_etcd && node->cluster_file)
        gtm_parse_warn_at(p, gtm_node_place(root, "cluster_file", NULL),
                          "'cluster_file' is not used: the intent comes from etcd");
    if (node->api_socket && strlen(node->api_socket) >= sizeof(un.sun_path))
        gtm_parse_error_at(p, gtm_node_place(root, "api", "socket"),
                           "the path of a unix socket has at most %zu bytes; this one has %zu",
                           sizeof(un.sun_path) - 1, strlen(node->api_socket));
    if (node->roles & GTM_ROLE_AGENT && !gtm_yaml_get(root, "agent"))
        gtm_parse_error_at(p, gtm_node_place(root, "roles", NULL),
                           "the role agent needs the section 'agent'");
    check_listen(p, root, node);
    gtm_node_check_cluster(p, root, node);
    note_later(p, root, "agent", NULL);
}

static void parse_root(struct gtm_parse *p, const struct gtm_yaml_node *root, struct gtm_node *node)
{
    gtm_schema_parse(p, &gtm_node_table, root, node, NULL);
    take_roles(root, node);
    default_listen(p, node);
    default_geo(p, root, node);
    if (!p->nomem)
        resolve_paths(p, node);
    if (!p->nomem)
        check_node(p, root, node);
}

void gtm_node_free(struct gtm_node *node)
{
    if (!node)
        return;
    gtm_schema_fini(&gtm_node_table, node);
    gtm_free(node->path);
    gtm_free(node);
}

/* --- the file --- */

static void *build(struct gtm_parse *p, const struct gtm_config_text *text)
{
    struct gtm_node *node = gtm_calloc(1, sizeof(*node));
    char *path = gtm_strdup(p->file);
    p->nomem |= !node || !path;
    if (!node) {
        gtm_free(path);
        return NULL;
    }
    node->path = path;
    parse_root(p, text->root, node);
    return node;
}

static void discard(void *node)
{
    gtm_node_free(node);
}

static const struct gtm_config_kind file_kind = {NODE_BYTES_MAX, build, discard, NULL};

struct gtm_node *gtm_node_parse(const char *path, const char *text, size_t len,
                                struct gtm_diags *diags)
{
    return gtm_config_parse(&file_kind, path, text, len, diags);
}

struct gtm_node *gtm_node_load(const char *path, struct gtm_diags *diags)
{
    return gtm_config_load(&file_kind, path, diags);
}

_Static_assert(GTM_LOG_ERROR == 0 && GTM_LOG_DEBUG == 3 && GTM_LOG_LEVEL_COUNT == 4,
               "level_words follow enum gtm_log_level");
