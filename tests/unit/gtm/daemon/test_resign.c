/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving leadership up by word of any node: two nodes over one store, the first of which leads. The
 * leader takes a request for its own leadership and no other; what is not taken is withdrawn; who
 * asks hears who leads then, or why nobody does.
 */
#include "gtm/daemon/resign.h"

#include "tests/unit/gtm/coord/store_fixture.h"

static struct gtm_clock_fake now;
static struct gtm_clock fake_clock;
static int64_t fence; /* of node a, which leads; 0 = it does not */
static unsigned resigned;
static bool deaf; /* the leader does not hear of anything */

struct heard {
    unsigned calls;
    struct gtm_resign_outcome outcome;
};

static int64_t lead_fence(void *ctx)
{
    return strcmp(ctx, "a") == 0 && !deaf ? fence : 0;
}

static int lead_guard(void *ctx, struct gtm_store_change *ret)
{
    (void)ctx;
    *ret = check("leader/a", fence);
    return GTM_OK;
}

/* As etcd would have it: its key goes. */
static void lead_resign(void *ctx, uint64_t pause_ms)
{
    struct gtm_store_change gone = del("leader/a", GTM_STORE_ANY);
    (void)ctx;
    assert_int_equal(pause_ms, GTM_RESIGN_PAUSE_MS);
    resigned++;
    fence = 0;
    assert_int_equal(gtm_store_commit(store, &gone, 1, NULL, NULL), 0);
}

static void on_outcome(void *arg, const struct gtm_resign_outcome *outcome)
{
    struct heard *heard = arg;
    heard->calls++;
    heard->outcome = *outcome;
}

static struct gtm_resign *node(const char *name)
{
    struct gtm_resign *r =
        gtm_resign_new(&(struct gtm_resign_opts){.loop = loop,
                                                 .clock = &fake_clock,
                                                 .store = store,
                                                 .node = name,
                                                 .fence = lead_fence,
                                                 .guard = lead_guard,
                                                 .resign = lead_resign,
                                                 .ctx = (void *)(uintptr_t)name});
    assert_non_null(r);
    return r;
}

static void stop(void *arg)
{
    (void)arg;
    gtm_loop_stop(loop);
}

/* Real time for timers and disk; the fake clock stands. */
static void run_ms(unsigned ms)
{
    struct gtm_timer *timer = gtm_timer_new(loop, stop, NULL);
    gtm_timer_start(timer, ms);
    assert_int_equal(gtm_loop_run(loop), 0);
    gtm_timer_free(timer);
}

#define UNTIL(condition)                                \
    do {                                                \
        for (unsigned turn = 0; !(condition); turn++) { \
            assert_true(turn < 500);                    \
            run_ms(10);                                 \
        }                                               \
    } while (0)

static void lead(void)
{
    gtm_clock_fake_init(&now);
    fake_clock = now.clock;
    fence = must_put("leader/a", "{\"node\":\"a\",\"region\":\"us\"}");
    resigned = 0;
    deaf = false;
}

static bool is_asked(void)
{
    struct gtm_store_entry entry;
    return gtm_store_get(store, GTM_RESIGN_KEY, &entry) == GTM_OK;
}

static void ask(struct gtm_resign *r, struct heard *heard)
{
    *heard = (struct heard){0};
    assert_int_equal(gtm_resign_ask(r, "anna", "operator", on_outcome, heard), GTM_OK);
    assert_int_equal(heard->calls, 0); /* never from inside */
}

static void test_any_node_is_asked_and_the_leader_resigns(void **state)
{
    (void)state;
    struct heard heard;
    lead();
    struct gtm_resign *a = node("a"), *b = node("b");
    ask(b, &heard);
    UNTIL(resigned);
    assert_false(is_asked());
    run_ms(150);
    assert_int_equal(heard.calls, 0); /* nobody leads yet */
    int64_t next = must_put("leader/b", "{\"node\":\"b\",\"region\":\"eu\"}");
    UNTIL(heard.calls);
    assert_int_equal(heard.outcome.code, 0);
    assert_string_equal(heard.outcome.before.node, "a");
    assert_string_equal(heard.outcome.now.node, "b");
    assert_true(heard.outcome.now.fence == next);
    assert_int_equal(resigned, 1);
    /* It stands in the chain: who, what, through which node. */
    struct gtm_store_entry entry;
    assert_int_equal(gtm_store_get(store, "audit/000000000001", &entry), 0);
    assert_non_null(strstr(entry.value, "\"who\":\"anna\""));
    assert_non_null(strstr(entry.value, "\"role\":\"operator\""));
    assert_non_null(
        strstr(entry.value, "\"node\":\"b\",\"verb\":\"leader resign\",\"subject\":\"a\""));
    gtm_resign_free(a);
    gtm_resign_free(b);
}

