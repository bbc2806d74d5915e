/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes over one store: the leader makes the secret, all use it, a week later there is a new one
 * and the old one stays accepted; a node with another key says so and disturbs nobody.
 */
#include "gtm/daemon/shared_cookie.h"

#include "gtm/base/loop.h"
#include "gtm/coord/store_file.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct node {
    struct gtm_shared_cookie *cookie;
    bool leads;
    uint8_t keys[4][16];
    unsigned count, applied;
};

static char dir[TEST_TEMP_DIR_BYTES];
static struct gtm_loop *loop;
static struct gtm_store *store;
static int64_t wall_ms = 1000000;

static uint64_t mono(void *ctx)
{
    return gtm_mono_ns(gtm_clock_system());
}

static int64_t wall(void *ctx)
{
    return wall_ms;
}

static const struct gtm_clock clock_of_test = {.mono_ns = mono, .wall_ms = wall};

static int set_up(void **state)
{
    struct gtm_error err = {0}, damage = {0};
    wall_ms = 1000000;
    assert_int_equal(test_temp_dir_make("cookie", dir), 0);
    loop = gtm_loop_new();
    return gtm_store_file_open(loop, dir, &store, &damage, &err);
}

static int tear_down(void **state)
{
    gtm_store_close(store);
    gtm_loop_free(loop);
    return test_temp_dir_remove(dir);
}

static int guard(void *arg, struct gtm_store_change *ret)
{
    const struct node *node = arg;
    *ret = (struct gtm_store_change){.kind = GTM_STORE_CHECK, .key = "leader/x", .expect = 0};
    return node->leads ? GTM_OK : GTM_ESTATE;
}

static void apply(void *arg, const uint8_t keys[][16], unsigned count)
{
    struct node *node = arg;
    memcpy(node->keys, keys, 16 * count);
    node->count = count;
    node->applied++;
}

static void make(struct node *node, bool leads, const char *key, mode_t mode)
{
    char path[128];
    static unsigned n;
    snprintf(path, sizeof(path), "%s/key%u", dir, n++);
    FILE *f = fopen(path, "w");
    fputs(key, f);
    fclose(f);
    chmod(path, mode);
    *node = (struct node){.leads = leads};
    node->cookie = gtm_shared_cookie_new(&(struct gtm_shared_cookie_opts){.loop = loop,
                                                                          .clock = &clock_of_test,
                                                                          .store = store,
                                                                          .key_path = path,
                                                                          .guard = guard,
                                                                          .apply = apply,
                                                                          .arg = node});
    assert_non_null(node->cookie);
}

static void stop(void *arg)
{
    gtm_loop_stop(arg);
}

static void run_ms(unsigned ms)
{
    struct gtm_timer *timer = gtm_timer_new(loop, stop, loop);
    gtm_timer_start(timer, ms);
    gtm_loop_run(loop);
    gtm_timer_free(timer);
}

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char *kept(void)
{
    struct gtm_store_entry entry;
    return gtm_store_get(store, GTM_SHARED_COOKIE_KEY, &entry) == GTM_OK ? entry.value : "";
}

static void one_secret_for_all(void **state)
{
    static struct node leader, other, wrong, open;
    uint8_t first[16];
    make(&other, false, KEY_A, 0600);
    run_ms(300);
    assert_string_equal(kept(), ""); /* who does not lead makes none */
    make(&leader, true, KEY_A, 0600);
    make(&wrong, true, KEY_B, 0600);
    make(&open, true, KEY_A, 0644);
    run_ms(2500);
    assert_true(leader.applied > 0 && other.applied > 0);
    assert_int_equal(leader.count, 1);
    assert_memory_equal(leader.keys[0], other.keys[0], 16);
    assert_null(gtm_shared_cookie_problem(leader.cookie));
    assert_null(gtm_shared_cookie_problem(NULL));
    memcpy(first, leader.keys[0], 16);
    char hex[33];
    for (unsigned i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", first[i]);
    assert_null(strstr(kept(), hex)); /* not in clear */

    /* Two leaders with different keys cannot both have made it; the one that did not complains. */
    assert_int_equal(wrong.applied, 0);
    assert_non_null(strstr(gtm_shared_cookie_problem(wrong.cookie), "was sealed with key"));
    assert_int_equal(open.applied, 0);
    assert_non_null(strstr(gtm_shared_cookie_problem(open.cookie), "mode"));

    wall_ms += GTM_SHARED_COOKIE_WEEK_MS - 1;
    run_ms(1500);
    assert_int_equal(leader.count, 1);
    wall_ms += 1;
    run_ms(3000);
    assert_int_equal(leader.count, 2);
    assert_int_equal(other.count, 2);
    assert_memory_equal(other.keys, leader.keys, 32);
    assert_memory_equal(leader.keys[1], first, 16); /* the old one is still accepted */
    assert_memory_not_equal(leader.keys[0], first, 16);
    wall_ms += GTM_SHARED_COOKIE_WEEK_MS;
    run_ms(3000);
    assert_int_equal(other.count, 2); /* not for ever */
    assert_memory_not_equal(other.keys[1], first, 16);
    gtm_shared_cookie_free(leader.cookie);
    gtm_shared_cookie_free(other.cookie);
    gtm_shared_cookie_free(wrong.cookie);
    gtm_shared_cookie_free(open.cookie);
    gtm_shared_cookie_free(NULL);
}

static void freed_while_writing(void **state)
{
    static struct node leader;
    make(&leader, true, KEY_A, 0600);
    run_ms(3); /* its first look has committed; the disk may still work */
    gtm_shared_cookie_free(leader.cookie);
    run_ms(200);
    assert_string_not_equal(kept(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_secret_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(freed_while_writing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
