/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that evhttp has accepted but not made yet: evhttp has no callback for a connection's
 * start. When it asks for a bufferevent, a listener adds it here, and hears of the connection in
 * the same turn of the loop, before anything can have closed it. Loop's thread only.
 *
 * Whoever owns the list clears it before its context goes: nothing is called afterwards.
 */
#ifndef GTM_DAEMON_NEWCOMERS_H
#define GTM_DAEMON_NEWCOMERS_H

#include "gtm/base/err.h"

struct bufferevent;
struct event_base;
struct evhttp_connection;
struct gtm_newcomer;

/* evcon is NULL when evhttp made none. The newcomer does not count any more. */
typedef void gtm_newcomer_fn(void *ctx, struct evhttp_connection *evcon);

/* Zero-initialise, with fn and ctx. */
struct gtm_newcomers {
    gtm_newcomer_fn *fn;
    void *ctx;
    struct gtm_newcomer *first;
    unsigned count;
};

/* GTM_ENOMEM: fn will not be called for it. */
int gtm_newcomers_add(struct gtm_newcomers *all, struct event_base *base,
                      struct bufferevent *bev) GTM_MUST_CHECK;
void gtm_newcomers_clear(struct gtm_newcomers *all);

#endif
