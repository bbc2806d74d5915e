/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/log.h"

#include "gtm/base/json.h"
#include "gtm/base/mem.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char last[8192];
static unsigned lines;

static void keep(void *ctx, const char *line)
{
    snprintf(last, sizeof(last), "%s", line);
    lines++;
}

static int setup(void **state)
{
    gtm_log_set_sink(keep, NULL);
    gtm_log_set_level(GTM_LOG_INFO);
    gtm_log_set_node("");
    lines = 0;
    last[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    gtm_log_set_sink(NULL, NULL);
    return 0;
}

static struct gtm_json *last_json(void)
{
    struct gtm_error err = {0};
    struct gtm_json *json = gtm_json_parse(last, strlen(last), &err);
    if (!json)
        print_error("%s\n%s\n", err.text, last);
    assert_non_null(json);
    return json;
}

static void a_line_is_json(void **state)
{
    gtm_log_set_node("us-1\"a");
    gtm_log(GTM_LOG_WARN, "dns", "zone \"x\"\nloaded", gtm_kv_str("zone", "a\tb\xff\x01\x7f"),
            gtm_kv_str("none", NULL), gtm_kv_int("n", INT64_MIN), gtm_kv_num("f", 0.25),
            gtm_kv_num("nan", NAN), gtm_kv_bool("b", 2));
    struct gtm_json *j = last_json();
    assert_string_equal(gtm_json_str(j, "level", ""), "warn");
    assert_string_equal(gtm_json_str(j, "node", ""), "us-1\"a");
    assert_string_equal(gtm_json_str(j, "subsystem", ""), "dns");
    assert_string_equal(gtm_json_str(j, "msg", ""), "zone \"x\"\nloaded");
    assert_string_equal(gtm_json_str(j, "zone", ""), "a\tb\xef\xbf\xbd\x01\x7f");
    assert_int_equal(gtm_json_type(gtm_json_get(j, "none")), GTM_JSON_NULL);
    assert_true(gtm_json_i64(j, "n", 0) == INT64_MIN);
    assert_true(gtm_json_num(j, "f", 0) == 0.25);
    assert_int_equal(gtm_json_type(gtm_json_get(j, "nan")), GTM_JSON_NULL);
    assert_true(gtm_json_bool(j, "b", false));
    assert_int_equal(strlen(gtm_json_str(j, "time", "")), 24);
    gtm_json_free(j);
}

static void levels_filter(void **state)
{
    gtm_log0(GTM_LOG_DEBUG, "x", "hidden");
    assert_int_equal(lines, 0);
    gtm_log_set_level(GTM_LOG_DEBUG);
    gtm_log0(GTM_LOG_DEBUG, "x", "shown");
    gtm_log0((enum gtm_log_level)7, "x", "no level");
    assert_int_equal(lines, 1);
    gtm_log_set_level(GTM_LOG_ERROR);
    gtm_log0(GTM_LOG_WARN, "x", "hidden");
    assert_int_equal(lines, 1);
    assert_int_equal(gtm_log_level_parse("debug"), GTM_LOG_DEBUG);
    assert_int_equal(gtm_log_level_parse("error"), GTM_LOG_ERROR);
    assert_int_equal(gtm_log_level_parse("loud"), -1);
}

static void huge_lines_are_cut_but_stay_json(void **state)
{
    char big[5000];
    for (size_t fill = 900; fill < 1100; fill += 7) { /* so that the limit falls everywhere */
        memset(big, '\x01', sizeof(big));
        big[fill] = '\0';
        gtm_log(GTM_LOG_INFO, "x", "m", gtm_kv_str("a", big), gtm_kv_str("b", big),
                gtm_kv_int("n", 5));
        assert_true(strlen(last) < 4096);
        struct gtm_json *j = last_json();
        assert_true(gtm_json_bool(j, "cut", false));
        gtm_json_free(j);
    }
    memset(big, 'x', sizeof(big));
    big[4999] = '\0';
    gtm_log(GTM_LOG_INFO, "x", big, gtm_kv_str("a", "b"));
    struct gtm_json *j = last_json(); /* one long value is shortened, the rest is there */
    assert_string_equal(gtm_json_str(j, "a", ""), "b");
    gtm_json_free(j);
}

static void it_works_without_memory(void **state)
{
    gtm_mem_fail_at(1, 1);
    gtm_log(GTM_LOG_ERROR, "x", "out of memory", gtm_kv_int("n", 1));
    gtm_mem_fail_at(0, 0);
    assert_int_equal(lines, 1);
    struct gtm_error err = {
        .code = GTM_EPARSE, .line = 3, .col = 4, .file = "f.yaml", .text = "bad"};
    gtm_log_error(GTM_LOG_ERROR, "x", "reload failed", &err);
    struct gtm_json *j = last_json();
    assert_string_equal(gtm_json_str(j, "code", ""), "parse");
    assert_string_equal(gtm_json_str(j, "at", ""), "f.yaml:3:4");
    assert_string_equal(gtm_json_str(j, "error", ""), "bad");
    gtm_json_free(j);
}

static void noise_is_limited(void **state)
{
    struct gtm_log_limit limit = {0};
    uint64_t held = 99;
    unsigned allowed = 0;
    for (int i = 0; i < 100; i++)
        allowed += gtm_log_allow(&limit, 1000, 10, &held) != 0;
    assert_int_equal(allowed, 10);
    assert_int_equal(held, 0);
    assert_int_equal(gtm_log_allow(&limit, 60999, 10, &held), 0);
    assert_int_not_equal(gtm_log_allow(&limit, 61000, 10, &held), 0);
    assert_int_equal(held, 91);
    assert_int_not_equal(gtm_log_allow(&limit, 61000, 10, &held), 0);
    assert_int_equal(held, 0);
}

/* Standard error as a pipe that nobody reads must cost lines, not block; they are counted and
 * reported later. */
static void a_stuck_reader_does_not_block(void **state)
{
    int pipes[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipes), 0);
    gtm_log_set_sink(NULL, NULL);
    dup2(pipes[1], STDERR_FILENO);
    char big[1000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (int i = 0; i < 300; i++) /* far more than the 64 KiB of a pipe */
        gtm_log(GTM_LOG_INFO, "x", "m", gtm_kv_str("big", big));
    char drain[65536];
    assert_true(read(pipes[0], drain, sizeof(drain)) > 0);
    gtm_log0(GTM_LOG_INFO, "x", "after");
    ssize_t n;
    char *text = NULL;
    struct gtm_buf all = {0};
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    while ((n = read(pipes[0], drain, sizeof(drain))) > 0)
        gtm_buf_add(&all, drain, (size_t)n);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[0]);
    close(pipes[1]);
    text = gtm_buf_take(&all);
    assert_non_null(strstr(text, "\"lines dropped\",\"count\":2"));
    assert_non_null(strstr(text, "\"after\""));
    gtm_free(text);
}

