/* SPDX-License-Identifier: Apache-2.0
 *
 * Published names of every type and sticky policies, asked through dns_answer: what records are
 * made of, how they follow health, what is shared.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/publish_fixture.h"

#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "tests/support/build_intent.h"
#include "tests/support/dns_ask.h"

#include <stdio.h>
#include <string.h>

#define CNAME GTM_TYPE_CNAME
#define SRV   GTM_TYPE_SRV
#define HTTPS GTM_TYPE_HTTPS
#define SVCB  GTM_TYPE_SVCB
#define assert_dig(f, name, type, ecs, want) \
    assert_string_equal(publish_dig(f, name, type, ecs), want)
#define assert_dig_has(f, name, type, ecs, want)            \
    do {                                                    \
        const char *got_ = publish_dig(f, name, type, ecs); \
        if (strstr(got_, want) == NULL)                     \
            fail_msg("no '%s' in '%s'", want, got_);        \
    } while (0)

enum { STICKY = FAR + 1 };

/* The fixture with hosts and more names: cn (CNAME), _s._tcp (SRV), web (A, AAAA, HTTPS, SVCB),
 * st (A) of a sticky policy; then installed anew. */
static int setup(void **state)
{
    static const uint16_t cname[] = {CNAME}, srv[] = {SRV}, web[] = {A, AAAA, HTTPS, SVCB};
    static const uint16_t https[] = {HTTPS}, a[] = {A};
    struct gtm_error err = {0};
    assert_int_equal(publish_setup(state), 0);
    struct fixture *f = *state;
    gtm_states_free(f->states); /* before its intent gets another policy */
    static const char *const hosts[] = {"us.example.net", "eu.example.net.", "target.example.com"};
    for (unsigned e = US; e <= AP; e++)
        build_host(f->in, 0, e, hosts[e]);
    build_policy(f->in, "sticky", GTM_STEER_STICKY, 0);
    build_typed(f->in, 0, "cn", 1, cname, NEAR);
    build_typed(f->in, 0, "_s._tcp", 1, srv, MULTI)->service_port = 443;
    struct gtm_dynamic_name *n = build_typed(f->in, 0, "web", 4, web, NEAR);
    build_alpn(n, "h2");
    build_alpn(n, "h3");
    n->service_port = 8443;
    build_typed(f->in, 0, "nameless", 1, https, OPEN2);
    build_typed(f->in, 0, "broken", 1, cname, OPEN2);
    build_typed(f->in, 0, "shut", 1, cname, CLOSED);
    build_typed(f->in, 0, "st", 1, a, STICKY);
    f->states = gtm_states_new(f->in);
    gtm_compiled_unref(f->compiled);
    f->compiled = publish_compile(f, NULL);
    assert_non_null(f->compiled);
    assert_int_equal(gtm_publisher_install(f->pub, f->compiled, f->states, &err), 0);
    return 0;
}

static void a_cname_names_the_host_of_the_region(void **state)
{
    struct fixture *f = *state;
    assert_dig(f, "cn.example.com", A, "10.1.2.0/24",
               "NOERROR aa | cn.example.com. 30 CNAME us.example.net. | | | opt scope=15");
    assert_dig_has(f, "cn.example.com", AAAA, "10.2.2.0/24", " 30 CNAME eu.example.net. |");
    assert_dig_has(f, "cn.example.com", CNAME, "10.3.2.0/24", " CNAME target.example.com. |");
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    assert_dig_has(f, "cn.example.com", A, "10.2.2.0/24", " CNAME us.example.net. |");
    /* one family is enough for a name of hosts */
    gtm_states_set_health(f->states, 0, EU, GTM_FAMILY_V6, GTM_HEALTH_UP, &f->touched);
    publish_flip(f);
    assert_dig_has(f, "cn.example.com", A, "10.2.2.0/24", " CNAME eu.example.net. |");
    publish_set_pool(f, 0, GTM_HEALTH_DOWN);
    assert_dig_has(f, "cn.example.com", A, "10.2.2.0/24", " CNAME eu.example.net. |"); /* open */
    assert_dig_has(f, "shut.example.com", A, "10.2.2.0/24", "all endpoints of closed are down");
}

static void srv_has_weights_and_the_port(void **state)
{
    struct fixture *f = *state;
    assert_dig_has(f, "_s._tcp.example.com", SRV, NULL,
                   "_s._tcp.example.com. 30 SRV 1 100 443 eu.example.net.; "
                   "_s._tcp.example.com. 30 SRV 1 100 443 target.example.com.; "
                   "_s._tcp.example.com. 30 SRV 1 100 443 us.example.net. |");
    gtm_states_set_share(f->states, 0, US, GTM_FAMILY_V4, 400, &f->touched);
    gtm_states_set_share(f->states, 0, US, GTM_FAMILY_V6, 400, &f->touched);
    publish_flip(f);
    assert_dig_has(f, "_s._tcp.example.com", SRV, NULL, " SRV 1 40 443 us.example.net.");
    publish_set(f, 0, US, GTM_HEALTH_DOWN);
    publish_flip(f);
    assert_null(strstr(publish_dig(f, "_s._tcp.example.com", SRV, NULL), "us.example.net."));
    assert_dig_has(f, "_s._tcp.example.com", A, NULL, "NOERROR aa | | example.com. 60 SOA");
}

