/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities: what is taken, what is refused.
 */
#include "gtm/model/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIXTY_THREE "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void nodes(void **state)
{
    struct gtm_identity id;
    struct gtm_error err = {0};
    assert_int_equal(gtm_identity_parse("gtm:node/us-east/us-east-1a", &id, &err), GTM_OK);
    assert_int_equal(id.kind, GTM_IDENTITY_NODE);
    assert_int_equal(id.role, GTM_USER_VIEWER);
    assert_string_equal(id.region, "us-east");
    assert_string_equal(id.name, "us-east-1a");
    assert_int_equal(gtm_identity_parse("gtm:node/a/" SIXTY_THREE, &id, &err), GTM_OK);
    assert_string_equal(id.name, SIXTY_THREE);
}

static void users(void **state)
{
    static const char *const words[] = {"viewer", "operator", "admin", "breakglass"};
    struct gtm_identity id;
    struct gtm_error err = {0};
    for (unsigned r = 0; r < GTM_USER_ROLE_COUNT; r++) {
        char uri[64];
        snprintf(uri, sizeof(uri), "gtm:user/%s/Ada.L@example.com", words[r]);
        assert_int_equal(gtm_identity_parse(uri, &id, &err), GTM_OK);
        assert_int_equal(id.kind, GTM_IDENTITY_USER);
        assert_int_equal(id.role, r);
        assert_string_equal(id.region, "");
        assert_string_equal(id.name, "Ada.L@example.com");
        assert_string_equal(gtm_user_role_word(r), words[r]);
    }
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "",
        "gtm:",
        "gtm:node",
        "gtm:node/",
        "gtm:node/a",
        "gtm:node/a/",
        "gtm:node//a",
        "gtm:node/a/b/",
        "gtm:node/a/b/c",
        "gtm:node/A/b",
        "gtm:node/a/B",
        "gtm:node/a/b ",
        " gtm:node/a/b",
        "GTM:node/a/b",
        "gtm:Node/a/b",
        "gtm:nodes/a/b",
        "gtm:node/a/-b",
        "gtm:node/a/b?x",
        "gtm:node/a%2fb/c",
        "gtm:user/root/a",
        "gtm:user/Admin/a",
        "gtm:user/admin",
        "gtm:user/admin/",
        "gtm:user/admin/a/b",
        "gtm:user/admin/a b",
        "gtm:user/admin/../x",
        "gtm:user/admin/.a",
        "gtm:user/admin/a@",
        "gtm:user//a",
        "gtm:user/adminx/a",
        "gtm:user/adm/a",
        "gtm:group/admin/a",
        "gtm:user/admin/\xc3\xa4",
        "gtm:node/a/" SIXTY_THREE "g",
        "gtm:user/admin/" SIXTY_THREE "g",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gtm_identity id;
        struct gtm_error err = {0};
        if (gtm_identity_parse(bad[i], &id, &err) != GTM_EPARSE)
            fail_msg("'%s' was taken", bad[i]);
        assert_non_null(strstr(err.text, "gtm:node/REGION/NAME"));
        assert_string_equal(id.name, "");
        assert_int_equal(id.role, GTM_USER_VIEWER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes),
        cmocka_unit_test(users),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
