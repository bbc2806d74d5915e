/* SPDX-License-Identifier: Apache-2.0
 *
 * Load reports, and what follows from them: see gtm_state_balance. Control thread.
 */
#include "gtm/daemon/state_int.h"

void gtm_state__load(struct gtm_state *state, const struct gtm_slot *slot,
                     const struct health_load *load)
{
    struct gtm_facts *facts = state->now->facts;
    struct gtm_endpoint_load *to = &facts->loads[facts->base[slot->pool] + slot->endpoint];
    uint64_t now = gtm_mono_ms(state->clock);
    for (unsigned i = 0; i < GTM_LOAD_COUNT; i++) {
        if (!(load->has >> i & 1))
            continue;
        to->value[i] = load->value[i];
        to->mono_ms[i] = now > 0 ? now : 1;
    }
}
