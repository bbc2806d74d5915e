/* SPDX-License-Identifier: Apache-2.0
 *
 * The standalone store. Two threads: the loop's owns everything; the writer reads the items of the
 * batch in flight and touches the disk. See store_file.h.
 *
 * Happy path: commits queue up; when no batch is in flight all of them become one. Each is checked
 * against what the ones before it staged, and staged beside the current values. The writer saves
 * "current plus staged" as one snapshot. Back on the loop the staged values replace the current
 * ones by moving pointers (nothing can fail any more), then watches and done callbacks run, then
 * the next batch starts. Failure modes: a guard that does not hold fails its commit alone; a failed
 * write drops everything staged and fails every commit of the batch; the old snapshot is still the
 * file. On close: batches are run to the end with the caller waiting, then the writer is joined.
 */
#include "gtm/coord/store_file.h"

#include "gtm/base/buf.h"
#include "gtm/base/fs.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/coord/commit.h"
#include "gtm/coord/fetch.h"
#include "gtm/coord/snapshot.h"
#include "gtm/coord/store_file_dir.h"
#include "gtm/coord/table.h"
#include "gtm/coord/watches.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUED_BYTES_MAX (64u << 20)
#define FILE_BYTES_MAX   (256u << 20) /* a snapshot with every byte escaped still fits */

enum job { JOB_NONE = 0, JOB_WRITE, JOB_DONE };

struct file_store {
    struct gtm_store base;
    char *path;
    int lock_fd;
    struct coord__table table;
    bool ok;
    struct gtm_error last_error;
    struct coord__watches watches;
    struct coord__fetch *fetches; /* waiting */

    struct coord__commit *queue, **queue_last;
    unsigned queued;
    size_t queued_bytes;
    struct coord__commit *batch;
    bool in_flight, delivering, closing;
    bool paused; /* nothing is written */

    struct event *wake_ev;
    int wake_fd;
    pthread_t writer;
    bool writer_started;
    pthread_mutex_t mutex; /* everything below */
    pthread_cond_t changed;
    enum job job;
    bool quit;
    struct gtm_error job_error;
};

static struct file_store *file_of(struct gtm_store *store)
{
    return (struct file_store *)store;
}

static const struct file_store *cfile_of(const struct gtm_store *store)
{
    return (const struct file_store *)store;
}

static int file_get(const struct gtm_store *store, const char *key,
                    struct gtm_store_entry *ret_entry)
{
    return coord__table_get(&cfile_of(store)->table, key, ret_entry);
}

static int file_list(const struct gtm_store *store, const char *prefix, gtm_store_visit_fn *visit,
                     void *arg)
{
    return coord__table_list(&cfile_of(store)->table, prefix, visit, arg);
}

static void file_status(const struct gtm_store *store, struct gtm_store_status *ret_status)
{
    const struct file_store *file = cfile_of(store);
    *ret_status = (struct gtm_store_status){.ok = file->ok,
                                            .revision = file->table.revision,
                                            .keys = file->table.keys,
                                            .bytes = file->table.bytes};
    if (!file->ok)
        ret_status->error = file->last_error;
}

static void wake(const struct file_store *file)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(file->wake_fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* Hands what is queued to the writer, or (when no commit passed its guards) straight back to the
 * loop. */
static void start_batch(struct file_store *file)
{
    file->batch = file->queue;
    file->queue = NULL;
    file->queue_last = &file->queue;
    file->queued = 0;
    file->queued_bytes = 0;
    coord__table_begin(&file->table);
    bool any = false;
    for (struct coord__commit *c = file->batch; c; c = c->next) {
        if (file->paused) { /* closing: another process writes now */
            gtm_error_set(&c->err, GTM_ESTATE, "another process has taken over");
            continue;
        }
        if (coord__table_stage(&file->table, c->changes, c->values, c->count, &c->err) != GTM_OK)
            continue;
        c->revision = file->table.next_revision;
        any = true;
    }
    file->in_flight = true;
    pthread_mutex_lock(&file->mutex);
    file->job = any ? JOB_WRITE : JOB_DONE;
    file->job_error = (struct gtm_error){0};
    pthread_cond_broadcast(&file->changed);
    pthread_mutex_unlock(&file->mutex);
    if (!any)
        wake(file);
}

/* --- the writer thread --- */

static int write_snapshot(const struct file_store *file, struct gtm_error *err)
{
    struct gtm_buf body = {0};
    size_t keys = coord__table_print(&file->table, &body), len;
    char *text = coord__snapshot_finish(&body, file->table.next_revision, keys, &len);
    if (!text)
        return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    int rc = gtm_fs_write_atomic(file->path, text, len, 0600, err);
    gtm_free(text);
    return rc;
}

static void *writer_main(void *ctx)
{
    struct file_store *file = ctx;
    pthread_mutex_lock(&file->mutex);
    for (;;) {
        while (file->job != JOB_WRITE && !file->quit)
            pthread_cond_wait(&file->changed, &file->mutex);
        if (file->job != JOB_WRITE)
            break;
        pthread_mutex_unlock(&file->mutex);
        struct gtm_error err = {0};
        int rc = write_snapshot(file, &err); /* the loop changes no item meanwhile */
        err.code = rc;
        pthread_mutex_lock(&file->mutex);
        file->job_error = err;
        file->job = JOB_DONE;
        pthread_cond_broadcast(&file->changed);
        wake(file);
    }
    pthread_mutex_unlock(&file->mutex);
    return NULL;
}

/* --- back on the loop --- */

/* Tells the watches what a commit changed, unless a later one of the batch changed it again. */
static void notify_commit(struct file_store *file, const struct coord__commit *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct gtm_store_entry entry;
        if (c->changes[i].kind != GTM_STORE_CHECK &&
            coord__table_changed(&file->table, c->changes[i].key, c->revision, &entry))
            coord__watches_notify(&file->watches, &entry);
    }
}

