/* SPDX-License-Identifier: Apache-2.0
 *
 * What an intent keeps besides its structs: the kinds whose engine does not exist yet, as JSON in
 * the file's own shape (checked, defaults filled in), and the index of all names. Immutable like
 * the intent; any thread.
 */
#ifndef GTM_MODEL_INTENT_LATER_H
#define GTM_MODEL_INTENT_LATER_H

#include "gtm/model/intent.h"
#include "gtm/model/schema.h"

struct gtm_intent_later {
    struct gtm_json *kept;                     /* an object with a member for each kept section */
    struct gtm_map *names[GTM_REF_KIND_COUNT]; /* name → index + 1; NULL when there are none */
};

/* A kept section: "regions", "health", "monitors", "groups", "rules", "plans", "drills", "signals",
 * "calendars", "fleets", "capacity" or "alerts"; NULL when the file has none. Borrowed. */
const struct gtm_json *gtm_intent_section(const struct gtm_intent *intent, const char *key);
/* Index of a name of any kind, or -1. */
int gtm_intent_find(const struct gtm_intent *intent, enum gtm_ref_kind kind, const char *name);

#endif
