/* SPDX-License-Identifier: Apache-2.0
 *
 * The new process of a hand-over. See handover.h.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/handover_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define STEP_S 15 /* the old one answers from its event loop; saving its state may take a while */

struct gtm_takeover {
    int fd;
    int *fds;
    size_t count, cap;
    bool given; /* the descriptors are somebody else's */
};

void gtm_takeover_free(struct gtm_takeover *t)
{
    if (!t)
        return;
    for (size_t i = 0; !t->given && i < t->count; i++)
        close(t->fds[i]);
    if (t->fd >= 0)
        close(t->fd);
    gtm_free(t->fds);
    gtm_free(t);
}

/* Waits for a message of the type; the fds are the caller's. */
static int expect(struct gtm_takeover *t, uint16_t type, struct gtm__handover_msg *ret,
                  struct gtm_error *err)
{
    int rc = gtm__handover_recv(t->fd, ret);
    if (rc == 0)
        return gtm_error_set(err, GTM_ETIMEOUT, "the running gtmd does not answer");
    if (rc < 0)
        return gtm_error_set(err, rc, "the running gtmd %s",
                             rc == GTM_EPARSE ? "speaks something else" : "has ended it");
    if (ret->version == GTM_HANDOVER_VERSION && ret->type == type)
        return GTM_OK;
    gtm__handover_close_fds(ret);
    if (ret->version != GTM_HANDOVER_VERSION)
        return gtm_error_set(err, GTM_EUNSUPPORTED,
                             "the running gtmd hands over by version %u of the protocol, this one "
                             "by version %u: stop it and start this one",
                             ret->version, GTM_HANDOVER_VERSION);
    if (ret->type == GTM__REFUSED)
        return gtm_error_set(err, GTM_ESTATE, "the running gtmd refuses: %.400s", ret->text);
    return gtm_error_set(err, GTM_EPARSE, "the running gtmd sent a message of type %u", ret->type);
}

static int say(struct gtm_takeover *t, uint16_t type, struct gtm_error *err)
{
    int rc = gtm__handover_send(t->fd, &(struct gtm__handover_msg){.type = type});
    return rc == GTM_OK ? rc : gtm_error_set(err, rc, "the running gtmd has ended it");
}

static int receive_sockets(struct gtm_takeover *t, struct gtm_error *err)
{
    struct gtm__handover_msg msg;
    do {
        int rc = expect(t, GTM__SOCKETS, &msg, err);
        if (rc != GTM_OK)
            return rc;
        void *fds = t->fds;
        rc = t->count + msg.fds_count > GTM_HANDOVER_FDS_MAX
                 ? GTM_ELIMIT
                 : gtm_grow(&fds, &t->cap, t->count + msg.fds_count, sizeof(*t->fds));
        t->fds = fds;
        if (rc != GTM_OK) {
            gtm__handover_close_fds(&msg);
            return gtm_error_set(err, rc, "too many sockets");
        }
        memcpy(t->fds + t->count, msg.fds, msg.fds_count * sizeof(*t->fds));
        t->count += msg.fds_count;
    } while (msg.value > 0);
    return GTM_OK;
}

int gtm_takeover_begin(const char *data_dir, struct gtm_takeover **ret, struct gtm_error *err)
{
    struct sockaddr_un at;
    pid_t pid = 0;
    *ret = NULL;
    int rc = gtm__handover_address(data_dir, &at, err);
    if (rc != GTM_OK)
        return rc;
    struct gtm_takeover *t = gtm_calloc(1, sizeof(*t));
    if (!t)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    t->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct timeval step = {.tv_sec = STEP_S};
    if (t->fd < 0 || setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &step, sizeof(step)) ||
        setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &step, sizeof(step)))
        rc = gtm_error_set(err, GTM_EIO, "%s: %s", at.sun_path, strerror(errno));
    else if (connect(t->fd, (struct sockaddr *)&at, sizeof(at)))
        rc = errno == ENOENT || errno == ECONNREFUSED
                 ? GTM_ENOTFOUND
                 : gtm_error_set(err, gtm_err_from_errno(errno), "%s: %s", at.sun_path,
                                 strerror(errno));
    else if (!gtm__handover_same_user(t->fd, &pid))
        rc = gtm_error_set(err, GTM_EDENIED, "%s: another user's process", at.sun_path);
    if (rc == GTM_OK)
        rc = say(t, GTM__HELLO, err);
    if (rc == GTM_OK)
        rc = receive_sockets(t, err);
    if (rc == GTM_OK) {
        *ret = t;
        return GTM_OK;
    }
    gtm_takeover_free(t);
    return rc == GTM_ENOTFOUND ? GTM_OK : rc;
}

const int *gtm_takeover_sockets(struct gtm_takeover *t, size_t *ret_count)
{
    *ret_count = t->given ? 0 : t->count;
    t->given = true;
    return t->fds;
}

int gtm_takeover_freeze(struct gtm_takeover *t, int *ret_lock, struct gtm_error *err)
{
    struct gtm__handover_msg msg;
    int rc = say(t, GTM__FREEZE, err);
    if (rc == GTM_OK)
        rc = expect(t, GTM__LOCK, &msg, err);
    if (rc != GTM_OK)
        return rc;
    if (msg.fds_count != 1) {
        gtm__handover_close_fds(&msg);
        return gtm_error_set(err, GTM_EPARSE, "the running gtmd sent no lock");
    }
    *ret_lock = msg.fds[0];
    return GTM_OK;
}

int gtm_takeover_serving(struct gtm_takeover *t, struct gtm_error *err)
{
    struct gtm__handover_msg msg;
    int rc = say(t, GTM__SERVING, err);
    return rc == GTM_OK ? expect(t, GTM__YOURS, &msg, err) : rc;
}
