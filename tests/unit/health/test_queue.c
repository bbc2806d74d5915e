/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/queue: against a plain search for the minimum under random moves.
 */
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "health/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 100 };

static void the_top_is_always_the_earliest(void **state)
{
    static struct health_queue_node nodes[NODES];
    struct health_queue queue = {0};
    struct gtm_rand rand;
    gtm_rand_seed(&rand, 1);
    assert_int_equal(health_queue_reserve(&queue, NODES), GTM_OK);
    assert_null(health_queue_top(&queue));
    for (unsigned round = 0; round < 50000; round++) {
        struct health_queue_node *node = &nodes[gtm_rand_below(&rand, NODES)];
        if (gtm_rand_below(&rand, 4) == 0)
            health_queue_remove(&queue, node);
        else
            health_queue_set(&queue, node, gtm_rand_below(&rand, 1000));
        uint64_t least = UINT64_MAX;
        size_t queued = 0;
        for (unsigned i = 0; i < NODES; i++) {
            queued += nodes[i].place != 0;
            if (nodes[i].place != 0 && nodes[i].at_ns < least)
                least = nodes[i].at_ns;
        }
        assert_int_equal(queue.count, queued);
        if (queued)
            assert_int_equal(health_queue_top(&queue)->at_ns, least);
    }
    health_queue_fini(&queue);
}

static void reserve_reports_no_memory(void **state)
{
    struct health_queue queue = {0};
    gtm_mem_fail_at(1, 0);
    assert_int_equal(health_queue_reserve(&queue, 10), GTM_ENOMEM);
    gtm_mem_fail_at(0, 0);
    health_queue_fini(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_top_is_always_the_earliest),
        cmocka_unit_test(reserve_reports_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
