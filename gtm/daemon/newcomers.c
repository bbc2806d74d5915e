/* SPDX-License-Identifier: Apache-2.0
 *
 * See newcomers.h.
 */
#include "gtm/daemon/newcomers.h"

#include "gtm/base/mem.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

/* The event is its own, not libevent's once-event: that one would fire after the list was cleared.
 */
struct gtm_newcomer {
    struct gtm_newcomers *all;
    struct bufferevent *bev;
    struct event *ev;
    struct gtm_newcomer *next;
};

static void remove_one(struct gtm_newcomer *newcomer)
{
    struct gtm_newcomer **at = &newcomer->all->first;
    while (*at && *at != newcomer)
        at = &(*at)->next;
    if (*at)
        *at = newcomer->next;
    newcomer->all->count--;
    event_free(newcomer->ev);
    gtm_free(newcomer);
}

/* evhttp has put its connection as the argument of the bufferevent's callbacks. */
static void on_made(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct gtm_newcomer *newcomer = arg;
    struct gtm_newcomers *all = newcomer->all;
    void *evcon = NULL;
    bufferevent_getcb(newcomer->bev, NULL, NULL, NULL, &evcon);
    remove_one(newcomer);
    all->fn(all->ctx, evcon);
}

int gtm_newcomers_add(struct gtm_newcomers *all, struct event_base *base, struct bufferevent *bev)
{
    struct gtm_newcomer *newcomer = gtm_calloc(1, sizeof(*newcomer));
    if (!newcomer)
        return GTM_ENOMEM;
    *newcomer = (struct gtm_newcomer){.all = all, .bev = bev, .next = all->first};
    newcomer->ev = event_new(base, -1, EV_TIMEOUT, on_made, newcomer);
    if (!newcomer->ev) {
        gtm_free(newcomer);
        return GTM_ENOMEM;
    }
    /* Active at once: a time-out of zero would come after what the next poll finds, which may be
     * the connection's first request, or its end. */
    event_active(newcomer->ev, EV_TIMEOUT, 0);
    all->first = newcomer;
    all->count++;
    return GTM_OK;
}

void gtm_newcomers_clear(struct gtm_newcomers *all)
{
    while (all->first)
        remove_one(all->first);
}
