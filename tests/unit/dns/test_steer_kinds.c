/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic names of every type: CNAME chains, records of any length, what is missing, tables that
 * are refused, expired zones.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"
#include "tests/support/steer_fixture.h"

#include "dns/rr.h"
#include "dns/steer.h"

#include <stdio.h>
#include <string.h>

static const uint16_t type_cname[] = {DNS_TYPE_CNAME}, type_srv[] = {DNS_TYPE_SRV};
static const uint16_t types_www[] = {DNS_TYPE_A, DNS_TYPE_HTTPS, DNS_TYPE_SVCB};

#define TARGET "\6target\7example\3com"
#define MOVED  "\5moved\7example\3com"
#define WIDE   "\3far\7example\3org"

static struct dns_steer *cnames(const char *const *targets, size_t count)
{
    uint8_t rdata[512];
    uint16_t rdlens[8];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        rdlens[i] = (uint16_t)(strlen(targets[i]) + 1);
        memcpy(rdata + n, targets[i], rdlens[i]);
        n += rdlens[i];
    }
    struct dns_option_spec o = {
        .weight = 1, .answers = 8, .rdata = rdata, .rdlens = rdlens, .count = count};
    struct dns_choice *choices[DNS_KINDS] = {[DNS_KIND_CNAME] =
                                                 steer_choice(DNS_TYPE_CNAME, &o, 1)};
    return steer_of(steer_map(), choices);
}

static struct dns_view *cname_view(void)
{
    static const struct dns_zone_dynamic names[] = {{"moved", type_cname, 1, 0, NULL, 0, 0},
                                                    {"*.out", type_cname, 1, 1, NULL, 0, 0},
                                                    {"self", type_cname, 1, 2, NULL, 0, 0},
                                                    {"hop", type_cname, 1, 3, NULL, 0, 0}};
    struct dns_steer *steers[] = {
        cnames((const char *[]){TARGET}, 1), cnames((const char *[]){WIDE}, 1),
        cnames((const char *[]){"\4self\7example\3com"}, 1), cnames((const char *[]){MOVED}, 1)};
    return steer_view(names, 4, steers, false);
}

static void a_dynamic_cname_answers_every_type_and_is_followed(void **state)
{
    struct dns_view *view = cname_view();
    struct ask ask = {.name = "moved.example.com", .type = DNS_TYPE_A};
    (void)state;
#define CHAIN "moved.example.com. 30 CNAME target.example.com."
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | " CHAIN "; target.example.com. 60 A 192.0.2.99 | |");
    ask.type = DNS_TYPE_TXT;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | " CHAIN " | " SOA " |");
    ask.type = DNS_TYPE_CNAME;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | " CHAIN " | |");
    ask.type = DNS_TYPE_ANY;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | " CHAIN " | |");
    ask = (struct ask){.name = "link.example.com", .type = DNS_TYPE_A};
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | link.example.com. 60 CNAME moved.example.com.; " CHAIN
                        "; target.example.com. 60 A 192.0.2.99 | |");
    ask.name = "hop.example.com";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | hop.example.com. 30 CNAME moved.example.com.; " CHAIN
                        "; target.example.com. 60 A 192.0.2.99 | |");
    ask.name = "x.y.out.example.com";
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | x.y.out.example.com. 30 CNAME far.example.org. | |");
    ask.name = "self.example.com"; /* a loop: once */
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | self.example.com. 30 CNAME self.example.com. | |");
    ask = (struct ask){.name = "moved.example.com", .type = DNS_TYPE_A, .ecs = "203.0.113.64/26"};
    assert_non_null(strstr(ask_view(view, &ask), "scope=26"));
    dns_view_unref(view);
}

static void one_of_several_cnames_at_a_time(void **state)
{
    static const struct dns_zone_dynamic names[] = {{"moved", type_cname, 1, 0, NULL, 0, 0}};
    struct dns_steer *steers[] = {cnames((const char *[]){WIDE, TARGET}, 2)};
    struct dns_view *view = steer_view(names, 1, steers, false);
    struct ask ask = {.name = "moved.example.com", .type = DNS_TYPE_CNAME};
    unsigned far = 0, near = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        const char *got = ask_view(view, &ask);
        far += strstr(got, "far.example.org.") != NULL;
        near += strstr(got, "target.example.com.") != NULL;
    }
    assert_int_equal(far + near, 400);
    assert_in_range(far, 140, 260); /* 6 sigma */
    dns_view_unref(view);
}

