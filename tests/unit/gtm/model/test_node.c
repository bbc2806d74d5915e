/* SPDX-License-Identifier: Apache-2.0
 *
 * What an accepted node file holds: values, defaults, paths from its own folder, notes.
 */
#include "gtm/model/node.h"

#include "gtm/base/log.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct gtm_node *accepted(const char *text)
{
    struct gtm_diags diags = {0};
    struct gtm_node *node = gtm_node_parse("/etc/gtm/node.yaml", text, strlen(text), &diags);
    if (!node)
        gtm_diags_print(&diags, stderr);
    assert_non_null(node);
    gtm_diags_fini(&diags);
    return node;
}

static void test_defaults(void **state)
{
    struct gtm_node *n = accepted("node: {name: n1, region: here}\ncluster_file: cluster.yaml\n");
    assert_string_equal(n->name, "n1");
    assert_string_equal(n->region, "here");
    assert_int_equal(n->roles, GTM_ROLE_DNS | GTM_ROLE_HEALTH | GTM_ROLE_CONTROLLER);
    assert_string_equal(n->data_dir, "/var/lib/gtm");
    assert_null(n->exec_dir);
    assert_string_equal(n->cluster_file, "/etc/gtm/cluster.yaml");
    assert_false(n->has_etcd);
    assert_int_equal(n->dns_listen_count, 2);
    assert_string_equal(n->dns_listen[0].text, "0.0.0.0:53");
    assert_string_equal(n->dns_listen[1].text, "[::]:53");
    assert_int_equal(n->dns_threads, 0);
    assert_int_equal(n->geo_databases_count, 1);
    assert_string_equal(n->geo_databases[0], "/usr/share/libloc-location/location.db");
    assert_string_equal(n->api_socket, "/run/gtm/gtmd.sock");
    assert_false(n->has_metrics);
    assert_int_equal(n->log_level, GTM_LOG_INFO);
    assert_string_equal(n->path, "/etc/gtm/node.yaml");
    gtm_node_free(n);
}

static void test_values(void **state)
{
    struct gtm_node *n = accepted(
        "node: {name: n1, region: here}\n"
        "roles: [witness, dns]\n"
        "data_dir: state\n"
        "exec_dir: /x\n"
        "etcd: {endpoints: [\"https://10.0.1.5:2379\"], tls: {ca: a, cert: b, key: c}}\n"
        "dns: {listen: [{address: \"2001:DB8::1\", port: 5300}, 127.0.0.1:5301], threads: 3}\n"
        "geo: {databases: [city.mmdb, /x/asn.mmdb]}\n"
        "api: {socket: run/api.sock}\n"
        "metrics: {listen: 127.0.0.1:9153}\n"
        "log: {level: debug}\n");
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&n->dns_listen[0].addr;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&n->dns_listen[1].addr;
    /* a witness votes and may lead: those who say nothing else about it mean that */
    assert_int_equal(n->roles,
                     GTM_ROLE_WITNESS | GTM_ROLE_HEALTH | GTM_ROLE_CONTROLLER | GTM_ROLE_DNS);
    assert_string_equal(n->data_dir, "/etc/gtm/state");
    assert_string_equal(n->exec_dir, "/x");
    assert_true(n->has_etcd);
    assert_null(n->cluster_file);
    assert_string_equal(n->dns_listen[0].text, "[2001:db8::1]:5300");
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(v6->sin6_port, htons(5300));
    assert_int_equal(v6->sin6_addr.s6_addr[15], 1);
    assert_int_equal(n->dns_listen[0].addr_len, sizeof(*v6));
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(v4->sin_port, htons(5301));
    assert_int_equal(v4->sin_addr.s_addr, inet_addr("127.0.0.1"));
    assert_int_equal(n->dns_listen[1].addr_len, sizeof(*v4));
    assert_int_equal(n->dns_threads, 3);
    assert_int_equal(n->geo_databases_count, 2);
    assert_string_equal(n->geo_databases[0], "/etc/gtm/city.mmdb");
    assert_string_equal(n->geo_databases[1], "/x/asn.mmdb");
    assert_string_equal(n->api_socket, "/etc/gtm/run/api.sock");
    assert_true(n->has_metrics);
    assert_string_equal(n->metrics_listen.text, "127.0.0.1:9153");
    assert_int_equal(n->log_level, GTM_LOG_DEBUG);
    gtm_node_free(n);
}