static void srv_weights_fit_into_sixteen_bits(void **state)
{
    struct fixture *f = *state;
    static const uint32_t balanced[] = {65535, 33, 1};
    assert_int_equal(gtm_states_set_balance(f->states, MULTI, balanced, 3, &f->touched), 0);
    gtm_states_set_share(f->states, 0, AP, GTM_FAMILY_V4, 1, &f->touched);
    publish_flip(f);
    const char *got = publish_dig(f, "_s._tcp.example.com", SRV, NULL);
    assert_non_null(strstr(got, " SRV 1 65535 443 us.example.net."));
    assert_non_null(strstr(got, " SRV 1 33 443 eu.example.net."));
    assert_non_null(strstr(got, " SRV 1 1 443 target.example.com.")); /* never 0 by rounding */
}

static void https_has_parameters_in_order(void **state)
{
    struct fixture *f = *state;
    assert_dig_has(f, "web.example.com", HTTPS, "10.2.2.0/24",
                   "web.example.com. 30 HTTPS 1 eu.example.net. alpn=h2,h3 port=8443 "
                   "ipv4hint=192.0.0.2 ipv6hint=2001:db8::2");
    assert_dig_has(f, "web.example.com", SVCB, "10.1.2.0/24",
                   " SVCB 1 us.example.net. alpn=h2,h3 port=8443 ipv4hint=192.0.0.1");
    assert_dig_has(f, "web.example.com", A, "10.2.2.0/24", " A 192.0.0.2 |");
    assert_dig_has(f, "nameless.example.com", HTTPS, "10.2.2.0/24",
                   " HTTPS 1 . ipv4hint=192.0.1.2 ipv6hint=2001:db8:1::2");
    /* a family that is down is not hinted at */
    gtm_states_set_health(f->states, 0, EU, GTM_FAMILY_V4, GTM_HEALTH_DOWN, &f->touched);
    publish_flip(f);
    assert_dig_has(f, "web.example.com", HTTPS, "10.2.2.0/24",
                   " HTTPS 1 eu.example.net. alpn=h2,h3 port=8443 ipv6hint=2001:db8::2");
    assert_dig_has(f, "web.example.com", A, "10.2.2.0/24", " A 192.0.0.1 |");
    publish_set_pool(f, 0, GTM_HEALTH_DOWN); /* fail_open: all hints rather than none */
    assert_dig_has(f, "web.example.com", HTTPS, "10.2.2.0/24",
                   "ipv4hint=192.0.0.2 ipv6hint=2001:db8::2");
}

static void an_endpoint_without_a_host_is_named(void **state)
{
    struct fixture *f = *state;
    assert_dig_has(f, "broken.example.com", A, "10.2.2.0/24", "SERVFAIL");
    assert_dig_has(f, "broken.example.com", A, "10.2.2.0/24", "endpoint p1-eu has no host name");
}

static void names_that_agree_share_a_table(void **state)
{
    struct fixture *f = *state;
    static const uint16_t https[] = {HTTPS};
    struct gtm_compiled_info before, after;
    gtm_compiled_info(f->compiled, &before);
    struct gtm_dynamic_name *n = build_typed(f->in, 0, "web1", 1, https, NEAR);
    n->service_port = 8443;
    build_typed(f->in, 0, "web2", 1, https, NEAR)->service_port = 8443;
    build_typed(f->in, 0, "web3", 1, https, NEAR)->service_port = 8444;
    n = build_typed(f->in, 0, "web4", 1, https, NEAR);
    n->service_port = 8443;
    build_alpn(n, "h2");
    struct gtm_compiled *c = publish_compile(f, f->compiled);
    gtm_compiled_info(c, &after);
    assert_int_equal(after.tables - before.tables, 3);
    gtm_compiled_unref(c);
}

static void a_flip_leaves_other_kinds_alone(void **state)
{
    struct fixture *f = *state;
    struct gtm_publisher_info before, after;
    publish_flip(f);
    gtm_publisher_info(f->pub, &before);
    gtm_touched_add(&f->touched, 0);
    publish_flip(f); /* nothing differs: no choice is built, no view */
    gtm_publisher_info(f->pub, &after);
    assert_int_equal(after.choices_built, before.choices_built);
    assert_int_equal(after.revision, before.revision);
    assert_true(after.tables_built > before.tables_built);
}

/* ---- sticky ---- */

static char sticky_last(struct fixture *f, unsigned net, unsigned *ret_scope)
{
    char ecs[32];
    snprintf(ecs, sizeof(ecs), "10.%u.%u.0/24", net >> 8 & 255, net & 255);
    const char *got = publish_dig(f, "st.example.com", A, ecs);
    const char *at = strstr(got, " A 192.0.0."), *scope = strstr(got, "scope=");
    assert_non_null(at);
    assert_non_null(scope);
    assert_int_equal(sscanf(scope, "scope=%u", ret_scope), 1);
    return at[11];
}

