/* SPDX-License-Identifier: Apache-2.0
 *
 * The heap. See queue.h.
 */
#include "health/queue.h"

#include "gtm/base/mem.h"

int health_queue_reserve(struct health_queue *queue, size_t need)
{
    return gtm_grow((void **)&queue->items, &queue->cap, need, sizeof(*queue->items));
}

static void put(struct health_queue *queue, size_t i, struct health_queue_node *node)
{
    queue->items[i] = node;
    node->place = i + 1;
}

static void sift_up(struct health_queue *queue, size_t i)
{
    struct health_queue_node *node = queue->items[i];
    while (i > 0 && node->at_ns < queue->items[(i - 1) / 2]->at_ns) {
        put(queue, i, queue->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(queue, i, node);
}

static void sift_down(struct health_queue *queue, size_t i)
{
    struct health_queue_node *node = queue->items[i];
    for (size_t child; (child = 2 * i + 1) < queue->count; i = child) {
        if (child + 1 < queue->count && queue->items[child + 1]->at_ns < queue->items[child]->at_ns)
            child++;
        if (queue->items[child]->at_ns >= node->at_ns)
            break;
        put(queue, i, queue->items[child]);
    }
    put(queue, i, node);
}

void health_queue_set(struct health_queue *queue, struct health_queue_node *node, uint64_t at_ns)
{
    uint64_t old_ns = node->at_ns;
    node->at_ns = at_ns;
    if (node->place == 0) {
        put(queue, queue->count, node);
        sift_up(queue, queue->count++);
    } else if (at_ns < old_ns) {
        sift_up(queue, node->place - 1);
    } else {
        sift_down(queue, node->place - 1);
    }
}

void health_queue_remove(struct health_queue *queue, struct health_queue_node *node)
{
    if (node->place == 0)
        return;
    size_t i = node->place - 1;
    struct health_queue_node *last = queue->items[--queue->count];
    node->place = 0;
    if (last == node)
        return;
    put(queue, i, last);
    sift_up(queue, i);
    sift_down(queue, last->place - 1);
}

struct health_queue_node *health_queue_top(const struct health_queue *queue)
{
    return queue->count ? queue->items[0] : NULL;
}

void health_queue_fini(struct health_queue *queue)
{
    gtm_free(queue->items);
    *queue = (struct health_queue){0};
}