/* priority, weight, port, target */
static const uint8_t srv_rdata[] = "\0\1\0\2\1\xbb\1a\7example\3org\0"
                                   "\0\1\0\3\1\xbb\6longer\7example\3org";
static const uint16_t srv_rdlens[] = {21, 26};
/* 1 . alpn=h2 port=8443 ipv4hint=192.0.2.1 */
static const uint8_t https_rdata[] = "\0\1\0"
                                     "\0\1\0\3\2h2"
                                     "\0\3\0\2\x20\xfb"
                                     "\0\4\0\4\xc0\0\2\1";

static struct dns_view *services_view(void)
{
    static const struct dns_zone_dynamic names[] = {{"_s._tcp", type_srv, 1, 0, NULL, 0, 0},
                                                    {"www", types_www, 3, 1, NULL, 0, 0}};
    const uint16_t https_len = sizeof(https_rdata) - 1;
    struct dns_option_spec srv = {
        .weight = 1, .answers = 2, .rdata = srv_rdata, .rdlens = srv_rdlens, .count = 2};
    struct dns_option_spec https = {
        .weight = 1, .answers = 1, .rdata = https_rdata, .rdlens = &https_len, .count = 1};
    struct dns_option_spec a = {
        .weight = 1, .answers = 1, .rdata = (const uint8_t *)"\xc0\0\2\1", .count = 1};
    struct dns_choice *one[DNS_KINDS] = {[DNS_KIND_SRV] = steer_choice(DNS_TYPE_SRV, &srv, 1)};
    struct dns_choice *two[DNS_KINDS] = {[DNS_KIND_A] = steer_choice(DNS_TYPE_A, &a, 1),
                                         [DNS_KIND_HTTPS] =
                                             steer_choice(DNS_TYPE_HTTPS, &https, 1)};
    struct dns_steer *steers[] = {steer_of(steer_map(), one), steer_of(steer_map(), two)};
    assert_int_equal(sizeof(srv_rdata) - 1 + 1, srv_rdlens[0] + srv_rdlens[1]);
    return steer_view(names, 2, steers, false);
}

static void records_of_any_length(void **state)
{
    struct dns_view *view = services_view();
    struct ask ask = {.name = "_s._tcp.example.com", .type = DNS_TYPE_SRV};
    (void)state;
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | _s._tcp.example.com. 30 SRV 1 2 443 a.example.org.; "
                        "_s._tcp.example.com. 30 SRV 1 3 443 longer.example.org. | |");
    ask.name = "srvlink.example.com"; /* owners point behind the CNAME */
    assert_string_equal(ask_view(view, &ask),
                        "NOERROR aa | _s._tcp.example.com. 30 SRV 1 2 443 a.example.org.; "
                        "_s._tcp.example.com. 30 SRV 1 3 443 longer.example.org.; "
                        "srvlink.example.com. 60 CNAME _s._tcp.example.com. | |");
    ask = (struct ask){.name = "www.example.com", .type = DNS_TYPE_HTTPS};
    const char *got = ask_view(view, &ask);
    assert_non_null(strstr(got, "HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.1"));
    ask.type = DNS_TYPE_A;
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | www.example.com. 30 A 192.0.2.1 | |");
    ask.type = DNS_TYPE_AAAA; /* not dynamic here */
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " |");
    ask.type = DNS_TYPE_SVCB; /* the zone says dynamic, the table has none */
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " |");
    ask = (struct ask){.name = "_s._tcp.example.com", .type = DNS_TYPE_A};
    assert_string_equal(ask_view(view, &ask), "NOERROR aa | | " SOA " |");
    dns_view_unref(view);
}

static void long_records_are_truncated_over_udp(void **state)
{
    static const struct dns_zone_dynamic names[] = {{"_s._tcp", type_srv, 1, 0, NULL, 0, 0}};
    uint8_t rdata[60 * 21];
    uint16_t rdlens[60];
    (void)state;
    for (size_t i = 0; i < 60; i++) {
        memcpy(rdata + i * 21, srv_rdata, 21);
        rdata[i * 21 + 3] = (uint8_t)i;
        rdlens[i] = 21;
    }
    struct dns_option_spec o = {
        .weight = 1, .answers = 60, .rdata = rdata, .rdlens = rdlens, .count = 60};
    struct dns_choice *choices[DNS_KINDS] = {[DNS_KIND_SRV] = steer_choice(DNS_TYPE_SRV, &o, 1)};
    struct dns_steer *steers[] = {steer_of(steer_map(), choices)};
    struct dns_view *view = steer_view(names, 1, steers, false);
    struct ask ask = {.name = "_s._tcp.example.com", .type = DNS_TYPE_SRV, .edns = true};
    assert_string_equal(ask_view(view, &ask), "NOERROR aa tc | | | | opt");
    ask.tcp = true;
    assert_non_null(strstr(ask_view(view, &ask), " SRV 1 59 443 a.example.org."));
    dns_view_unref(view);
}

