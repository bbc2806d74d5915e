/* SPDX-License-Identifier: Apache-2.0
 *
 * Load reports: the first line of the input is a JSON pointer, the rest what an endpoint answered.
 * Whatever is found must be finite and not negative, and `has` must say exactly what was found.
 */
#include "health/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pointer[257] = "";
    const uint8_t *end = memchr(data, '\n', size < 256 ? size : 256);
    size_t len = end ? (size_t)(end - data) : 0;
    memcpy(pointer, data, len);
    const char *body = (const char *)data + (end ? len + 1 : 0);
    size_t body_len = size - (end ? len + 1 : 0);
    const char *const pointers[GTM_LOAD_COUNT] = {pointer, "/load", "/a/0/b"};
    struct health_load load;
    struct gtm_error err = {0};
    int rc = health_load_parse(body, body_len, pointers, &load, &err);
    check(rc == GTM_OK || (rc == GTM_EPARSE && err.text[0]));
    check(rc != GTM_OK || load.has == 7);
    for (int i = 0; i < GTM_LOAD_COUNT; i++) {
        check(isfinite(load.value[i]) && load.value[i] >= 0);
        check(load.has & 1 << i || load.value[i] == 0);
    }
    check((load.has & 8) == 0);
    return 0;
}
