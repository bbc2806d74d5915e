/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of the node file's section `dns`. See node.h for what the settings mean and schema.h
 * for what a table drives.
 */
#include "gtm/model/node_tables.h"

#define THREADS_MAX  256
#define NETWORKS_MAX 1000

static const char *const isolated_words[] = {"local", "freeze"};
static const char *const auto_words[] = {"auto"};

static const struct gtm_field listen_item = {.type = GTM_T_LISTEN};
static const struct gtm_field network_item = {.type = GTM_T_FORM, .form = &gtm_form_network};

#define NODE_UINT(name, member, low, high, initial, about)                                  \
    {                                                                                       \
        .key = name, .doc = about, .type = GTM_T_UINT, GTM_AT(struct gtm_node, dns.member), \
        .min = low, .max = high, .def = initial                                             \
    }
#define NODE_STRING(name, member, high, about)                                                \
    {                                                                                         \
        .key = name, .doc = about, .type = GTM_T_STRING, GTM_AT(struct gtm_node, dns.member), \
        .max = high                                                                           \
    }
#define NODE_NETWORKS(name, member, count, about)                                            \
    {                                                                                        \
        .key = name, .doc = about, .type = GTM_T_LIST, .flags = GTM_F_SINGLE | GTM_F_UNIQUE, \
        GTM_LIST_AT(struct gtm_node, dns.member, dns.count), .item = &network_item,          \
        .max = NETWORKS_MAX                                                                  \
    }

static const struct gtm_field tls_fields[] = {
    {.key = "listen",
     .doc = "where to listen for DNS over TLS",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED | GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_node, dns.tls_listen, dns.tls_listen_count),
     .item = &listen_item,
     .min = 1,
     .max = GTM_LISTEN_MAX},
    NODE_TEXT("cert", GTM_F_REQUIRED, dns.tls_cert, gtm_form_path, NULL,
              "the certificate and its chain; read again by a reload"),
    NODE_TEXT("key", GTM_F_REQUIRED, dns.tls_key, gtm_form_path, NULL, "its key"),
};
static const struct gtm_table tls_table = {.title = "dns.tls", GTM_FIELDS(tls_fields)};

static const struct gtm_field cookies_fields[] = {
    {.key = "enabled",
     .doc = "whether DNS cookies are answered and checked (RFC 7873, RFC 9018)",
     .type = GTM_T_BOOL,
     GTM_AT(struct gtm_node, dns.cookies),
     .def = "true"},
    {.key = "secret",
     .doc = "a file with 32 hex digits a line: the first makes cookies, all are accepted; nodes "
            "behind one address share it; default: random, new at each start",
     .type = GTM_T_SECRET,
     GTM_AT(struct gtm_node, dns.cookie_secret)},
};
static const struct gtm_table cookies_table = {.title = "dns.cookies", GTM_FIELDS(cookies_fields)};

/* A TXT string has at most 255 bytes, and a character up to four. */
static const struct gtm_field chaos_fields[] = {
    NODE_STRING("version", chaos_version, 63, "the answer to version.bind and version.server"),
    NODE_STRING("hostname", chaos_hostname, 63, "the answer to hostname.bind and id.server"),
};
static const struct gtm_table chaos_table = {.title = "dns.chaos", GTM_FIELDS(chaos_fields)};

static const struct gtm_field rate_limit_fields[] = {
    NODE_UINT("responses_per_s", rate_limit, 0, 1e6, "0",
              "equal answers a second to one network of clients; 0 = no limit"),
    NODE_UINT("slip", rate_limit_slip, 0, 100, "2",
              "every so many of the others is answered truncated, so that real clients come back "
              "over TCP; 0 = none"),
    NODE_NETWORKS("exempt", rate_limit_exempt, rate_limit_exempt_count,
                  "clients without a limit, such as big resolvers"),
};
static const struct gtm_table rate_limit_table = {.title = "dns.rate_limit",
                                                  GTM_FIELDS(rate_limit_fields)};

static const struct gtm_field tcp_fields[] = {
    NODE_UINT("clients", tcp_clients, 1, 1e6, "1000", "connections in all, over TCP and TLS"),
    NODE_UINT("per_client", tcp_per_client, 1, 1e6, "100",
              "connections of one IPv4 address or IPv6 /56"),
    {.key = "idle",
     .doc = "a connection without a question for so long is closed",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_node, dns.tcp_idle_ms),
     .min = 100,
     .max = 3600000,
     .def = "10s"},
};
static const struct gtm_table tcp_table = {.title = "dns.tcp", GTM_FIELDS(tcp_fields)};

static const struct gtm_field dns_fields[] = {
    {.key = "listen",
     .doc = "where to answer over UDP and TCP; default 0.0.0.0:53 and [::]:53",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_node, dns_listen, dns_listen_count),
     .item = &listen_item,
     .min = 1,
     .max = GTM_LISTEN_MAX},
    SECTION("tls", 0, tls_table, "DNS over TLS (RFC 7858)"),
    {.key = "threads",
     .doc = "UDP worker threads; auto is one for each core",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_node, dns_threads),
     .min = 1,
     .max = THREADS_MAX,
     GTM_WORDS(auto_words),
     .def = "auto"},
    {.key = "when_isolated",
     .doc = "without the store: own checks may remove endpoints, or nothing changes",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_node, dns.when_isolated),
     GTM_WORDS(isolated_words),
     .def = "local"},
    NODE_NETWORKS("proxy", proxy, proxy_count,
                  "load balancers: from these a PROXY protocol v2 header is required, from others "
                  "refused"),
    NODE_STRING("nsid", nsid, 128, "the server's identifier for clients that ask (RFC 5001)"),
    SECTION("cookies", GTM_F_DEFAULTS, cookies_table, "DNS cookies"),
    SECTION("chaos", 0, chaos_table, "what CHAOS questions are told; without it they are refused"),
    SECTION("rate_limit", GTM_F_DEFAULTS, rate_limit_table,
            "a limit on answers over UDP, against amplification"),
    SECTION("tcp", GTM_F_DEFAULTS, tcp_table, "limits of connections"),
};
const struct gtm_table gtm_node_dns_table = {.title = "dns", GTM_FIELDS(dns_fields)};
