/* SPDX-License-Identifier: Apache-2.0
 *
 * Load reports. See load.h; pure.
 */
#include "health/load.h"

#include "health/outcome.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 63 /* bytes of a string that holds a number */

/* Decimal, with nothing around it: strtod alone would take " 1", "0x1p3", "inf" and "nan". */
static bool number_of_text(const char *text, double *ret_value)
{
    char *end = NULL;
    size_t len = strnlen(text, NUMBER_MAX + 1);
    if (len == 0 || len > NUMBER_MAX || strspn(text, "0123456789.+-eE") != len)
        return false;
    *ret_value = strtod(text, &end);
    return *end == '\0';
}

static bool number_of(const struct gtm_json *value, double *ret_value)
{
    *ret_value = -1;
    if (gtm_json_type(value) == GTM_JSON_NUMBER)
        *ret_value = gtm_json_as_num(value, -1);
    else if (gtm_json_type(value) != GTM_JSON_STRING ||
             !number_of_text(gtm_json_as_str(value), ret_value))
        return false;
    return isfinite(*ret_value) && *ret_value >= 0;
}

static void keep(struct health_load *load, int which, double value)
{
    load->has |= (uint8_t)(1u << which);
    load->value[which] = value;
}

int health_load_read(const struct gtm_json *root, const char *const pointers[GTM_LOAD_COUNT],
                     bool all, struct health_load *ret_load, struct gtm_error *err)
{
    int rc = GTM_OK;
    *ret_load = (struct health_load){0};
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        if (!pointers[i])
            continue;
        const struct gtm_json *value = gtm_json_pointer(root, pointers[i]);
        double number;
        if (number_of(value, &number))
            keep(ret_load, i, number);
        else if (rc == GTM_OK && (value || all))
            rc = gtm_error_set(err, GTM_EPARSE,
                               value ? "%s: %.40s is not a number ≥ 0" : "%s: there is no %.40s",
                               gtm_load_words[i], pointers[i]);
    }
    return rc;
}

int health_load_parse(const char *body, size_t len, const char *const pointers[GTM_LOAD_COUNT],
                      struct health_load *ret_load, struct gtm_error *err)
{
    *ret_load = (struct health_load){0};
    if (len > HEALTH_BODY_MAX)
        return gtm_error_set(err, GTM_EPARSE, "the answer is too long for a load report");
    struct gtm_json *root = gtm_json_parse(body, len, NULL);
    if (!root)
        return gtm_error_set(err, GTM_EPARSE, "the answer is not JSON");
    int rc = health_load_read(root, pointers, true, ret_load, err);
    gtm_json_free(root);
    return rc;
}
