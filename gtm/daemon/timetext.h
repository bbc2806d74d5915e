/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading of RFC 3339 times; writing is in gtm/base/clock.h. Pure, thread-safe.
 */
#ifndef GTM_DAEMON_TIMETEXT_H
#define GTM_DAEMON_TIMETEXT_H

#include "gtm/base/err.h"

#include <stdint.h>

/* "2026-11-20T17:00:00Z", with a fraction and an offset if need be (RFC 3339 5.6) → Unix time in
 * milliseconds (a longer fraction is cut). A leap second counts as the second after it. Years 1970
 * to 9999. GTM_EPARSE, GTM_ERANGE. */
int gtm_time_parse(const char *text, int64_t *ret_wall_ms) GTM_MUST_CHECK;

#endif
