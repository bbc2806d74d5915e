/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of exec checks: what a program gets and says, what may not be run, time-outs that leave
 * nothing behind, and a crowd of them beside another probe.
 */
#include "gtm/base/log.h"
#include "health/exec.h"
#include "tests/support/health_server.h"
#include "tests/support/health_world.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[TEST_TEMP_DIR_BYTES];

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

static int set_up(void **state)
{
    gtm_log_set_sink(ignore_line, NULL);
    return test_temp_dir_make("exec", dir) == 0 ? chmod(dir, 0755) : -1;
}

static int tear_down(void **state)
{
    return test_temp_dir_remove(dir);
}

static const char *path_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_program(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(path_of(name), "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

static void begin(struct world *w)
{
    world_init_opts(w, &(struct health_engine_opts){.exec_dir = dir});
}

static struct health_target *add(struct world *w, const char *key, const char *program)
{
    struct health_target *t = world_add(w, key, 8080);
    struct gtm_monitor *m = world_monitor(w, key);
    m->kind = GTM_MONITOR_EXEC;
    m->program = (char *)program;
    m->timeout_ms = 5000;
    t->pool = "www";
    t->endpoint = "www-us";
    return t;
}

static void a_program_gets_its_words_and_a_clean_world(void **state)
{
    static struct world w;
    static char *args[] = {(char *)"{address}:{port}", (char *)"{pool}/{endpoint}",
                           (char *)"{other}", (char *)"a b"};
    setenv("SECRET_OF_THE_DAEMON", "1", 1);
    write_program("show",
                  "#!/bin/sh\n"
                  "[ -z \"$SECRET_OF_THE_DAEMON\" ] || exit 9\n"
                  "[ -z \"$(cat)\" ] || exit 8\n"
                  "ls /proc/self/fd | wc -l | grep -qx 4 || exit 7\n"
                  "echo \"$# $1 $2 $3 $4 $GTM_ADDRESS $GTM_PORT $GTM_POOL $GTM_ENDPOINT "
                  "$GTM_FAMILY\"\n",
                  0755);
    begin(&w);
    add(&w, "a", "show");
    world_monitor(&w, "a")->args = args;
    world_monitor(&w, "a")->args_count = 4;
    world_apply(&w);
    struct health_report r = world_wait_probes(&w, "a", 1);
    assert_string_equal(r.evidence, "4 127.0.0.1:8080 www/www-us {other} a b 127.0.0.1 8080 www "
                                    "www-us 4");
    assert_int_equal(r.last, HEALTH_RESULT_OK);
    world_wait(&w, "a", GTM_HEALTH_UP);
    world_fini(&w);
    unsetenv("SECRET_OF_THE_DAEMON");
}

static void exit_codes_and_signals_are_failures(void **state)
{
    static struct world w;
    write_program("bad", "#!/bin/sh\necho out\necho 'no disk' >&2\nexit 3\n", 0755);
    write_program("quiet", "#!/bin/sh\nexit 1\n", 0755);
    write_program("crash", "#!/bin/sh\necho before\nkill -SEGV $$\n", 0755);
    begin(&w);
    add(&w, "bad", "bad");
    add(&w, "quiet", "quiet");
    add(&w, "crash", "crash");
    world_apply(&w);
    assert_string_equal(world_wait(&w, "bad", GTM_HEALTH_DOWN).evidence, "exit 3: no disk");
    assert_string_equal(world_wait(&w, "quiet", GTM_HEALTH_DOWN).evidence, "exit 1");
    struct health_report r = world_wait(&w, "crash", GTM_HEALTH_DOWN);
    assert_string_equal(r.evidence, "ended by signal 11: before");
    assert_int_equal(r.last, HEALTH_RESULT_ANSWER);
    world_fini(&w);
}

static void what_may_not_be_run_is_refused_with_a_sentence(void **state)
{
    static struct world w;
    static const struct {
        const char *key, *program, *evidence;
    } cases[] = {
        {"gone", "gone", "not checked: gone: there is no such program in exec_dir"},
        {"writable", "writable", "not checked: writable: group or others can write to it"},
        {"plain", "plain", "not checked: plain: not executable by this user"},
        {"link", "link", "not checked: link: not a regular file"},
        {"folder", "folder", "not checked: folder: not a regular file"},
        {"path", "../ok", "not checked: ../ok: not a plain file name"},
        {"no-format", "no-format", "not checked: no-format: Exec format error"},
    };
    write_program("writable", "#!/bin/sh\n", 0775);
    write_program("plain", "#!/bin/sh\n", 0644);
    write_program("no-format", "\x01\x02\x03", 0755);
    assert_int_equal(symlink("/bin/true", path_of("link")), 0);
    assert_int_equal(mkdir(path_of("folder"), 0755), 0);
    begin(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        add(&w, cases[i].key, cases[i].program)->initial = GTM_HEALTH_UP;
    world_apply(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct health_report r = world_wait_probes(&w, cases[i].key, 3);
        assert_string_equal(r.evidence, cases[i].evidence);
        assert_int_equal(r.last, HEALTH_RESULT_LOCAL);
        assert_int_equal(r.health, GTM_HEALTH_UP); /* says nothing about the target */
    }
    world_fini(&w);
}

static void a_folder_that_others_can_write_to_is_refused(void **state)
{
    char why[HEALTH_EXEC_REFUSE_BYTES];
    write_program("ok", "#!/bin/sh\n", 0755);
    assert_true(health__exec_allowed(dir, "ok", why));
    assert_int_equal(chmod(dir, 0777), 0);
    assert_false(health__exec_allowed(dir, "ok", why));
    assert_non_null(strstr(why, "group or others can write to it"));
    assert_int_equal(chmod(dir, 0755), 0);
    assert_false(health__exec_allowed("/no/such/folder", "ok", why));
    assert_non_null(strstr(why, "No such file"));
    assert_false(health__exec_allowed(NULL, "ok", why));
    assert_string_equal(why, "the node file names no exec_dir");
}

/* Children of this process that are zombies or run. */
static unsigned children(void)
{
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

static void a_time_out_kills_the_whole_group(void **state)
{
    static struct world w;
    char text[900];
    snprintf(text, sizeof(text),
             "#!/bin/sh\nsh -c 'trap \"\" TERM; echo $$ > %s/pid.new; mv %s/pid.new %s/pid; sleep "
             "1000' &\nwait\n",
             dir, dir, dir);
    write_program("hang", text, 0755);
    begin(&w);
    add(&w, "a", "hang");
    world_monitor(&w, "a")->timeout_ms = 1000;
    world_monitor(&w, "a")->interval_ms = 60000;
    world_apply(&w);
    struct health_report r = world_wait_probes(&w, "a", 1);
    assert_int_equal(r.last, HEALTH_RESULT_TIMEOUT);
    assert_string_equal(r.evidence, "no answer in 1000 ms");
    int pid = 0;
    FILE *f = fopen(path_of("pid"), "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    world_fini(&w);
    assert_true(pid > 1);
    uint64_t end = world_now_ms() + 10000; /* init reaps the grandchild */
    while (kill(pid, 0) == 0 && world_now_ms() < end)
        poll(NULL, 0, 5);
    FILE *stat = NULL;
    char proc[64], line[256] = "";
    snprintf(proc, sizeof(proc), "/proc/%d/stat", pid);
    if ((stat = fopen(proc, "re")) != NULL) { /* nobody reaps here: then a zombie at most */
        assert_non_null(fgets(line, sizeof(line), stat));
        fclose(stat);
        assert_non_null(strstr(line, ") Z "));
    }
    assert_int_equal(children(), 0);
}

static void what_a_program_leaves_behind_is_killed(void **state)
{
    static struct world w;
    write_program("leave", "#!/bin/sh\nsleep 1000 &\nexit 0\n", 0755);
    begin(&w);
    add(&w, "a", "leave");
    world_apply(&w);
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_UP); /* its output stays open */
    assert_string_equal(r.evidence, "exit 0");
    world_fini(&w);
    assert_int_equal(children(), 0);
}

static void a_long_output_is_cut_and_does_not_hang(void **state)
{
    static struct world w;
    write_program("long", "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\nexit 0\n", 0755);
    begin(&w);
    add(&w, "a", "long");
    world_apply(&w);
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_UP);
    assert_int_equal(strlen(r.evidence), 119);
    world_fini(&w);
}

static void its_output_may_be_a_load_report(void **state)
{
    static struct world w;
    write_program("report", "#!/bin/sh\necho '{\"load\": 0.75, \"n\": \"12\"}'\n", 0755);
    write_program("wrong", "#!/bin/sh\necho 'all is well'\n", 0755);
    begin(&w);
    add(&w, "a", "report");
    add(&w, "b", "wrong");
    for (int i = 0; i < 2; i++) {
        struct gtm_monitor *m = world_monitor(&w, i ? "b" : "a");
        m->load_pointer[GTM_LOAD_LOAD] = (char *)"/load";
        m->load_pointer[GTM_LOAD_CONNECTIONS] = (char *)"/n";
    }
    world_apply(&w);
    struct health_report r = world_wait(&w, "a", GTM_HEALTH_UP);
    assert_int_equal(r.load.has, 1 << GTM_LOAD_LOAD | 1 << GTM_LOAD_CONNECTIONS);
    assert_true(r.load.value[GTM_LOAD_LOAD] == 0.75 && r.load.value[GTM_LOAD_CONNECTIONS] == 12);
    assert_string_equal(r.load_error, "");
    assert_true(w.loads >= 1);
    r = world_wait(&w, "b", GTM_HEALTH_UP); /* a wrong report fails no check */
    assert_int_equal(r.load.has, 0);
    assert_string_equal(r.load_error, "the answer is not JSON");
    struct gtm_metrics m = {0};
    health_engine_metrics(w.engine, &m);
    gtm_buf_addc(&m.out, '\0');
    assert_non_null(strstr(m.out.data, "gtm_health_load_errors_total{monitor=\"a\"} 0"));
    assert_null(strstr(m.out.data, "gtm_health_load_errors_total{monitor=\"b\"} 0"));
    assert_non_null(strstr(m.out.data, "gtm_health_exec_waiting 0"));
    gtm_buf_fini(&m.out);
    world_fini(&w);
}

/* More targets than may run at a time, all slow, beside one that is not: nobody fails, and the
 * other one keeps its pace. */
static void a_crowd_waits_and_stalls_nobody(void **state)
{
    enum { CROWD = 200 };
    static struct world w;
    static char keys[CROWD][16];
    static struct health_target targets[CROWD + 1];
    struct gtm_error err = {0};
    struct server *s = server_new(SERVER_OK, 0);
    write_program("slow", "#!/bin/sh\nexec sleep 0.05\n", 0755);
    begin(&w);
    add(&w, "crowd", "slow");
    world_monitor(&w, "crowd")->interval_ms = 10000;
    world_monitor(&w, "crowd")->timeout_ms = 8000;
    world_add(&w, "web", server_port(s));
    world_monitor(&w, "web")->interval_ms = 50;
    for (int i = 0; i < CROWD; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
        targets[i] = w.targets[0];
        targets[i].key = targets[i].endpoint = keys[i];
    }
    targets[CROWD] = w.targets[1];
    assert_int_equal(health_engine_apply(w.engine, targets, CROWD + 1, &err), 0);
    world_wait(&w, "web", GTM_HEALTH_UP);
    uint64_t before = world_report(&w, "web").probes_total, begin_ms = world_now_ms();
    for (int i = 0; i < CROWD; i++) {
        struct health_report r = world_wait(&w, keys[i], GTM_HEALTH_UP);
        assert_int_equal(r.probes_failed + r.probes_local, 0);
    }
    uint64_t took = world_now_ms() - begin_ms;
    uint64_t probes = world_report(&w, "web").probes_total - before;
    assert_true(probes >= took / 50 / 2);
    assert_int_equal(world_report(&w, "web").health, GTM_HEALTH_UP);
    world_fini(&w);
    server_free(s);
    assert_int_equal(children(), 0);
}

/* All places are taken by programs that do not end: whoever waits in vain was not checked. */
static void waiting_in_vain_is_not_held_against_the_target(void **state)
{
    enum { CROWD = HEALTH_EXEC_RUNNING_MAX + 1 };
    static struct world w;
    static char keys[CROWD][16];
    static struct health_target targets[CROWD];
    struct gtm_error err = {0};
    write_program("hang", "#!/bin/sh\nexec sleep 1000\n", 0755);
    write_program("fine", "#!/bin/sh\n", 0755);
    begin(&w);
    add(&w, "hang", "hang");
    world_monitor(&w, "hang")->interval_ms = 60000;
    world_monitor(&w, "hang")->timeout_ms = 60000;
    add(&w, "late", "fine")->initial = GTM_HEALTH_UP;
    world_monitor(&w, "late")->interval_ms = 200;
    world_monitor(&w, "late")->timeout_ms = 100;
    for (int i = 0; i < CROWD; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
        targets[i] = w.targets[0];
        targets[i].key = targets[i].endpoint = keys[i];
    }
    assert_int_equal(health_engine_apply(w.engine, targets, CROWD, &err), 0);
    uint64_t end = world_now_ms() + 10000;
    for (bool full = false; !full;) {
        struct gtm_metrics m = {0};
        health_engine_metrics(w.engine, &m);
        gtm_buf_addc(&m.out, '\0');
        full = strstr(m.out.data, "gtm_health_exec_running 64\n") != NULL;
        gtm_buf_fini(&m.out);
        assert_true(world_now_ms() < end);
        poll(NULL, 0, 5);
    }
    targets[CROWD - 1] = w.targets[1];
    assert_int_equal(health_engine_apply(w.engine, targets, CROWD, &err), 0);
    struct health_report r = world_wait_result(&w, "late", HEALTH_RESULT_LOCAL);
    assert_string_equal(r.evidence, "not checked: too many programs run here already");
    r = world_wait_probes(&w, "late", 3);
    assert_int_equal(r.probes_failed, 0);
    assert_int_equal(r.health, GTM_HEALTH_UP);
    world_fini(&w);
    assert_int_equal(children(), 0);
}

/* Runs that nobody has begun yet when the engine ends are given back, too (the sanitizer counts
 * them). */
static void the_end_comes_while_programs_begin(void **state)
{
    enum { CROWD = HEALTH_EXEC_RUNNING_MAX, ROUNDS = 10 };
    static char keys[CROWD][16];
    static struct health_target targets[CROWD];
    write_program("fine", "#!/bin/sh\n", 0755);
    for (int round = 0; round < ROUNDS; round++) {
        static struct world w;
        struct gtm_error err = {0};
        begin(&w);
        add(&w, "first", "fine");
        for (int i = 0; i < CROWD; i++) {
            snprintf(keys[i], sizeof(keys[i]), "%d", i);
            targets[i] = w.targets[0];
            targets[i].key = targets[i].endpoint = keys[i];
        }
        assert_int_equal(health_engine_apply(w.engine, targets, CROWD, &err), 0);
        world_wait_probes(&w, keys[0], 1);
        world_fini(&w);
        assert_int_equal(children(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_program_gets_its_words_and_a_clean_world),
        TEST(exit_codes_and_signals_are_failures),
        TEST(what_may_not_be_run_is_refused_with_a_sentence),
        TEST(a_folder_that_others_can_write_to_is_refused),
        TEST(a_time_out_kills_the_whole_group),
        TEST(what_a_program_leaves_behind_is_killed),
        TEST(a_long_output_is_cut_and_does_not_hang),
        TEST(its_output_may_be_a_load_report),
        TEST(a_crowd_waits_and_stalls_nobody),
        TEST(waiting_in_vain_is_not_held_against_the_target),
        TEST(the_end_comes_while_programs_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
