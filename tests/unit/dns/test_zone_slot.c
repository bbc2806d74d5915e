/* SPDX-License-Identifier: Apache-2.0
 *
 * Which dynamic name a question reaches: exact names, wildcards and what blocks them, delegations.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/zone.h"

#include "dns/rr.h"

#include <stdio.h>
#include <string.h>

static const char zone_text[] = "$ORIGIN example.com.\n"
                                "$TTL 300\n"
                                "@ SOA ns1 admin 1 3600 600 86400 60\n"
                                "@ NS ns1\n"
                                "ns1 A 192.0.2.53\n"
                                "www TXT \"static beside dynamic\"\n"
                                "static.wild A 192.0.2.1\n"
                                "a.ent.wild A 192.0.2.2\n"
                                "sub NS ns.elsewhere.test.\n"
                                "old DNAME other.test.\n"
                                "alias CNAME www\n";

static void every_kind_of_name(void **state)
{
    static const uint16_t a[] = {DNS_TYPE_A}, both[] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    static const struct dns_zone_dynamic dynamics[] = {
        {.name = "www", .types = both, .types_count = 2, .slot = 0},
        {.name = "@", .types = a, .types_count = 1, .slot = 1},
        {.name = "*.wild", .types = a, .types_count = 1, .slot = 2},
        {.name = "deep.er.name", .types = a, .types_count = 1, .slot = 3}};
    static const struct {
        const char *name;
        uint16_t type;
        int slot;
    } rows[] = {
        {"www.example.com", DNS_TYPE_A, 0},
        {"WWW.Example.COM", DNS_TYPE_AAAA, 0},
        {"www.example.com", DNS_TYPE_TXT, -1},
        {"example.com", DNS_TYPE_A, 1},
        {"example.com", DNS_TYPE_AAAA, -1},
        {"deep.er.name.example.com", DNS_TYPE_A, 3},
        {"er.name.example.com", DNS_TYPE_A, -1},
        {"x.wild.example.com", DNS_TYPE_A, 2},
        {"x.y.z.wild.example.com", DNS_TYPE_A, 2},
        {"*.wild.example.com", DNS_TYPE_A, 2},
        {"x.wild.example.com", DNS_TYPE_AAAA, -1},
        {"wild.example.com", DNS_TYPE_A, -1},
        {"static.wild.example.com", DNS_TYPE_A, -1},
        {"x.static.wild.example.com", DNS_TYPE_A, -1},
        {"ent.wild.example.com", DNS_TYPE_A, -1},
        {"x.ent.wild.example.com", DNS_TYPE_A, -1}, /* an empty non-terminal blocks it */
        {"x.sub.example.com", DNS_TYPE_A, -1},
        {"x.old.example.com", DNS_TYPE_A, -1},
        {"alias.example.com", DNS_TYPE_A, -1},
        {"nothing.example.com", DNS_TYPE_A, -1},
    };
    struct dns_zone_spec spec = {.origin = "example.com",
                                 .path = "zone",
                                 .dynamics = dynamics,
                                 .dynamics_count = 4,
                                 .slot_count = 4};
    struct gtm_diags diags = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, zone_text, strlen(zone_text), &diags);
    if (!zone)
        gtm_diags_print(&diags, stderr);
    assert_non_null(zone);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const uint8_t root[1] = {0};
        uint8_t name[DNS_NAME_MAX];
        size_t len = 0;
        assert_int_equal(dns_name_parse(rows[i].name, strlen(rows[i].name), root, name, &len, NULL),
                         0);
        int64_t slot = dns_zone_slot(zone, name, rows[i].type);
        if (slot != rows[i].slot)
            print_error("%s type %u: slot %d\n", rows[i].name, rows[i].type, (int)slot);
        assert_int_equal(slot, rows[i].slot);
    }
    gtm_diags_fini(&diags);
    dns_zone_unref(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
