/* SPDX-License-Identifier: Apache-2.0
 *
 * Does this node's own network work? TCP connects to the intent's health.canaries, each every
 * second or so. What they say decides whether this vantage has a vote (node/<name> carries it) and,
 * while the store is away, whether its own checks may remove anything. Control thread.
 */
#ifndef GTM_DAEMON_CANARY_H
#define GTM_DAEMON_CANARY_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define GTM_CANARIES_MAX 16

struct gtm_loop;
struct gtm_canaries;

struct gtm_canary_target {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char text[64]; /* "192.0.2.1:443" */
};
/* on_change: gtm_canaries_fit may say something else now. NULL: out of memory. */
struct gtm_canaries *gtm_canaries_new(struct gtm_loop *loop, void (*on_change)(void *arg),
                                      void *arg);
void gtm_canaries_free(struct gtm_canaries *canaries); /* NULL is fine */
/* Makes these the targets (at most GTM_CANARIES_MAX, further ones are ignored); known ones keep
 * what is known of them. */
void gtm_canaries_set(struct gtm_canaries *canaries, const struct gtm_canary_target *targets,
                      size_t count);
/* At least half of those whose last two connects are known answer (a refusal is an answer: the
 * network carried it). True without targets. *ret_why (may be NULL): for people, valid until the
 * next change. */
bool gtm_canaries_fit(const struct gtm_canaries *canaries, const char **ret_why);
size_t gtm_canaries_count(const struct gtm_canaries *canaries);

#endif
