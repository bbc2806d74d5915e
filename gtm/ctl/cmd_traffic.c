/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl traffic, override, rule and automation: where users are sent by order, what holds orders
 * back, and what is decided by itself.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/order.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

/* ---- traffic ---- */

static const struct ctl_column traffic_columns[] = {
    {"REGION", "name", CTL_COL_TEXT, false, false},
    {"HEALTH", "health", CTL_COL_WORD, false, false},
    {"ADMIN", "effective_admin", CTL_COL_WORD, false, false},
    {"MOVED", "moved", CTL_COL_PERCENT, false, true},
    {"STEPS", "/shift/steps", CTL_COL_TEXT, false, false},
    {"NEXT", "/shift/next", CTL_COL_LEFT, false, true},
    {"HELD", "/shift/held_why", CTL_COL_TEXT, false, false},
    {"OWNER", "/shift/owner", CTL_COL_TEXT, false, false},
    {"REASON", "/shift/reason", CTL_COL_TEXT, true, false},
};

int ctl_traffic_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/traffic"), traffic_columns,
                            COUNT(traffic_columns));
}

/* Steps are the server's to judge: what is no number goes as 0. */
static void add_steps(struct gtm_json *list, const char *text)
{
    while (*text != 0) {
        char *end;
        long percent = strtol(text, &end, 10);
        gtm_json_append_i64(list, *end == ',' || *end == 0 ? percent : 0);
        text += strcspn(text, ",");
        text += *text == ',';
    }
}

int ctl_traffic_order(struct ctl *ctl)
{
    const char *verb = ctl->command->verb, *region = ctl->argc > 0 ? ctl->argv[0] : ctl->from;
    bool shift = strcmp(verb, "shift") == 0;
    char what[CTL_NAME_BYTES + 8];

    if (region == NULL || (ctl->argc > 0 && ctl->from != NULL)) {
        ctl_error("traffic %s needs one region: --from REGION", verb);
        return CTL_USAGE;
    }
    char *path = ctl_path("/api/v1/traffic/%s", region);
    struct gtm_json *body = ctl_order_body(ctl, verb);
    if (ctl->steps != NULL)
        add_steps(gtm_json_add_array(body, "steps"), ctl->steps);
    if (ctl->pause_ms > 0)
        gtm_json_add_num(body, "pause_s", (double)ctl->pause_ms / 1000);
    snprintf(what, sizeof(what), "shift/%s", region);
    int rc = ctl_order_send(ctl,
                            &(struct ctl_order){.what = what,
                                                .path = path,
                                                .hurts = shift || strcmp(verb, "resume") == 0},
                            body);
    gtm_free(path);
    return rc;
}

/* ---- overrides ---- */

static const struct ctl_column override_columns[] = {
    {"ORDER", "key", CTL_COL_TEXT, false, false},
    {"STATE", "state", CTL_COL_WORD, false, false},
    {"OWNER", "owner", CTL_COL_TEXT, false, false},
    {"SINCE", "since", CTL_COL_AGE, false, true},
    {"LEFT", "until", CTL_COL_LEFT, false, true},
    {"BREAKS", "overridden_rules", CTL_COL_TEXT, true, false},
    {"REASON", "reason", CTL_COL_TEXT, false, false},
};

int ctl_override_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/overrides"), override_columns,
                            COUNT(override_columns));
}

int ctl_override_show(struct ctl *ctl)
{
    struct gtm_json *all = NULL;
    int rc = ctl_get(ctl, ctl_path("/api/v1/overrides"), &all);
    const struct gtm_json *o = gtm_json_first(gtm_json_get(all, "items"));

    while (o != NULL && strcmp(gtm_json_str(o, "key", ""), ctl->argv[0]) != 0)
        o = gtm_json_next(o);
    if (rc == CTL_OK && o == NULL) {
        ctl_error("there is no order '%s'", ctl->argv[0]);
        rc = CTL_NOT_FOUND;
    } else if (rc == CTL_OK) {
        struct gtm_json *root = ctl_envelope("Override", all);
        gtm_json_add(root, "item", gtm_json_copy(o));
        rc = ctl_show(ctl, root, NULL, 0);
        gtm_json_free(root);
    }
    gtm_json_free(all);
    return rc;
}

int ctl_override_clear(struct ctl *ctl)
{
    struct gtm_json *body = gtm_json_object();

    gtm_json_add_str(body, "key", ctl->argv[0]);
    gtm_json_add_str(body, "reason", ctl->reason);
    return ctl_order_send(ctl,
                          &(struct ctl_order){.what = ctl->argv[0],
                                              .path = "/api/v1/overrides/clear",
                                              .method = "POST"},
                          body);
}

/* ---- rules ---- */

static const struct ctl_column rule_columns[] = {
    {"RULE", "name", CTL_COL_TEXT, false, false},
    {"KIND", "kind", CTL_COL_TEXT, false, false},
    {"WANTS", "wants", CTL_COL_TEXT, false, false},
    {"WHEN", "when", CTL_COL_TEXT, false, false},
    {"NOW", "position", CTL_COL_TEXT, false, false},
    {"DEFAULT", "default", CTL_COL_TEXT, true, false},
};

int ctl_rule_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/rules"), rule_columns, COUNT(rule_columns));
}

/* What the rules would say of an order: region/R, pool/P or endpoint/P/E and a state. */
int ctl_rule_test(struct ctl *ctl)
{
    const char *key = ctl->argv[0], *rest = strchr(key, '/');
    char pool[CTL_NAME_BYTES];
    struct ctl_order o = {.what = key};
    char *path = NULL;

    rest = rest != NULL ? rest + 1 : "";
    ctl->dry_run = true;
    if (strncmp(key, "region/", 7) == 0)
        path = ctl_path("/api/v1/regions/%s/admin", rest);
    else if (strncmp(key, "pool/", 5) == 0)
        path = ctl_path("/api/v1/pools/%s/admin", o.pool = rest);
    else if (strncmp(key, "endpoint/", 9) == 0 && (o.endpoint = ctl_split(rest, pool)) != NULL)
        path = ctl_path("/api/v1/pools/%s/endpoints/%s/admin", o.pool = pool, o.endpoint);
    if (path == NULL) {
        ctl_error("'%s' is none of region/REGION, pool/POOL and endpoint/POOL/ENDPOINT", key);
        return CTL_USAGE;
    }
    o.path = path;
    int rc = ctl_order_send(ctl, &o, ctl_order_body(ctl, ctl->argv[1]));
    gtm_free(path);
    return rc;
}

int ctl_rule_switch(struct ctl *ctl)
{
    char what[CTL_NAME_BYTES + 8];
    char *path = ctl_path("/api/v1/switches/%s", ctl->argv[0]);

    snprintf(what, sizeof(what), "switch/%s", ctl->argv[0]);
    int rc = ctl_order_send(ctl, &(struct ctl_order){.what = what, .path = path},
                            ctl_order_body(ctl, ctl->argv[1]));
    gtm_free(path);
    return rc;
}

/* ---- automation ---- */

int ctl_automation_status(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/automation"), NULL, 0);
}

int ctl_automation_order(struct ctl *ctl)
{
    bool pause = strcmp(ctl->command->verb, "pause") == 0;

    return ctl_order_send(ctl,
                          &(struct ctl_order){.what = "automation", .path = "/api/v1/automation"},
                          ctl_order_body(ctl, pause ? "paused" : "auto"));
}
