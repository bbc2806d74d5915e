/* SPDX-License-Identifier: Apache-2.0
 *
 * What stores do to their folder besides writing snapshots: the lock, left-over temporary files,
 * and moving a damaged snapshot aside. Blocks for the disk.
 */
#ifndef GTM_COORD_STORE_FILE_DIR_H
#define GTM_COORD_STORE_FILE_DIR_H

#include "gtm/base/err.h"

/* Makes the folder, takes its lock (held until *ret_fd is closed) and removes what a crashed writer
 * left behind. GTM_ESTATE when another process has the lock. */
int coord__dir_lock(const char *data_dir, int *ret_fd, struct gtm_error *err) GTM_MUST_CHECK;

/* The same with a lock that its holder has sent; fd stays the caller's. GTM_EINVAL when it is not
 * the folder's. */
int coord__dir_take(const char *data_dir, int fd, struct gtm_error *err) GTM_MUST_CHECK;

/* Renames path to a new name "path.damaged-<time>" and words ret_damage from why. */
int coord__dir_move_aside(const char *path, const struct gtm_error *why,
                          struct gtm_error *ret_damage, struct gtm_error *err) GTM_MUST_CHECK;

#endif
