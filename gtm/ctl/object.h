/* SPDX-License-Identifier: Apache-2.0
 *
 * What the nouns endpoint, pool and health share: names of endpoints and orders of admin states.
 * One thread.
 */
#ifndef GTM_CTL_OBJECT_H
#define GTM_CTL_OBJECT_H

#include "gtm/ctl/ctl.h"

/* "POOL/ENDPOINT": copies the pool into pool and returns the endpoint's name, a part of text. NULL
 * after having told what is wrong. */
const char *ctl_split(const char *text, char *pool, size_t pool_bytes);

/* Orders a state for a pool, or an endpoint of it (endpoint not NULL): first as a dry run, whose
 * effect is shown; asks when it leaves a pool without anything that serves. Returns an exit code.
 */
int ctl_order(struct ctl *ctl, const char *pool, const char *endpoint, const char *state);

/* "2h" → RFC 3339 time in the future; false after having told what is wrong. */
bool ctl_until(const char *duration, char out[32]);

#endif
