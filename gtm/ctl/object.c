/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders of admin states: looked at before they are given.
 */
#include "gtm/ctl/object.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ctl_split(const char *text, char *pool, size_t pool_bytes)
{
    const char *slash = strchr(text, '/');

    if (slash == NULL || slash == text || slash[1] == 0 || strchr(slash + 1, '/') != NULL ||
        (size_t)(slash - text) >= pool_bytes) {
        ctl_error("'%s' is no POOL/ENDPOINT (for example www/www-us)", text);
        return NULL;
    }
    memcpy(pool, text, (size_t)(slash - text));
    pool[slash - text] = 0;
    return slash + 1;
}

bool ctl_until(const char *duration, char out[32])
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    char *end;
    double n = strtod(duration, &end);

    for (size_t i = 0; end != duration && i < 4; i++)
        if (strcmp(end, units[i].unit) == 0 && n * units[i].ms >= 1000 &&
            n * units[i].ms <= 3.2e10) {
            gtm_time_format(gtm_wall_ms(gtm_clock_system()) + (int64_t)(n * units[i].ms), out);
            return true;
        }
    ctl_error("--for takes a time like 30m, 2h or 1d (at most a year), not '%s'", duration);
    return false;
}

static char *order_body(const struct ctl *ctl, const char *state, const char *until)
{
    struct gtm_json *body = gtm_json_object();

    gtm_json_add_str(body, "state", state);
    gtm_json_add_str(body, "reason", ctl->reason);
    gtm_json_add_str(body, "until", until);
    char *text = gtm_json_print(body, false);
    gtm_json_free(body);
    return text;
}

static void tell_change(const struct gtm_json *item, const char *what, bool dry)
{
    const char *warning = gtm_json_str(item, "warning", NULL);

    printf("%s: %s → %s, serving endpoints of the pool %lld → %lld%s\n", what,
           gtm_json_as_str(gtm_json_pointer(item, "/before/state")),
           gtm_json_as_str(gtm_json_pointer(item, "/after/state")),
           (long long)gtm_json_i64(item, "serving_before", 0),
           (long long)gtm_json_i64(item, "serving_after", 0), dry ? "  (dry run)" : "");
    if (warning != NULL)
        fprintf(stderr, "gtmctl: warning: %s\n", warning);
}

/* Would it hurt? Then the operator is asked. 0 = go on. */
static int look_first(struct ctl *ctl, const char *path, const char *body, const char *what)
{
    struct gtm_json *root = NULL;
    char question[512];
    int rc = ctl_request(ctl, "PUT", path, body, NULL, &root);

    if (rc == 0) {
        const struct gtm_json *item = gtm_json_get(root, "item");
        int64_t before = gtm_json_i64(item, "serving_before", 0);
        int64_t after = gtm_json_i64(item, "serving_after", 0);
        if (ctl->dry_run) {
            if (!ctl_show_machine(ctl, root))
                tell_change(item, what, true);
        } else if (after == 0 && before > 0) {
            snprintf(question, sizeof(question),
                     "After this nothing of the pool serves any more (now %lld): its policies' "
                     "all_down decides.",
                     (long long)before);
            rc = ctl_confirm(ctl, question) ? 0 : CTL_USAGE;
        }
    }
    gtm_json_free(root);
    return rc;
}

int ctl_order(struct ctl *ctl, const char *pool, const char *endpoint, const char *state)
{
    char until[32], what[512];
    struct gtm_json *root = NULL;

    if (ctl->duration != NULL && !ctl_until(ctl->duration, until))
        return CTL_USAGE;
    snprintf(what, sizeof(what), "%s%s%s", pool, endpoint ? "/" : "", endpoint ? endpoint : "");
    char *body = order_body(ctl, state, ctl->duration != NULL ? until : NULL);
    char *path = endpoint != NULL ? ctl_path("/api/v1/pools/%s/endpoints/%s/admin", pool, endpoint)
                                  : ctl_path("/api/v1/pools/%s/admin", pool);
    char *dry = gtm_asprintf("%s?dryRun=true", path != NULL ? path : "");
    int rc = dry != NULL && body != NULL ? look_first(ctl, dry, body, what) : CTL_FAILED;
    if (rc == 0 && !ctl->dry_run) {
        rc = ctl_request(ctl, "PUT", path, body, NULL, &root);
        if (rc == 0 && !ctl_show_machine(ctl, root))
            tell_change(gtm_json_get(root, "item"), what, false);
    }
    gtm_json_free(root);
    gtm_free(dry);
    gtm_free(path);
    gtm_free(body);
    return rc;
}
