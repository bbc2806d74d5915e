/* SPDX-License-Identifier: Apache-2.0
 *
 * See steer_fixture.h.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/steer_fixture.h"

#include <stdio.h>
#include <string.h>

const char steer_zone_text[] = "$TTL 60\n@ SOA ns admin 1 2 3 4 5\n@ NS ns.example.net.\n"
                               "target A 192.0.2.99\nlink CNAME moved\nsrvlink CNAME _s._tcp\n";

/* 203.0.113.64/26 is class 1, all else class 0 */
static uint32_t classify(void *ctx, const struct gtm_location *loc, const uint32_t *labels,
                         size_t count)
{
    (void)ctx;
    (void)loc;
    return count > 0 ? labels[0] : 0;
}

struct dns_classmap *steer_map(void)
{
    static const struct dns_labeled_network nets[] = {{4, 26, {203, 0, 113, 64}, 1}};
    struct gtm_error err = {0};
    struct dns_classmap *map = dns_classmap_build(NULL, nets, 1, classify, NULL, &err);
    assert_non_null(map);
    return map;
}

struct dns_choice *steer_choice(uint16_t type, const struct dns_option_spec *options, size_t n)
{
    struct gtm_error err = {0};
    struct dns_choice_spec spec = {
        .type = type, .ttl_s = 30, .options = options, .options_count = n};
    struct dns_choice *c = dns_choice_new(&spec, &err);
    if (c == NULL)
        fail_msg("%s", err.text);
    return c;
}

struct dns_steer *steer_of(struct dns_classmap *map, struct dns_choice *choices[DNS_KINDS])
{
    static const uint16_t slots[8] = {0};
    struct gtm_error err = {0};
    struct dns_picks *picks = dns_picks_new(slots, dns_classmap_classes(map), &err);
    struct dns_steer_kind kinds[DNS_KINDS] = {{0}};
    for (int k = 0; k < DNS_KINDS; k++)
        if (choices[k] != NULL)
            kinds[k] = (struct dns_steer_kind){picks, &choices[k], 1};
    struct dns_steer *steer = dns_steer_new(map, kinds, &err);
    if (steer == NULL)
        fail_msg("%s", err.text);
    for (int k = 0; k < DNS_KINDS; k++)
        dns_choice_unref(choices[k]);
    dns_picks_unref(picks);
    dns_classmap_unref(map);
    return steer;
}

struct dns_view *steer_view(const struct dns_zone_dynamic *names, size_t count,
                            struct dns_steer **steers, bool expired)
{
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "test.zone",
                                 .dynamics = names,
                                 .dynamics_count = count,
                                 .slot_count = (uint32_t)count};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_zone *zone =
        dns_zone_load_text(&spec, steer_zone_text, strlen(steer_zone_text), &diags);
    if (zone == NULL)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    assert_non_null(zone);
    struct dns_view_zone vz = {.zone = zone, .slots = steers, .expired = expired};
    struct dns_view *view = dns_view_new(&vz, 1, NULL, 1, &err);
    assert_non_null(view);
    dns_zone_unref(zone);
    for (size_t i = 0; i < count; i++)
        dns_steer_unref(steers[i]);
    return view;
}
