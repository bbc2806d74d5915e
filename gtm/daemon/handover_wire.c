/* SPDX-License-Identifier: Apache-2.0
 *
 * See handover_wire.h.
 */
#include "gtm/daemon/handover_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char magic[4] = {'G', 'T', 'M', 'H'};

/* Both ends run on one machine: the machine's own order of octets. */
struct head {
    char magic[4];
    uint16_t version, type;
    uint32_t value;
    uint32_t text_len;
};

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(GTM_HANDOVER_FDS * sizeof(int))];
};

int gtm__handover_send(int fd, const struct gtm__handover_msg *msg)
{
    struct head head = {.version = GTM_HANDOVER_VERSION,
                        .type = msg->type,
                        .value = msg->value,
                        .text_len = (uint32_t)strnlen(msg->text, GTM_HANDOVER_TEXT_MAX)};
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)msg->text, head.text_len}};
    union control control = {.room = {0}};
    struct msghdr out = {.msg_iov = iov, .msg_iovlen = 2};
    size_t bytes = msg->fds_count * sizeof(int);
    memcpy(head.magic, magic, sizeof(magic));
    if (msg->fds_count > GTM_HANDOVER_FDS)
        return GTM_ELIMIT;
    if (bytes) {
        out.msg_control = control.room;
        out.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&out);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), msg->fds, bytes);
    }
    ssize_t n;
    do
        n = sendmsg(fd, &out, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)(sizeof(head) + head.text_len) ? GTM_OK : GTM_EIO;
}

static void take_fds(struct msghdr *in, struct gtm__handover_msg *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (ret->fds_count < GTM_HANDOVER_FDS)
                ret->fds[ret->fds_count++] = fd;
            else
                close(fd);
        }
    }
}

int gtm__handover_recv(int fd, struct gtm__handover_msg *ret)
{
    struct head head;
    struct iovec iov[2] = {{&head, sizeof(head)}, {ret->text, GTM_HANDOVER_TEXT_MAX}};
    union control control;
    struct msghdr in = {.msg_iov = iov,
                        .msg_iovlen = 2,
                        .msg_control = control.room,
                        .msg_controllen = sizeof(control.room)};
    memset(ret, 0, sizeof(*ret));
    ssize_t n;
    do
        n = recvmsg(fd, &in, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno != EAGAIN && errno != EWOULDBLOCK ? GTM_EIO : 0;
    if (n == 0)
        return GTM_EIO;
    take_fds(&in, ret);
    if ((size_t)n < sizeof(head) || (in.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        memcmp(head.magic, magic, sizeof(magic)) != 0 ||
        head.text_len != (size_t)n - sizeof(head) || head.type == 0 ||
        (head.version == GTM_HANDOVER_VERSION && head.type >= GTM__HANDOVER_TYPES)) {
        gtm__handover_close_fds(ret);
        return GTM_EPARSE;
    }
    ret->version = head.version;
    ret->type = head.type;
    ret->value = head.value;
    return 1;
}

void gtm__handover_close_fds(struct gtm__handover_msg *msg)
{
    while (msg->fds_count)
        close(msg->fds[--msg->fds_count]);
}

int gtm__handover_address(const char *data_dir, struct sockaddr_un *ret, struct gtm_error *err)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t n = strlen(data_dir), name = sizeof("/" GTM_HANDOVER_FILE);
    if (n + name > sizeof(ret->sun_path))
        return gtm_error_set(
            err, GTM_ELIMIT,
            "data_dir %s: the path is too long for a hand-over's socket (%zu octets at most)",
            data_dir, sizeof(ret->sun_path) - name);
    memcpy(ret->sun_path, data_dir, n);
    memcpy(ret->sun_path + n, "/" GTM_HANDOVER_FILE, name);
    return GTM_OK;
}

bool gtm__handover_same_user(int fd, pid_t *ret_pid)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return false;
    *ret_pid = peer.pid;
    return peer.uid == geteuid();
}
