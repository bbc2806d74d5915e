/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong now, worked out from what is known when somebody asks. The control thread only.
 */
#ifndef GTM_DAEMON_PROBLEMS_H
#define GTM_DAEMON_PROBLEMS_H

#include "gtm/base/json.h"

#include <stddef.h>

struct gtmd;

#define GTM_PROBLEMS_MAX   1000 /* listed; further ones are only counted */
#define GTM_GEO_STALE_DAYS 400

struct gtm_problem_counts {
    size_t critical, warning, note;
};

/* A new array of {name, severity, subject, since, detail, hint}, the worst first; counts of all in
 * ret_counts (may be NULL). */
struct gtm_json *gtm_problems(const struct gtmd *d, struct gtm_problem_counts *ret_counts);

#endif
