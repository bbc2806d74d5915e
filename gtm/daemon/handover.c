/* SPDX-License-Identifier: Apache-2.0
 *
 * The old process of a hand-over, and how it starts its successor. See handover.h; control thread.
 */
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/daemon.h"
#include "gtm/daemon/handover_wire.h"
#include "gtm/daemon/sdnotify.h"

#include "dns/server.h"

#include <errno.h>
#include <event2/event.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MS       5000u /* TCP clients may finish */
#define DRAIN_POLL_MS  20u
#define THAW_RETRY_MS  100u
#define CHILD_POLL_MS  500u
#define BACKLOG        4
#define PROGRAM_BYTES  4096
#define SENT_TIMEOUT_S 5

enum stage {
    IDLE = 0,
    GREETED, /* has our sockets */
    FROZEN,  /* we write nothing */
    LEAVING  /* it serves; we end */
};

struct gtm_handover {
    struct gtmd *d;
    int listen_fd, fd; /* fd: of whoever takes over, -1 = nobody */
    struct event *listen_ev, *ev;
    struct gtm_timer *timer, *child_timer;
    enum stage stage;
    bool thawing; /* the sockets of API and heartbeats are not ours again yet */
    pid_t peer, child;
    uint64_t leave_until_ms;
    char program[PROGRAM_BYTES];
    struct sockaddr_un at;
    dev_t dev;
    ino_t ino;
};

extern char **environ;

/* --- ending it --- */

static void forget_peer(struct gtm_handover *h)
{
    if (h->ev)
        event_free(h->ev);
    if (h->fd >= 0)
        close(h->fd);
    h->ev = NULL;
    h->fd = -1;
    h->stage = IDLE;
}

static void thaw(struct gtm_handover *h)
{
    bool thawed = gtmd_thaw(h->d);
    if (!thawed && !h->thawing)
        gtm_log0(GTM_LOG_WARN, "handover",
                 "the sockets of the API or of heartbeats are not free yet; trying on");
    h->thawing = !thawed;
    if (h->thawing)
        gtm_timer_start(h->timer, THAW_RETRY_MS);
}

/* The other one is gone, wrong or too slow: everything goes on here. */
static void give_up(struct gtm_handover *h, const char *why)
{
    bool frozen = h->stage == FROZEN;
    gtm_log(GTM_LOG_WARN, "handover", "the hand-over failed; this process goes on",
            gtm_kv_str("cause", why), gtm_kv_int("pid", h->peer));
    forget_peer(h);
    gtm_timer_stop(h->timer);
    if (frozen)
        thaw(h);
}

static void refuse(int fd, const char *why)
{
    struct gtm__handover_msg msg = {.type = GTM__REFUSED};
    snprintf(msg.text, sizeof(msg.text), "%s", why);
    (void)!gtm__handover_send(fd, &msg);
}

/* --- the steps --- */

static int send_sockets(struct gtm_handover *h)
{
    size_t count = h->d->dns ? dns_server_export_fds(h->d->dns, NULL, 0) : 0, at = 0;
    struct dns_socket *sockets = gtm_calloc(count + 1, sizeof(*sockets));
    int rc = sockets && count <= GTM_HANDOVER_FDS_MAX ? GTM_OK : GTM_ELIMIT;
    if (rc == GTM_OK && count)
        (void)dns_server_export_fds(h->d->dns, sockets, count);
    do {
        struct gtm__handover_msg msg = {.type = GTM__SOCKETS};
        while (rc == GTM_OK && at < count && msg.fds_count < GTM_HANDOVER_FDS)
            msg.fds[msg.fds_count++] = sockets[at++].fd;
        msg.value = (uint32_t)(count - at);
        if (rc == GTM_OK)
            rc = gtm__handover_send(h->fd, &msg);
    } while (rc == GTM_OK && at < count);
    gtm_free(sockets);
    return rc;
}

static int freeze(struct gtm_handover *h)
{
    struct gtm__handover_msg msg = {.type = GTM__LOCK, .fds_count = 1};
    if (h->d->phase != GTMD_SERVING || h->thawing)
        return GTM_ESTATE;
    h->stage = FROZEN;
    msg.fds[0] = gtmd_freeze(h->d);
    gtm_timer_start(h->timer, GTM_HANDOVER_FREEZE_MS);
    return gtm__handover_send(h->fd, &msg);
}

