/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring of events: order, the limit, what falls out.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "gtm/base/mem.h"
#include "gtm/daemon/events.h"

#include <stdio.h>
#include <string.h>

static unsigned logged;

static void sink(void *ctx, const char *line)
{
    logged++;
}

static void add(struct gtm_events *events, unsigned n)
{
    char subject[32];
    snprintf(subject, sizeof(subject), "n/%u", n);
    gtm_events_add(events, &(struct gtm_event){.type = GTM_EVENT_HEALTH_CHANGED,
                                               .level = n % 2 ? GTM_LOG_WARN : GTM_LOG_INFO,
                                               .subject = subject,
                                               .from = n % 3 ? "up" : NULL,
                                               .to = "down",
                                               .cause = "because"});
}

/* [first, last] ids of what list gives; 0, 0 when it is empty. */
static void bounds(const struct gtm_events *events, uint64_t after, uint64_t limit, int64_t *first,
                   int64_t *last, size_t *count)
{
    struct gtm_json *list = gtm_events_list(events, after, limit);
    *count = gtm_json_count(list);
    *first = *last = 0;
    for (struct gtm_json *e = gtm_json_first(list); e; e = gtm_json_next(e)) {
        int64_t id = gtm_json_i64(e, "id", -1);
        char subject[32];
        snprintf(subject, sizeof(subject), "n/%lld", (long long)id);
        assert_string_equal(gtm_json_str(e, "subject", ""), subject);
        assert_true(*last == 0 || id == *last + 1);
        *first = *first ? *first : id;
        *last = id;
    }
    gtm_json_free(list);
}

static void ring(void **state)
{
    struct gtm_clock_fake clock;
    gtm_clock_fake_init(&clock);
    struct gtm_events *events = gtm_events_new(&clock.clock);
    int64_t first, last;
    size_t count;
    bounds(events, 0, 1000, &first, &last, &count);
    assert_int_equal(count, 0);
    gtm_log_set_level(GTM_LOG_DEBUG);
    for (unsigned n = 1; n <= GTM_EVENTS_MAX; n++)
        add(events, n);
    bounds(events, 0, 1000, &first, &last, &count);
    assert_int_equal(count, GTM_EVENTS_MAX);
    assert_int_equal(first, 1);
    for (unsigned n = GTM_EVENTS_MAX + 1; n <= 2500; n++)
        add(events, n);
    bounds(events, 0, 1000, &first, &last, &count);
    assert_int_equal(first, 1501);
    assert_int_equal(last, 2500);
    bounds(events, 2490, 1000, &first, &last, &count);
    assert_int_equal(first, 2491);
    assert_int_equal(count, 10);
    bounds(events, 1600, 7, &first, &last, &count);
    assert_int_equal(first, 1601);
    assert_int_equal(count, 7);
    bounds(events, 2500, 1000, &first, &last, &count);
    assert_int_equal(count, 0);
    bounds(events, UINT64_MAX, 1000, &first, &last, &count);
    assert_int_equal(count, 0);
    assert_int_equal(logged, 2500);
    gtm_events_free(events);
}

static void fields_and_cut_texts(void **state)
{
    struct gtm_clock_fake clock;
    gtm_clock_fake_init(&clock);
    clock.wall_ms = 1795194000000;
    struct gtm_events *events = gtm_events_new(&clock.clock);
    char longer[2000];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    gtm_events_add(events, &(struct gtm_event){.type = GTM_EVENT_GEO_FAILED,
                                               .level = GTM_LOG_ERROR,
                                               .subject = longer,
                                               .cause = longer});
    struct gtm_json *list = gtm_events_list(events, 0, 1);
    struct gtm_json *e = gtm_json_first(list);
    assert_string_equal(gtm_json_str(e, "time", ""), "2026-11-20T17:00:00.000Z");
    assert_string_equal(gtm_json_str(e, "type", ""), "GeoFailed");
    assert_string_equal(gtm_json_str(e, "severity", ""), "error");
    assert_int_equal(gtm_json_type(gtm_json_get(e, "from")), GTM_JSON_NULL);
    assert_true(strlen(gtm_json_str(e, "subject", "")) > 100);
    assert_true(strlen(gtm_json_str(e, "cause", "")) < 2000);
    gtm_json_free(list);
    gtm_events_free(events);
}

int main(void)
{
    gtm_log_set_sink(sink, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring),
        cmocka_unit_test(fields_and_cut_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
