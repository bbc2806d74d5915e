/* SPDX-License-Identifier: Apache-2.0
 *
 * One child: is it allowed, and how it is made. See exec_spawn.h.
 *
 * The child gets /dev/null as input, two pipes as output, a process group of its own, no other
 * descriptors, no blocked or ignored signals and a clean environment. The folder and the program
 * must not be writable by group or others, so that nobody but its owner can put another file in its
 * place between the look at it and its start.
 */
#include "health/exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool refuse(char *why, const char *name, const char *text)
{
    snprintf(why, HEALTH_EXEC_REFUSE_BYTES, "%.63s: %s", name, text);
    return false;
}

static bool check_dir(int fd, const char *dir, char *why)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(why, HEALTH_EXEC_REFUSE_BYTES, "exec_dir %.80s: %s", dir, strerror(errno));
        return false;
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        snprintf(why, HEALTH_EXEC_REFUSE_BYTES, "exec_dir %.80s: group or others can write to it",
                 dir);
        return false;
    }
    return true;
}

static bool check_program(int dir_fd, const char *name, char *why)
{
    /* O_PATH opens a symbolic link itself, which is then no regular file. */
    int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    bool ok = false;
    if (fd < 0 || fstat(fd, &st) != 0)
        refuse(why, name,
               errno == ENOENT ? "there is no such program in exec_dir" : strerror(errno));
    else if (!S_ISREG(st.st_mode))
        refuse(why, name, "not a regular file");
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        refuse(why, name, "group or others can write to it");
    else if (!(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) ||
             faccessat(dir_fd, name, X_OK, AT_EACCESS) != 0)
        refuse(why, name, "not executable by this user");
    else
        ok = true;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool health__exec_allowed(const char *dir, const char *name, char why[HEALTH_EXEC_REFUSE_BYTES])
{
    if (!dir) {
        snprintf(why, HEALTH_EXEC_REFUSE_BYTES, "the node file names no exec_dir");
        return false;
    }
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return refuse(why, name, "not a plain file name");
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool ok = check_dir(fd, dir, why) && check_program(fd, name, why);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool health__exec_wait(int pidfd, int wait_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

/* 0 or an errno. */
static int spawn_with(struct health_exec_run *run, int out, int err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&files);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc != 0) {
        posix_spawn_file_actions_destroy(&files);
        return rc;
    }
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn(&run->pid, run->command->path, &files, &attr, run->command->argv,
                         run->command->envp);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static bool is_pipe_pair(int out[2], int err[2])
{
    if (pipe2(out, O_CLOEXEC) != 0)
        return false;
    return pipe2(err, O_CLOEXEC) == 0;
}

/* Only our ends are non-blocking: few programs expect that of their output. */
static bool make_ours(int fd)
{
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool health__exec_spawn(struct health_exec_run *run)
{
    const struct health_exec_command *command = run->command;
    int out[2] = {-1, -1}, err[2] = {-1, -1}, rc;
    if (!health__exec_allowed(command->dir, command->name, run->refused))
        return false;
    run->pid = -1;
    if (!is_pipe_pair(out, err) || !make_ours(out[0]) || !make_ours(err[0]))
        rc = errno;
    else
        rc = spawn_with(run, out[1], err[1]);
    if (rc == 0 && (run->pidfd = pidfd_open(run->pid, 0)) < 0) {
        rc = errno;
        kill(-run->pid, SIGKILL);
        waitpid(run->pid, NULL, 0);
    }
    if (out[1] >= 0)
        close(out[1]);
    if (err[1] >= 0)
        close(err[1]);
    if (rc == 0) {
        run->out_fd = out[0];
        run->err_fd = err[0];
        return true;
    }
    if (out[0] >= 0)
        close(out[0]);
    if (err[0] >= 0)
        close(err[0]);
    run->pid = -1;
    return refuse(run->refused, command->name, strerror(rc));
}
