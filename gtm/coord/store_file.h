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

#endif
