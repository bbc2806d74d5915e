/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts of the audit chain, between what writes it and what checks it. Pure.
 */
#ifndef GTM_COORD_AUDIT_TEXT_H
#define GTM_COORD_AUDIT_TEXT_H

#include "gtm/base/sha.h"
#include "gtm/coord/audit.h"

#define COORD__AUDIT_KEY 32

struct coord__audit_head {
    int64_t seq, first;
    char hash[GTM_SHA256_HEX_BYTES]; /* "" = none yet */
};

void coord__audit_key(int64_t seq, char out[COORD__AUDIT_KEY]);
/* The fields that do not depend on the chain; NULL: out of memory. */
struct gtm_json *coord__audit_json(const struct gtm_audit_entry *entry);
/* The text of the entry that follows head, and moves head to it. NULL: out of memory. */
char *coord__audit_entry_text(const struct gtm_json *entry, struct coord__audit_head *head);
char *coord__audit_head_text(const struct coord__audit_head *head);
/* GTM_ECORRUPT, GTM_EUNSUPPORTED, GTM_ENOMEM. */
int coord__audit_head_parse(const char *text, size_t len, struct coord__audit_head *ret_head,
                            struct gtm_error *err) GTM_MUST_CHECK;

#endif
