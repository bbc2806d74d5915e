/* SPDX-License-Identifier: Apache-2.0
 *
 * The quorum against a second statement of its rules over all small sets of votes, what must hold
 * of every set, and the text.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "policies/quorum.h"

#include "gtm/base/rand.h"
#include "gtm/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { REGIONS = 3, PER_REGION = 2, VOTES = REGIONS * PER_REGION };
enum word { ABSENT = 0, SAYS_UP, SAYS_DOWN, SAYS_BAD, UNFIT, WORDS };

static const enum gtm_health befores[] = {GTM_HEALTH_UNKNOWN, GTM_HEALTH_UP, GTM_HEALTH_DOWN};

static size_t votes_of(const unsigned words[VOTES], struct policy_vote votes[VOTES])
{
    size_t count = 0;
    for (unsigned i = 0; i < VOTES; i++) {
        struct policy_vote v = {.region = (uint16_t)(i / PER_REGION), .fit = words[i] != UNFIT};
        v.health = words[i] == SAYS_UP ? GTM_HEALTH_UP : GTM_HEALTH_DOWN;
        v.content = words[i] == SAYS_BAD;
        if (words[i] != ABSENT)
            votes[count++] = v;
    }
    return count;
}

/* The rules again, one region at a time, in the words of the header. */
static struct policy_quorum restated(const unsigned words[VOTES], enum gtm_quorum kind,
                                     enum gtm_health before)
{
    struct policy_quorum q = {.health = before, .regions = REGIONS};
    int content = 0;
    for (unsigned r = 0; r < REGIONS; r++) {
        const unsigned *w = &words[(size_t)r * PER_REGION];
        int up = (w[0] == SAYS_UP) + (w[1] == SAYS_UP);
        int bad = (w[0] == SAYS_BAD) + (w[1] == SAYS_BAD);
        int down = bad + (w[0] == SAYS_DOWN) + (w[1] == SAYS_DOWN);
        bool tie = up == 1 && down == 1;
        if (up > down || (tie && before == GTM_HEALTH_UP)) {
            q.up++;
        } else if (down > up || (tie && before == GTM_HEALTH_DOWN)) {
            q.down++;
            content += bad * 2 > down ? 1 : -1;
        } else {
            q.silent++;
        }
    }
    q.content = content > 0;
    unsigned fall = kind == GTM_QUORUM_ANY ? 1 : kind == GTM_QUORUM_ALL ? 3 : 2;
    if (q.down >= fall || q.up >= 2) {
        q.health = q.down >= fall ? GTM_HEALTH_DOWN : GTM_HEALTH_UP;
        q.needed = q.down >= fall ? fall : 2;
        return q;
    }
    q.needed = kind == GTM_QUORUM_ALL ? 3 : 2;
    q.state = q.silent > REGIONS - q.needed ? POLICY_STALE : POLICY_SPLIT;
    return q;
}

static void assert_same(struct policy_quorum a, struct policy_quorum b)
{
    assert_int_equal(a.health, b.health);
    assert_int_equal(a.state, b.state);
    assert_int_equal(a.content, b.content);
    assert_int_equal(a.up, b.up);
    assert_int_equal(a.down, b.down);
    assert_int_equal(a.silent, b.silent);
    assert_int_equal(a.needed, b.needed);
    assert_int_equal(a.regions, b.regions);
}

/* Calls check for every set of votes, every kind and every word before. */
static void for_all(void (*check)(const unsigned words[VOTES], enum gtm_quorum kind,
                                  enum gtm_health before))
{
    unsigned words[VOTES] = {0};
    for (;;) {
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned b = 0; b < 3; b++)
                check(words, (enum gtm_quorum)k, befores[b]);
        }
        unsigned i = 0;
        while (i < VOTES && ++words[i] == WORDS)
            words[i++] = 0;
        if (i == VOTES)
            return;
    }
}

static struct policy_quorum decide(const unsigned words[VOTES], enum gtm_quorum kind,
                                   enum gtm_health before)
{
    struct policy_vote votes[VOTES];
    size_t count = votes_of(words, votes);
    return policy_quorum(votes, count, REGIONS, kind, before);
}

static void check_restated(const unsigned words[VOTES], enum gtm_quorum kind,
                           enum gtm_health before)
{
    assert_same(decide(words, kind, before), restated(words, kind, before));
}

static void test_as_restated(void **state)
{
    for_all(check_restated);
}

static int goodness(enum gtm_health health)
{
    return health == GTM_HEALTH_DOWN ? 0 : health == GTM_HEALTH_UNKNOWN ? 1 : 2;
}

/* One more vote for down, or one that turns from up to down, never makes it better; and the other
 * way round. */
