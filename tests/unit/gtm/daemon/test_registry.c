/* SPDX-License-Identifier: Apache-2.0
 *
 * By what two processes of one name are told apart.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/coord/store.h"
#include "gtm/daemon/registry.h"
#include "tests/support/temp_dir.h"

#include <string.h>

static void the_same_folder_is_the_same_process(void **state)
{
    char a[TEST_TEMP_DIR_BYTES], b[TEST_TEMP_DIR_BYTES];
    char one[GTM_NODE_PROCESS_BYTES], two[GTM_NODE_PROCESS_BYTES];
    assert_int_equal(test_temp_dir_make("registry", a), 0);
    assert_int_equal(test_temp_dir_make("registry", b), 0);
    gtm_node_process(a, NULL, one);
    gtm_node_process(a, NULL, two);
    assert_int_equal(strlen(one), GTM_NODE_PROCESS_BYTES - 1);
    assert_string_equal(one, two);
    gtm_node_process(b, NULL, two);
    assert_string_not_equal(one, two);
    /* A copy of the machine, with everything on it. */
    gtm_node_process(a, "11111111-1111-1111-1111-111111111111\n", one);
    gtm_node_process(a, "22222222-2222-2222-2222-222222222222\n", two);
    assert_string_not_equal(one, two);
    assert_int_equal(test_temp_dir_remove(a), 0);
    assert_int_equal(test_temp_dir_remove(b), 0);
}

static void without_a_folder_it_is_random(void **state)
{
    char one[GTM_NODE_PROCESS_BYTES], two[GTM_NODE_PROCESS_BYTES];
    gtm_node_process("/nonexistent", NULL, one);
    gtm_node_process("/nonexistent", NULL, two);
    assert_true(strlen(one) > 8);
    assert_string_not_equal(one, two);
}

static void entries_are_read(void **state)
{
    struct gtm_node_entry node;
    const char *text = "{\"v\":1,\"node\":\"n1\",\"region\":\"r\",\"process\":\"p\",\"started\":5,"
                       "\"roles\":[\"health\"],\"vantage\":{\"fit\":true,\"why\":\"\"}}";
    struct gtm_store_entry entry = {
        .key = "node/n1", .value = text, .value_len = strlen(text), .revision = 3};
    assert_int_equal(gtm_node_entry_parse(&entry, &node), 0);
    assert_string_equal(node.started_by, "p");
    assert_int_equal(node.started_ms, 5);
    assert_true(node.health && node.fit && !node.dns);
    entry.key = "node/n2"; /* another's under this name */
    assert_int_equal(gtm_node_entry_parse(&entry, &node), GTM_EPARSE);
    entry = (struct gtm_store_entry){.key = "node/n1", .value = "[", .value_len = 1};
    assert_int_equal(gtm_node_entry_parse(&entry, &node), GTM_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_folder_is_the_same_process),
        cmocka_unit_test(without_a_folder_it_is_random),
        cmocka_unit_test(entries_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
