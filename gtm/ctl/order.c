/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders of admin states: looked at before they are given. See order.h.
 */
#include "gtm/ctl/order.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct order {
    const char *pool, *endpoint, *state; /* endpoint NULL: the whole pool */
    char what[2 * CTL_NAME_BYTES];
    char *body;
};

const char *ctl_split(const char *text, char pool[CTL_NAME_BYTES])
{
    const char *slash = strchr(text, '/');

    if (slash == NULL || slash == text || slash[1] == 0 || strchr(slash + 1, '/') != NULL ||
        slash - text >= CTL_NAME_BYTES) {
        ctl_error("'%s' is no POOL/ENDPOINT (for example www/www-us)", text);
        return NULL;
    }
    memcpy(pool, text, (size_t)(slash - text));
    pool[slash - text] = 0;
    return slash + 1;
}

/* ---- the request ---- */

static char *order_body(const struct ctl *ctl, const char *state)
{
    struct gtm_json *body = gtm_json_object();
    char until[GTM_TIME_TEXT_BYTES];

    gtm_json_add_str(body, "state", state);
    gtm_json_add_str(body, "reason", ctl->reason);
    if (ctl->for_ms > 0)
        gtm_json_add_str(
            body, "until",
            gtm_time_format(gtm_wall_ms(gtm_clock_system()) + (int64_t)ctl->for_ms, until));
    if (ctl->over_ms > 0)
        gtm_json_add_i64(body, "over_s", (int64_t)((ctl->over_ms + 999) / 1000));
    char *text = gtm_json_print(body, false);
    gtm_json_free(body);
    return text;
}

static int put(struct ctl *ctl, const struct order *o, bool dry_run, struct gtm_json **ret_root)
{
    const char *format = o->endpoint != NULL ? "/api/v1/pools/%s/endpoints/%s/admin?dryRun=%s"
                                             : "/api/v1/pools/%s/admin?dryRun=%s";
    const char *dry = dry_run ? "true" : "false";
    char *path = o->endpoint != NULL ? ctl_path(format, o->pool, o->endpoint, dry)
                                     : ctl_path(format, o->pool, dry);

    return ctl_request(ctl, "PUT", path, o->body, ret_root);
}

/* ---- showing ---- */

static void describe(struct gtm_buf *out, const struct order *o, const struct gtm_json *item)
{
    ctl_addf(out, "%s: %s → %s, the pool's serving endpoints %" PRId64 " → %" PRId64, o->what,
             gtm_json_as_str(gtm_json_pointer(item, "/before/state")) != NULL
                 ? gtm_json_as_str(gtm_json_pointer(item, "/before/state"))
                 : "?",
             o->state, gtm_json_i64(item, "serving_before", 0),
             gtm_json_i64(item, "serving_after", 0));
    const char *until = gtm_json_as_str(gtm_json_pointer(item, "/after/until"));
    if (until != NULL)
        ctl_addf(out, ", until %s", until);
    int64_t over_s = gtm_json_i64(gtm_json_get(item, "after"), "over_s", 0);
    if (over_s > 0)
        ctl_addf(out, ", in steps over %" PRId64 " s", over_s);
}

static int show(const struct ctl *ctl, const struct order *o, const struct gtm_json *root)
{
    const struct gtm_json *item = gtm_json_get(root, "item");
    const char *warning = gtm_json_str(item, "warning", NULL);
    struct gtm_buf out = {0};

    if (warning != NULL)
        ctl_error("warning: %s", warning);
    if (ctl_machine(ctl))
        return ctl_show_machine(ctl, root);
    describe(&out, o, item);
    gtm_buf_adds(&out, ctl->dry_run ? " (dry run: nothing was changed)\n" : "\n");
    return ctl_put(&out);
}

/* ---- looking first ---- */

/* Among the pool's endpoints: is this one serving, and does another one of its region? */
static bool leaves_region_empty(const struct gtm_json *endpoints, const char *name,
                                const char **ret_region)
{
    const struct gtm_json *self = NULL;
    bool other = false;

    for (const struct gtm_json *e = gtm_json_first(endpoints); e != NULL; e = gtm_json_next(e))
        if (strcmp(gtm_json_str(e, "name", ""), name) == 0)
            self = e;
    *ret_region = gtm_json_str(self, "region", "?");
    for (const struct gtm_json *e = gtm_json_first(endpoints); e != NULL; e = gtm_json_next(e))
        other = other || (e != self && gtm_json_bool(e, "serves", false) &&
                          strcmp(gtm_json_str(e, "region", ""), *ret_region) == 0);
    return gtm_json_bool(self, "serves", false) && !other;
}

