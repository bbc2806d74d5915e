/* SPDX-License-Identifier: Apache-2.0
 *
 * The C11 twin of QSBR for ThreadSanitizer builds; without GTM_RCU_C11 this file is empty. See
 * rcu.h.
 *
 * A global period counter, and per online reader the period it last announced (0 = offline). A
 * grace period starts a new period and waits until every reader is offline or has announced it. Why
 * that is enough:
 * - a reader that announced the new period loaded it from the writer's increment, so it sees the
 * pointer published before;
 * - announcing is a release after all earlier uses of the old pointer, and the writer's load
 * acquires it;
 * - coming online is a store followed by a second load of the period, both sequentially consistent:
 * either the writer's scan sees the store, or that second load sees the writer's increment, and
 * with it the new pointer.
 */
#include "gtm/base/rcu.h"

#ifdef GTM_RCU_C11

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct reader {
    _Atomic uint64_t period; /* 0 = offline */
    struct reader *next, **link;
    bool registered;
};

static _Atomic uint64_t current_period = 1;
static pthread_mutex_t readers_mutex =
    PTHREAD_MUTEX_INITIALIZER; /* the list, and one grace period at a time */
static struct reader *readers;
static _Thread_local struct reader self;

void gtm_rcu_register(void)
{
    pthread_mutex_lock(&readers_mutex);
    if (!self.registered) {
        self.next = readers;
        self.link = &readers;
        if (readers)
            readers->link = &self.next;
        readers = &self;
        self.registered = true;
    }
    pthread_mutex_unlock(&readers_mutex);
    gtm_rcu_online();
}

void gtm_rcu_unregister(void)
{
    /* Offline first: a grace period holds the mutex while it waits for us. */
    gtm_rcu_offline();
    pthread_mutex_lock(&readers_mutex);
    if (self.registered) {
        *self.link = self.next;
        if (self.next)
            self.next->link = self.link;
        self.registered = false;
    }
    pthread_mutex_unlock(&readers_mutex);
}

void gtm_rcu_quiescent(void)
{
    atomic_store(&self.period, atomic_load(&current_period));
}

void gtm_rcu_offline(void)
{
    atomic_store(&self.period, 0);
}

void gtm_rcu_online(void)
{
    atomic_store(&self.period, atomic_load(&current_period));
    (void)atomic_load(&current_period); /* see the top */
}

static void wait_for(struct reader *r, uint64_t period)
{
    for (unsigned spins = 0;; spins++) {
        uint64_t seen = atomic_load(&r->period);
        if (seen == 0 || seen >= period)
            return;
        if (spins < 100)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

void gtm_rcu_synchronize(void)
{
    /* As liburcu does: a registered caller must not wait for itself. */
    bool was_online = self.registered && atomic_load(&self.period) != 0;
    if (was_online)
        gtm_rcu_offline();
    pthread_mutex_lock(&readers_mutex);
    uint64_t period = atomic_fetch_add(&current_period, 1) + 1;
    for (struct reader *r = readers; r; r = r->next)
        wait_for(r, period);
    pthread_mutex_unlock(&readers_mutex);
    if (was_online)
        gtm_rcu_online();
}

#endif
