/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of a hand-over (handover.h): one per packet of a SOCK_SEQPACKET socket. Internal to
 * gtm/daemon/handover*.c. Everything that comes in is checked and bounded; descriptors that come
 * with a wrong message are closed.
 */
#ifndef GTM_DAEMON_HANDOVER_WIRE_H
#define GTM_DAEMON_HANDOVER_WIRE_H

#include "gtm/daemon/handover.h"

#include <stdint.h>
#include <sys/un.h>

enum gtm__handover_type {
    GTM__HELLO = 1,
    GTM__SOCKETS, /* value: how many more come after these */
    GTM__FREEZE,
    GTM__LOCK,
    GTM__SERVING,
    GTM__YOURS,
    GTM__REFUSED, /* text */
    GTM__HANDOVER_TYPES
};

struct gtm__handover_msg {
    uint16_t version, type;
    uint32_t value;
    char text[GTM_HANDOVER_TEXT_MAX + 1];
    int fds[GTM_HANDOVER_FDS];
    size_t fds_count;
};

/* 0, or a negative GTM_E*; never blocks longer than the socket's own time-out. */
int gtm__handover_send(int fd, const struct gtm__handover_msg *msg) GTM_MUST_CHECK;
/* 1 = a message (its fds are the caller's), 0 = nothing is there now, negative: GTM_EIO (the other
 * end is gone), GTM_EPARSE (not of this protocol), GTM_ETIMEOUT (a blocking socket's time-out). */
int gtm__handover_recv(int fd, struct gtm__handover_msg *ret) GTM_MUST_CHECK;
void gtm__handover_close_fds(struct gtm__handover_msg *msg);
/* The socket's address; GTM_ELIMIT when data_dir is too long for one. */
int gtm__handover_address(const char *data_dir, struct sockaddr_un *ret,
                          struct gtm_error *err) GTM_MUST_CHECK;
/* Is the process at the other end one of our user's? */
bool gtm__handover_same_user(int fd, pid_t *ret_pid);

#endif
