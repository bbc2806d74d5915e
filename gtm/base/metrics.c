/* SPDX-License-Identifier: Apache-2.0
 *
 * The Prometheus text format: escapes of help, label values and numbers. See metrics.h; one writer
 * per scrape.
 */
#include "gtm/base/metrics.h"

#include "gtm/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In help a quote stays as it is, in a label value it is escaped. */
static void add_escaped(struct gtm_buf *out, const char *s, bool in_label)
{
    for (size_t i = 0, n = strlen(s), step; i < n; i += step ? step : 1) {
        step = gtm_utf8_len(s + i, n - i);
        if (step == 0)
            gtm_buf_add(out, "\xef\xbf\xbd", 3);
        else if (s[i] == '\\')
            gtm_buf_adds(out, "\\\\");
        else if (s[i] == '\n')
            gtm_buf_adds(out, "\\n");
        else if (s[i] == '"' && in_label)
            gtm_buf_adds(out, "\\\"");
        else
            gtm_buf_add(out, s + i, step);
    }
}

static void add_value(struct gtm_buf *out, double value)
{
    if (isnan(value))
        gtm_buf_adds(out, "NaN");
    else if (isinf(value))
        gtm_buf_adds(out, value > 0 ? "+Inf" : "-Inf");
    else if (fabs(value) <= 9007199254740992.0 && value == floor(value))
        gtm_buf_addf(out, "%lld", (long long)value);
    else
        gtm_buf_addf(out, "%.17g", value);
}

void gtm_metrics_family(struct gtm_metrics *m, const char *name, const char *type, const char *help)
{
    int n = snprintf(m->family, sizeof(m->family), "%s", name);
    if (n < 0 || (size_t)n >= sizeof(m->family))
        m->out.failed = true; /* a cut name would be another metric */
    gtm_buf_addf(&m->out, "# HELP %s ", name);
    add_escaped(&m->out, help, false);
    gtm_buf_addf(&m->out, "\n# TYPE %s %s\n", name, strcmp(type, "info") == 0 ? "gauge" : type);
}

static void add_sample(struct gtm_metrics *m, const char *suffix, double value, va_list labels)
{
    gtm_buf_adds(&m->out, m->family);
    gtm_buf_adds(&m->out, suffix);
    char open = '{';
    const char *name;
    while ((name = va_arg(labels, const char *)) != NULL) {
        const char *label = va_arg(labels, const char *);
        gtm_buf_addf(&m->out, "%c%s=\"", open, name);
        add_escaped(&m->out, label ? label : "", true);
        gtm_buf_addc(&m->out, '"');
        open = ',';
    }
    gtm_buf_adds(&m->out, open == ',' ? "} " : " ");
    add_value(&m->out, value);
    gtm_buf_addc(&m->out, '\n');
}

void gtm_metrics_sample(struct gtm_metrics *m, double value, ...)
{
    va_list labels;
    va_start(labels, value);
    add_sample(m, "", value, labels);
    va_end(labels);
}

void gtm_metrics_sample_suffix(struct gtm_metrics *m, const char *suffix, double value, ...)
{
    va_list labels;
    va_start(labels, value);
    add_sample(m, suffix, value, labels);
    va_end(labels);
}
