/* SPDX-License-Identifier: Apache-2.0
 *
 * /config and /reload. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- GET /config --- */

struct config_job {
    struct gtm_intent *intent;
    uint64_t revision;
    int64_t loaded_ms;
};

static void config_fini(void *arg)
{
    struct config_job *job = arg;
    gtm_intent_unref(job->intent);
    gtm_free(job);
}

static struct gtm_json *config_build(void *arg)
{
    struct config_job *job = arg;
    struct gtm_json *text = gtm_intent_to_json(job->intent);
    if (!text)
        return NULL;
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_str(item, "path", job->intent->path);
    gtm_json_add_str(item, "sha256", job->intent->sha256);
    gtm_api_add_time(item, "loaded_at", job->loaded_ms);
    gtm_json_add(item, "intent", text);
    struct gtm_json *list = gtm_json_add_array(item, "inactive");
    for (size_t i = 0; i < job->intent->inactive_count; i++) {
        const struct gtm_inactive *inactive = &job->intent->inactive[i];
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "kind", inactive->kind);
        gtm_json_add_str(one, "name", inactive->name ? inactive->name : "");
        gtm_json_add_i64(one, "line", inactive->pos.line);
        gtm_json_add_i64(one, "column", inactive->pos.col);
    }
    return gtm_api_item_root("Config", job->revision, item);
}

void gtm_api_get_config(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    struct config_job *job = gtm_calloc(1, sizeof(*job));
    if (!job) {
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *job = (struct config_job){gtm_intent_ref(d->intent), gtmd_revision(d), d->intent_loaded_ms};
    gtm_api_build(req, true, config_build, config_fini, job);
}

/* --- GET /config/schema --- */

void gtm_api_get_config_schema(struct gtm_api_req *req)
{
    const char *kind = gtm_api_query(req, "kind");
    if (!kind || !strcmp(kind, "intent"))
        gtm_api_item(req, 200, "ConfigSchema", gtm_intent_schema());
    else if (!strcmp(kind, "node"))
        gtm_api_item(req, 200, "ConfigSchema", gtm_node_schema());
    else
        gtm_api_problem(req, 400, "badrequest", "kind must be intent or node");
}

/* --- POST /config/validate --- */

struct validate_job {
    char *text, *path;
    size_t len;
    uint64_t revision;
};

static void validate_fini(void *arg)
{
    struct validate_job *job = arg;
    gtm_free(job->text);
    gtm_free(job->path);
    gtm_free(job);
}

static struct gtm_json *validate_build(void *arg)
{
    struct validate_job *job = arg;
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse(job->path, job->text, job->len, &diags);
    struct gtm_json *item = gtm_json_object();
    gtm_json_add_bool(item, "valid", intent != NULL);
    gtm_json_add_i64(item, "errors", (int64_t)diags.errors);
    gtm_json_add_i64(item, "warnings", (int64_t)diags.warnings);
    gtm_json_add(item, "diagnostics", gtm_api_diags(&diags));
    gtm_intent_unref(intent);
    gtm_diags_fini(&diags);
    return gtm_api_item_root("Validation", job->revision, item);
}

/* JSON is YAML; what a form sends is neither. */
static bool is_yaml_type(const char *type)
{
    static const char *const types[] = {
        "application/yaml", "application/x-yaml",      "text/yaml", "text/x-yaml", "text/plain",
        "application/json", "application/octet-stream"};
    if (!type)
        return true;
    size_t n = strcspn(type, "; ");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strlen(types[i]) == n && !strncasecmp(types[i], type, n))
            return true;
    return false;
}

void gtm_api_post_config_validate(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    if (!is_yaml_type(gtm_api_content_type(req))) {
        gtm_api_problem(req, 415, "mediatype", "the body must be application/yaml");
        return;
    }
    size_t len = 0;
    const char *body = gtm_api_body(req, &len);
    if (!body) {
        gtm_api_problem(req, 400, "badrequest", "the body is empty");
        return;
    }
    struct validate_job *job = gtm_calloc(1, sizeof(*job));
    if (job) {
        job->text = gtm_strndup(body, len);
        job->path = gtm_strdup(d->node->cluster_file);
        job->len = len;
        job->revision = gtmd_revision(d);
    }
    if (!job || !job->text || !job->path) {
        if (job)
            validate_fini(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    if (memchr(body, 0, len)) { /* the copy would end there */
        validate_fini(job);
        gtm_api_problem(req, 400, "badrequest", "the body has a NUL byte");
        return;
    }
    gtm_api_build(req, true, validate_build, validate_fini, job);
}

/* --- POST /reload --- */

struct reload_wait {
    struct gtm_api_req *req;
    bool dry_run;
};

static void on_reloaded(void *arg, const struct gtm_reload_result *result)
{
    struct reload_wait *wait = arg;
    if (result->code == GTM_EPARSE) {
        char detail[96];
        snprintf(detail, sizeof(detail),
                 "the configuration has %zu error%s; the old one stays in force",
                 result->diags->errors, result->diags->errors == 1 ? "" : "s");
        gtm_api_problem_diags(wait->req, 422, "invalid", detail, result->diags);
    } else if (result->code) {
        gtm_api_problem_diags(wait->req, 503, gtm_err_word(result->code),
                              gtm_err_text(result->code), result->diags);
    } else {
        struct gtm_json *item = gtm_json_object();
        gtm_json_add_bool(item, "dry_run", wait->dry_run);
        gtm_json_add_bool(item, "changed", result->changed);
        gtm_json_add_str(item, "sha256", result->sha256);
        gtm_json_add_i64(item, "warnings", (int64_t)result->diags->warnings);
        gtm_json_add(item, "diagnostics", gtm_api_diags(result->diags));
        gtm_api_item(wait->req, 200, "Reload", item);
    }
    gtm_free(wait);
}

void gtm_api_post_reload(struct gtm_api_req *req)
{
    struct gtmd *d = gtm_api_daemon(req);
    bool dry_run = false;
    if (!gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    struct reload_wait *wait = gtm_calloc(1, sizeof(*wait));
    if (!wait) {
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *wait = (struct reload_wait){req, dry_run};
    int rc = gtm_reload_request(d->reload, dry_run, on_reloaded, wait);
    if (!rc)
        return;
    gtm_free(wait);
    gtm_api_problem(req, 503, "busy", "too many reloads are waiting");
}