/* Says on standard error what would happen; true when that needs a yes. */
static bool tell_danger(const struct order *o, const struct gtm_json *dry,
                        const struct gtm_json *endpoints)
{
    const struct gtm_json *item = gtm_json_get(dry, "item");
    const char *region = NULL;
    bool empties_pool =
        gtm_json_i64(item, "serving_after", 0) == 0 && gtm_json_i64(item, "serving_before", 0) > 0;
    bool empties_region =
        o->endpoint != NULL && leaves_region_empty(endpoints, o->endpoint, &region);
    struct gtm_buf out = {0};

    if (!empties_pool && !empties_region && o->endpoint != NULL)
        return false;
    describe(&out, o, item);
    fprintf(stderr, "%s\n", out.data != NULL ? out.data : "");
    gtm_buf_fini(&out);
    if (empties_pool)
        ctl_hint("Nothing of pool %s serves any more: what its names answer then is up to their "
                 "policies' all_down.",
                 o->pool);
    else if (empties_region)
        ctl_hint("It is the last one that serves of pool %s in region %s: users there go to other "
                 "regions.",
                 o->pool, region);
    return true;
}

static int look_first(struct ctl *ctl, const struct order *o)
{
    struct gtm_json *dry = NULL, *endpoints = NULL;
    int rc = put(ctl, o, true, &dry);

    if (rc == CTL_OK && o->endpoint != NULL)
        rc = ctl_get(ctl, ctl_path("/api/v1/pools/%s/endpoints", o->pool), &endpoints);
    if (rc == CTL_OK && tell_danger(o, dry, gtm_json_get(endpoints, "items")))
        rc = ctl_confirm(ctl);
    gtm_json_free(endpoints);
    gtm_json_free(dry);
    return rc;
}

int ctl_order(struct ctl *ctl, const char *pool, const char *endpoint)
{
    struct order o = {.pool = pool, .endpoint = endpoint, .state = ctl->command->verb};
    struct gtm_json *root = NULL;
    bool hurts = strcmp(o.state, "down") == 0 || strcmp(o.state, "drain") == 0;
    int rc = CTL_OK;

    snprintf(o.what, sizeof(o.what), "%s%s%s", pool, endpoint ? "/" : "", endpoint ? endpoint : "");
    o.body = order_body(ctl, o.state);
    if (o.body == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }
    if (hurts && !ctl->dry_run && !ctl->yes)
        rc = look_first(ctl, &o);
    if (rc == CTL_OK)
        rc = put(ctl, &o, ctl->dry_run, &root);
    if (rc == CTL_OK)
        rc = show(ctl, &o, root);
    gtm_json_free(root);
    gtm_free(o.body);
    return rc;
}

/* ---- lists ---- */

const struct ctl_column ctl_endpoint_columns[] = {
    {"POOL", "pool", CTL_COL_TEXT, false, false},
    {"ENDPOINT", "name", CTL_COL_TEXT, false, false},
    {"REGION", "region", CTL_COL_TEXT, false, false},
    {"ADDRESSES", "addresses", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "effective_admin", CTL_COL_WORD, false, false},
    {"SERVES", "serves", CTL_COL_TEXT, false, false},
    {"SHARE", "/addresses/0/share", CTL_COL_TEXT, true, true},
    {"SINCE", "/addresses/0/since", CTL_COL_AGE, false, true},
    {"WEIGHT", "weight", CTL_COL_TEXT, true, true},
    {"USED", "utilisation", CTL_COL_PERCENT, true, true},
    {"CONNECTIONS", "/loads/connections/value", CTL_COL_TEXT, true, true},
    {"REQUESTS", "/loads/requests_per_s/value", CTL_COL_TEXT, true, true},
    {"OWNER", "/admin/owner", CTL_COL_TEXT, true, false},
    {"UNTIL", "/admin/until", CTL_COL_TEXT, true, false},
    {"REASON", "/admin/reason", CTL_COL_TEXT, false, false},
    {"WHY", "/addresses/0/share_reason", CTL_COL_TEXT, false, false},
};
const size_t ctl_endpoint_columns_count =
    sizeof(ctl_endpoint_columns) / sizeof(ctl_endpoint_columns[0]);

int ctl_all_endpoints(struct ctl *ctl, const char *region, struct gtm_json **ret_items)
{
    struct gtm_json *pools = NULL, *items = gtm_json_array();
    int rc = ctl_get(ctl, ctl_path("/api/v1/pools"), &pools);

    for (const struct gtm_json *p = gtm_json_first(gtm_json_get(pools, "items"));
         rc == CTL_OK && p != NULL; p = gtm_json_next(p)) {
        struct gtm_json *root = NULL;
        rc = ctl_get(ctl, ctl_path("/api/v1/pools/%s/endpoints", gtm_json_str(p, "name", "")),
                     &root);
        for (const struct gtm_json *e = gtm_json_first(gtm_json_get(root, "items")); e != NULL;
             e = gtm_json_next(e))
            if (region == NULL || strcmp(gtm_json_str(e, "region", ""), region) == 0)
                gtm_json_append(items, gtm_json_copy(e));
        gtm_json_free(root);
    }
    gtm_json_free(pools);
    if (rc == CTL_OK)
        *ret_items = items;
    else
        gtm_json_free(items);
    return rc;
}
