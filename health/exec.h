/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that starts programs for the exec kind, reads what they say, and reaps them: starting
 * one waits for the disk and for the new process, and must not hold up other probes. Internal to
 * health.
 *
 * Happy path: run_start → (the thread) the file is checked → spawned in a process group of its own
 * → output is read, the pidfd tells the end → on_done on the engine's thread.
 * Failure modes: a file that may not be run, or that this host cannot start, is told in `refused`.
 * On run_kill: the group is killed; on_done still comes, once it is reaped, so that the bound on
 * running programs holds.
 * On free: all groups are killed and reaped; no on_done comes any more.
 */
#ifndef GTM_HEALTH_EXEC_H
#define GTM_HEALTH_EXEC_H

#include "gtm/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct health_io;

#define HEALTH_EXEC_RUNNING_MAX  64   /* programs at a time */
#define HEALTH_EXEC_OUT_BYTES    4096 /* kept of standard output, with the NUL */
#define HEALTH_EXEC_ERR_BYTES    512  /* … of standard error */
#define HEALTH_EXEC_REFUSE_BYTES 160

/* What to run; immutable and counted: a run outlives its prober when it is killed. */
struct health_exec_command {
    atomic_uint refs;
    char *dir, *name, *path; /* dir is NULL when the node has no exec_dir */
    char **argv, **envp;     /* NULL-terminated */
};
void health__exec_command_unref(struct health_exec_command *command); /* NULL is fine */

/* One run. The engine's thread makes it, and frees it (gtm_free) in on_done; in between the parts
 * marked so are the exec thread's. */
struct health_exec_run {
    struct health_exec_command *command;   /* a reference, given back by health__exec */
    void *owner;                           /* the probe; NULL once cancelled */
    const void *prober;                    /* probe_exec.c's */
    struct health_exec_run *next;          /* in a list of the engine's thread, or on the way */
    bool wants_kill, on_way, finished;     /* under the lock */
    int pid, pidfd, out_fd, err_fd;        /* the exec thread's; -1 = none */
    struct event *end_event, *io_event[2]; /* the exec thread's */
    struct health_exec_run *next_live;     /* the exec thread's */
    struct health_exec *exec;
    /* The result, once told. */
    int status;                             /* as waitid says it: exit code, or -signal */
    char refused[HEALTH_EXEC_REFUSE_BYTES]; /* not empty: it was not run, and why */
    char out[HEALTH_EXEC_OUT_BYTES], err[HEALTH_EXEC_ERR_BYTES];
    size_t out_len, err_len;
};

struct health_exec;

/* Starts the thread. on_done is called on the thread of io's base. NULL on failure. */
struct health_exec *health__exec_new(struct health_io *io,
                                     void (*on_done)(struct health_io *io,
                                                     struct health_exec_run *run));
void health__exec_free(struct health_exec *exec); /* NULL is fine */

/* The engine's thread. Takes the run until on_done. Cannot fail: what goes wrong is told there. */
void health__exec_run_start(struct health_exec *exec, struct health_exec_run *run);
void health__exec_run_kill(struct health_exec *exec, struct health_exec_run *run);

/* What probe_exec.c keeps here, for the engine's thread: runs that wait for a place. */
struct health_exec_queue {
    struct health_exec_run *first, **end;
    unsigned running, waiting;
};
struct health_exec_queue *health__exec_queue(struct health_exec *exec);
/* True when the program may be run: in dir and nowhere else, a regular file, executable, and
 * neither it nor dir can be written by group or others. Else `why` gets a sentence. May block. */
bool health__exec_allowed(const char *dir, const char *name, char why[HEALTH_EXEC_REFUSE_BYTES]);

#endif
