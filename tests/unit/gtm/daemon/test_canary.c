/* SPDX-License-Identifier: Apache-2.0
 *
 * gtm/daemon/canary: who answers, who does not, and when that takes the vote away.
 */
#include "gtm/daemon/canary.h"

#include "gtm/base/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
    struct gtm_loop *loop;
    struct gtm_timer *end;
    struct gtm_canaries *canaries;
    unsigned changes, wanted;
    int full; /* a listener whose queue is full: connects to it hang */
    int fill[8];
};

static void on_end(void *arg)
{
    (void)arg;
    fail_msg("not in time");
}

static void on_change(void *arg)
{
    struct world *w = arg;
    if (++w->changes == w->wanted)
        gtm_loop_stop(w->loop);
}

static struct gtm_canary_target target(const char *address, unsigned port)
{
    struct gtm_canary_target t = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&t.addr;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    assert_int_equal(inet_pton(AF_INET, address, &in->sin_addr), 1);
    t.addr_len = sizeof(*in);
    snprintf(t.text, sizeof(t.text), "%s:%u", address, port);
    return t;
}

/* A port that takes no more connections: who connects waits. */
static struct gtm_canary_target hang(struct world *w)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    w->full = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->full, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(w->full, 0), 0);
    assert_int_equal(getsockname(w->full, (struct sockaddr *)&in, &len), 0);
    for (size_t i = 0; i < sizeof(w->fill) / sizeof(w->fill[0]); i++) {
        w->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(w->fill[i], (struct sockaddr *)&in, sizeof(in));
    }
    return target("127.0.0.1", ntohs(in.sin_port));
}

static int begin(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof(w));
    w.loop = gtm_loop_new();
    w.end = gtm_timer_new(w.loop, on_end, NULL);
    w.canaries = gtm_canaries_new(w.loop, on_change, &w);
    w.wanted = 1;
    gtm_timer_start(w.end, 20000);
    *state = &w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    gtm_canaries_free(w->canaries);
    gtm_timer_free(w->end);
    gtm_loop_free(w->loop);
    if (w->full)
        close(w->full);
    for (size_t i = 0; w->full && i < sizeof(w->fill) / sizeof(w->fill[0]); i++)
        close(w->fill[i]);
    return 0;
}

static void test_without_canaries_a_vantage_is_fit(void **state)
{
    struct world *w = *state;
    const char *why = "x";
    assert_true(gtm_canaries_fit(w->canaries, &why));
    assert_string_equal(why, "");
    gtm_canaries_set(w->canaries, NULL, 0);
    assert_true(gtm_canaries_fit(w->canaries, NULL));
    assert_int_equal(gtm_canaries_count(w->canaries), 0);
}

static void test_silence_takes_the_vote_and_an_answer_gives_it_back(void **state)
{
    struct world *w = *state;
    const char *why = "";
    struct gtm_canary_target silent = hang(w);
    gtm_canaries_set(w->canaries, &silent, 1);
    assert_true(gtm_canaries_fit(w->canaries, NULL)); /* nothing is known yet */
    gtm_loop_run(w->loop);
    assert_false(gtm_canaries_fit(w->canaries, &why));
    assert_non_null(strstr(why, silent.text));
    /* One that refuses has answered: with it half of them do. */
    struct gtm_canary_target both[2] = {silent, target("127.0.0.1", 1)};
    gtm_canaries_set(w->canaries, both, 2);
    w->wanted = 2;
    if (!gtm_canaries_fit(w->canaries, NULL))
        gtm_loop_run(w->loop);
    assert_true(gtm_canaries_fit(w->canaries, &why));
    assert_string_equal(why, "");
    assert_int_equal(gtm_canaries_count(w->canaries), 2);
    /* Without the one that answers, what is known of the other stands at once. */
    gtm_canaries_set(w->canaries, &silent, 1);
    assert_false(gtm_canaries_fit(w->canaries, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_canaries_a_vantage_is_fit, begin, end),
        cmocka_unit_test_setup_teardown(test_silence_takes_the_vote_and_an_answer_gives_it_back,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