static void test_dns_defaults(void **state)
{
    struct gtm_node *n = accepted("node: {name: n1, region: here}\ncluster_file: /c\n");
    const struct gtm_node_dns *dns = &n->dns;
    assert_int_equal(dns->tls_listen_count, 0);
    assert_int_equal(dns->proxy_count, 0);
    assert_null(dns->nsid);
    assert_true(dns->cookies);
    assert_null(dns->cookie_secret);
    assert_null(dns->chaos_version);
    assert_null(dns->chaos_hostname);
    assert_int_equal(dns->rate_limit, 0);
    assert_int_equal(dns->rate_limit_slip, 2);
    assert_int_equal(dns->tcp_clients, 1000);
    assert_int_equal(dns->tcp_per_client, 100);
    assert_int_equal(dns->tcp_idle_ms, 10000);
    assert_false(n->push.has_listen);
    gtm_node_free(n);
}

static void test_dns_values(void **state)
{
    struct gtm_node *n =
        accepted("node: {name: n1, region: here}\ncluster_file: /c\n"
                 "dns:\n"
                 "  tls: {listen: [127.0.0.1:853, \"[::1]:853\"], cert: c.pem, key: /k.pem}\n"
                 "  proxy: [10.0.0.0/8, \"2001:db8::1\"]\n"
                 "  nsid: here\n"
                 "  cookies: {enabled: false, secret: {file: cookies}}\n"
                 "  chaos: {version: \"1\", hostname: h}\n"
                 "  rate_limit: {responses_per_s: 7, slip: 0, exempt: 192.0.2.0/24}\n"
                 "  tcp: {clients: 5, per_client: 4, idle: 1m}\n"
                 "push: {listen: 127.0.0.1:80, tls: {cert: p.pem, key: p.key}}\n");
    const struct gtm_node_dns *dns = &n->dns;
    assert_int_equal(dns->tls_listen_count, 2);
    assert_string_equal(dns->tls_listen[1].text, "[::1]:853");
    assert_string_equal(dns->tls_cert, "/etc/gtm/c.pem");
    assert_string_equal(dns->tls_key, "/k.pem");
    assert_int_equal(dns->proxy_count, 2);
    assert_int_equal(dns->proxy[0].prefix_len, 8);
    assert_int_equal(dns->proxy[1].family, 6);
    assert_string_equal(dns->nsid, "here");
    assert_false(dns->cookies);
    assert_string_equal(dns->cookie_secret, "/etc/gtm/cookies");
    assert_string_equal(dns->chaos_version, "1");
    assert_string_equal(dns->chaos_hostname, "h");
    assert_int_equal(dns->rate_limit, 7);
    assert_int_equal(dns->rate_limit_slip, 0);
    assert_int_equal(dns->rate_limit_exempt_count, 1);
    assert_int_equal(dns->tcp_clients, 5);
    assert_int_equal(dns->tcp_per_client, 4);
    assert_int_equal(dns->tcp_idle_ms, 60000);
    assert_true(n->push.has_listen);
    assert_string_equal(n->push.listen.text, "127.0.0.1:80");
    assert_string_equal(n->push.tls_cert, "/etc/gtm/p.pem");
    assert_string_equal(n->push.tls_key, "/etc/gtm/p.key");
    gtm_node_free(n);
}

static void test_no_geography(void **state)
{
    struct gtm_node *n =
        accepted("node: {name: n1, region: here}\ncluster_file: /c\ngeo: {databases: []}\n");
    assert_int_equal(n->geo_databases_count, 0);
    gtm_node_free(n);
    gtm_node_free(NULL);
}

