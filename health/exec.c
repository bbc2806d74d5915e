/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs as children. See exec.h.
 *
 * The two threads hand runs to each other through two lists under one lock, each with an eventfd
 * that wakes the other side: nothing is allocated on the way, so nothing can be lost.
 */
#include "health/exec.h"

#include "gtm/base/mem.h"
#include "health/exec_spawn.h"
#include "health/probe.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_WAIT_MS 2000 /* at the end: a killed process that does not go is left behind */

struct health_exec {
    struct health_io *io;
    void (*on_done)(struct health_io *io, struct health_exec_run *run);
    struct health_exec_queue queue;
    pthread_t thread;
    bool started;
    struct event_base *base;                  /* the exec thread's */
    struct event *inbox_event, *outbox_event; /* of this thread's base; of the engine's */
    struct health_exec_run *live;             /* the exec thread's: spawned, not reaped */
    int inbox_fd, outbox_fd;

    pthread_mutex_t lock;
    bool stop;
    struct health_exec_run *inbox, **inbox_end;
    struct health_exec_run *outbox, **outbox_end;
};

void health__exec_command_unref(struct health_exec_command *command)
{
    if (!command || atomic_fetch_sub(&command->refs, 1) != 1)
        return;
    for (char **p = command->argv; p && *p; p++)
        gtm_free(*p);
    for (char **p = command->envp; p && *p; p++)
        gtm_free(*p);
    gtm_free(command->argv);
    gtm_free(command->envp);
    gtm_free(command->dir);
    gtm_free(command->name);
    gtm_free(command->path);
    gtm_free(command);
}

/* An eventfd's count cannot overflow here, and a wake that is there already is as good. */
static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n;
}

static void calm(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
}

/* --- the exec thread: one run --- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void drop_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

static void take_from_inbox(struct health_exec *exec, struct health_exec_run *run)
{
    for (struct health_exec_run **at = &exec->inbox; *at; at = &(*at)->next)
        if (*at == run) {
            *at = run->next;
            if (!*at)
                exec->inbox_end = at;
            break;
        }
    run->on_way = false;
}

/* The run is over: back to the engine. */
static void finish(struct health_exec_run *run)
{
    struct health_exec *exec = run->exec;
    drop_event(&run->end_event);
    drop_event(&run->io_event[0]);
    drop_event(&run->io_event[1]);
    close_fd(&run->pidfd);
    close_fd(&run->out_fd);
    close_fd(&run->err_fd);
    for (struct health_exec_run **at = &exec->live; *at; at = &(*at)->next_live)
        if (*at == run) {
            *at = run->next_live;
            break;
        }
    run->out[run->out_len] = '\0';
    run->err[run->err_len] = '\0';
    pthread_mutex_lock(&exec->lock);
    if (run->on_way) /* a kill that comes too late */
        take_from_inbox(exec, run);
    run->finished = true;
    run->next = NULL;
    *exec->outbox_end = run;
    exec->outbox_end = &run->next;
    pthread_mutex_unlock(&exec->lock);
    wake(exec->outbox_fd);
}

/* Reads what is there; the rest of a long output is read and dropped, or the program would hang.
 * False at the end. */
static bool read_some(int fd, char *to, size_t room, size_t *len)
{
    char spill[1024];
    for (unsigned i = 0; i < 16; i++) {
        size_t left = room - 1 - *len;
        ssize_t n = left > 0 ? read(fd, to + *len, left) : read(fd, spill, sizeof(spill));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (n == 0)
            return false;
        if (left > 0)
            *len += (size_t)n;
    }
    return true;
}

static void on_output(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct health_exec_run *run = ctx;
    bool out = fd == run->out_fd;
    bool more = out ? read_some(fd, run->out, sizeof(run->out), &run->out_len)
                    : read_some(fd, run->err, sizeof(run->err), &run->err_len);
    if (more)
        return;
    drop_event(&run->io_event[out ? 0 : 1]);
    close_fd(out ? &run->out_fd : &run->err_fd);
}

/* While the leader is a zombie its number, and with it the group's, belongs to nobody else. */
static void reap(struct health_exec_run *run)
{
    siginfo_t info = {0};
    kill(-run->pid, SIGKILL); /* what it left behind */
    while (waitid(P_PID, (id_t)run->pid, &info, WEXITED) != 0 && errno == EINTR)
        ;
    run->status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct health_exec_run *run = ctx;
    if (run->out_fd >= 0)
        read_some(run->out_fd, run->out, sizeof(run->out), &run->out_len);
    if (run->err_fd >= 0)
        read_some(run->err_fd, run->err, sizeof(run->err), &run->err_len);
    reap(run);
    finish(run);
}

static struct event *watch(struct health_exec_run *run, int fd, event_callback_fn fn)
{
    struct event *event = event_new(run->exec->base, fd, EV_READ | EV_PERSIST, fn, run);
    if (event && event_add(event, NULL) == 0)
        return event;
    if (event)
        event_free(event);
    return NULL;
}

static void begin(struct health_exec *exec, struct health_exec_run *run, bool killed)
{
    if (killed || !health__exec_spawn(run)) {
        finish(run);
        return;
    }
    run->next_live = exec->live;
    exec->live = run;
    run->end_event = watch(run, run->pidfd, on_end);
    run->io_event[0] = watch(run, run->out_fd, on_output);
    run->io_event[1] = watch(run, run->err_fd, on_output);
    if (run->end_event && run->io_event[0] && run->io_event[1])
        return;
    kill(-run->pid, SIGKILL);
    reap(run);
    snprintf(run->refused, sizeof(run->refused), "out of memory here");
    finish(run);
}

/* --- the exec thread: its life --- */

