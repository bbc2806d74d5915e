/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes the operator's own YAML text, keeping comments and layout: removes one object. Only where
 * lists are written in block style, one object at a line of its own; everything else is refused
 * with the reason, never guessed. The result is parsed and compared: it differs by just that
 * object. Pure; may take long: worker threads.
 */
#ifndef GTM_MODEL_INTENT_EDIT_H
#define GTM_MODEL_INTENT_EDIT_H

#include "gtm/base/err.h"

#include <stddef.h>

/* kind is a section ("pools", "zones", …) or "names" with name ZONE/NAME. *ret_text is new.
 * GTM_ENOTFOUND; GTM_EUNSUPPORTED: how it is written; GTM_EPARSE, GTM_ENOMEM. */
int gtm_intent_remove(const char *text, size_t len, const char *kind, const char *name,
                      char **ret_text, size_t *ret_len, struct gtm_error *err) GTM_MUST_CHECK;

#endif
