/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers and writers against the same contract; built as the tree is (liburcu, or the twin under
 * ThreadSanitizer). test_rcu_twin.c builds it against the twin always.
 */
#include "gtm/base/rcu.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define READERS 3
/* On a busy machine a grace period of the twin lasts as long as a reader waits for its processor.
 */
#ifdef GTM_RCU_C11
#define ROUNDS 200
#else
#define ROUNDS 200
#endif

struct object {
    uint64_t value, check; /* check = ~value while alive; plain fields, so that a race is seen */
};

static struct object *shared;
static atomic_bool stop;
static atomic_uint bad, reads, started;

static void *reader(void *arg)
{
    bool goes_offline = arg != NULL;
    gtm_rcu_register();
    atomic_fetch_add(&started, 1);
    uint64_t newest = 0;
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        for (int j = 0; j < 8; j++) {
            struct object *o = gtm_rcu_read(&shared);
            if (o->check != ~o->value || o->value < newest)
                atomic_fetch_add(&bad, 1);
            newest = o->value;
        }
        atomic_fetch_add(&reads, 1);
        gtm_rcu_quiescent();
        if (goes_offline && i % 3 == 0) {
            gtm_rcu_offline();
            gtm_rcu_online();
        }
        if (goes_offline && i % 50 == 0) {
            gtm_rcu_unregister();
            gtm_rcu_register();
        }
    }
    gtm_rcu_unregister();
    return NULL;
}

static struct object *make(uint64_t value)
{
    struct object *o = malloc(sizeof(*o));
    assert_non_null(o);
    *o = (struct object){value, ~value};
    return o;
}

static void nothing_is_freed_under_a_reader(void **state)
{
    pthread_t threads[READERS];
    shared = make(1);
    atomic_store(&stop, false);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, i == 1 ? &stop : NULL), 0);
    while (atomic_load(&started) < READERS)
        sched_yield();
    for (uint64_t round = 2; round < ROUNDS; round++) {
        struct object *old = shared;
        gtm_rcu_publish(&shared, make(round));
        gtm_rcu_synchronize();
        old->value = old->check = 0; /* what a reader that still has it would notice */
        free(old);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&bad), 0);
    assert_true(atomic_load(&reads) > 0);
    free(shared);
}

static atomic_bool holds, synchronized, let_go;

static void *holder(void *arg)
{
    gtm_rcu_register();
    atomic_store(&holds, true);
    while (!atomic_load(&let_go))
        sched_yield();
    if (atomic_load(&synchronized))
        atomic_fetch_add(&bad, 1);
    gtm_rcu_offline(); /* as good as a quiescent state */
    while (!atomic_load(&synchronized))
        sched_yield();
    gtm_rcu_online();
    gtm_rcu_unregister();
    return NULL;
}

static void *synchronizer(void *arg)
{
    gtm_rcu_synchronize();
    atomic_store(&synchronized, true);
    return NULL;
}

static void a_grace_period_waits_for_online_readers_only(void **state)
{
    pthread_t a, b;
    assert_int_equal(pthread_create(&a, NULL, holder, NULL), 0);
    while (!atomic_load(&holds))
        sched_yield();
    assert_int_equal(pthread_create(&b, NULL, synchronizer, NULL), 0);
    for (int i = 0; i < 200;
         i++) { /* long enough for a synchronize that does not wait to be caught */
        sched_yield();
        assert_false(atomic_load(&synchronized));
    }
    atomic_store(&let_go, true);
    pthread_join(b, NULL);
    pthread_join(a, NULL);
    assert_int_equal(atomic_load(&bad), 0);
}

static void without_readers_it_does_not_wait(void **state)
{
    for (int i = 0; i < 100; i++)
        gtm_rcu_synchronize();
    gtm_rcu_register();
    gtm_rcu_offline();
    gtm_rcu_synchronize();
    gtm_rcu_online();
    gtm_rcu_unregister();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_freed_under_a_reader),
        cmocka_unit_test(a_grace_period_waits_for_online_readers_only),
        cmocka_unit_test(without_readers_it_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
