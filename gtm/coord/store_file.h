/* SPDX-License-Identifier: Apache-2.0
 *
 * The standalone node's store: one checksummed snapshot file in data_dir, replaced atomically by a
 * thread of its own, so that the loop never waits for the disk. Not for many writers: every commit
 * rewrites the snapshot (commits that wait share one write).
 */
#ifndef GTM_COORD_STORE_FILE_H
#define GTM_COORD_STORE_FILE_H

#include "gtm/coord/store.h"

#define GTM_STORE_FILE_NAME      "state.jsonl"
#define GTM_STORE_FILE_LOCK      "lock"
#define GTM_STORE_FILE_KEYS_MAX  10000u
#define GTM_STORE_FILE_BYTES_MAX (32u << 20) /* keys and values together */

struct gtm_loop;

/* Opens (and creates) data_dir and locks it: GTM_ESTATE when another process holds it. A damaged
 * snapshot is renamed to "state.jsonl.damaged-<time>" and the store starts empty; ret_damage
 * (zeroed by the callee) then has code GTM_ECORRUPT and says what and where, for the caller to log
 * loudly. A snapshot that cannot be read, or is of a newer format, is an error and stays where it
 * is. The loop is borrowed until gtm_store_close. Before or on the loop's thread; blocks for the
 * disk. */
int gtm_store_file_open(struct gtm_loop *loop, const char *data_dir, struct gtm_store **ret_store,
                        struct gtm_error *ret_damage, struct gtm_error *err) GTM_MUST_CHECK;

/* --- handing the folder over to another process, with never two writers and never none --- */

/* Finishes what is being written and writes no more; commits wait from now on. Returns the lock's
 * descriptor, which stays the store's: sent on (SCM_RIGHTS), it is the same lock. Blocks for the
 * disk. Closing a store that is paused drops what waits (GTM_ESTATE). */
int gtm_store_file_pause(struct gtm_store *store);
/* Writes again, first what has waited. */
void gtm_store_file_resume(struct gtm_store *store);
/* As gtm_store_file_open with a lock that another process sent; takes lock_fd, also on failure.
 * GTM_EINVAL when it is not this folder's lock. The store begins paused. */
int gtm_store_file_take(struct gtm_loop *loop, const char *data_dir, int lock_fd,
                        struct gtm_store **ret_store, struct gtm_error *ret_damage,
                        struct gtm_error *err) GTM_MUST_CHECK;

#endif