static void check_monotone(const unsigned words[VOTES], enum gtm_quorum kind,
                           enum gtm_health before)
{
    int is = goodness(decide(words, kind, before).health);
    for (unsigned i = 0; i < VOTES; i++) {
        unsigned other[VOTES];
        memcpy(other, words, sizeof(other));
        other[i] = SAYS_DOWN;
        if (words[i] != SAYS_BAD) {
            int then = goodness(decide(other, kind, before).health);
            /* a first word about something unknown may make it known */
            assert_true(then <= is || before == GTM_HEALTH_UNKNOWN);
            assert_true(then <= is || then == 1);
        }
        other[i] = SAYS_UP;
        assert_true(goodness(decide(other, kind, before).health) >= is ||
                    before == GTM_HEALTH_UNKNOWN);
    }
}

static void test_monotone(void **state)
{
    for_all(check_monotone);
}

/* Votes of one of three regions change nothing, however many vantages it has (but for `any`). */
static void check_minority(const unsigned words[VOTES], enum gtm_quorum kind,
                           enum gtm_health before)
{
    unsigned voting = 0;
    for (unsigned r = 0; r < REGIONS; r++) {
        const unsigned *w = &words[(size_t)r * PER_REGION];
        voting += (w[0] != ABSENT && w[0] != UNFIT) || (w[1] != ABSENT && w[1] != UNFIT);
    }
    struct policy_quorum q = decide(words, kind, before);
    if (voting <= 1 && kind != GTM_QUORUM_ANY) {
        assert_int_equal(q.health, before);
        assert_int_equal(q.state, POLICY_STALE);
    }
    if (voting <= 1 && kind == GTM_QUORUM_ANY)
        assert_true(q.health == before || q.health == GTM_HEALTH_DOWN);
    if (q.health != before)
        assert_int_equal(q.state, POLICY_AGREED);
    /* whoever changes something has the numbers, ties not among them */
    if (q.health == GTM_HEALTH_UP && before != GTM_HEALTH_UP)
        assert_true(q.up >= 2);
    if (q.health == GTM_HEALTH_DOWN && before != GTM_HEALTH_DOWN)
        assert_true(q.down >= policy_quorum_needed(kind, REGIONS, GTM_HEALTH_DOWN));
}

static void test_minority_never_decides(void **state)
{
    for_all(check_minority);
}

static void test_needed(void **state)
{
    for (unsigned n = 0; n <= POLICY_VANTAGE_REGIONS_MAX; n++) {
        unsigned most = policy_quorum_needed(GTM_QUORUM_MAJORITY, n, GTM_HEALTH_DOWN);
        assert_true(most * 2 > n && (most - 1) * 2 <= n);
        assert_int_equal(policy_quorum_needed(GTM_QUORUM_ANY, n, GTM_HEALTH_DOWN), 1);
        assert_int_equal(policy_quorum_needed(GTM_QUORUM_ALL, n, GTM_HEALTH_DOWN), n ? n : 1);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(policy_quorum_needed((enum gtm_quorum)k, n, GTM_HEALTH_UP), most);
    }
}

/* Nobody configured, nobody there, places beyond the configured ones, more regions than fit. */
static void test_bounds(void **state)
{
    struct policy_vote votes[4] = {
        {.region = 3, .fit = true, .health = GTM_HEALTH_DOWN},
        {.region = POLICY_VANTAGE_REGIONS_MAX, .fit = true, .health = GTM_HEALTH_DOWN},
        {.region = UINT16_MAX, .fit = true, .health = GTM_HEALTH_DOWN},
        {.region = 0, .fit = true, .health = 77},
    };
    struct policy_quorum q = policy_quorum(votes, 4, 3, GTM_QUORUM_ANY, GTM_HEALTH_UP);
    assert_int_equal(q.health, GTM_HEALTH_UP);
    assert_int_equal(q.state, POLICY_STALE);
    assert_int_equal(q.silent, 3);
    q = policy_quorum(NULL, 0, 0, GTM_QUORUM_ALL, GTM_HEALTH_DOWN);
    assert_int_equal(q.health, GTM_HEALTH_DOWN);
    assert_int_equal(q.state, POLICY_STALE);
    q = policy_quorum(votes, 4, UINT32_MAX, GTM_QUORUM_MAJORITY, GTM_HEALTH_UNKNOWN);
    assert_int_equal(q.regions, POLICY_VANTAGE_REGIONS_MAX);
    assert_int_equal(q.down, 1);
    votes[0].health = GTM_HEALTH_DEGRADED; /* counts as up */
    q = policy_quorum(votes, 1, 4, GTM_QUORUM_MAJORITY, GTM_HEALTH_DEGRADED);
    assert_int_equal(q.up, 1);
    assert_int_equal(q.health, GTM_HEALTH_DEGRADED);
}

