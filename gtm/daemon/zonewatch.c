/* SPDX-License-Identifier: Apache-2.0
 *
 * See zonewatch.h.
 */
#include "gtm/daemon/zonewatch.h"

#include "gtm/base/clock.h"
#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/map.h"
#include "gtm/base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUIET_MS  200u
#define BUSY_MS   2000u /* open for writing, or so it seems */
#define TICK_MS   50u
#define RETRY_MS  2000u
#define RECENT_S  3 /* a file changed so lately may have changed since it was loaded */
#define EVENT_BUF 16384
#define MASK                                                                                \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | \
     IN_ONLYDIR)

struct dir {
    char *path;
    int wd; /* -1: not there */
    size_t files;
};

struct print {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct file {
    struct dir *dir;
    size_t *zones;
    size_t count, cap;
    struct print print;
    uint64_t event_ms;
    bool named; /* this round */
    bool pending, busy;
    bool sure; /* the event named the file: no need to compare */
};

struct gtm_zonewatch {
    int fd;
    struct event *ev;
    struct gtm_timer *timer;
    struct gtm_map *files, *dirs;
    void (*changed)(void *arg, size_t zone);
    void *arg;
};

static uint64_t now_ms(void)
{
    return gtm_mono_ms(gtm_clock_system());
}

static bool take_print(const char *path, struct print *ret)
{
    struct stat st;
    *ret = (struct print){0};
    if (stat(path, &st))
        return false;
    *ret = (struct print){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    return true;
}

static bool same_print(const struct print *a, const struct print *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* --- what happens --- */

static void touch(struct gtm_zonewatch *w, struct file *file, bool busy, bool sure)
{
    file->pending = true;
    file->busy = busy;
    file->sure |= sure;
    file->event_ms = now_ms();
    gtm_timer_start(w->timer, QUIET_MS);
}

static void touch_dir(struct gtm_zonewatch *w, const struct dir *dir)
{
    size_t it = 0;
    const char *path;
    void *value;
    while (gtm_map_next(w->files, &it, &path, &value)) {
        struct file *file = value;
        if (!dir || file->dir == dir)
            touch(w, file, false, false);
    }
}

static void watch_dir(struct gtm_zonewatch *w, struct dir *dir)
{
    dir->wd = inotify_add_watch(w->fd, dir->path, MASK);
    if (dir->wd < 0)
        gtm_timer_start(w->timer, RETRY_MS);
}

static void on_dir_event(struct gtm_zonewatch *w, struct dir *dir, const struct inotify_event *e)
{
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) {
        if (e->mask & IN_MOVE_SELF)
            (void)inotify_rm_watch(w->fd, dir->wd);
        dir->wd = -1;
        gtm_timer_start(w->timer, QUIET_MS);
        return;
    }
    if (e->len == 0)
        return;
    char *path = gtm_fs_join(dir->path, e->name);
    struct file *file = path ? gtm_map_get(w->files, path) : NULL;
    gtm_free(path);
    if (file)
        touch(w, file, (e->mask & (IN_MODIFY | IN_CREATE)) != 0, true);
    else if (strncmp(e->name, "..", 2) == 0)
        touch_dir(w, dir); /* volumes that are swapped by a link of such a name */
}

static void on_event(struct gtm_zonewatch *w, const struct inotify_event *e)
{
    size_t it = 0;
    const char *path;
    void *dir;
    if (e->mask & IN_Q_OVERFLOW) {
        touch_dir(w, NULL);
        return;
    }
    /* Two spellings of a path may be one folder. */
    while (gtm_map_next(w->dirs, &it, &path, &dir))
        if (((struct dir *)dir)->wd == e->wd)
            on_dir_event(w, dir, e);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    _Alignas(struct inotify_event) char buf[EVENT_BUF];
    (void)what;
    ssize_t n = read(fd, buf, sizeof(buf));
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + at);
        on_event(arg, e);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
}

/* A file that has been quiet: has it changed? One that is missing has not: the old zone stays. */
static void settle(struct gtm_zonewatch *w, const char *path, struct file *file)
{
    struct print now;
    bool there = take_print(path, &now);
    bool other = there && (file->sure || !same_print(&now, &file->print));
    file->pending = file->sure = false;
    if (!other)
        return;
    file->print = now;
    for (size_t i = 0; i < file->count; i++)
        w->changed(w->arg, file->zones[i]);
}

static void on_timer(void *arg)
{
    struct gtm_zonewatch *w = arg;
    uint64_t now = now_ms(), next = 0;
    size_t it = 0;
    const char *path;
    void *value;
    while (gtm_map_next(w->dirs, &it, &path, &value)) {
        struct dir *dir = value;
        if (dir->wd >= 0)
            continue;
        watch_dir(w, dir);
        if (dir->wd >= 0)
            touch_dir(w, dir);
        else
            next = RETRY_MS;
    }
    it = 0;
    while (gtm_map_next(w->files, &it, &path, &value)) {
        struct file *file = value;
        if (!file->pending)
            continue;
        if (now - file->event_ms >= (file->busy ? BUSY_MS : QUIET_MS))
            settle(w, path, file);
        else
            next = TICK_MS;
    }
    if (next)
        gtm_timer_start(w->timer, next);
}

/* --- what is watched --- */

static void free_file(void *value)
{
    struct file *file = value;
    if (file)
        gtm_free(file->zones);
    gtm_free(file);
}

static void free_dir(void *value)
{
    struct dir *dir = value;
    if (dir)
        gtm_free(dir->path);
    gtm_free(dir);
}

struct gtm_zonewatch *gtm_zonewatch_new(struct gtm_loop *loop, void (*changed)(void *, size_t),
                                        void *arg)
{
    struct gtm_zonewatch *w = gtm_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->changed = changed;
    w->arg = arg;
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    w->files = gtm_map_new();
    w->dirs = gtm_map_new();
    w->timer = gtm_timer_new(loop, on_timer, w);
    if (w->fd >= 0)
        w->ev = event_new(gtm_loop_base(loop), w->fd, EV_READ | EV_PERSIST, on_readable, w);
    if (w->files && w->dirs && w->timer && w->ev && event_add(w->ev, NULL) == 0)
        return w;
    gtm_log(GTM_LOG_WARN, "config", "zone files are not watched; reload them with gtmctl reload",
            gtm_kv_str("error", w->fd < 0 ? strerror(errno) : "out of memory"));
    gtm_zonewatch_free(w);
    return NULL;
}

void gtm_zonewatch_free(struct gtm_zonewatch *w)
{
    if (!w)
        return;
    if (w->ev)
        event_free(w->ev);
    if (w->fd >= 0)
        close(w->fd);
    gtm_timer_free(w->timer);
    gtm_map_free(w->files, free_file);
    gtm_map_free(w->dirs, free_dir);
    gtm_free(w);
}

void gtm_zonewatch_begin(struct gtm_zonewatch *w)
{
    size_t it = 0;
    const char *path;
    void *value;
    while (gtm_map_next(w->files, &it, &path, &value)) {
        struct file *file = value;
        file->named = false;
        file->count = 0;
    }
}

static struct dir *dir_of(struct gtm_zonewatch *w, const char *path)
{
    char *name = gtm_fs_dirname(path);
    struct dir *dir = name ? gtm_map_get(w->dirs, name) : NULL;
    if (!dir && name && (dir = gtm_calloc(1, sizeof(*dir))) != NULL) {
        dir->wd = -1;
        dir->path = name;
        if (gtm_map_put(w->dirs, name, dir, NULL) == GTM_OK) {
            watch_dir(w, dir);
            return dir;
        }
        gtm_free(dir);
        dir = NULL;
    }
    gtm_free(name);
    return dir;
}

static struct file *file_new(struct gtm_zonewatch *w, const char *key, struct dir *dir)
{
    struct file *file = gtm_calloc(1, sizeof(*file));
    if (!file)
        return NULL;
    file->dir = dir;
    if (gtm_map_put(w->files, key, file, NULL) != GTM_OK) {
        gtm_free(file);
        return NULL;
    }
    dir->files++;
    bool there = take_print(key, &file->print);
    int64_t now_s = gtm_wall_ms(gtm_clock_system()) / 1000;
    if (there && file->print.mtime.tv_sec + RECENT_S >= now_s)
        touch(w, file, false, true);
    return file;
}

bool gtm_zonewatch_add(struct gtm_zonewatch *w, const char *path, size_t zone)
{
    struct dir *dir = dir_of(w, path);
    const char *slash = strrchr(path, '/');
    char *key = dir ? gtm_fs_join(dir->path, slash ? slash + 1 : path) : NULL;
    struct file *file = key ? gtm_map_get(w->files, key) : NULL;
    if (key && !file)
        file = file_new(w, key, dir);
    gtm_free(key);
    if (!file)
        return false;
    void *zones = file->zones;
    int rc = gtm_grow(&zones, &file->cap, file->count + 1, sizeof(*file->zones));
    file->zones = zones;
    file->named = true;
    if (rc == GTM_OK)
        file->zones[file->count++] = zone;
    return rc == GTM_OK;
}

static bool wd_used(const struct gtm_zonewatch *w, int wd)
{
    size_t it = 0;
    const char *path;
    void *dir;
    while (gtm_map_next(w->dirs, &it, &path, &dir))
        if (((struct dir *)dir)->wd == wd)
            return true;
    return false;
}

void gtm_zonewatch_commit(struct gtm_zonewatch *w)
{
    size_t it = 0;
    const char *path;
    void *value;
    while (gtm_map_next(w->files, &it, &path, &value)) {
        struct file *file = value;
        if (file->named)
            continue;
        file->dir->files--;
        free_file(gtm_map_remove(w->files, path));
    }
    it = 0;
    while (gtm_map_next(w->dirs, &it, &path, &value)) {
        struct dir *dir = value;
        if (dir->files)
            continue;
        int wd = dir->wd;
        free_dir(gtm_map_remove(w->dirs, path));
        if (wd >= 0 && !wd_used(w, wd))
            (void)inotify_rm_watch(w->fd, wd);
    }
}