static void finish_batch(struct file_store *file)
{
    pthread_mutex_lock(&file->mutex);
    struct gtm_error error = file->job_error;
    file->job = JOB_NONE;
    pthread_mutex_unlock(&file->mutex);
    struct coord__commit *batch = file->batch;
    bool written = error.code == GTM_OK;
    bool attempted = file->table.next_revision != file->table.revision;
    coord__table_settle(&file->table, written);
    if (attempted)
        file->ok = written;
    if (!written)
        file->last_error = error;
    file->batch = NULL;
    file->in_flight = false;
    file->delivering = file->watches.walking = true;
    for (struct coord__commit *c = batch; c && written; c = c->next)
        if (c->err.code == GTM_OK)
            notify_commit(file, c);
    coord__table_sweep(&file->table);
    while (batch) {
        struct coord__commit *c = batch;
        batch = c->next;
        if (c->err.code == GTM_OK && !written)
            c->err = error;
        coord__commit_finish(c);
    }
    file->delivering = file->watches.walking = false;
    coord__watches_sweep(&file->watches);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct file_store *file = ctx;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
    coord__fetch_run(&file->fetches, &file->table);
    pthread_mutex_lock(&file->mutex);
    bool done = file->job == JOB_DONE;
    pthread_mutex_unlock(&file->mutex);
    if (!file->in_flight || !done)
        return;
    finish_batch(file);
    if (file->queue && !file->paused)
        start_batch(file);
}

/* --- commits and watches --- */

static int file_commit(struct gtm_store *store, const struct gtm_store_change *changes,
                       size_t count, gtm_store_done_fn *done, void *arg)
{
    struct file_store *file = file_of(store);
    if (file->closing)
        return GTM_ESTATE;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += changes[i].kind == GTM_STORE_PUT ? changes[i].value_len : 0;
    if (file->queued >= GTM_STORE_PENDING_MAX || file->queued_bytes + bytes > QUEUED_BYTES_MAX)
        return GTM_ELIMIT;
    struct coord__commit *c = coord__commit_copy(changes, count, done, arg);
    if (!c)
        return GTM_ENOMEM;
    *file->queue_last = c;
    file->queue_last = &c->next;
    file->queued++;
    file->queued_bytes += bytes;
    if (!file->in_flight && !file->delivering && !file->paused)
        start_batch(file);
    return GTM_OK;
}

static struct gtm_store_watch *file_watch(struct gtm_store *store, const char *prefix,
                                          gtm_store_watch_fn *cb, void *arg)
{
    return coord__watches_add(&file_of(store)->watches, prefix, cb, arg);
}

static void file_unwatch(struct gtm_store *store, struct gtm_store_watch *watch)
{
    coord__watches_remove(&file_of(store)->watches, watch);
}

static int file_fetch(struct gtm_store *store, const char *from, const char *to, size_t limit,
                      bool keys_only, gtm_store_fetch_fn *done, void *arg)
{
    (void)keys_only; /* they are in memory */
    struct file_store *file = file_of(store);
    if (file->closing)
        return GTM_ESTATE;
    int rc = coord__fetch_add(&file->fetches, from, to, limit, done, arg);
    if (rc == GTM_OK)
        wake(file);
    return rc;
}

/* --- opening and closing --- */

static void free_store(struct file_store *file)
{
    if (file->writer_started) {
        pthread_mutex_lock(&file->mutex);
        file->quit = true;
        pthread_cond_broadcast(&file->changed);
        pthread_mutex_unlock(&file->mutex);
        pthread_join(file->writer, NULL);
    }
    coord__watches_fini(&file->watches);
    if (file->wake_ev)
        event_free(file->wake_ev);
    if (file->wake_fd >= 0)
        close(file->wake_fd);
    coord__table_fini(&file->table);
    if (file->lock_fd >= 0)
        close(file->lock_fd); /* last: it lets the next one in */
    pthread_cond_destroy(&file->changed);
    pthread_mutex_destroy(&file->mutex);
    gtm_free(file->path);
    gtm_free(file);
}

