/* SPDX-License-Identifier: Apache-2.0
 *
 * Cuts a stream into JSON objects by their braces: etcd ends most of them with a newline, but not
 * the last one before it closes, and TCP cuts anywhere. It only finds the ends; gtm_json_parse
 * judges what is between them. Pure.
 */
#ifndef GTM_ETCDC_SPLITTER_H
#define GTM_ETCDC_SPLITTER_H

#include "gtm/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise with max_bytes, then etcdc__splitter_fini. */
struct etcdc__splitter {
    size_t max_bytes;   /* of one object; more is ETCDC_E_OVERFLOW */
    struct gtm_buf buf; /* the object under way */
    unsigned depth;
    bool in_string, escaped;
};

/* A whole object, borrowed for the call. False ends the feeding; the splitter is not touched any
 * more then, so it may be freed. */
typedef bool etcdc__object_fn(void *arg, const char *text, size_t len);

/* ETCDC_OK, or ETCDC_E_PROTOCOL (something else than white space between objects),
 * ETCDC_E_OVERFLOW, ETCDC_E_NOMEM: the stream is of no use then. */
int etcdc__splitter_feed(struct etcdc__splitter *splitter, const char *data, size_t len,
                         etcdc__object_fn *object, void *arg) GTM_MUST_CHECK;
void etcdc__splitter_fini(struct etcdc__splitter *splitter); /* may be fed anew afterwards */

#endif
