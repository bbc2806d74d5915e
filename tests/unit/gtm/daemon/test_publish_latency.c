/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of times in a compile: the file, what is pushed instead of it, and what is refused.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "policies/latency.h"
#include "tests/support/build_intent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], copies[96], file[96], zone[96];

static void write_file(const char *path, const char *text)
{
    assert_int_equal(gtm_fs_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static struct gtm_intent *world(void)
{
    struct gtm_intent *in = build_intent();
    build_region(in, "us", 38, -77);
    build_region(in, "eu", 53, -6);
    int pool = (int)build_pool(in, "www");
    build_endpoint(in, 0, "a", 0, "192.0.2.1", NULL, 1);
    build_endpoint(in, 0, "b", 1, "192.0.2.2", NULL, 1);
    build_policy(in, "fast", GTM_STEER_LATENCY, pool);
    build_policy(in, "near", GTM_STEER_NEAREST, pool);
    in->policies[0].latency_file = gtm_strdup(file);
    build_name(in, build_zone(in, "example.com", zone), "www", 1, 0);
    return in;
}

/* The first region for a client in 10/8; -1 when the compile fails. */
static int first_region(const struct gtm_intent *in, struct gtm_diags *diags)
{
    struct gtm_compiled *c = gtm_compile_in(in, NULL, NULL, copies, diags);
    if (!c)
        return -1;
    const struct gtm__map *map = c->maps[c->tables[0].map];
    uint32_t leaf = dns_classmap_find(map->map, 4, (const uint8_t[4]){10, 1, 2, 3});
    int region = gtm__map_class(map, DNS_LEAF_CLASS(leaf))->region[0];
    gtm_compiled_unref(c);
    return region;
}

static void the_file_then_what_is_pushed_then_the_file(void **state)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *in = world();
    static const char text[] = "10.0.0.0/8 us 1\n";
    write_file(file, "10.0.0.0/8 us 10\n10.0.0.0/8 eu 5\n");
    assert_int_equal(first_region(in, &diags), 1);
    assert_int_equal(gtm_latency_push(in, copies, "near", text, sizeof(text) - 1, &diags),
                     GTM_ENOTFOUND);
    assert_int_equal(gtm_latency_push(in, copies, "../fast", text, sizeof(text) - 1, &diags),
                     GTM_ENOTFOUND);
    assert_int_equal(gtm_latency_push(in, copies, "fast", "rubbish", 7, &diags), GTM_EPARSE);
    assert_int_equal(diags.errors, 1);
    assert_int_equal(first_region(in, &diags), 1); /* refused: as before */
    assert_int_equal(gtm_latency_push(in, copies, "fast", text, sizeof(text) - 1, &diags), 0);
    assert_int_equal(first_region(in, &diags), 0);
    assert_int_equal(gtm_latency_push(in, copies, "fast", NULL, 0, &diags), 0);
    assert_int_equal(first_region(in, &diags), 1);
    assert_int_equal(gtm_latency_push(in, copies, "fast", NULL, 0, &diags), GTM_ENOTFOUND);
    gtm_diags_fini(&diags);
    build_free(in);
}

static void a_wrong_file_stops_the_compile(void **state)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *in = world();
    write_file(file, "10.0.0.0/8 us 10\nrubbish\n10.0.0.0/8 eu x\n");
    assert_int_equal(first_region(in, &diags), -1);
    assert_int_equal(diags.errors, 2);
    assert_string_equal(diags.items[0].file, file);
    assert_int_equal(diags.items[0].line, 2);
    unlink(file);
    assert_int_equal(first_region(in, &diags), -1);
    assert_non_null(strstr(diags.items[2].text, "policy fast: its table of latencies"));
    gtm_free(in->policies[0].latency_file);
    in->policies[0].latency_file = NULL; /* only what is pushed: nothing yet, so as nearest */
    assert_int_equal(first_region(in, &diags), 0);
    gtm_diags_fini(&diags);
    build_free(in);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/gtm-latency-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(copies, sizeof(copies), "%s/copies", dir);
    snprintf(file, sizeof(file), "%s/times", dir);
    snprintf(zone, sizeof(zone), "%s/zone", dir);
    write_file(zone, "$TTL 60\n@ SOA ns1 a 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n");
    return 0;
}

static int teardown(void **state)
{
    unlink(file);
    unlink(zone);
    rmdir(copies);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_then_what_is_pushed_then_the_file),
        cmocka_unit_test(a_wrong_file_stops_the_compile),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