static void test_a_word_to_another_leadership_is_none(void **state)
{
    (void)state;
    lead();
    struct gtm_resign *a = node("a");
    char text[80];
    snprintf(text, sizeof(text), "{\"v\":1,\"fence\":%lld,\"owner\":\"x\"}", (long long)fence + 1);
    must_put(GTM_RESIGN_KEY, text);
    must_put(GTM_RESIGN_KEY, "{\"v\":1}");
    must_put(GTM_RESIGN_KEY, "[]");
    must_put(GTM_RESIGN_KEY, "no json");
    snprintf(text, sizeof(text), "{\"v\":1,\"fence\":%lld}", (long long)fence);
    must_put(GTM_RESIGN_KEY "/x", text);
    run_ms(50);
    assert_int_equal(resigned, 0);
    must_put(GTM_RESIGN_KEY, text);
    UNTIL(resigned);
    gtm_resign_free(a);
}

static void test_what_is_not_taken_is_withdrawn(void **state)
{
    (void)state;
    struct heard heard;
    lead();
    struct gtm_resign *a = node("a"), *b = node("b");
    deaf = true;
    ask(b, &heard);
    UNTIL(is_asked());
    run_ms(150);
    assert_int_equal(heard.calls, 0);
    now.mono_ns += (GTM_RESIGN_TAKE_MS + 1) * 1000000ull;
    UNTIL(heard.calls);
    assert_int_equal(heard.outcome.code, GTM_ETIMEOUT);
    assert_non_null(strstr(heard.outcome.err.text, "a did not take the request"));
    assert_false(is_asked());
    deaf = false;
    run_ms(50);
    assert_int_equal(resigned, 0);
    gtm_resign_free(a);
    gtm_resign_free(b);
}

static void test_nobody_who_leads_after_it_is_said(void **state)
{
    (void)state;
    struct heard heard;
    lead();
    struct gtm_resign *a = node("a"), *b = node("b");
    ask(b, &heard);
    UNTIL(resigned);
    now.mono_ns += (GTM_RESIGN_TAKE_MS + 1) * 1000000ull;
    run_ms(150);
    assert_int_equal(heard.calls, 0); /* it was taken: there is nothing to withdraw */
    now.mono_ns += GTM_RESIGN_LEAD_MS * 1000000ull;
    UNTIL(heard.calls);
    assert_int_equal(heard.outcome.code, GTM_ETIMEOUT);
    assert_non_null(strstr(heard.outcome.err.text, "nobody else does"));
    assert_string_equal(heard.outcome.now.node, "");
    heard = (struct heard){0};
    assert_int_equal(gtm_resign_ask(b, "anna", "operator", on_outcome, &heard), GTM_ENOTFOUND);
    gtm_resign_free(a);
    gtm_resign_free(b);
}

static void test_a_leader_that_changed_meanwhile_is_told(void **state)
{
    (void)state;
    struct heard heard;
    lead();
    struct gtm_resign *b = node("b");
    struct gtm_store_change again = put("leader/a", "{\"node\":\"a\"}", GTM_STORE_ANY);
    assert_int_equal(gtm_store_commit(store, &again, 1, NULL, NULL), 0); /* on its way */
    ask(b, &heard);
    UNTIL(heard.calls);
    assert_int_equal(heard.outcome.code, GTM_ECONFLICT);
    assert_false(is_asked());
    gtm_resign_free(b);
}

static void test_who_waits_hears_of_the_end(void **state)
{
    (void)state;
    struct heard one, two;
    lead();
    struct gtm_resign *b = node("b");
    deaf = true;
    ask(b, &one);
    UNTIL(is_asked());
    run_ms(60);
    ask(b, &two);       /* its commit is under way */
    gtm_resign_free(b); /* and answered when the store is closed */
    assert_int_equal(one.calls, 1);
    assert_int_equal(one.outcome.code, GTM_ESTATE);
    assert_int_equal(two.calls, 1);
    assert_int_equal(two.outcome.code, GTM_ESTATE);
}

static void test_not_too_many_wait(void **state)
{
    (void)state;
    struct heard heard[GTM_RESIGN_ASKS_MAX], more = {0};
    lead();
    struct gtm_resign *b = node("b");
    deaf = true;
    for (size_t i = 0; i < GTM_RESIGN_ASKS_MAX; i++)
        ask(b, &heard[i]);
    assert_int_equal(gtm_resign_ask(b, "anna", "operator", on_outcome, &more), GTM_ELIMIT);
    gtm_resign_free(b);
    for (size_t i = 0; i < GTM_RESIGN_ASKS_MAX; i++)
        assert_int_equal(heard[i].calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_any_node_is_asked_and_the_leader_resigns),
        STORE_TEST(test_a_word_to_another_leadership_is_none),
        STORE_TEST(test_what_is_not_taken_is_withdrawn),
        STORE_TEST(test_nobody_who_leads_after_it_is_said),
        STORE_TEST(test_a_leader_that_changed_meanwhile_is_told),
        STORE_TEST(test_who_waits_hears_of_the_end),
        STORE_TEST(test_not_too_many_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
