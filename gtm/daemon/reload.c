/* SPDX-License-Identifier: Apache-2.0
 *
 * See reload.h. A job is filled on the control thread, worked on a helper thread that touches
 * nothing but the job (reload_job.c), and installed on the control thread.
 */
#include "gtm/daemon/reload.h"

#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/reload_int.h"
#include "gtm/daemon/sdnotify.h"

#include <malloc.h>
#include <string.h>

#define GEO_WATCH_MS  5000
#define GEO_SETTLE_MS 1000
#define WAITERS_MAX   256

static void finish_first(struct gtm__job *job, int code)
{
    struct gtmd *d = job->reload->d;
    if (!code) {
        gtmd_serve(d);
        return;
    }
    gtm_diags_print(&job->diags, stderr);
    gtmd_stop(d, code == GTM_ENOMEM ? GTMD_FAILED : GTMD_USAGE);
}

static void free_waiter(struct gtm__waiter *waiter)
{
    gtm_free(waiter->path);
    gtm_free(waiter);
}

static void answer_waiters(struct gtm__job *job, int code, bool changed)
{
    struct gtm_reload_result result = {.code = code,
                                       .changed = changed,
                                       .diags = &job->diags,
                                       .sha256 = job->intent ? job->intent->sha256 : ""};
    while (job->waiters) {
        struct gtm__waiter *waiter = job->waiters;
        job->waiters = waiter->next;
        if (waiter->done)
            waiter->done(waiter->arg, &result);
        free_waiter(waiter);
    }
}

static void done(void *arg)
{
    struct gtm__job *job = arg;
    struct gtm_reload *reload = job->reload;
    struct gtmd *d = reload->d;
    reload->status.running = false;
    if (job->zones_count) {
        gtm__zones_done(job);
        gtm__job_free(job);
        malloc_trim(0);
        gtm__reload_next(reload);
        return;
    }
    if (job->node)
        gtm__job_check_node(job, d->node);
    bool geo_only = !job->config && !job->first && !job->again;
    bool changed = job->intent && d->intent && strcmp(d->intent->sha256, job->intent->sha256) != 0;
    int code = job->diags.errors ? GTM_EPARSE : 0;
    if (!code && !job->compiled && !(geo_only && job->geo_failed))
        code = geo_only ? 0 : GTM_ENOMEM; /* every other failure leaves a finding */
    if (!code && job->compiled && job->intent && !job->dry)
        code = gtm__job_install(job);
    if (geo_only && code) { /* say a zone file that is wrong by now: as good as a wrong database */
        job->geo_failed = true;
        gtm_diags_first(&job->diags, &job->geo_error);
    }
    /* A database that came with a wrong intent is not in force: the watch will load it. */
    if (job->intent && !job->dry && !(code && job->geo_new && !job->geo_failed))
        gtm__job_note_geo(job);
    if (!geo_only && !job->again && !job->dry)
        gtm__job_note_config(job, code);
    if (job->config && !job->dry && !code)
        gtm_push_reload(d->push);
    if (job->config && !job->dry)
        gtm_sdnotify("READY=1");
    if (job->first)
        finish_first(job, code);
    answer_waiters(job, code, changed);
    gtm__job_free(job);
    malloc_trim(0);
    gtm__reload_next(reload);
}

/* --- requests --- */

static void start(struct gtm_reload *reload, struct gtm__job *job)
{
    reload->status.running = true;
    if (!gtm_loop_work(reload->d->loop, gtm__job_work, done, job))
        return;
    /* Cannot be: one job at a time. Said and undone all the same. */
    reload->status.running = false;
    gtm_log0(GTM_LOG_ERROR, "config", "too much work is waiting; nothing was reloaded");
    gtm_diags_add(&job->diags, GTM_SEV_ERROR, job->node_path, 0, 0, "too much work is waiting");
    answer_waiters(job, GTM_ELIMIT, false);
    gtm__job_free(job);
}

static void fail_waiters(struct gtm_reload *reload, int code)
{
    struct gtm_diags none = {0};
    struct gtm_reload_result result = {.code = code, .diags = &none, .sha256 = ""};
    while (reload->waiting) {
        struct gtm__waiter *waiter = reload->waiting;
        reload->waiting = waiter->next;
        reload->waiting_count--;
        if (waiter->done)
            waiter->done(waiter->arg, &result);
        free_waiter(waiter);
    }
}

