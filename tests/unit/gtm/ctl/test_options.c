/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: what is taken, what is refused and with which exit code, near words, and that
 * the tables themselves are sound. What is said goes to standard error and is looked at in
 * tests/e2e/test_gtmctl.py.
 */
#include "gtm/ctl/options.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 16

struct line {
    struct ctl ctl;
    char text[512];
    char *argv[WORDS_MAX + 1];
    int argc, code;
    const struct ctl_command *command;
};

/* Parses "gtmctl " + text, split at spaces. */
static void parse(struct line *l, const char *text)
{
    char *save = NULL;

    *l = (struct line){.code = -1};
    snprintf(l->text, sizeof(l->text), "gtmctl %s", text);
    for (char *w = strtok_r(l->text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        assert_true(l->argc < WORDS_MAX);
        l->argv[l->argc++] = w;
    }
    l->command = ctl_parse(&l->ctl, l->argc, l->argv, &l->code);
}

static void takes(struct line *l, const char *text, const char *noun, const char *verb)
{
    parse(l, text);
    if (l->command == NULL)
        fail_msg("'%s' was refused", text);
    assert_string_equal(l->command->noun, noun);
    assert_string_equal(l->command->verb ? l->command->verb : "", verb);
}

static void refuses(const char *text, int code)
{
    struct line l;

    parse(&l, text);
    if (l.command != NULL || l.code != code)
        fail_msg("'%s' gave exit %d, not %d", text, l.code, code);
    ctl_fini(&l.ctl);
}

static void test_words(void **state)
{
    struct line l;

    takes(&l, "status", "status", "");
    takes(&l, "pool show www", "pool", "show");
    assert_int_equal(l.ctl.argc, 1);
    assert_string_equal(l.ctl.argv[0], "www");
    takes(&l, "endpoint list", "endpoint", "list");
    assert_int_equal(l.ctl.argc, 0);
    takes(&l, "explain www.example.com AAAA --client ::1", "explain", "");
    assert_string_equal(l.ctl.argv[1], "AAAA");
    assert_string_equal(l.ctl.client_address, "::1");
    takes(&l, "pool -- show --odd-name", "pool", "show");
    assert_string_equal(l.ctl.argv[0], "--odd-name");
    takes(&l, "validate -", "validate", "");
    assert_string_equal(l.ctl.argv[0], "-");
}

static void test_options_anywhere(void **state)
{
    struct line l;

    takes(&l, "--socket /a -o json endpoint --reason=why drain --for 2h p/e -y --dry-run",
          "endpoint", "drain");
    assert_string_equal(l.ctl.socket, "/a");
    assert_int_equal(l.ctl.output, CTL_JSON);
    assert_string_equal(l.ctl.reason, "why");
    assert_int_equal(l.ctl.for_ms, 7200000);
    assert_true(l.ctl.yes && l.ctl.dry_run && !l.ctl.verbose);
    takes(&l, "-oyaml status", "status", "");
    assert_int_equal(l.ctl.output, CTL_YAML);
    takes(&l, "status -o=wide -v", "status", "");
    assert_int_equal(l.ctl.output, CTL_WIDE);
    assert_true(l.ctl.verbose);
    takes(&l, "endpoint drain p/e --reason=", "endpoint", "drain");
    assert_string_equal(l.ctl.reason, "");
}

/* -f is the file where one is taken, else to follow; also before the noun. */
static void test_letter_f(void **state)
{
    struct line l;

    takes(&l, "validate -f a.yaml", "validate", "");
    assert_string_equal(l.ctl.file, "a.yaml");
    takes(&l, "-f a.yaml validate", "validate", "");
    assert_string_equal(l.ctl.file, "a.yaml");
    takes(&l, "config check -fnode.yaml", "config", "check");
    assert_string_equal(l.ctl.file, "node.yaml");
    takes(&l, "events -f", "events", "");
    assert_true(l.ctl.follow);
    takes(&l, "-f events", "events", "");
    assert_true(l.ctl.follow);
    refuses("status -f", CTL_USAGE);
}

static void test_watch(void **state)
{
    struct line l;

    takes(&l, "status", "status", "");
    assert_int_equal(l.ctl.watch_ms, 0);
    takes(&l, "status -w", "status", "");
    assert_int_equal(l.ctl.watch_ms, 2000);
    takes(&l, "status --watch=500ms", "status", "");
    assert_int_equal(l.ctl.watch_ms, 500);
    takes(&l, "status -w 5", "status", "");
    assert_int_equal(l.ctl.watch_ms, 5000);
    takes(&l, "endpoint list -w www", "endpoint", "list"); /* no time: an argument */
    assert_int_equal(l.ctl.watch_ms, 2000);
    assert_string_equal(l.ctl.argv[0], "www");
    refuses("status --watch=www", CTL_USAGE);
    refuses("status --watch=1ms", CTL_USAGE);
    refuses("zone list -w", CTL_USAGE);
}

static void test_refused(void **state)
{
    static const char *const lines[] = {
        "",
        "stauts",
        "pool",
        "pool shw",
        "pool show",
        "pool show a b",
        "status x",
        "status --no-such",
        "status -x",
        "status --output",
        "status -o",
        "status -o xml",
        "status --no-headers=yes",
        "status --reason x",
        "pool list --yes",
        "metrics -o json",
        "status --timeout 0",
        "status --timeout -1",
        "status --timeout nan",
        "status --timeout 2d",
        "status --timeout 1.2.3",
        "endpoint down a/b --for 0s",
        "endpoint down a/b --for 400d",
        "events --limit 0",
        "events --limit -1",
        "events --limit 99999999999999999999",
        "events --limit 1e3",
        "a b c d e f g h i j k",
        "pool show a b c d e f g h i",
        "bogus --help",
        "pool bogus --help",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        refuses(lines[i], CTL_USAGE);
    refuses("--config /nonexistent/node.yaml status", CTL_FAILED);
}

static void test_help_is_given(void **state)
{
    refuses("--help", CTL_OK); /* no command to run, and nothing wrong */
    refuses("-h", CTL_OK);
    refuses("pool -h", CTL_OK);
    refuses("pool show --help", CTL_OK);
    refuses("pool show www --help", CTL_OK);
    refuses("status --help", CTL_OK);
    refuses("explain www.example.com --help", CTL_OK);
}

static void test_socket(void **state)
{
    struct line l;

    unsetenv("GTM_SOCKET");
    takes(&l, "status", "status", "");
    assert_string_equal(l.ctl.socket, "/run/gtm/gtmd.sock");
    setenv("GTM_SOCKET", "/env", 1);
    takes(&l, "status", "status", "");
    assert_string_equal(l.ctl.socket, "/env");
    takes(&l, "status --socket /given", "status", "");
    assert_string_equal(l.ctl.socket, "/given");
    setenv("GTM_SOCKET", "", 1);
    takes(&l, "status", "status", "");
    assert_string_equal(l.ctl.socket, "/run/gtm/gtmd.sock");
    unsetenv("GTM_SOCKET");
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } times[] = {{"1", 1000},
                 {"0.5", 500},
                 {"30", 30000},
                 {"500ms", 500},
                 {"5m", 300000},
                 {"2h", 7200000},
                 {"1d", 86400000},
                 {"", 0},
                 {"1.2.3", 0},
                 {".5", 0},
                 {"-1", 0},
                 {"1e3", 0},
                 {"0x10", 0},
                 {"inf", 0},
                 {"nan", 0},
                 {"5 m", 0},
                 {"m", 0},
                 {"0", 0},
                 {"99d", 0},
                 {"1w", 0},
                 {"99999999999999999999", 0},
                 {"99999999999999999999s", 0}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        uint64_t ms = 0;
        bool ok = ctl_time_parse(times[i].text, 1, 7 * 86400000ull, &ms);
        if (ok != (times[i].ms != 0) || ms != times[i].ms)
            fail_msg("'%s' gave %d, %llu", times[i].text, ok, (unsigned long long)ms);
    }
}

static void test_nearest(void **state)
{
    static const char *const known[] = {"status", "problems", "pool", "policy", "zone"};

    assert_string_equal(ctl_nearest("stauts", known, 5), "status");
    assert_string_equal(ctl_nearest("pools", known, 5), "pool");
    assert_string_equal(ctl_nearest("polcy", known, 5), "policy");
    assert_null(ctl_nearest("xyzzy", known, 5));
    assert_null(ctl_nearest("", known, 5));
    assert_null(ctl_nearest("status", known, 0));
}

/* Rows that contradict each other would only be seen by the one who types them. */
static void test_tables_are_sound(void **state)
{
    char text[CTL_COMMAND_TEXT_BYTES];

    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        assert_non_null(c->run);
        assert_true(c->min_args >= 0 && c->min_args <= c->max_args && c->max_args <= CTL_ARGS_MAX);
        assert_true((c->max_args > 0) == (c->args[0] != 0));
        assert_true(c->min_args > 0 || c->args[0] == 0 || c->args[0] == '[');
        assert_true(strlen(ctl_command_text(c, text)) < sizeof(text) - 1);
        assert_true(islower((unsigned char)c->summary[0]) || isupper((unsigned char)c->summary[0]));
        assert_true(c->summary[strlen(c->summary) - 1] != '.');
        assert_true(c->help == NULL || c->help[strlen(c->help) - 1] == '\n');
        for (size_t j = 0; j < i; j++) {
            const struct ctl_command *o = &ctl_commands[j];
            if (strcmp(c->noun, o->noun) != 0)
                continue;
            assert_true(c->verb != NULL && o->verb != NULL && strcmp(c->verb, o->verb) != 0);
        }
    }
    for (size_t i = 0; ctl_option_at(i) != NULL; i++) {
        const struct ctl_option_row *o = ctl_option_at(i);
        bool taken = o->bit == 0;
        for (size_t c = 0; c < ctl_commands_count; c++)
            taken = taken || (ctl_commands[c].options & o->bit) != 0;
        assert_true(taken);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(o->word, ctl_option_at(j)->word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_options_anywhere),
        cmocka_unit_test(test_letter_f), cmocka_unit_test(test_watch),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_help_is_given),
        cmocka_unit_test(test_socket),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_nearest),  cmocka_unit_test(test_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