static void test_cluster_values(void **state)
{
    struct gtm_node *n = accepted("node: {name: n1, region: here}\n"
                                  "etcd:\n"
                                  "  endpoints: [\"https://10.0.1.5:2379\", \"https://e2:2379\"]\n"
                                  "  tls: {ca: a.pem, cert: /b, key: c}\n"
                                  "  user: gtm\n"
                                  "  password: {file: pw}\n"
                                  "  session_ttl: 10s\n"
                                  "api:\n"
                                  "  listen: \"0.0.0.0:8443\"\n"
                                  "  advertise: gtm1.example.com:9443\n"
                                  "  tls: {ca: ca.pem, cert: node.pem, key: /node.key}\n"
                                  "secret_key: {file: cluster.key}\n");
    assert_int_equal(n->etcd.endpoints_count, 2);
    assert_string_equal(n->etcd.endpoints[0], "https://10.0.1.5:2379");
    assert_string_equal(n->etcd.endpoints[1], "https://e2:2379");
    assert_string_equal(n->etcd.ca, "/etc/gtm/a.pem");
    assert_string_equal(n->etcd.cert, "/b");
    assert_string_equal(n->etcd.key, "/etc/gtm/c");
    assert_string_equal(n->etcd.user, "gtm");
    assert_string_equal(n->etcd.password_file, "/etc/gtm/pw");
    assert_int_equal(n->etcd.session_ttl_s, 10);
    assert_true(n->api.has_listen);
    assert_string_equal(n->api.listen.text, "0.0.0.0:8443");
    assert_string_equal(n->api.advertise, "gtm1.example.com:9443");
    assert_string_equal(n->api.ca, "/etc/gtm/ca.pem");
    assert_string_equal(n->api.cert, "/etc/gtm/node.pem");
    assert_string_equal(n->api.key, "/node.key");
    assert_string_equal(n->secret_key, "/etc/gtm/cluster.key");
    gtm_node_free(n);
}

static void test_cluster_defaults(void **state)
{
    struct gtm_node *n = accepted("node: {name: n1, region: here}\n"
                                  "etcd: {endpoints: \"http://127.0.0.1:2379\"}\n");
    assert_true(n->has_etcd);
    assert_int_equal(n->etcd.endpoints_count, 1);
    assert_int_equal(n->etcd.session_ttl_s, 5);
    assert_null(n->etcd.ca);
    assert_null(n->etcd.user);
    assert_false(n->api.has_listen);
    assert_null(n->api.advertise);
    assert_null(n->secret_key);
    gtm_node_free(n);
}

static void test_notes(void **state)
{
    const char *text = "node: {name: n1, region: here}\ncluster_file: /c\n"
                       "agent: {members: [{group: g, member: m}]}\n";
    struct gtm_diags diags = {0};
    struct gtm_node *n = gtm_node_parse("n.yaml", text, strlen(text), &diags);
    assert_non_null(n);
    assert_int_equal(diags.count, 1);
    assert_int_equal(diags.items[0].severity, GTM_SEV_NOTE);
    assert_string_equal(diags.items[0].text, "'agent' is not active yet");
    gtm_diags_fini(&diags);
    gtm_node_free(n);
}

static void test_load_of_nothing(void **state)
{
    struct gtm_diags diags = {0};
    assert_null(gtm_node_load("/nonexistent/node.yaml", &diags));
    assert_int_equal(diags.errors, 1);
    gtm_diags_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),         cmocka_unit_test(test_values),
        cmocka_unit_test(test_dns_defaults),     cmocka_unit_test(test_dns_values),
        cmocka_unit_test(test_no_geography),     cmocka_unit_test(test_notes),
        cmocka_unit_test(test_load_of_nothing),  cmocka_unit_test(test_cluster_values),
        cmocka_unit_test(test_cluster_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