/* The order of votes says nothing. */
static void test_order_does_not_matter(void **state)
{
    struct gtm_rand r;
    gtm_rand_seed(&r, 4);
    for (int run = 0; run < 2000; run++) {
        struct policy_vote votes[24];
        size_t count = gtm_rand_below(&r, 24);
        for (size_t i = 0; i < count; i++)
            votes[i] = (struct policy_vote){.region = (uint16_t)gtm_rand_below(&r, 8),
                                            .fit = gtm_rand_below(&r, 4) > 0,
                                            .health = (uint8_t)gtm_rand_below(&r, 5),
                                            .content = gtm_rand_below(&r, 2) > 0};
        enum gtm_quorum kind = (enum gtm_quorum)gtm_rand_below(&r, 3);
        enum gtm_health before = befores[gtm_rand_below(&r, 3)];
        struct policy_quorum q = policy_quorum(votes, count, 7, kind, before);
        assert_int_equal(q.up + q.down + q.silent, 7);
        for (size_t i = count; i > 1; i--) {
            size_t j = gtm_rand_below(&r, (uint32_t)i);
            struct policy_vote swap = votes[i - 1];
            votes[i - 1] = votes[j];
            votes[j] = swap;
        }
        assert_same(q, policy_quorum(votes, count, 7, kind, before));
    }
}

static const char *const names[] = {"us-east", "eu-west", "ap-south"};

static void test_text(void **state)
{
    char text[POLICY_QUORUM_TEXT];
    struct policy_vote v[4] = {
        {.region = 0, .fit = true, .health = GTM_HEALTH_UP},
        {.region = 1,
         .fit = true,
         .health = GTM_HEALTH_DOWN,
         .vantage = "eu-1",
         .evidence = "refused (connection refused)"},
        {.region = 2, .fit = true, .health = GTM_HEALTH_DOWN, .evidence = "timeout"},
        {.region = 1, .fit = true, .health = GTM_HEALTH_UP, .vantage = "eu-2"},
    };
    struct policy_quorum q = policy_quorum(v, 3, 3, GTM_QUORUM_MAJORITY, GTM_HEALTH_UP);
    assert_string_equal(policy_quorum_text(&q, v, 3, names, text),
                        "down: 2 of 3 regions (needs 2): eu-west refused (connection refused), "
                        "ap-south timeout; up: us-east");
    q = policy_quorum(v, 4, 3, GTM_QUORUM_MAJORITY, GTM_HEALTH_UP);
    assert_string_equal(policy_quorum_text(&q, v, 4, names, text),
                        "up: 2 of 3 regions (needs 2); down: ap-south timeout; tied: eu-west; "
                        "up: us-east");
    q = policy_quorum(v, 2, 3, GTM_QUORUM_MAJORITY, GTM_HEALTH_UP);
    assert_string_equal(policy_quorum_text(&q, v, 2, names, text),
                        "up, undecided: 1 down, 1 up of 3 regions (needs 2); down: eu-west refused "
                        "(connection refused); up: us-east; silent: ap-south");
    q = policy_quorum(v, 1, 3, GTM_QUORUM_ALL, GTM_HEALTH_DOWN);
    assert_string_equal(policy_quorum_text(&q, v, 1, names, text),
                        "down, stale: 1 of 3 regions vote (needs 3); up: us-east; silent: eu-west, "
                        "ap-south");
    q = policy_quorum(v, 1, 1, GTM_QUORUM_MAJORITY, GTM_HEALTH_UNKNOWN);
    assert_string_equal(policy_quorum_text(&q, v, 1, names, text), "up: 1 of 1 regions (needs 1)");
    v[3].health = GTM_HEALTH_DOWN;
    v[3].evidence = "timeout";
    q = policy_quorum(v, 4, 3, GTM_QUORUM_MAJORITY, GTM_HEALTH_UP);
    assert_string_equal(policy_quorum_text(&q, v, 4, names, text),
                        "down: 2 of 3 regions (needs 2): eu-west/eu-1 refused (connection refused),"
                        " ap-south timeout; up: us-east");
}

/* Long ones are cut at a whole character, never beyond the room. */
static void test_text_is_cut(void **state)
{
    for (size_t len = 0; len < 400; len++) {
        char evidence[401] = "";
        struct {
            char text[POLICY_QUORUM_TEXT];
            char guard[8];
        } room;
        for (size_t i = 0; i + 2 <= len; i += 2)
            memcpy(evidence + i, "é", 3);
        if (len % 2)
            evidence[len - 1] = 'x';
        memset(&room, '#', sizeof(room));
        struct policy_vote v = {.fit = true, .health = GTM_HEALTH_DOWN, .evidence = evidence};
        struct policy_quorum q = policy_quorum(&v, 1, 3, GTM_QUORUM_ANY, GTM_HEALTH_UP);
        policy_quorum_text(&q, &v, 1, names, room.text);
        assert_memory_equal(room.guard, "########", 8);
        size_t n = strlen(room.text), at = 0, step;
        assert_true(n < POLICY_QUORUM_TEXT);
        while (at < n && (step = gtm_utf8_len(room.text + at, n - at)) > 0)
            at += step;
        assert_int_equal(at, n);
        bool cut = n >= 3 && strcmp(room.text + n - 3, "…") == 0;
        assert_int_equal(cut, strstr(room.text, "ap-south") == NULL);
        assert_true(!cut || n >= POLICY_QUORUM_TEXT - 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_restated),
        cmocka_unit_test(test_monotone),
        cmocka_unit_test(test_minority_never_decides),
        cmocka_unit_test(test_needed),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
