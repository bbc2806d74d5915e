/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus text exposition (version 0.0.4). Modules keep their own counters and write them at
 * scrape time:
 *
 *     gtm_metrics_family(w, "gtm_dns_requests_total", "counter", "DNS requests received.");
 *     gtm_metrics_sample(w, (double)n, "proto", "udp", NULL);
 */
#ifndef GTM_BASE_METRICS_H
#define GTM_BASE_METRICS_H

#include "gtm/base/buf.h"

struct gtm_metrics {
    struct gtm_buf out;
    char family[128];
};

/* Starts a family; type is "counter", "gauge", "histogram" or "info" (written as gauge). */
void gtm_metrics_family(struct gtm_metrics *m, const char *name, const char *type,
                        const char *help);
/* One sample of the current family; then pairs of label name and value (escaped here), ended by
 * NULL. */
void gtm_metrics_sample(struct gtm_metrics *m, double value, ...) __attribute__((sentinel));
/* A sample whose name has a suffix ("_bucket", "_sum", "_count"). */
void gtm_metrics_sample_suffix(struct gtm_metrics *m, const char *suffix, double value, ...)
    __attribute__((sentinel));

#endif
