/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void the_text_format(void **state)
{
    struct gtm_metrics m = {0};
    gtm_metrics_family(&m, "gtm_requests_total", "counter", "Requests\\ \"all\"\nof them.");
    gtm_metrics_sample(&m, 9007199254740992.0, "proto", "udp", NULL);
    gtm_metrics_sample(&m, 0.1, "a", "q\"b\\n\n\xff", "b", "", NULL);
    gtm_metrics_sample(&m, 1.5, NULL);
    gtm_metrics_family(&m, "gtm_seconds", "histogram", "h");
    gtm_metrics_sample_suffix(&m, "_bucket", 3, "le", "+Inf", NULL);
    gtm_metrics_sample_suffix(&m, "_sum", INFINITY, NULL);
    gtm_metrics_sample_suffix(&m, "_count", -INFINITY, NULL);
    gtm_metrics_family(&m, "gtm_build_info", "info", "i");
    gtm_metrics_sample(&m, NAN, NULL);
    assert_false(m.out.failed);
    assert_string_equal(
        m.out.data,
        "# HELP gtm_requests_total Requests\\\\ \"all\"\\nof them.\n"
        "# TYPE gtm_requests_total counter\n"
        "gtm_requests_total{proto=\"udp\"} 9007199254740992\n"
        "gtm_requests_total{a=\"q\\\"b\\\\n\\n\xef\xbf\xbd\",b=\"\"} 0.10000000000000001\n"
        "gtm_requests_total 1.5\n"
        "# HELP gtm_seconds h\n"
        "# TYPE gtm_seconds histogram\n"
        "gtm_seconds_bucket{le=\"+Inf\"} 3\n"
        "gtm_seconds_sum +Inf\n"
        "gtm_seconds_count -Inf\n"
        "# HELP gtm_build_info i\n"
        "# TYPE gtm_build_info gauge\n"
        "gtm_build_info NaN\n");
    gtm_buf_fini(&m.out);
}

static void a_name_that_does_not_fit_fails(void **state)
{
    struct gtm_metrics m = {0};
    char name[200];
    memset(name, 'x', sizeof(name));
    name[199] = '\0';
    gtm_metrics_family(&m, name, "gauge", "h");
    assert_true(m.out.failed);
    gtm_buf_fini(&m.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_format),
        cmocka_unit_test(a_name_that_does_not_fit_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
