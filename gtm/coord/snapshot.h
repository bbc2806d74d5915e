/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of a snapshot: a header line {"format":1,"revision":…,"keys":…,"sha256":…}, then one
 * line for each key. The hash covers the header's numbers and all lines after it. Pure.
 */
#ifndef GTM_COORD_SNAPSHOT_H
#define GTM_COORD_SNAPSHOT_H

#include "gtm/base/buf.h"
#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct coord__record {
    const char *key, *value;
    size_t value_len;
    int64_t revision;
};

void coord__snapshot_add(struct gtm_buf *body, const struct coord__record *record);
/* The whole text, to be freed by gtm_free, or NULL when out of memory (also in body). Empties body.
 */
char *coord__snapshot_finish(struct gtm_buf *body, int64_t revision, size_t keys, size_t *ret_len);

/* Checks the whole text, then gives each record to add; the first error of add ends it.
 * GTM_ECORRUPT for damage, GTM_EUNSUPPORTED for a newer format, GTM_ENOMEM. */
int coord__snapshot_parse(const char *text, size_t len,
                          int (*add)(void *ctx, const struct coord__record *record), void *ctx,
                          int64_t *ret_revision, struct gtm_error *err) GTM_MUST_CHECK;

#endif
