/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of problems (gtm/daemon/problems*.c) share and nobody else includes.
 */
#ifndef GTM_DAEMON_PROBLEMS_INT_H
#define GTM_DAEMON_PROBLEMS_INT_H

#include "gtm/daemon/problems.h"

#include "gtm/base/err.h"

#include <stdint.h>

enum gtm_problem_severity {
    GTM_PROBLEM_CRITICAL = 0,
    GTM_PROBLEM_WARNING,
    GTM_PROBLEM_NOTE,
    GTM_PROBLEM_SEVERITIES
};

/* What is being collected: a list for each severity, so that the worst come first. */
struct gtm_problem_list {
    struct gtm_json *lists[GTM_PROBLEM_SEVERITIES];
    size_t counts[GTM_PROBLEM_SEVERITIES], kept;
};

struct gtm_problem {
    enum gtm_problem_severity severity;
    const char *name, *subject, *hint;
    int64_t since_ms; /* Unix time; 0 = unknown */
};

void gtm_problem__add(struct gtm_problem_list *list, const struct gtm_problem *problem,
                      const char *fmt, ...) GTM_PRINTF(3, 4);

/* problems_cluster.c */
void gtm_problem__cluster(struct gtm_problem_list *list, const struct gtmd *d);

#endif
