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

/* "a,b" → ["a","b"] */
static void add_names(struct gtm_json *list, const char *text)
{
    char name[CTL_NAME_BYTES];

    while (*text != 0) {
        size_t n = strcspn(text, ",");
        snprintf(name, sizeof(name), "%.*s", (int)n, text);
        gtm_json_append_str(list, name);
        text += n + (text[n] == ',');
    }
}

struct gtm_json *ctl_order_body(const struct ctl *ctl, const char *state)
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
    if (ctl->rules != NULL)
        add_names(gtm_json_add_array(body, "override_rules"), ctl->rules);
    return body;
}

static int send(struct ctl *ctl, const struct ctl_order *o, const char *body, bool dry_run,
                struct gtm_json **ret_root)
{
    return ctl_request(ctl, o->method != NULL ? o->method : "PUT",
                       gtm_asprintf("%s?dryRun=%s", o->path, dry_run ? "true" : "false"), body,
                       ret_root);
}

/* ---- showing ---- */

static const char *state_of(const struct gtm_json *item, const char *pointer)
{
    const char *state = gtm_json_as_str(gtm_json_pointer(item, pointer));
    return state != NULL ? state : "?";
}

static void describe(struct gtm_buf *out, const struct ctl_order *o, const struct gtm_json *item)
{
    int64_t before = gtm_json_i64(item, "serving_before", 0);
    bool pool = gtm_json_str(item, "pool", NULL) != NULL;

    ctl_addf(out, "%s: %s → %s", o->what, state_of(item, "/before/state"),
             state_of(item, "/after/state"));
    if (gtm_json_first(gtm_json_get(item, "rules")) != NULL)
        ctl_addf(out, ", %s %" PRId64 " → %" PRId64,
                 pool ? "the pool's serving endpoints" : "serving endpoints", before,
                 gtm_json_i64(item, "serving_after", 0));
    const char *until = gtm_json_as_str(gtm_json_pointer(item, "/after/until"));
    if (until != NULL)
        ctl_addf(out, ", until %s", until);
    int64_t over_s = gtm_json_i64(gtm_json_get(item, "after"), "over_s", 0);
    if (over_s > 0)
        ctl_addf(out, ", in steps over %" PRId64 " s", over_s);
}

static const struct ctl_column rule_columns[] = {
    {"RULE", "name", CTL_COL_TEXT, false, false},
    {"STATE", "state", CTL_COL_WORD, false, false},
    {"WHY", "text", CTL_COL_TEXT, false, false},
};

static int show(const struct ctl *ctl, const struct ctl_order *o, const struct gtm_json *root)
{
    const struct gtm_json *item = gtm_json_get(root, "item");
    const char *warning = gtm_json_str(item, "warning", NULL);
    bool blocked = gtm_json_first(gtm_json_get(item, "blocked_by")) != NULL;
    struct gtm_buf out = {0};
    int rc;

    if (warning != NULL)
        ctl_error("warning: %s", warning);
    if (!ctl->dry_run)
        ctl_tell_rules(gtm_json_get(item, "rules"));
    if (ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else {
        describe(&out, o, item);
        gtm_buf_adds(&out, ctl->dry_run ? " (dry run: nothing was changed)\n" : "\n");
        if (ctl->dry_run && gtm_json_first(gtm_json_get(item, "rules")) != NULL)
            ctl_table(ctl, &out, gtm_json_get(item, "rules"), rule_columns,
                      sizeof(rule_columns) / sizeof(rule_columns[0]));
        rc = ctl_put(&out);
    }
    if (rc == CTL_OK && ctl->dry_run && blocked) {
        ctl_error("it would be blocked");
        rc = CTL_BLOCKED;
    }
    return rc;
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
static bool tell_danger(const struct ctl_order *o, const struct gtm_json *dry,
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
    ctl_tell_rules(gtm_json_get(item, "rules"));
    if (empties_pool && o->pool != NULL)
        ctl_hint("Nothing of pool %s serves any more: what its names answer then is up to their "
                 "policies' all_down.",
                 o->pool);
    else if (empties_region)
        ctl_hint("It is the last one that serves of pool %s in region %s: users there go to other "
                 "regions.",
                 o->pool, region);
    return true;
}

static int look_first(struct ctl *ctl, const struct ctl_order *o, const char *body)
{
    struct gtm_json *dry = NULL, *endpoints = NULL;
    int rc = send(ctl, o, body, true, &dry);

    if (rc == CTL_OK && o->endpoint != NULL)
        rc = ctl_get(ctl, ctl_path("/api/v1/pools/%s/endpoints", o->pool), &endpoints);
    const struct gtm_json *blocked = gtm_json_pointer(dry, "/item/blocked_by");
    if (rc == CTL_OK && gtm_json_first(blocked) == NULL &&
        tell_danger(o, dry, gtm_json_get(endpoints, "items")))
        rc = ctl_confirm(ctl);
    gtm_json_free(endpoints);
    gtm_json_free(dry);
    return rc;
}

int ctl_order_send(struct ctl *ctl, const struct ctl_order *o, struct gtm_json *body)
{
    struct gtm_json *root = NULL;
    char *text = gtm_json_print(body, false);
    int rc = CTL_OK;

    gtm_json_free(body);
    if (text == NULL || o->path == NULL) {
        ctl_error("out of memory");
        rc = CTL_FAILED;
    }
    if (rc == CTL_OK && o->hurts && !ctl->dry_run && !ctl->yes)
        rc = look_first(ctl, o, text);
    if (rc == CTL_OK)
        rc = send(ctl, o, text, ctl->dry_run, &root);
    if (rc == CTL_OK)
        rc = show(ctl, o, root);
    gtm_json_free(root);
    gtm_free(text);
    return rc;
}

int ctl_order(struct ctl *ctl, const char *pool, const char *endpoint)
{
    const char *state = ctl->command->verb;
    char what[2 * CTL_NAME_BYTES];
    char *path = endpoint != NULL ? ctl_path("/api/v1/pools/%s/endpoints/%s/admin", pool, endpoint)
                                  : ctl_path("/api/v1/pools/%s/admin", pool);
    bool hurts = strcmp(state, "down") == 0 || strcmp(state, "drain") == 0;

    snprintf(what, sizeof(what), "%s%s%s", pool, endpoint ? "/" : "", endpoint ? endpoint : "");
    int rc = ctl_order_send(
        ctl,
        &(struct ctl_order){
            .what = what, .path = path, .pool = pool, .endpoint = endpoint, .hurts = hurts},
        ctl_order_body(ctl, state));
    gtm_free(path);
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
