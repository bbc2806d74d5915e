/* SPDX-License-Identifier: Apache-2.0
 *
 * One transfer of a secondary zone on a thread of its own. Internal to gtm/daemon/secondary*.c.
 */
#ifndef GTM_DAEMON_SECONDARY_INT_H
#define GTM_DAEMON_SECONDARY_INT_H

#include "dns/xfer_in.h"
#include "gtm/base/loop.h"
#include "gtm/model/intent.h"

#include <pthread.h>
#include <sys/socket.h>

struct gtm_secondary;

struct gtm__transfer_from {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    bool has_key;
    struct dns_tsig_key key;
    char text[64];
};

struct gtm__transfer {
    /* the control thread's */
    struct gtm_secondary *secondary;
    struct gtm_loop *loop;
    void (*done)(void *transfer); /* on the loop */
    pthread_t thread;
    bool joined;
    /* given to the thread */
    char *name, *path;
    uint8_t zone[DNS_NAME_MAX];
    struct dns_zone *have;
    struct gtm__transfer_from *primaries;
    size_t count;
    int cancel_fd;
    /* what comes of it */
    int rc;
    struct dns_xfer_in_result result; /* without the text */
    struct gtm_error error;
};

/* Adds a primary; there is room for all of the zone's. */
void gtm__transfer_primary(struct gtm__transfer *transfer, const struct gtm_zone_peer *peer,
                           const struct dns_tsig_key *key);
/* False: no thread. */
bool gtm__transfer_start(struct gtm__transfer *transfer);
void gtm__transfer_join(struct gtm__transfer *transfer); /* once is enough, twice is fine */
void gtm__transfer_free(struct gtm__transfer *transfer); /* joined before; NULL is fine */

#endif
