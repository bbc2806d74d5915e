/* SPDX-License-Identifier: Apache-2.0
 *
 * /policies/{policy}/latency: the table of a latency policy, pushed instead of its file.
 *
 * Happy path: the text is parsed and kept on a helper thread, then everything is compiled again and
 * answered when it is in force. Failure modes: a wrong table changes nothing, and the answer has
 * each line that is wrong (422); one that is right while something else cannot be compiled by now
 * is kept and comes into force with the next reload, which the answer says.
 */
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"
#include "policies/latency.h"

#include <stdio.h>
#include <string.h>

struct push_job {
    struct gtm_api_req *req;
    struct gtmd *d;
    struct gtm_intent *intent; /* a reference */
    size_t policy;
    char *copies_dir, *text; /* text NULL: back to the file */
    size_t len, networks;
    bool dry_run;
    int code;
    struct gtm_diags diags;
};

static void push_free(struct push_job *job)
{
    gtm_intent_unref(job->intent);
    gtm_free(job->copies_dir);
    gtm_free(job->text);
    gtm_diags_fini(&job->diags);
    gtm_free(job);
}

/* Helper thread. */
static void push_work(void *arg)
{
    struct push_job *job = arg;
    const struct gtm_policy *policy = &job->intent->policies[job->policy];
    if (job->text) {
        struct policy_latency *table = policy_latency_parse(
            job->intent, (unsigned)job->policy, "pushed", job->text, job->len, &job->diags);
        job->networks = table ? policy_latency_networks(table) : 0;
        job->code = table ? GTM_OK : GTM_EPARSE;
        policy_latency_free(table);
    }
    if (job->code || job->dry_run)
        return;
    struct gtm_diags again = {0}; /* the findings are known */
    job->code = gtm_latency_push(job->intent, job->copies_dir, policy->name, job->text, job->len,
                                 job->text ? &again : &job->diags);
    if (job->code && !job->diags.errors)
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, "pushed", 0, 0, "%s", gtm_err_text(job->code));
    gtm_diags_fini(&again);
}

static void push_answer(struct push_job *job)
{
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "policy", job->intent->policies[job->policy].name);
    gtm_json_add_bool(item, "dry_run", job->dry_run);
    gtm_json_add_str(item, "table", job->text ? "pushed" : "file");
    gtm_json_add_i64(item, "networks", (int64_t)job->networks);
    gtm_json_add_i64(item, "warnings", (int64_t)job->diags.warnings);
    gtm_json_add(item, "diagnostics", gtm_api_diags(&job->diags));
    gtm_api_item(job->req, 200, "LatencyTable", item);
    push_free(job);
}

static void on_compiled(void *arg, const struct gtm_reload_result *result)
{
    struct push_job *job = arg;
    if (!result->code) {
        push_answer(job);
        return;
    }
    gtm_api_problem_diags(job->req, 503, gtm_err_word(result->code),
                          "the change is kept, but not in force yet: something else is wrong; "
                          "correct it and reload",
                          result->diags);
    push_free(job);
}

static void push_done(void *arg)
{
    struct push_job *job = arg;
    if (job->code == GTM_ENOTFOUND) {
        gtm_api_problem(job->req, 404, "notfound", "policy '%s' has no pushed table",
                        job->intent->policies[job->policy].name);
    } else if (job->code == GTM_EPARSE) {
        char detail[96];
        snprintf(detail, sizeof(detail), "the table has %zu error%s; the old one stays in force",
                 job->diags.errors, job->diags.errors == 1 ? "" : "s");
        gtm_api_problem_diags(job->req, 422, "invalid", detail, &job->diags);
    } else if (job->code) {
        gtm_api_problem_diags(job->req, 500, "internal", "the table cannot be kept", &job->diags);
    } else if (job->dry_run) {
        push_answer(job);
        return;
    } else if (!gtm_reload_again(job->d->reload, on_compiled, job)) {
        return;
    } else {
        gtm_api_problem(job->req, 503, "busy",
                        "the change is kept and comes into force with the next reload: too many "
                        "are waiting");
    }
    push_free(job);
}

/* The latency policy of the path; -1: there is none, and the answer was given. */
static int find_policy(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "policy");
    const struct gtm_intent *intent = gtm_api_daemon(req)->intent;
    int policy = gtm_intent_policy(intent, name);
    if (policy < 0)
        gtm_api_problem(req, 404, "notfound", "there is no policy '%.100s'", name);
    else if (intent->policies[policy].steer != GTM_STEER_LATENCY) {
        gtm_api_problem(req, 409, "conflict", "policy '%s' steers %s: it takes no table", name,
                        gtm_steer_words[intent->policies[policy].steer]);
        policy = -1;
    }
    return policy;
}

static struct push_job *push_new(struct gtm_api_req *req, int policy, bool dry_run)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct push_job *job = gtm_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->req = req;
    job->d = d;
    job->intent = gtm_intent_ref(d->intent);
    job->policy = (size_t)policy;
    job->dry_run = dry_run;
    job->copies_dir = gtm_fs_join(d->node->data_dir, "zones");
    if (job->copies_dir)
        return job;
    push_free(job);
    return NULL;
}

static void push(struct gtm_api_req *req, bool with_text)
{
    size_t len = 0;
    bool dry_run = false;
    int policy = find_policy(req);
    if (policy < 0 || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    const char *body = with_text ? gtm_api_body(req, &len) : NULL;
    if (with_text && !body) {
        gtm_api_problem(req, 400, "badrequest", "the body is empty; it must be the table's text");
        return;
    }
    struct push_job *job = push_new(req, policy, dry_run);
    if (job && with_text) {
        job->text = gtm_malloc(len + 1);
        job->len = len;
        if (job->text) {
            memcpy(job->text, body, len);
            job->text[len] = 0;
        }
    }
    if (!job || (with_text && !job->text)) {
        gtm_api_problem(req, 500, "internal", "out of memory");
    } else if (gtm_loop_work(job->d->loop, push_work, push_done, job)) {
        gtm_api_problem(req, 503, "busy", "too much work is waiting");
    } else {
        return;
    }
    if (job)
        push_free(job);
}

void gtm_api_put_latency(struct gtm_api_req *req)
{
    push(req, true);
}

void gtm_api_delete_latency(struct gtm_api_req *req)
{
    push(req, false);
}
