/* SPDX-License-Identifier: Apache-2.0
 *
 * What the leader does beside verdicts: ends orders whose time is over, lets endpoints go on that
 * operators resumed, and deletes old audit entries. See conductor.h.
 */
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/conductor_int.h"

#include <stdio.h>
#include <string.h>

#define PRUNE_EVERY_MS 600000
#define NEED_MS        500u
#define KEY_BYTES      (GTM_OVERRIDE_KEY_BYTES + 16)

/* --- orders that ended --- */

struct conductor__ending {
    struct gtm_conductor *c; /* NULL: gone */
    char key[GTM_OVERRIDE_KEY_BYTES];
    struct gtm_override override;
};

static void tell_ended(struct gtm_conductor *c, const struct conductor__ending *ending)
{
    char cause[GTM_OVERRIDE_OWNER_BYTES + GTM_OVERRIDE_REASON_BYTES + 64];
    const struct gtm_override *old = &ending->override;
    snprintf(cause, sizeof(cause), "the order of %s has ended%s%s", old->owner,
             old->reason[0] ? ": " : "", old->reason);
    gtm_events_add(c->opts.events, &(struct gtm_event){.type = GTM_EVENT_OVERRIDE_EXPIRED,
                                                       .level = GTM_LOG_INFO,
                                                       .subject = ending->key,
                                                       .from = gtm_admin_word(old->admin),
                                                       .to = "auto",
                                                       .cause = cause});
}

static void on_ended(void *arg, const struct gtm_store_result *result)
{
    struct conductor__ending *ending = arg;
    struct gtm_conductor *c = ending->c;
    if (c) {
        c->ending = NULL;
        if (!result->code)
            tell_ended(c, ending);
        if (!result->code && c->mode == POLICY_ROLE_LEAD)
            conductor__end_orders(c); /* the next one; after trouble, in a second */
    }
    gtm_free(ending);
}

/* Deletes it unless somebody changed it meanwhile. */
static int end_order(struct gtm_conductor *c, struct conductor__ending *ending)
{
    char key[KEY_BYTES], guard_key[GTM_STORE_KEY_MAX + 1];
    struct gtm_store_entry entry;
    struct gtm_store_change changes[2];
    snprintf(key, sizeof(key), "override/%s", ending->key);
    int rc = gtm_store_get(c->opts.store, key, &entry);
    if (!rc)
        rc = c->opts.lead.guard(c->opts.ctx, &changes[1]);
    if (rc)
        return rc;
    snprintf(guard_key, sizeof(guard_key), "%s", changes[1].key);
    changes[1].key = guard_key;
    changes[0] =
        (struct gtm_store_change){.kind = GTM_STORE_DELETE, .key = key, .expect = entry.revision};
    char *before = gtm_strndup(entry.value, entry.value_len);
    struct gtm_audit_entry audit = {.time_ms = gtm_wall_ms(c->clock),
                                    .who = "gtmd",
                                    .node = c->node,
                                    .verb = "override end",
                                    .subject = ending->key,
                                    .why = "its time is over",
                                    .before = before};
    rc = gtm_audit_commit(c->opts.store, &audit, changes, 2, on_ended, ending);
    gtm_free(before);
    return rc;
}

void conductor__end_orders(struct gtm_conductor *c)
{
    const struct gtm_facts *facts = c->pipe ? gtm_state_facts(c->pipe) : NULL;
    char key[GTM_OVERRIDE_KEY_BYTES];
    if (c->ending || !facts || !c->opts.lead.valid(c->opts.ctx, NEED_MS) ||
        !gtm_overrides_ended(&facts->overrides, gtm_wall_ms(c->clock), key))
        return;
    struct conductor__ending *ending = gtm_calloc(1, sizeof(*ending));
    if (!ending)
        return;
    ending->c = c;
    snprintf(ending->key, sizeof(ending->key), "%s", key);
    ending->override = *gtm_overrides_get(&facts->overrides, key);
    if (end_order(c, ending))
        gtm_free(ending); /* in a second, again */
    else
        c->ending = ending;
}

void conductor__ending_let_go(struct gtm_conductor *c)
{
    if (c->ending)
        c->ending->c = NULL;
    c->ending = NULL;
}

/* --- old audit entries --- */

void conductor__prune(struct gtm_conductor *c)
{
    uint64_t now = gtm_mono_ms(c->clock);
    struct gtm_store_change guard;
    if (now < c->pruned_ms + PRUNE_EVERY_MS && c->pruned_ms)
        return;
    c->pruned_ms = now + 1;
    if (!c->opts.lead.guard(c->opts.ctx, &guard)) {
        int rc = gtm_audit_prune(c->opts.store, 0, &guard, NULL, NULL);
        if (rc && rc != GTM_ENOTFOUND)
            gtm_log(GTM_LOG_WARN, "conductor", "old audit entries stay for now",
                    gtm_kv_str("error", gtm_err_text(rc)));
    }
}

/* --- endpoints that operators let go on --- */

/* "resume/POOL/ENDPOINT" {"v":1,"owner":…}: whoever leads acts and deletes it. */
static int resume(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_conductor *c = arg;
    char pool[GTM_NAME_MAX + 1], guard_key[GTM_STORE_KEY_MAX + 1];
    const char *name = entry->key + strlen("resume/"), *slash = strchr(name, '/');
    struct gtm_store_change changes[2];
    if (slash && (size_t)(slash - name) < sizeof(pool)) {
        struct gtm_json *root = gtm_json_parse(entry->value, entry->value_len, NULL);
        snprintf(pool, sizeof(pool), "%.*s", (int)(slash - name), name);
        int rc = gtm_state_resume_named(c->pipe, pool, slash + 1,
                                        gtm_json_str(root, "owner", "unknown"));
        if (rc)
            gtm_log(GTM_LOG_INFO, "conductor", "there is nothing to resume",
                    gtm_kv_str("endpoint", name), gtm_kv_str("error", gtm_err_text(rc)));
        gtm_json_free(root);
    }
    if (c->opts.lead.guard(c->opts.ctx, &changes[0]))
        return 0;
    snprintf(guard_key, sizeof(guard_key), "%s", changes[0].key);
    changes[0].key = guard_key;
    changes[1] = (struct gtm_store_change){
        .kind = GTM_STORE_DELETE, .key = entry->key, .expect = entry->revision};
    /* One that stays is harmless: it is tried again by the next leader. */
    return gtm_store_commit(c->opts.store, changes, 2, NULL, NULL) == GTM_ENOMEM ? GTM_ENOMEM : 0;
}

void conductor__resumes(struct gtm_conductor *c)
{
    if (gtm_store_list(c->opts.store, "resume/", resume, c))
        gtm_log0(GTM_LOG_ERROR, "conductor", "out of memory: resumes wait for the next leader");
}

void conductor__on_resume(void *arg, const struct gtm_store_entry *entry)
{
    struct gtm_conductor *c = arg;
    if (entry->value && c->mode == POLICY_ROLE_LEAD && c->pipe)
        resume(c, entry);
}
