/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens and certificate of the heartbeat listener, read on a helper thread. See push_int.h.
 *
 * Only digests are kept: comparing those takes the same time whatever the token, its length too.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/base/tls.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/push_int.h"

#include <openssl/sha.h>
#include <string.h>

struct job {
    struct gtm_push *push;
    bool *alive;
    struct gtm_intent *intent; /* a reference */
    char *cert, *key;          /* NULL: plain HTTP */
    struct gtm_map *secrets;   /* NULL: out of memory */
    SSL_CTX *tls;
};

static bool read_token(const char *path, struct gtm_push_secret *secret, struct gtm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    if (gtm_fs_read(path, GTM_PUSH_TOKEN_MAX, &text, &len, err) != GTM_OK)
        return false;
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (len == 0 || memchr(text, '\0', len)) {
        gtm_error_set(err, GTM_EPARSE, "%s: no token in it", path);
        len = 0;
    } else {
        SHA256((const unsigned char *)text, len, secret->digest);
    }
    OPENSSL_cleanse(text, strlen(text));
    gtm_free(text);
    return len > 0;
}

/* False when out of memory. */
static bool add_secret(struct gtm_map *secrets, const struct gtm_monitor *monitor)
{
    struct gtm_push_secret *secret = gtm_calloc(1, sizeof(*secret));
    struct gtm_error err = {0};
    if (!secret)
        return false;
    if (!monitor->push_token || !read_token(monitor->push_token, secret, &err)) {
        gtm_error_wrap(&err, "monitor %s", monitor->name);
        gtm_log_error(GTM_LOG_ERROR, "push", "a token cannot be read; the last one stays", &err);
        gtm_free(secret);
        return true;
    }
    if (gtm_map_put(secrets, monitor->name, secret, NULL) == GTM_OK)
        return true;
    gtm_free(secret);
    return false;
}

static void work(void *arg)
{
    struct job *job = arg;
    job->secrets = gtm_map_new();
    for (size_t i = 0; job->secrets && i < job->intent->monitors_count; i++) {
        if (job->intent->monitors[i].kind != GTM_MONITOR_PUSH ||
            add_secret(job->secrets, &job->intent->monitors[i]))
            continue;
        gtm_map_free(job->secrets, gtm_free);
        job->secrets = NULL;
    }
    struct gtm_error err = {0};
    if (job->cert && !(job->tls = gtm_push__tls_new(job->cert, job->key, &err)))
        gtm_log_error(GTM_LOG_ERROR, "push", "the certificate in force stays", &err);
}

/* Files that could not be read keep what they said before, as long as their monitor is there. */
static bool keep_old(const struct gtm_push *push, const struct job *job)
{
    for (size_t i = 0; i < job->intent->monitors_count; i++) {
        const struct gtm_monitor *m = &job->intent->monitors[i];
        const struct gtm_push_secret *old =
            push->secrets ? gtm_map_get(push->secrets, m->name) : NULL;
        if (m->kind != GTM_MONITOR_PUSH || !old || gtm_map_get(job->secrets, m->name))
            continue;
        struct gtm_push_secret *copy = gtm_memdup(old, sizeof(*old));
        if (!copy || gtm_map_put(job->secrets, m->name, copy, NULL) != GTM_OK) {
            gtm_free(copy);
            return false;
        }
    }
    return true;
}

static void install(struct gtm_push *push, struct job *job)
{
    if (job->secrets && keep_old(push, job)) {
        gtm_map_free(push->secrets, gtm_free);
        push->secrets = job->secrets;
        job->secrets = NULL;
    } else {
        gtm_log0(GTM_LOG_ERROR, "push", "out of memory: the tokens stay as they were");
    }
    if (job->tls) { /* connections keep their reference on the old one */
        gtm_listener_set_tls(push->listener, job->tls);
    }
}

static void job_free(struct job *job)
{
    gtm_map_free(job->secrets, gtm_free);
    SSL_CTX_free(job->tls);
    gtm_intent_unref(job->intent);
    gtm_free(job->cert);
    gtm_free(job->key);
    gtm_free(job);
}

static void done(void *arg)
{
    struct job *job = arg;
    struct gtm_push *push = *job->alive ? job->push : NULL;
    if (push) {
        install(push, job);
        push->reading = false;
        if (push->read_again)
            gtm_push__secrets_load(push);
    } else {
        gtm_free(job->alive);
    }
    job_free(job);
}

void gtm_push__secrets_load(struct gtm_push *push)
{
    const struct gtmd *d = push->d;
    push->read_again = push->reading;
    if (push->reading)
        return;
    struct job *job = gtm_calloc(1, sizeof(*job));
    bool ok = job != NULL;
    if (job) {
        *job =
            (struct job){.push = push, .alive = push->alive, .intent = gtm_intent_ref(d->intent)};
        if (d->node->push.tls_cert) {
            job->cert = gtm_strdup(d->node->push.tls_cert);
            job->key = gtm_strdup(d->node->push.tls_key);
            ok = job->cert && job->key;
        }
        ok = ok && gtm_loop_work(d->loop, work, done, job) == GTM_OK;
    }
    if (ok) {
        push->reading = true;
        return;
    }
    gtm_log0(GTM_LOG_ERROR, "push", "too much work is waiting: the tokens stay as they were");
    if (job)
        job_free(job);
}

SSL_CTX *gtm_push__tls_new(const char *cert, const char *key, struct gtm_error *err)
{
    return gtm_tls_server(&(struct gtm_tls_files){.section = "push.tls", .cert = cert, .key = key},
                          err);
}

int gtm_push_check_tls(const char *cert, const char *key, struct gtm_error *err)
{
    SSL_CTX *ctx = gtm_push__tls_new(cert, key, err);
    SSL_CTX_free(ctx);
    return ctx ? GTM_OK : GTM_EIO;
}