/* Runs all that waits to its end, here. */
static void drain(struct file_store *file)
{
    while (file->in_flight || file->queue) {
        if (!file->in_flight)
            start_batch(file);
        pthread_mutex_lock(&file->mutex);
        while (file->job != JOB_DONE)
            pthread_cond_wait(&file->changed, &file->mutex);
        pthread_mutex_unlock(&file->mutex);
        finish_batch(file);
    }
}

static void file_close(struct gtm_store *store)
{
    struct file_store *file = file_of(store);
    file->closing = true;
    drain(file);
    coord__fetch_run(&file->fetches, &file->table);
    free_store(file);
}

int gtm_store_file_pause(struct gtm_store *store)
{
    struct file_store *file = file_of(store);
    if (!file->paused)
        drain(file);
    file->paused = true;
    return file->lock_fd;
}

void gtm_store_file_resume(struct gtm_store *store)
{
    struct file_store *file = file_of(store);
    file->paused = false;
    if (file->queue && !file->in_flight && !file->delivering)
        start_batch(file);
}

static const struct gtm_store_ops file_ops = {
    .get = file_get,
    .list = file_list,
    .commit = file_commit,
    .watch = file_watch,
    .unwatch = file_unwatch,
    .fetch = file_fetch,
    .status = file_status,
    .close = file_close,
};

static int add_record(void *ctx, const struct coord__record *record)
{
    return coord__table_load(ctx, record);
}

/* Fills the store from the snapshot; when that is damaged it is moved aside and the store is empty.
 */
static int load(struct file_store *file, struct gtm_error *ret_damage, struct gtm_error *err)
{
    char *text;
    size_t len;
    int rc = gtm_fs_read(file->path, FILE_BYTES_MAX, &text, &len, err);
    if (rc == GTM_ENOTFOUND)
        return GTM_OK;
    if (rc != GTM_OK)
        return rc;
    struct gtm_error why = {0};
    rc = coord__snapshot_parse(text, len, add_record, &file->table, &file->table.revision, &why);
    gtm_free(text);
    if (rc == GTM_OK)
        return GTM_OK;
    if (rc != GTM_ECORRUPT)
        return gtm_error_at(err, rc, file->path, why.line, why.col, "%s", why.text);
    coord__table_fini(&file->table);
    if (coord__table_init(&file->table) != GTM_OK)
        return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    return coord__dir_move_aside(file->path, &why, ret_damage, err);
}

static int start(struct file_store *file, struct gtm_loop *loop, struct gtm_error *err)
{
    file->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (file->wake_fd >= 0)
        file->wake_ev =
            event_new(gtm_loop_base(loop), file->wake_fd, EV_READ | EV_PERSIST, on_wake, file);
    if (!file->wake_ev || event_add(file->wake_ev, NULL) != 0)
        return gtm_error_set(err, GTM_EIO, "cannot watch an eventfd");
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&file->writer, NULL, writer_main, file);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum != 0)
        return gtm_error_set(err, GTM_EIO, "cannot start a thread: %s", strerror(errnum));
    file->writer_started = true;
    return GTM_OK;
}

/* lock_fd < 0: take the lock; else it is one that was sent. */
static int open_dir(struct gtm_loop *loop, const char *data_dir, int lock_fd,
                    struct gtm_store **ret_store, struct gtm_error *ret_damage,
                    struct gtm_error *err)
{
    *ret_damage = (struct gtm_error){0};
    struct file_store *file = gtm_calloc(1, sizeof(*file));
    if (!file) {
        if (lock_fd >= 0)
            close(lock_fd);
        return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    }
    file->base.ops = &file_ops;
    file->lock_fd = lock_fd;
    file->wake_fd = -1;
    file->paused = lock_fd >= 0;
    file->queue_last = &file->queue;
    file->ok = true;
    pthread_mutex_init(&file->mutex, NULL);
    pthread_cond_init(&file->changed, NULL);
    file->path = gtm_fs_join(data_dir, GTM_STORE_FILE_NAME);
    int rc = coord__table_init(&file->table);
    if (rc != GTM_OK || !file->path)
        rc = gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    if (rc == GTM_OK)
        rc = lock_fd < 0 ? coord__dir_lock(data_dir, &file->lock_fd, err)
                         : coord__dir_take(data_dir, lock_fd, err);
    if (rc == GTM_OK)
        rc = load(file, ret_damage, err);
    if (rc == GTM_OK)
        rc = start(file, loop, err);
    if (rc != GTM_OK) {
        free_store(file);
        return rc;
    }
    *ret_store = &file->base;
    return GTM_OK;
}

int gtm_store_file_open(struct gtm_loop *loop, const char *data_dir, struct gtm_store **ret_store,
                        struct gtm_error *ret_damage, struct gtm_error *err)
{
    return open_dir(loop, data_dir, -1, ret_store, ret_damage, err);
}

int gtm_store_file_take(struct gtm_loop *loop, const char *data_dir, int lock_fd,
                        struct gtm_store **ret_store, struct gtm_error *ret_damage,
                        struct gtm_error *err)
{
    return open_dir(loop, data_dir, lock_fd, ret_store, ret_damage, err);
}