static void a_sticky_network_moves_only_when_its_endpoint_goes(void **state)
{
    enum { NETS = 3000 };
    static char was[NETS];
    struct fixture *f = *state;
    unsigned counts[3] = {0}, moved = 0, scope = 0;
    for (unsigned net = 0; net < NETS; net++) {
        was[net] = sticky_last(f, net, &scope);
        assert_int_equal(scope, 24);
        counts[was[net] - '1']++;
    }
    for (unsigned e = 0; e < 3; e++) /* a third each: 1,024 buckets and 3,000 networks, 5 sigma */
        assert_in_range(counts[e], NETS / 3 - 260, NETS / 3 + 260);
    publish_set(f, 0, EU, GTM_HEALTH_DOWN);
    publish_flip(f);
    for (unsigned net = 0; net < NETS; net++) {
        char now = sticky_last(f, net, &scope);
        assert_int_not_equal(now, '2');
        assert_true(was[net] == '2' || now == was[net]);
        moved += now != was[net];
    }
    assert_int_equal(moved, counts[1]);
    publish_set(f, 0, EU, GTM_HEALTH_UP);
    publish_flip(f);
    for (unsigned net = 0; net < NETS; net++)
        assert_int_equal(sticky_last(f, net, &scope), was[net]);
}

static void a_ramp_brings_sticky_networks_back_bit_by_bit(void **state)
{
    enum { NETS = 1000 };
    static char was[NETS];
    struct fixture *f = *state;
    unsigned scope = 0, back = 0;
    for (unsigned net = 0; net < NETS; net++)
        was[net] = sticky_last(f, net, &scope);
    unsigned before = 0;
    for (unsigned share = 0; share <= GTM_SHARE_FULL; share += 250) {
        gtm_states_set_share(f->states, 0, EU, GTM_FAMILY_V4, share, &f->touched);
        publish_flip(f);
        back = 0;
        for (unsigned net = 0; net < NETS; net++) {
            char now = sticky_last(f, net, &scope);
            assert_true(now == was[net] || was[net] == '2');
            back += now == '2';
        }
        assert_true(back >= before);
        assert_true(share == 0 ? back == 0 : back > before);
        before = back;
    }
}

static void sticky_scopes_stay_when_everything_is_down(void **state)
{
    struct fixture *f = *state;
    unsigned scope = 0;
    publish_set_pool(f, 0, GTM_HEALTH_DOWN);
    sticky_last(f, 5, &scope);
    assert_int_equal(scope, 24);
    f->in->policies[STICKY].all_down = GTM_ALL_DOWN_FAIL_CLOSED;
    gtm_touched_add(&f->touched, 0);
    publish_flip(f);
    assert_dig_has(f, "st.example.com", A, "10.2.2.0/16", "SERVFAIL");
    assert_dig_has(f, "st.example.com", A, "10.2.2.0/24", "scope=24");
}

/* ---- explain ---- */

static void says(struct fixture *f, const char *name, uint16_t type, const char *has)
{
    struct gtm_error err = {0};
    struct gtm_explain_query q = {
        .name = name, .type = type, .family = 4, .addr = {10, 2, 2, 77}, .prefix_len = 24};
    struct gtm_json *said = gtm_explain(f->pub, f->states, &q, &err);
    char *text = said ? gtm_json_print(said, false) : NULL;
    assert_non_null(text);
    if (!strstr(text, has))
        fail_msg("%s: no %s in %s", name, has, text);
    gtm_json_free(said);
    gtm_free(text);
}

static void explain_tells_types_and_buckets(void **state)
{
    struct fixture *f = *state;
    says(f, "cn.example.com", A, "cn.example.com. is a dynamic CNAME, which answers every type");
    says(f, "cn.example.com", A, "eu.example.net. is in no zone of this node");
    says(f, "cn.example.com", CNAME, "\"data\":\"eu.example.net.\"");
    says(f, "_s._tcp.example.com", SRV, "\"data\":\"1 100 443 us.example.net.\"");
    says(f, "web.example.com", HTTPS, "alpn=h2,h3 port=8443 ipv4hint=192.0.0.2");
    says(f, "web.example.com", HTTPS, "\"address\":\"eu.example.net.\"");
    says(f, "st.example.com", A, "the client's network 10.2.2.0/24 falls into bucket ");
    says(f, "st.example.com", A, " of 1024, which endpoint p0-");
    says(f, "st.example.com", A, "\"scope\":24,\"mode\"");
    says(f, "broken.example.com", A, "endpoint p1-eu has no host name");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, publish_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_cname_names_the_host_of_the_region),
        T(srv_has_weights_and_the_port),
        T(srv_weights_fit_into_sixteen_bits),
        T(https_has_parameters_in_order),
        T(an_endpoint_without_a_host_is_named),
        T(names_that_agree_share_a_table),
        T(a_flip_leaves_other_kinds_alone),
        T(a_sticky_network_moves_only_when_its_endpoint_goes),
        T(a_ramp_brings_sticky_networks_back_bit_by_bit),
        T(sticky_scopes_stay_when_everything_is_down),
        T(explain_tells_types_and_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