static void on_inbox(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct health_exec *exec = ctx;
    calm(fd);
    for (;;) {
        pthread_mutex_lock(&exec->lock);
        bool stop = exec->stop;
        struct health_exec_run *run = stop ? NULL : exec->inbox; /* else health__exec_free has it */
        bool wants_kill = run && run->wants_kill;
        if (run)
            take_from_inbox(exec, run);
        pthread_mutex_unlock(&exec->lock);
        if (stop) {
            event_base_loopbreak(exec->base);
            return;
        }
        if (!run)
            return;
        if (run->pid <= 0)
            begin(exec, run, wants_kill);
        else if (wants_kill)
            kill(-run->pid, SIGKILL); /* on_end follows */
    }
}

static void end_all(struct health_exec *exec)
{
    for (struct health_exec_run *run = exec->live; run; run = run->next_live)
        kill(-run->pid, SIGKILL);
    while (exec->live) {
        struct health_exec_run *run = exec->live;
        if (health__exec_wait(run->pidfd, END_WAIT_MS))
            reap(run);
        finish(run);
    }
}

static void *thread_main(void *ctx)
{
    struct health_exec *exec = ctx;
    pthread_setname_np(pthread_self(), "gtm-exec");
    event_base_loop(exec->base, EVLOOP_NO_EXIT_ON_EMPTY);
    end_all(exec);
    return NULL;
}

/* --- the engine's thread --- */

static struct health_exec_run *next_done(struct health_exec *exec)
{
    pthread_mutex_lock(&exec->lock);
    struct health_exec_run *run = exec->outbox;
    if (run) {
        exec->outbox = run->next;
        if (!exec->outbox)
            exec->outbox_end = &exec->outbox;
    }
    pthread_mutex_unlock(&exec->lock);
    return run;
}

static void run_free(struct health_exec_run *run)
{
    health__exec_command_unref(run->command);
    gtm_free(run);
}

static void on_outbox(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct health_exec *exec = ctx;
    struct health_exec_run *run;
    calm(fd);
    while ((run = next_done(exec)) != NULL) {
        health__exec_command_unref(run->command);
        run->command = NULL;
        exec->on_done(exec->io, run);
    }
}

static int open_exec(struct health_exec *exec)
{
    sigset_t all, before;
    exec->inbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    exec->outbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    exec->base = event_base_new();
    if (exec->inbox_fd < 0 || exec->outbox_fd < 0 || !exec->base)
        return GTM_ENOMEM;
    exec->inbox_event = event_new(exec->base, exec->inbox_fd, EV_READ | EV_PERSIST, on_inbox, exec);
    exec->outbox_event =
        event_new(exec->io->base, exec->outbox_fd, EV_READ | EV_PERSIST, on_outbox, exec);
    if (!exec->inbox_event || !exec->outbox_event || event_add(exec->inbox_event, NULL) != 0 ||
        event_add(exec->outbox_event, NULL) != 0)
        return GTM_ENOMEM;
    sigfillset(&all); /* signals belong to the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    exec->started = pthread_create(&exec->thread, NULL, thread_main, exec) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return exec->started ? GTM_OK : GTM_ENOMEM;
}

struct health_exec *health__exec_new(struct health_io *io,
                                     void (*on_done)(struct health_io *io,
                                                     struct health_exec_run *run))
{
    struct health_exec *exec = gtm_calloc(1, sizeof(*exec));
    if (!exec)
        return NULL;
    exec->io = io;
    exec->on_done = on_done;
    exec->queue.end = &exec->queue.first;
    exec->inbox_end = &exec->inbox;
    exec->outbox_end = &exec->outbox;
    exec->inbox_fd = exec->outbox_fd = -1;
    pthread_mutex_init(&exec->lock, NULL);
    if (open_exec(exec) != GTM_OK) {
        health__exec_free(exec);
        return NULL;
    }
    return exec;
}

void health__exec_free(struct health_exec *exec)
{
    struct health_exec_run *run;
    if (!exec)
        return;
    if (exec->started) {
        pthread_mutex_lock(&exec->lock);
        exec->stop = true;
        pthread_mutex_unlock(&exec->lock);
        wake(exec->inbox_fd);
        pthread_join(exec->thread, NULL);
    }
    while ((run = next_done(exec)) != NULL)
        run_free(run);
    while ((run = exec->inbox) != NULL) {
        take_from_inbox(exec, run);
        run_free(run);
    }
    while ((run = exec->queue.first) != NULL) {
        exec->queue.first = run->next;
        run_free(run);
    }
    drop_event(&exec->inbox_event);
    drop_event(&exec->outbox_event);
    if (exec->base)
        event_base_free(exec->base);
    close_fd(&exec->inbox_fd);
    close_fd(&exec->outbox_fd);
    pthread_mutex_destroy(&exec->lock);
    gtm_free(exec);
}

static void to_inbox(struct health_exec *exec, struct health_exec_run *run)
{
    run->on_way = true;
    run->next = NULL;
    *exec->inbox_end = run;
    exec->inbox_end = &run->next;
}

void health__exec_run_start(struct health_exec *exec, struct health_exec_run *run)
{
    run->exec = exec;
    run->pid = run->pidfd = run->out_fd = run->err_fd = -1;
    pthread_mutex_lock(&exec->lock);
    to_inbox(exec, run);
    pthread_mutex_unlock(&exec->lock);
    wake(exec->inbox_fd);
}

void health__exec_run_kill(struct health_exec *exec, struct health_exec_run *run)
{
    pthread_mutex_lock(&exec->lock);
    run->wants_kill = true;
    if (!run->on_way && !run->finished)
        to_inbox(exec, run);
    pthread_mutex_unlock(&exec->lock);
    wake(exec->inbox_fd);
}

struct health_exec_queue *health__exec_queue(struct health_exec *exec)
{
    return &exec->queue;
}