/* On a terminal a line is text; nothing that could steer the terminal gets through. */
static void a_terminal_gets_text(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), saved = dup(STDERR_FILENO);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    gtm_log_set_sink(NULL, NULL);
    gtm_log_set_node("n1");
    dup2(slave, STDERR_FILENO);
    gtm_log(GTM_LOG_WARN, "dns", "zone\x1b[31m", gtm_kv_str("zone", "example.com"),
            gtm_kv_str("why", "two words\x1b[0m"), gtm_kv_int("n", 3), gtm_kv_str("empty", ""));
    dup2(saved, STDERR_FILENO);
    close(saved);
    char text[1000];
    ssize_t n = read(master, text, sizeof(text) - 1);
    assert_true(n > 26);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    assert_string_equal(text + 24, " warn  dns: zone\\u001b[31m node=n1 zone=example.com "
                                   "why=\"two words\\u001b[0m\" n=3 empty=\"\"");
    close(slave);
    close(master);
}

static void *many(void *arg)
{
    for (int i = 0; i < 200; i++)
        gtm_log(GTM_LOG_INFO, "x", "m", gtm_kv_int("i", i));
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, NULL), 0);
    for (int i = 0; i < 20; i++) {
        gtm_log_set_level(i % 2 ? GTM_LOG_INFO : GTM_LOG_DEBUG);
        gtm_log_set_node(i % 2 ? "a" : "b");
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(lines, 800);
    gtm_json_free(last_json());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_json, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(huge_lines_are_cut_but_stay_json, setup, teardown),
        cmocka_unit_test_setup_teardown(it_works_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(noise_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stuck_reader_does_not_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_terminal_gets_text, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_do_not_mix, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