/* From here there is no way back: the other one writes as soon as it has our word. */
static int leave(struct gtm_handover *h)
{
    char text[96];
    int rc = gtm__handover_send(h->fd, &(struct gtm__handover_msg){.type = GTM__YOURS});
    if (rc != GTM_OK)
        return rc;
    snprintf(text, sizeof(text), "MAINPID=%ld\nSTATUS=handing over", (long)h->peer);
    gtm_sdnotify(text);
    gtm_log(GTM_LOG_INFO, "handover", "another process serves now; finishing",
            gtm_kv_int("pid", h->peer));
    h->stage = LEAVING;
    h->leave_until_ms = gtm_mono_ms(h->d->clock) + DRAIN_MS + 1000;
    if (h->d->dns)
        dns_server_drain(h->d->dns, DRAIN_MS);
    gtm_timer_start(h->timer, DRAIN_POLL_MS);
    return GTM_OK;
}

static void on_message(struct gtm_handover *h, const struct gtm__handover_msg *msg)
{
    int rc = GTM_EPARSE;
    if (msg->version != GTM_HANDOVER_VERSION) {
        refuse(h->fd, "another version of the protocol");
        give_up(h, "another version of the protocol");
        return;
    }
    if (msg->type == GTM__HELLO && h->stage == IDLE) {
        h->stage = GREETED;
        rc = send_sockets(h);
    } else if (msg->type == GTM__FREEZE && h->stage == GREETED) {
        rc = freeze(h);
        if (rc == GTM_ESTATE)
            refuse(h->fd, "it is starting or stopping");
    } else if (msg->type == GTM__SERVING && h->stage == FROZEN) {
        rc = leave(h);
    }
    if (rc != GTM_OK)
        give_up(h, gtm_err_text(rc));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct gtm_handover *h = arg;
    struct gtm__handover_msg msg;
    (void)what;
    int rc = gtm__handover_recv((int)fd, &msg);
    if (rc == 0)
        return;
    if (h->stage == LEAVING) { /* whatever it is, it changes nothing */
        gtm__handover_close_fds(&msg);
        event_del(h->ev);
        return;
    }
    if (rc < 0) {
        give_up(h, rc == GTM_EIO ? "the other process is gone" : gtm_err_text(rc));
        return;
    }
    gtm__handover_close_fds(&msg); /* nothing is sent this way */
    on_message(h, &msg);
}

static void on_timer(void *arg)
{
    struct gtm_handover *h = arg;
    if (h->stage == LEAVING) {
        bool late = gtm_mono_ms(h->d->clock) >= h->leave_until_ms;
        if (late || !h->d->dns || dns_server_drained(h->d->dns))
            gtmd_stop(h->d, GTMD_OK);
        else
            gtm_timer_start(h->timer, DRAIN_POLL_MS);
    } else if (h->stage == FROZEN) {
        give_up(h, "the other process takes too long");
    } else if (h->thawing) {
        thaw(h);
    }
}

