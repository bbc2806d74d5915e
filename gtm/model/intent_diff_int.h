/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of comparing intents (gtm/model/intent_diff*.c) share and nobody else includes.
 */
#ifndef GTM_MODEL_INTENT_DIFF_INT_H
#define GTM_MODEL_INTENT_DIFF_INT_H

#include "gtm/base/json.h"
#include "gtm/model/intent_files.h"

/* Appends what differs in a file's lines, each compared as a whole wherever it stands; comments,
 * empty lines and blanks at a line's end do not count. Either text may be NULL. */
void gtm__diff_lines(struct gtm_json *files, const char *name, const struct gtm_intent_text *before,
                     const struct gtm_intent_text *after);

#endif
