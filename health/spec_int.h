/* SPDX-License-Identifier: Apache-2.0
 *
 * What a spec holds for some kinds only: TLS, dns, grpc. Internal to health/spec.c; see spec.h.
 */
#ifndef GTM_HEALTH_SPEC_INT_H
#define GTM_HEALTH_SPEC_INT_H

#include "health/spec.h"

/* GTM_EINVAL, GTM_ELIMIT. */
int health__spec_check_kind(const char *key, const struct gtm_monitor *monitor,
                            struct gtm_error *err) GTM_MUST_CHECK;
/* The spec's kind is set. May read files. GTM_EINVAL, GTM_ENOMEM. */
int health__spec_copy_kind(struct health_spec *spec, const struct health_target *target,
                           struct gtm_error *err) GTM_MUST_CHECK;
void health__spec_free_kind(struct health_spec *spec);
/* The kinds are the same. */
bool health__spec_same_kind(const struct health_spec *a, const struct health_spec *b);
bool health__spec_same_text(const char *a, const char *b); /* either may be NULL */

#endif
