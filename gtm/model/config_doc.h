/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference of the configuration files' keys, written from the tables that parse them: for
 * `gtmctl config docs` and the man pages. Thread-safe.
 */
#ifndef GTM_MODEL_CONFIG_DOC_H
#define GTM_MODEL_CONFIG_DOC_H

#include "gtm/base/buf.h"

#include <stdbool.h>

/* Appends the reference of cluster.yaml or node.yaml, as text or (roff) as the body of a man page's
 * section. out->failed says whether memory ran out. */
void gtm_intent_doc(bool roff, struct gtm_buf *out);
void gtm_node_doc(bool roff, struct gtm_buf *out);

#endif