static bool same_path(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Moves the waiters of the kind of the first one into the job. */
static void take_waiters(struct gtm_reload *reload, struct gtm__job *job)
{
    bool again = reload->waiting->again;
    job->intent_path = reload->waiting->path;
    job->dry = reload->waiting->dry;
    struct gtm__waiter **at = &reload->waiting, **last = &job->waiters;
    while (*at) {
        struct gtm__waiter *waiter = *at;
        if (waiter->dry != job->dry || waiter->again != again ||
            !same_path(waiter->path, job->intent_path)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = NULL;
        *last = waiter;
        last = &waiter->next;
        reload->waiting_count--;
    }
}

static enum gtm__job_kind kind_due(const struct gtm_reload *reload)
{
    if (reload->waiting)
        return reload->waiting->again ? GTM__JOB_AGAIN : GTM__JOB_CONFIG;
    return reload->geo_due ? GTM__JOB_GEO : GTM__JOB_ZONES;
}

void gtm__reload_next(struct gtm_reload *reload)
{
    if (reload->status.running || reload->d->phase != GTMD_SERVING ||
        (!reload->waiting && !reload->geo_due && !reload->zones_due))
        return;
    enum gtm__job_kind kind = kind_due(reload);
    struct gtm__job *job = gtm__job_new(reload, kind);
    if (job && kind == GTM__JOB_ZONES && !gtm__zones_take(reload, job)) {
        gtm__job_free(job);
        job = NULL;
    }
    if (!job) {
        gtm_log0(GTM_LOG_ERROR, "config", "out of memory; nothing was reloaded");
        fail_waiters(reload, GTM_ENOMEM);
        return;
    }
    if (reload->waiting) {
        take_waiters(reload, job);
        if (!job->dry && !job->again)
            gtm_sdnotify_reloading();
    }
    if (!job->dry && kind != GTM__JOB_ZONES)
        reload->geo_due = false;
    start(reload, job);
}

static int wait_for(struct gtm_reload *reload, const struct gtm__waiter *what)
{
    if (reload->waiting_count >= WAITERS_MAX)
        return GTM_ELIMIT;
    struct gtm__waiter *waiter = gtm_calloc(1, sizeof(*waiter));
    if (!waiter)
        return GTM_ENOMEM;
    *waiter = *what;
    struct gtm__waiter **last = &reload->waiting;
    while (*last)
        last = &(*last)->next;
    *last = waiter;
    reload->waiting_count++;
    gtm__reload_next(reload);
    return 0;
}

int gtm_reload_request(struct gtm_reload *reload, bool dry, gtm_reload_done_fn fn, void *arg)
{
    return wait_for(reload, &(struct gtm__waiter){.dry = dry, .done = fn, .arg = arg});
}

int gtm_reload_intent(struct gtm_reload *reload, const char *path, bool dry, gtm_reload_done_fn fn,
                      void *arg)
{
    char *copy = gtm_strdup(path);
    int rc = copy
                 ? wait_for(reload,
                            &(struct gtm__waiter){.dry = dry, .path = copy, .done = fn, .arg = arg})
                 : GTM_ENOMEM;
    if (rc)
        gtm_free(copy);
    return rc;
}

void gtm_reload_resume(struct gtm_reload *reload)
{
    gtm__reload_next(reload);
}

int gtm_reload_again(struct gtm_reload *reload, gtm_reload_done_fn fn, void *arg)
{
    return wait_for(reload, &(struct gtm__waiter){.again = true, .done = fn, .arg = arg});
}

bool gtm_reload_prepare(struct gtm_reload *reload)
{
    struct gtm__job *job = gtm__job_new(reload, GTM__JOB_FIRST);
    if (job)
        gtm__job_work(job);
    if (!job || job->diags.errors || !job->compiled) {
        if (job)
            gtm_diags_print(&job->diags, stderr);
        gtm__job_free(job);
        return false;
    }
    reload->prepared = job;
    return true;
}

void gtm_reload_first(struct gtm_reload *reload)
{
    struct gtm__job *job = reload->prepared;
    if (job) {
        reload->prepared = NULL;
        reload->status.running = true;
        if (gtm_loop_post(reload->d->loop, done, job) == GTM_OK)
            return;
        reload->status.running = false;
        gtm__job_free(job);
        gtmd_stop(reload->d, GTMD_FAILED);
        return;
    }
    job = gtm__job_new(reload, GTM__JOB_FIRST);
    if (!job) {
        gtm_log0(GTM_LOG_ERROR, "config", "out of memory");
        gtmd_stop(reload->d, GTMD_FAILED);
        return;
    }
    start(reload, job);
}

/* --- the watch over databases --- */

/* A file is loaded when it looked the same twice, so that one being written is left alone. */
static void on_watch(void *arg)
{
    struct gtm_reload *reload = arg;
    struct gtm_node *node = reload->d->node;
    struct gtm_geo_print now = gtm_geo_fingerprint(node->geo_databases, node->geo_databases_count);
    if (!reload->status.running && now.hash != reload->seen.hash &&
        now.hash == reload->pending.hash) {
        reload->geo_due = true;
        gtm__reload_next(reload);
    }
    bool again = now.hash != reload->seen.hash && now.hash != reload->pending.hash;
    reload->pending = now;
    gtm_timer_start(reload->watch, again ? GEO_SETTLE_MS : GEO_WATCH_MS);
}

struct gtm_reload *gtm_reload_new(struct gtmd *d)
{
    struct gtm_reload *reload = gtm_calloc(1, sizeof(*reload));
    if (!reload)
        return NULL;
    reload->d = d;
    reload->status.config_ok = reload->status.geo_ok = true;
    reload->watch = gtm_timer_new(d->loop, on_watch, reload);
    if (!reload->watch) {
        gtm_free(reload);
        return NULL;
    }
    gtm_timer_start(reload->watch, GEO_WATCH_MS);
    return reload;
}

void gtm_reload_free(struct gtm_reload *reload)
{
    if (!reload)
        return;
    fail_waiters(reload, GTM_ESTATE);
    gtm__job_free(reload->prepared);
    gtm__zones_free(reload);
    gtm_timer_free(reload->watch);
    gtm_free(reload);
}

bool gtm_reload_running(const struct gtm_reload *reload)
{
    return reload->status.running;
}

const struct gtm_reload_status *gtm_reload_status(const struct gtm_reload *reload)
{
    return &reload->status;
}
