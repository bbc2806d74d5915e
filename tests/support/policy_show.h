/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows what a policy chooses as one line of text, so that policy tests read as tables.
 */
#ifndef GTM_SUPPORT_POLICY_SHOW_H
#define GTM_SUPPORT_POLICY_SHOW_H

#include "policies/policy.h"

/* "normal | 90% 1 of www-us:100 www-us2:50 | 10% 1 of …" for the class of a client at loc (NULL =
 * unknown) inside no routed network; with " in 1024" behind a sticky option. Static storage. */
const char *policy_show(const struct gtm_states *states, unsigned policy, enum gtm_family family,
                        const struct gtm_location *loc);
/* The sentences of the same choice, each ended by a line break. Static storage. */
const char *policy_said(const struct gtm_states *states, unsigned policy, enum gtm_family family,
                        const struct gtm_location *loc);
/* The region list of one geographic part, names joined by spaces (a policy's, for a route to one).
 * Static storage. */
const char *policy_ranked(const struct gtm_intent *intent, unsigned part,
                          const struct policy_place *place);

/* The sentence about where that list comes from. Static storage. */
const char *policy_ranked_why(const struct gtm_intent *intent, unsigned part,
                              const struct policy_place *place);

#endif
