/* SPDX-License-Identifier: Apache-2.0
 *
 * Zones that are kept elsewhere (`primaries`): asks the primaries for the serial when the SOA's
 * refresh is due or a NOTIFY came, transfers what is newer, keeps the copy in DATA_DIR/zones and
 * loads it like a zone file (RFC 1034 4.3.5, 1995, 1996, 5936). Control thread; each transfer runs
 * on a thread of its own, at most eight at once.
 *
 * Failure modes: no primary answers: the next try is due after the SOA's retry; after its expire
 * the zone answers SERVFAIL until a primary confirms it. A copy that is there at the start is
 * served at once; its file's time says when it was confirmed last. A transfer that is cut off,
 * endless, unsigned or not a zone changes nothing.
 */
#ifndef GTM_DAEMON_SECONDARY_H
#define GTM_DAEMON_SECONDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_SECONDARY_TRANSFERS   8 /* at once */
#define GTM_SECONDARY_PER_PRIMARY 4 /* of them from one (a zone's first) primary */

struct gtmd;
struct gtm_secondary;

struct gtm_secondary_status {
    bool transferring, expired, loaded;
    uint32_t serial;                           /* when loaded */
    int64_t refreshed_ms, next_ms, expires_ms; /* Unix time; 0 = never, unknown */
    int64_t failed_ms;                         /* since when no primary answered; 0 = fine */
    uint64_t transfers, failures;              /* since the start */
    const char *error;                         /* NULL = none; borrowed */
};

struct gtm_secondary *gtm_secondary_new(struct gtmd *d); /* NULL: out of memory */
/* Transfers are ended and waited for. NULL is fine. */
void gtm_secondary_free(struct gtm_secondary *secondary);
/* The daemon serves: from now on primaries are asked. */
void gtm_secondary_start(struct gtm_secondary *secondary);
/* Another intent or another copy is in force. */
void gtm_secondary_follow(struct gtm_secondary *secondary);
/* true: ends transfers and begins none (another process is taking over). */
void gtm_secondary_pause(struct gtm_secondary *secondary, bool paused);
/* False: the intent's zone has no primaries. */
bool gtm_secondary_status(const struct gtm_secondary *secondary, size_t zone,
                          struct gtm_secondary_status *ret);
/* Asks the zone's primaries now. False: it has none. */
bool gtm_secondary_refresh(struct gtm_secondary *secondary, size_t zone);

#endif
