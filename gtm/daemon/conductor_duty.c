/* SPDX-License-Identifier: Apache-2.0
 *
 * What the leader does beside verdicts: lets endpoints go on that operators resumed, and deletes
 * old audit entries. See conductor.h.
 */
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/coord/audit.h"
#include "gtm/daemon/conductor_int.h"

#include <stdio.h>
#include <string.h>

#define PRUNE_EVERY_MS 600000

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