static void on_connection(evutil_socket_t listener, short what, void *arg)
{
    struct gtm_handover *h = arg;
    pid_t pid = 0;
    (void)what;
    int fd = accept4((int)listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    const char *why = !gtm__handover_same_user(fd, &pid) ? "another user's process"
                      : h->fd >= 0                       ? "another process is taking over"
                      : h->d->phase != GTMD_SERVING      ? "it is starting or stopping"
                                                         : NULL;
    struct event *ev =
        why ? NULL : event_new(gtm_loop_base(h->d->loop), fd, EV_READ | EV_PERSIST, on_readable, h);
    if (!ev || event_add(ev, NULL)) {
        refuse(fd, why ? why : "out of memory");
        if (ev)
            event_free(ev);
        close(fd);
        return;
    }
    h->fd = fd;
    h->ev = ev;
    h->peer = pid;
    h->stage = IDLE;
    gtm_log(GTM_LOG_INFO, "handover", "another process wants to take over", gtm_kv_int("pid", pid));
}

/* --- life --- */

/* Born under another name and renamed, so that there is always one to connect to. */
static int bind_socket(struct gtm_handover *h, struct gtm_error *err)
{
    struct sockaddr_un tmp = h->at;
    struct stat st;
    size_t n = strlen(tmp.sun_path);
    tmp.sun_path[n - 1] = '~';
    (void)unlink(tmp.sun_path);
    h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    int rc = h->listen_fd < 0 ? -1 : bind(h->listen_fd, (struct sockaddr *)&tmp, sizeof(tmp));
    umask(old);
    if (rc || listen(h->listen_fd, BACKLOG) || lstat(tmp.sun_path, &st) ||
        rename(tmp.sun_path, h->at.sun_path))
        return gtm_error_set(err, gtm_err_from_errno(errno), "%s: %s", h->at.sun_path,
                             strerror(errno));
    h->dev = st.st_dev;
    h->ino = st.st_ino;
    return GTM_OK;
}

struct gtm_handover *gtm_handover_new(struct gtmd *d, struct gtm_error *err)
{
    struct gtm_handover *h = gtm_calloc(1, sizeof(*h));
    if (!h) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    h->d = d;
    h->fd = h->listen_fd = -1;
    /* The file may be replaced by then: its name is what counts. */
    ssize_t n = readlink("/proc/self/exe", h->program, sizeof(h->program) - 1);
    h->program[n > 0 ? n : 0] = 0;
    h->timer = gtm_timer_new(d->loop, on_timer, h);
    int rc = h->timer ? gtm__handover_address(d->node->data_dir, &h->at, err)
                      : gtm_error_set(err, GTM_ENOMEM, "out of memory");
    if (rc == GTM_OK)
        rc = bind_socket(h, err);
    if (rc == GTM_OK) {
        h->listen_ev =
            event_new(gtm_loop_base(d->loop), h->listen_fd, EV_READ | EV_PERSIST, on_connection, h);
        if (h->listen_ev && event_add(h->listen_ev, NULL) == 0)
            return h;
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
    }
    gtm_handover_free(h);
    return NULL;
}

void gtm_handover_free(struct gtm_handover *h)
{
    struct stat st;
    if (!h)
        return;
    if (h->ino && !lstat(h->at.sun_path, &st) && st.st_dev == h->dev && st.st_ino == h->ino)
        (void)unlink(h->at.sun_path);
    forget_peer(h);
    if (h->listen_ev)
        event_free(h->listen_ev);
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    gtm_timer_free(h->timer);
    gtm_timer_free(h->child_timer);
    gtm_free(h);
}

/* --- the successor --- */

/* A successor that failed is told of; one that took over outlives us. */
static void on_child(void *arg)
{
    struct gtm_handover *h = arg;
    int status = 0;
    pid_t pid = waitpid(h->child, &status, WNOHANG);
    if (pid == 0) {
        gtm_timer_start(h->child_timer, CHILD_POLL_MS);
        return;
    }
    h->child = 0;
    gtm_log(GTM_LOG_ERROR, "handover", "the successor has ended; this process goes on",
            gtm_kv_int("exit_code", WIFEXITED(status) ? WEXITSTATUS(status) : -1));
}

/* The environment without what systemd tells this process only. */
static char **child_environment(void)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = gtm_calloc(n + 1, sizeof(char *));
    for (size_t i = 0; env && i < n; i++)
        if (strncmp(environ[i], "WATCHDOG_PID=", 13) != 0)
            env[kept++] = environ[i];
    return env;
}

int gtm_handover_upgrade(struct gtm_handover *h, pid_t *ret_pid, struct gtm_error *err)
{
    if (h->child || h->fd >= 0)
        return gtm_error_set(err, GTM_ESTATE, "another process is taking over");
    if (!h->child_timer)
        h->child_timer = gtm_timer_new(h->d->loop, on_child, h);
    char **env = child_environment();
    if (!h->child_timer || !env || !h->program[0]) {
        gtm_free(env);
        return gtm_error_set(err, GTM_ENOMEM, "cannot tell which program to start");
    }
    char config[] = "--config", replace[] = "--replace";
    char *argv[] = {h->program, config, h->d->node_path, replace, NULL};
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawn(&h->child, h->program, NULL, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    gtm_free(env);
    if (rc) {
        h->child = 0;
        return gtm_error_set(err, gtm_err_from_errno(rc), "%s: %s", h->program, strerror(rc));
    }
    *ret_pid = h->child;
    gtm_timer_start(h->child_timer, CHILD_POLL_MS);
    return GTM_OK;
}
