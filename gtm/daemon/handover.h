/* SPDX-License-Identifier: Apache-2.0
 *
 * One gtmd takes over from another on the same data_dir without losing a query, for restarts and
 * upgrades (`gtmd --replace`). Over the socket DATA_DIR/handover.sock (mode 0600, the same user on
 * both ends), messages of a fixed head (magic, version, type, length):
 *
 *     new                                         old, which goes on answering all the while
 *     reads and compiles everything
 *     HELLO ─────────────────────────────────────►
 *       ◄──────────────────────── SOCKETS, several, with its DNS sockets (SCM_RIGHTS)
 *     FREEZE ────────────────────────────────────► saves its state and writes no more, closes its
 *       ◄─────────────────────────────────── LOCK  API; sends the lock of data_dir
 *     restores the state, opens its API, starts its workers on the same sockets
 *     SERVING ───────────────────────────────────► stops reading queries, answers those it has read
 *       ◄─────────────────────────────────── YOURS and lets TCP clients finish; exits 0
 *     writes from here on
 *
 * The sockets are the same open files, so what waits in their queues is answered by whoever reads
 * next. Failure modes: whatever happens to the new one before SERVING (it finds a wrong file, is
 * killed, hangs for 60 s), the old one notices the end of the connection, thaws and goes on; the
 * new one without YOURS writes nothing and exits. A process of another version of the protocol is
 * refused with its number.
 */
#ifndef GTM_DAEMON_HANDOVER_H
#define GTM_DAEMON_HANDOVER_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define GTM_HANDOVER_VERSION   1
#define GTM_HANDOVER_FILE      "handover.sock"
#define GTM_HANDOVER_TEXT_MAX  512  /* octets of what a message says */
#define GTM_HANDOVER_FDS       64   /* sockets in one message */
#define GTM_HANDOVER_FDS_MAX   4096 /* in all */
#define GTM_HANDOVER_FREEZE_MS 60000

struct gtmd;
struct gtm_handover;
struct gtm_takeover;

/* --- the old one; control thread --- */

/* Waits for whoever wants to take over. NULL with err; the node can serve without. */
struct gtm_handover *gtm_handover_new(struct gtmd *d, struct gtm_error *err);
void gtm_handover_free(struct gtm_handover *handover); /* NULL is fine; removes its socket file */
/* Starts the program that is installed now as this node's successor; *ret_pid is its process. The
 * answer says only that it was started. GTM_ESTATE while another is at it. */
int gtm_handover_upgrade(struct gtm_handover *handover, pid_t *ret_pid,
                         struct gtm_error *err) GTM_MUST_CHECK;

/* --- the new one; blocks, each step for a bounded time --- */

/* Asks the one that runs on data_dir for its sockets. *ret is NULL (and the return 0) when none
 * does. GTM_EDENIED (another user), GTM_EUNSUPPORTED (another version), GTM_ETIMEOUT, GTM_ESTATE
 * with what the old one says. */
int gtm_takeover_begin(const char *data_dir, struct gtm_takeover **ret,
                       struct gtm_error *err) GTM_MUST_CHECK;
/* The sockets; whoever calls owns the descriptors from then on. */
const int *gtm_takeover_sockets(struct gtm_takeover *takeover, size_t *ret_count);
/* The old one freezes; *ret_lock is the caller's. */
int gtm_takeover_freeze(struct gtm_takeover *takeover, int *ret_lock,
                        struct gtm_error *err) GTM_MUST_CHECK;
/* Says that queries are answered here; 0 = what is the node's is ours now. */
int gtm_takeover_serving(struct gtm_takeover *takeover, struct gtm_error *err) GTM_MUST_CHECK;
/* Closes; without gtm_takeover_serving the old one goes on. NULL is fine. */
void gtm_takeover_free(struct gtm_takeover *takeover);

#endif
