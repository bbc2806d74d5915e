/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of gtmd.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/daemon/options.h"

#include <stdlib.h>
#include <string.h>

/* Parses the words after "gtmd"; the message goes to text. */
static int parse(const char *const *words, struct gtmd_options *options, char *text, size_t room)
{
    char *argv[8] = {(char *)"gtmd"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    memset(text, 0, room);
    FILE *f = fmemopen(text, room, "w");
    int rc = gtmd_options_parse(argc, argv, options, f);
    fclose(f);
    return rc;
}

static void good(void **state)
{
    static const struct {
        const char *words[6];
        enum gtmd_action action;
        const char *config;
    } cases[] = {{{NULL}, GTMD_ACTION_RUN, "/etc/gtm/node.yaml"},
                 {{"--config", "a.yaml"}, GTMD_ACTION_RUN, "a.yaml"},
                 {{"--config=b.yaml", "--check"}, GTMD_ACTION_CHECK, "b.yaml"},
                 {{"--check", "-c", "c.yaml"}, GTMD_ACTION_CHECK, "c.yaml"},
                 {{"--version"}, GTMD_ACTION_VERSION, NULL},
                 {{"--help", "--nonsense"}, GTMD_ACTION_HELP, NULL},
                 {{"-h"}, GTMD_ACTION_HELP, NULL}};
    char text[512];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gtmd_options options;
        assert_int_equal(parse(cases[i].words, &options, text, sizeof(text)), 0);
        assert_int_equal(options.action, cases[i].action);
        if (cases[i].config)
            assert_string_equal(options.config, cases[i].config);
        assert_string_equal(text, "");
    }
}

static void bad(void **state)
{
    static const char *const cases[][6] = {{"--config"}, {"--nope"},    {"-z"},
                                           {"x"},        {"--check=1"}, {"--config", "a", "b"}};
    char text[512];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gtmd_options options;
        assert_int_equal(parse(cases[i], &options, text, sizeof(text)), -1);
        assert_non_null(strstr(text, "--help"));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