/* ---- what is refused, and what does not answer ---- */

static void refused(const struct dns_choice_spec *spec, const char *why)
{
    struct gtm_error err = {0};
    assert_null(dns_choice_new(spec, &err));
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
}

static void bad_choices_are_refused(void **state)
{
    const uint16_t buckets[4] = {0, 0, 1, 2};
    uint16_t len = 20;
    struct dns_option_spec o = {
        .weight = 1, .answers = 1, .rdata = (const uint8_t *)TARGET, .rdlens = &len, .count = 1};
    struct dns_choice_spec spec = {.type = DNS_TYPE_CNAME, .options = &o, .options_count = 1};
    struct gtm_error err = {0};
    (void)state;
    struct dns_choice *fine = dns_choice_new(&spec, &err);
    assert_non_null(fine);
    dns_choice_unref(fine);
    len = 19; /* the name is cut off */
    refused(&spec, "no name");
    len = 0;
    refused(&spec, "octets");
    spec.type = DNS_TYPE_SRV;
    len = DNS_STEER_RDATA_MAX + 1;
    refused(&spec, "octets");
    o.rdlens = NULL;
    refused(&spec, "lengths");
    spec.type = DNS_TYPE_TXT;
    refused(&spec, "cannot be steered");
    spec.type = DNS_TYPE_A;
    o.rdata = (const uint8_t *)"\xc0\0\2\1\xc0\0\2\2";
    o.count = 2;
    o.buckets = buckets;
    o.buckets_count = 4; /* one leads to record 2 */
    refused(&spec, "bucket");
    o.buckets_count = 3;
    refused(&spec, "power of two");
    o.buckets_count = 2 * DNS_STEER_BUCKETS_MAX;
    refused(&spec, "power of two");
    o.buckets_count = 2;
    fine = dns_choice_new(&spec, &err);
    assert_non_null(fine);
    dns_choice_unref(fine);
}

static void a_zone_refuses_dynamic_types_that_cannot_be(void **state)
{
    static const uint16_t mx[] = {DNS_TYPE_MX};
    static const struct dns_zone_dynamic names[] = {{"www", mx, 1, 0, NULL, 0, 0},
                                                    {"@", type_cname, 1, 0, NULL, 0, 0},
                                                    {"target", type_cname, 1, 0, NULL, 0, 0}};
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "test.zone",
                                 .dynamics = names,
                                 .dynamics_count = 3,
                                 .slot_count = 1};
    struct gtm_diags diags = {0};
    (void)state;
    assert_null(dns_zone_load_text(&spec, steer_zone_text, strlen(steer_zone_text), &diags));
    assert_true(diags.errors >= 3); /* MX; a CNAME at the top, and beside other data */
    gtm_diags_fini(&diags);
}

static void an_expired_zone_says_so(void **state)
{
    struct dns_view *view = steer_view(NULL, 0, NULL, true);
    struct ask ask = {.name = "target.example.com", .type = DNS_TYPE_A, .edns = true};
    (void)state;
    assert_string_equal(ask_view(view, &ask), "SERVFAIL | | | | opt ede=24");
    ask.name = "example.com";
    ask.type = DNS_TYPE_SOA;
    assert_string_equal(ask_view(view, &ask), "SERVFAIL | | | | opt ede=24");
    uint8_t soa[DNS_SOA_RDATA_MAX];
    uint32_t ttl = 0;
    assert_int_equal(dns_zone_soa(dns_view_zone_at(view, 0), soa, &ttl), 16 + 19 + 20);
    assert_int_equal(ttl, 60);
    assert_memory_equal(soa, "\2ns\7example\3com\0\5admin\7example\3com\0\0\0\0\1", 16 + 19 + 4);
    dns_view_unref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dynamic_cname_answers_every_type_and_is_followed),
        cmocka_unit_test(one_of_several_cnames_at_a_time),
        cmocka_unit_test(records_of_any_length),
        cmocka_unit_test(long_records_are_truncated_over_udp),
        cmocka_unit_test(bad_choices_are_refused),
        cmocka_unit_test(a_zone_refuses_dynamic_types_that_cannot_be),
        cmocka_unit_test(an_expired_zone_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
