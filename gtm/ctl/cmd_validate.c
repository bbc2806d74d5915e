/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl validate: an intent and its zones, read as gtmd would, without gtmd.
 */
#include "dns/zone.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/offline.h"
#include "gtm/ctl/say.h"
#include "gtm/model/intent.h"

#include <stdio.h>
#include <string.h>

/* A zone of the intent with its dynamic names, compiled as gtmd would. */
static bool check_zone(const struct gtm_intent *intent, const struct gtm_zone_conf *z,
                       struct gtm_diags *diags)
{
    if (z->file == NULL) /* transferred from a primary: its records are not here */
        return true;
    struct dns_zone_dynamic *names = gtm_calloc(z->names_count + 1, sizeof(*names));
    if (names == NULL) {
        gtm_diags_add(diags, GTM_SEV_ERROR, intent->path, 0, 0, "out of memory");
        return false;
    }
    for (size_t i = 0; i < z->names_count; i++)
        names[i] = (struct dns_zone_dynamic){.name = z->names[i].name,
                                             .types = z->names[i].types,
                                             .types_count = z->names[i].types_count,
                                             .slot = 0,
                                             .file = intent->path,
                                             .line = z->names[i].pos.line,
                                             .col = z->names[i].pos.col};
    struct dns_zone_spec spec = {.origin = z->name,
                                 .path = z->file,
                                 .dynamics = names,
                                 .dynamics_count = z->names_count,
                                 .slot_count = 1};
    struct dns_zone *zone = dns_zone_load(&spec, diags);
    gtm_free(names);
    dns_zone_unref(zone);
    return zone != NULL;
}

static void add_inactive(const struct gtm_intent *intent, struct gtm_diags *diags)
{
    for (size_t i = 0; i < intent->inactive_count; i++)
        gtm_diags_add(diags, GTM_SEV_NOTE, intent->path, intent->inactive[i].pos.line,
                      intent->inactive[i].pos.col, "%s '%s' is accepted but not active yet",
                      intent->inactive[i].kind, intent->inactive[i].name);
}

static void add_counts(struct gtm_json *facts, const struct gtm_intent *intent)
{
    gtm_json_add_i64(facts, "regions", (int64_t)intent->regions_count);
    gtm_json_add_i64(facts, "monitors", (int64_t)intent->monitors_count);
    gtm_json_add_i64(facts, "pools", (int64_t)intent->pools_count);
    gtm_json_add_i64(facts, "policies", (int64_t)intent->policies_count);
    gtm_json_add_i64(facts, "zones", (int64_t)intent->zones_count);
    gtm_json_add_i64(facts, "not_active", (int64_t)intent->inactive_count);
}

static int validate(struct ctl *ctl, const char *path, struct gtm_intent *intent,
                    struct gtm_diags *diags)
{
    struct gtm_json *facts = gtm_json_object();
    char more[160] = "";
    bool ok = intent != NULL;

    gtm_json_add_str(facts, "file", path);
    for (size_t i = 0; intent != NULL && i < intent->zones_count; i++)
        ok = check_zone(intent, &intent->zones[i], diags) && ok;
    if (intent != NULL) {
        add_inactive(intent, diags);
        add_counts(facts, intent);
        snprintf(more, sizeof(more), ", %zu regions, %zu pools, %zu policies, %zu zones",
                 intent->regions_count, intent->pools_count, intent->policies_count,
                 intent->zones_count);
    }
    struct ctl_verdict verdict = {.kind = "Validation", .subject = path, .ok = ok, .more = more};
    return ctl_conclude(ctl, &verdict, facts, diags);
}

int ctl_validate(struct ctl *ctl)
{
    const char *path = ctl->argc > 0 ? ctl->argv[0] : ctl->file;
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = NULL;
    size_t len = 0;

    if (path == NULL || (ctl->argc > 0 && ctl->file != NULL)) {
        ctl_error("which file? for example: gtmctl validate -f cluster.yaml");
        return CTL_USAGE;
    }
    if (strcmp(path, "-") == 0) {
        char *text = ctl_read_stdin(&len);
        if (text == NULL)
            return CTL_FAILED;
        path = "standard input";
        intent = gtm_intent_parse(path, text, len, &diags);
        gtm_free(text);
    } else {
        intent = gtm_intent_load(path, &diags);
    }
    int rc = validate(ctl, path, intent, &diags);
    gtm_intent_unref(intent);
    return rc;
}
