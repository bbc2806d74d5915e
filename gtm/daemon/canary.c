/* SPDX-License-Identifier: Apache-2.0
 *
 * See canary.h.
 */
#include "gtm/daemon/canary.h"

#include "gtm/base/loop.h"
#include "gtm/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EVERY_MS  1000u
#define WAIT_MS   1000u
#define FAILS_OUT 2u

struct canary {
    struct gtm_canaries *all;
    struct gtm_canary_target target;
    struct gtm_timer *timer; /* the next connect, or the end of waiting for this one */
    struct event *ev;        /* NULL: none under way */
    int fd;
    unsigned fails; /* in a row */
    bool known;
};

struct gtm_canaries {
    struct gtm_loop *loop;
    void (*on_change)(void *arg);
    void *arg;
    struct canary *items[GTM_CANARIES_MAX];
    size_t count;
    bool fit;
    char why[160];
};

static bool out(const struct canary *c)
{
    return c->known && c->fails >= FAILS_OUT;
}

static void judge(struct gtm_canaries *all)
{
    size_t known = 0, bad = 0;
    const char *last = "";
    for (size_t i = 0; i < all->count; i++) {
        known += all->items[i]->known;
        if (out(all->items[i])) {
            bad++;
            last = all->items[i]->target.text;
        }
    }
    bool fit = bad * 2 <= known;
    if (fit)
        all->why[0] = 0;
    else
        snprintf(all->why, sizeof(all->why), "%zu of %zu canaries do not answer, %s among them",
                 bad, known, last);
    if (fit == all->fit)
        return;
    all->fit = fit;
    if (all->on_change)
        all->on_change(all->arg);
}

static void close_attempt(struct canary *c)
{
    if (c->ev)
        event_free(c->ev);
    if (c->fd >= 0)
        close(c->fd);
    c->ev = NULL;
    c->fd = -1;
}

static void ended(struct canary *c, bool answered)
{
    close_attempt(c);
    c->fails = answered ? 0 : c->fails + 1;
    c->known = true;
    gtm_timer_start(c->timer, answered ? EVERY_MS : EVERY_MS / 2);
    judge(c->all);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    int error = 0;
    socklen_t len = sizeof(error);
    (void)what;
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    ended(arg, error == 0 || error == ECONNREFUSED);
}

/* What this host itself lacks (descriptors, memory) says nothing about the network. */
static void start(struct canary *c)
{
    const struct sockaddr *addr = (const struct sockaddr *)&c->target.addr;
    c->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = c->fd < 0 ? -1 : connect(c->fd, addr, c->target.addr_len), e = rc ? errno : 0;
    if (c->fd >= 0 && e == EINPROGRESS) {
        c->ev = event_new(gtm_loop_base(c->all->loop), c->fd, EV_WRITE, on_connected, c);
        if (c->ev && event_add(c->ev, NULL) == 0) {
            gtm_timer_start(c->timer, WAIT_MS);
            return;
        }
    } else if (c->fd >= 0) {
        ended(c, e == 0 || e == ECONNREFUSED);
        return;
    }
    close_attempt(c);
    gtm_timer_start(c->timer, EVERY_MS);
}

static void on_timer(void *arg)
{
    struct canary *c = arg;
    if (c->ev)
        ended(c, false);
    else
        start(c);
}

static void canary_free(struct canary *c)
{
    if (!c)
        return;
    close_attempt(c);
    gtm_timer_free(c->timer);
    gtm_free(c);
}

static struct canary *canary_new(struct gtm_canaries *all, const struct gtm_canary_target *target)
{
    struct canary *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct canary){.all = all, .target = *target, .fd = -1};
    c->timer = gtm_timer_new(all->loop, on_timer, c);
    if (!c->timer) {
        canary_free(c);
        return NULL;
    }
    gtm_timer_start(c->timer, 0);
    return c;
}

struct gtm_canaries *gtm_canaries_new(struct gtm_loop *loop, void (*on_change)(void *arg),
                                      void *arg)
{
    struct gtm_canaries *all = gtm_calloc(1, sizeof(*all));
    if (all)
        *all = (struct gtm_canaries){.loop = loop, .on_change = on_change, .arg = arg, .fit = true};
    return all;
}

void gtm_canaries_free(struct gtm_canaries *canaries)
{
    for (size_t i = 0; canaries && i < canaries->count; i++)
        canary_free(canaries->items[i]);
    gtm_free(canaries);
}

void gtm_canaries_set(struct gtm_canaries *canaries, const struct gtm_canary_target *targets,
                      size_t count)
{
    struct canary *items[GTM_CANARIES_MAX] = {0};
    size_t n = 0;
    for (size_t i = 0; i < count && n < GTM_CANARIES_MAX; i++) {
        struct canary *c = NULL;
        for (size_t k = 0; k < canaries->count && !c; k++) {
            if (canaries->items[k] && !strcmp(canaries->items[k]->target.text, targets[i].text)) {
                c = canaries->items[k];
                canaries->items[k] = NULL;
            }
        }
        if (!c)
            c = canary_new(canaries, &targets[i]);
        if (c)
            items[n++] = c;
    }
    for (size_t k = 0; k < canaries->count; k++)
        canary_free(canaries->items[k]);
    memcpy(canaries->items, items, sizeof(items));
    canaries->count = n;
    judge(canaries);
}

bool gtm_canaries_fit(const struct gtm_canaries *canaries, const char **ret_why)
{
    if (ret_why)
        *ret_why = canaries->why;
    return canaries->fit;
}

size_t gtm_canaries_count(const struct gtm_canaries *canaries)
{
    return canaries->count;
}
