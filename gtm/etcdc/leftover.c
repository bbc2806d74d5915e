/* SPDX-License-Identifier: Apache-2.0
 *
 * What outlives its close until its last call has ended, so that etcdc_free finds it. See
 * etcdc_int.h.
 */
#include "gtm/etcdc/etcdc_int.h"

void etcdc__leftover_add(struct etcdc *client, struct etcdc__leftover *leftover,
                         void (*drop)(struct etcdc__leftover *leftover))
{
    leftover->drop = drop;
    leftover->prev = &client->leftovers;
    leftover->next = client->leftovers;
    if (leftover->next)
        leftover->next->prev = &leftover->next;
    client->leftovers = leftover;
}

void etcdc__leftover_remove(struct etcdc__leftover *leftover)
{
    if (!leftover->prev)
        return;
    *leftover->prev = leftover->next;
    if (leftover->next)
        leftover->next->prev = leftover->prev;
    leftover->next = NULL;
    leftover->prev = NULL;
}

void etcdc__leftovers_drop(struct etcdc *client)
{
    while (client->leftovers) {
        struct etcdc__leftover *leftover = client->leftovers;
        etcdc__leftover_remove(leftover);
        leftover->drop(leftover);
    }
}
