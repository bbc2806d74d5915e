/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop of a control thread: timers, cross-thread posts, signals and blocking work handed
 * to helper threads; a thin skin over libevent so that its traps stay in one file. All functions
 * belong to the loop's own thread, except gtm_loop_post, gtm_loop_stop and (before the loop runs)
 * everything.
 */
#ifndef GTM_BASE_LOOP_H
#define GTM_BASE_LOOP_H

#include "gtm/base/err.h"

#include <stdint.h>

struct gtm_loop;
struct gtm_timer;
struct event_base;

/* NULL on failure. Enables libevent's pthread locking once. */
struct gtm_loop *gtm_loop_new(void);
/* Frees a stopped loop; work still queued is finished first, undelivered posts are dropped. NULL is
 * fine. */
void gtm_loop_free(struct gtm_loop *loop);
/* Runs until gtm_loop_stop; 0 or GTM_EIO. */
int gtm_loop_run(struct gtm_loop *loop);
void gtm_loop_stop(struct gtm_loop *loop); /* any thread, also a signal callback */
/* The libevent base, for bufferevents, evhttp and fd events of the same thread. Borrowed. */
struct event_base *gtm_loop_base(struct gtm_loop *loop);

/* Runs fn(arg) on the loop's thread soon, in order of posting; any thread. 0 or GTM_ENOMEM /
 * GTM_ELIMIT (more than 65,536 waiting). */
int gtm_loop_post(struct gtm_loop *loop, void (*fn)(void *arg), void *arg);

/* One-shot timers that may be re-armed, also from their own callback. Free is allowed there too. */
struct gtm_timer *gtm_timer_new(struct gtm_loop *loop, void (*cb)(void *arg), void *arg);
void gtm_timer_start(struct gtm_timer *timer, uint64_t delay_ms); /* re-arms */
void gtm_timer_start_us(struct gtm_timer *timer, uint64_t delay_us);
void gtm_timer_stop(struct gtm_timer *timer);
void gtm_timer_free(struct gtm_timer *timer); /* NULL is fine */

/* A signal → cb on the loop's thread. The loop owns it. */
int gtm_loop_signal(struct gtm_loop *loop, int signum, void (*cb)(void *arg, int signum),
                    void *arg) GTM_MUST_CHECK;

/* work(arg) runs on one of the loop's two helper threads (started on first use), then done(arg) on
 * the loop. For everything that may take longer than 5 ms. Queue bound: 1,024 → GTM_ELIMIT. */
int gtm_loop_work(struct gtm_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                  void *arg) GTM_MUST_CHECK;
/* The same, but done is called even when the loop is freed before its turn (by gtm_loop_free, when
 * it cannot do more than let go of what arg holds). done must not be NULL. */
int gtm_loop_work_sure(struct gtm_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                       void *arg) GTM_MUST_CHECK;

#endif
