/* SPDX-License-Identifier: Apache-2.0
 *
 * Making one child. Internal to health/exec.c; the exec thread.
 */
#ifndef GTM_HEALTH_EXEC_SPAWN_H
#define GTM_HEALTH_EXEC_SPAWN_H

#include "health/exec.h"

/* Checks the program and starts it: fills pid, pidfd, out_fd and err_fd. False when it was not
 * started: `refused` then says why. */
bool health__exec_spawn(struct health_exec_run *run);

/* Waits until the child has ended; false when it has not within wait_ms. */
bool health__exec_wait(int pidfd, int wait_ms);

#endif
