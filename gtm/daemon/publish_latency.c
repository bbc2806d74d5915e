/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of measured times for latency policies: loaded by a compile, immutable afterwards, shared
 * with compiles of some zones only. Worker thread.
 *
 * Happy path: for every latency policy the table that was pushed, else its file, is read and
 * parsed. Failure modes: a table that is missing or wrong stops the compile with all its errors;
 * the previous compile stays in force.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish_int.h"
#include "policies/latency.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUSHED_SUFFIX ".latency" /* beside the copies of zones; policy names are plain words */

void gtm__latency_unref(struct gtm__latency *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t p = 0; s->tables && p < s->policies; p++)
        policy_latency_free(s->tables[p]);
    gtm_free(s->tables);
    gtm_free(s->infos);
    gtm_free(s);
}

struct gtm__latency *gtm__latency_ref(struct gtm__latency *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static char *pushed_path(const char *copies_dir, const char *policy)
{
    char file[GTM_NAME_MAX + sizeof(PUSHED_SUFFIX)];
    snprintf(file, sizeof(file), "%s%s", policy, PUSHED_SUFFIX);
    return gtm_fs_join(copies_dir, file);
}

/* The table in force: what was pushed, else the file; NULL without an error when there is neither.
 */
static char *table_path(const struct gtm_compiled *c, const struct gtm_policy *p, bool *ret_nomem)
{
    char *path = c->copies_dir ? pushed_path(c->copies_dir, p->name) : NULL;
    *ret_nomem = c->copies_dir && !path;
    if (path && access(path, F_OK) == 0)
        return path;
    gtm_free(path);
    path = p->latency_file && !*ret_nomem ? gtm_strdup(p->latency_file) : NULL;
    *ret_nomem |= p->latency_file && !path;
    return path;
}

static bool load_table(struct gtm_compiled *c, struct gtm__latency *s, unsigned policy,
                       struct gtm_diags *diags)
{
    const struct gtm_policy *p = &c->intent->policies[policy];
    struct gtm_error err = {0};
    char *text = NULL;
    size_t len = 0;
    bool nomem = false;
    char *path = table_path(c, p, &nomem);
    if (nomem)
        gtm_diags_add(diags, GTM_SEV_ERROR, c->intent->path, 0, 0, "no memory for latencies");
    if (!path)
        return !nomem;
    struct stat st;
    size_t suffix = strlen(path) > strlen(PUSHED_SUFFIX) ? strlen(PUSHED_SUFFIX) : 0;
    s->infos[policy].pushed = (!p->latency_file || strcmp(path, p->latency_file) != 0) &&
                              strcmp(path + strlen(path) - suffix, PUSHED_SUFFIX) == 0;
    s->infos[policy].changed_ms = stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000 : 0;
    if (gtm_fs_read(path, POLICY_LATENCY_BYTES_MAX, &text, &len, &err) != GTM_OK)
        gtm_diags_add(diags, GTM_SEV_ERROR, c->intent->path, p->pos.line, p->pos.col,
                      "policy %s: its table of latencies: %s", p->name, err.text);
    else
        s->tables[policy] = policy_latency_parse(c->intent, policy, path, text, len, diags);
    gtm_free(text);
    gtm_free(path);
    return s->tables[policy] != NULL;
}

bool gtm__latency_load(struct gtm_compiled *c, struct gtm_diags *diags)
{
    struct gtm__latency *s = gtm_calloc(1, sizeof(*s));
    bool fine = true;
    if (s) {
        atomic_init(&s->refs, 1);
        s->policies = c->intent->policies_count;
        s->tables = gtm_calloc(s->policies, sizeof(struct policy_latency *));
        s->infos = gtm_calloc(s->policies + 1, sizeof(*s->infos));
    }
    c->latency = s;
    if (!s || !s->tables || !s->infos) {
        gtm_diags_add(diags, GTM_SEV_ERROR, c->intent->path, 0, 0, "no memory for latencies");
        return false;
    }
    for (unsigned p = 0; p < s->policies; p++)
        if (c->intent->policies[p].steer == GTM_STEER_LATENCY && c->intent->policies[p].has_pool)
            fine &= load_table(c, s, p, diags);
    return fine;
}

bool gtm_compiled_latency(const struct gtm_compiled *c, size_t policy, struct gtm_latency_info *ret)
{
    const struct gtm__latency *s = c->latency;
    if (!s || policy >= s->policies || !s->tables[policy])
        return false;
    *ret = s->infos[policy];
    ret->networks = policy_latency_networks(s->tables[policy]);
    return true;
}

int gtm_latency_push(const struct gtm_intent *intent, const char *copies_dir, const char *policy,
                     const char *text, size_t len, struct gtm_diags *diags)
{
    int at = gtm_intent_policy(intent, policy);
    struct gtm_error err = {0};
    if (at < 0 || intent->policies[at].steer != GTM_STEER_LATENCY)
        return GTM_ENOTFOUND;
    if (!text) {
        char *gone = pushed_path(copies_dir, policy);
        int rc = !gone ? GTM_ENOMEM : unlink(gone) == 0 ? GTM_OK : GTM_ENOTFOUND;
        gtm_free(gone);
        return rc;
    }
    struct policy_latency *table =
        policy_latency_parse(intent, (unsigned)at, "pushed", text, len, diags);
    if (!table)
        return GTM_EPARSE;
    policy_latency_free(table);
    char *path = pushed_path(copies_dir, policy);
    int rc = path ? gtm_fs_mkdirs(copies_dir, 0750, &err) : GTM_ENOMEM;
    if (rc == GTM_OK)
        rc = gtm_fs_write_atomic(path, text, len, 0640, &err);
    if (rc != GTM_OK)
        gtm_diags_add(diags, GTM_SEV_ERROR, "pushed", 0, 0, "%s",
                      err.code ? err.text : gtm_err_text(rc));
    gtm_free(path);
    return rc;
}
