/* SPDX-License-Identifier: Apache-2.0
 *
 * Targets of API requests: whatever comes, the parameters lie inside their room and end with NUL,
 * and a path that is found is found again from its own decoded parameters.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_params(const struct gtm_api_target *target, const struct gtm_api_params *params)
{
    if (params->count > GTM_API_PARAMS_MAX)
        abort();
    for (size_t i = 0; i < params->count; i++) {
        const char *value = params->items[i].value;
        if (value < target->room || value + strlen(value) >= target->room + target->used)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *raw = gtm_strndup((const char *)data + 1, size - 1);
    struct gtm_api_target *target = gtm_malloc(sizeof(*target));
    struct gtm_api_match match;
    struct gtm_error err = {0};
    if (raw && target) {
        int rc = gtm_api_match(gtm_api_routes, gtm_api_routes_count,
                               (enum gtm_api_method)(data[0] % (GTM_API_METHOD_COUNT + 1)), raw,
                               target, &match, &err);
        if (target->used > sizeof(target->room) || (rc && !err.text[0]))
            abort();
        if (!rc && match.route) {
            check_params(target, &target->path);
            check_params(target, &target->query);
            (void)gtm_api_query_unknown(match.route, &target->query);
        }
    }
    gtm_free(target);
    gtm_free(raw);
    return 0;
}
