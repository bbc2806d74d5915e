/* SPDX-License-Identifier: Apache-2.0
 *
 * Read-copy-update for the one pointer that DNS workers read: liburcu's QSBR flavour, or
 * (GTM_RCU_C11, used by ThreadSanitizer builds, which misread liburcu) a small twin on C11 atomics
 * with the same contract.
 *
 * Reader threads: register, then in each round take the pointer by gtm_rcu_read once, use it, and
 * call gtm_rcu_quiescent when done with it. Around anything that blocks: gtm_rcu_offline …
 * gtm_rcu_online; no pointer is held across. Writers (not registered, or offline) publish with
 * gtm_rcu_publish, then gtm_rcu_synchronize before freeing; that waits for all online readers, so
 * it is called from a helper thread, never from an event loop.
 */
#ifndef GTM_BASE_RCU_H
#define GTM_BASE_RCU_H

#include <stddef.h>

#ifdef GTM_RCU_C11
#include <stdatomic.h>

void gtm_rcu_register(void);
void gtm_rcu_unregister(void);
void gtm_rcu_quiescent(void);
void gtm_rcu_offline(void);
void gtm_rcu_online(void);
void gtm_rcu_synchronize(void);
#define gtm_rcu_read(pp)           __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define gtm_rcu_publish(pp, value) __atomic_store_n((pp), (value), __ATOMIC_RELEASE)

#else
#define _LGPL_SOURCE
#include <urcu-qsbr.h>

static inline void gtm_rcu_register(void)
{
    rcu_register_thread();
}
static inline void gtm_rcu_unregister(void)
{
    rcu_unregister_thread();
}
static inline void gtm_rcu_quiescent(void)
{
    rcu_quiescent_state();
}
static inline void gtm_rcu_offline(void)
{
    rcu_thread_offline();
}
static inline void gtm_rcu_online(void)
{
    rcu_thread_online();
}
static inline void gtm_rcu_synchronize(void)
{
    synchronize_rcu();
}
#define gtm_rcu_read(pp)           rcu_dereference(*(pp))
#define gtm_rcu_publish(pp, value) rcu_assign_pointer(*(pp), (value))
#endif

#endif
