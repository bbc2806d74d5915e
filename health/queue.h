/* SPDX-License-Identifier: Apache-2.0
 *
 * Who must be woken next: a binary heap of nodes embedded in their owners, which know their place
 * so that moving one costs O(log n). One owner, one thread.
 */
#ifndef GTM_HEALTH_QUEUE_H
#define GTM_HEALTH_QUEUE_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialise. */
struct health_queue_node {
    uint64_t at_ns;
    size_t place; /* index + 1; 0 = not queued */
};

/* Zero-initialise, then health_queue_fini. Borrows the nodes. */
struct health_queue {
    struct health_queue_node **items;
    size_t count, cap;
};

/* Makes room for `need` nodes in all, so that setting cannot fail. GTM_ENOMEM. */
int health_queue_reserve(struct health_queue *queue, size_t need) GTM_MUST_CHECK;
/* Queues the node for at_ns, or moves it there. There must be room. */
void health_queue_set(struct health_queue *queue, struct health_queue_node *node, uint64_t at_ns);
/* Takes the node out; nothing when it is not queued. */
void health_queue_remove(struct health_queue *queue, struct health_queue_node *node);
/* The earliest, or NULL. */
struct health_queue_node *health_queue_top(const struct health_queue *queue);
void health_queue_fini(struct health_queue *queue);

#endif
