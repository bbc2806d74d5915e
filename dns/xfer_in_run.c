/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocking client of a transfer: see xfer_in.h. Non-blocking sockets and poll, so that the
 * deadline, the bound of silence and the caller's cancelling hold at every step.
 */
#include "dns/frame.h"
#include "dns/rr.h"
#include "dns/xfer_in.h"
#include "dns/xfer_in_int.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define UDP_TRIES   2
#define UDP_WAIT_MS 2000u
#define SOA_WAIT_MS 10000u /* by TCP: one record */
#define REQUEST_MAX 2048
#define CHUNK_BYTES 65536

struct run {
    const struct dns_xfer_in_job *job;
    struct gtm_error *err;
    uint64_t deadline_ms;
    int fd;
    bool asking; /* for the SOA only */
    struct dns_tsig tsig;
    struct dns_frame frame;
    uint8_t chunk[CHUNK_BYTES];
    const uint8_t *data; /* of the chunk, not looked at yet */
    size_t data_len;
};

static uint64_t now_ms(void)
{
    return gtm_mono_ms(gtm_clock_system());
}

static uint64_t now_s(void)
{
    return (uint64_t)gtm_wall_ms(gtm_clock_system()) / 1000;
}

static int fail(struct run *r, int code, const char *what)
{
    return gtm_error_set(r->err, code, "%s", what);
}

static int fail_errno(struct run *r, const char *what)
{
    int e = errno;
    int code = gtm_err_from_errno(e);
    if (e == ECONNREFUSED || e == EHOSTUNREACH || e == ENETUNREACH || e == ECONNRESET)
        code = GTM_EUNREACHABLE;
    return gtm_error_set(r->err, code, "%s: %s", what, strerror(e));
}

/* 0 = ready; GTM_ETIMEOUT after wait_ms or at the deadline; GTM_ESTATE: cancelled. */
static int wait_fd(struct run *r, short events, uint64_t wait_ms)
{
    uint64_t now = now_ms(), until = now + wait_ms;
    if (until > r->deadline_ms)
        until = r->deadline_ms;
    while (now < until) {
        struct pollfd fds[2] = {{.fd = r->fd, .events = events},
                                {.fd = r->job->cancel_fd, .events = POLLIN}};
        int n = poll(fds, r->job->cancel_fd >= 0 ? 2 : 1, (int)(until - now));
        if (n > 0 && fds[1].revents)
            return fail(r, GTM_ESTATE, "cancelled");
        if (n > 0)
            return GTM_OK;
        if (n < 0 && errno != EINTR)
            return fail_errno(r, "poll");
        now = now_ms();
    }
    return fail(r, GTM_ETIMEOUT,
                until == r->deadline_ms ? "the transfer takes too long" : "no answer in time");
}

static uint64_t silence_ms(const struct run *r)
{
    uint64_t ms = r->job->silence_ms ? r->job->silence_ms : DNS_XFER_IN_SILENCE_MS;
    return r->asking && ms > SOA_WAIT_MS ? SOA_WAIT_MS : ms;
}

static void hang_up(struct run *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    dns_frame_fini(&r->frame);
    r->frame = (struct dns_frame){0};
    r->data_len = 0;
}

static int open_socket(struct run *r, int type)
{
    const struct sockaddr *to = (const struct sockaddr *)&r->job->primary;
    hang_up(r);
    r->fd = socket(to->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd < 0)
        return fail_errno(r, "socket");
    if (connect(r->fd, to, r->job->primary_len) == 0)
        return GTM_OK;
    if (errno != EINPROGRESS)
        return fail_errno(r, "connect");
    int rc = wait_fd(r, POLLOUT, silence_ms(r)), e = 0;
    socklen_t len = sizeof(e);
    if (rc != GTM_OK)
        return rc;
    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && e == 0)
        return GTM_OK;
    errno = e;
    return fail_errno(r, "connect");
}

static int send_all(struct run *r, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(r->fd, data, len, MSG_NOSIGNAL);
        if (n >= 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(r, "send");
        int rc = wait_fd(r, POLLOUT, silence_ms(r));
        if (rc != GTM_OK)
            return rc;
    }
    return GTM_OK;
}

/* The next message of the stream, valid until the next call. */
static int next_message(struct run *r, const uint8_t **ret_msg, size_t *ret_len)
{
    for (;;) {
        int rc = dns_frame_next(&r->frame, &r->data, &r->data_len, ret_msg, ret_len);
        if (rc == 1)
            return GTM_OK;
        if (rc < 0)
            return fail(r, rc, "a message shorter than its header");
        ssize_t n = recv(r->fd, r->chunk, sizeof(r->chunk), 0);
        if (n == 0)
            return fail(r, GTM_EPARSE, "the server closed the connection before the end");
        if (n > 0) {
            r->data = r->chunk;
            r->data_len = (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(r, "recv");
        rc = wait_fd(r, POLLIN, silence_ms(r));
        if (rc != GTM_OK)
            return rc;
    }
}

static uint16_t random_id(void)
{
    uint16_t id = 0;
    if (gtm_rand_secure(&id, sizeof(id)) != GTM_OK)
        id = (uint16_t)now_ms();
    return id;
}

/* Signs the request (2 octets before it are free for its length). */
static size_t sign(struct run *r, uint8_t *msg, size_t len)
{
    if (!r->job->key)
        return len;
    return dns_tsig_sign_request(&r->tsig, r->job->key, msg, len, REQUEST_MAX - 2, now_s());
}

/* The message's signature; *ret_len without it. */
static int check_signature(struct run *r, const uint8_t *msg, size_t len, bool last,
                           size_t *ret_len)
{
    static const char *const words[] = {
        "it is not signed",           "",
        "its signature is malformed", "it is signed with another key",
        "its signature is wrong",     "its clock differs from ours",
        "its signature is cut short"};
    *ret_len = len;
    if (!r->job->key)
        return GTM_OK;
    enum dns_tsig_verdict v = dns_tsig_check_answer(&r->tsig, msg, len, last, now_s(), ret_len);
    if (v == DNS_TSIG_GOOD)
        return GTM_OK;
    if (v == DNS_TSIG_NONE && len >= 12 && (msg[3] & 15) == DNS_RCODE_NOTAUTH)
        return fail(r, GTM_EDENIED, "the server does not take our key (NOTAUTH)");
    return gtm_error_set(r->err, GTM_EDENIED, "the answer is not to be believed: %s",
                         v < sizeof(words) / sizeof(words[0]) ? words[v] : "?");
}

/* --- the SOA --- */

static size_t soa_query(const struct run *r, uint16_t id, uint8_t *out)
{
    size_t name = dns_name_len(r->job->zone);
    memset(out, 0, 12);
    dns_put16(out, id);
    dns_put16(out + 4, 1);
    memcpy(out + 12, r->job->zone, name);
    dns_put16(out + 12 + name, DNS_TYPE_SOA);
    dns_put16(out + 14 + name, DNS_CLASS_IN);
    return 16 + name;
}

/* 1: *ret_serial; 0: not an answer to this (or truncated: *ret_tc); negative: what it says. */
static int read_soa(struct run *r, uint16_t id, const uint8_t *msg, size_t len,
                    uint32_t *ret_serial, bool *ret_tc)
{
    uint8_t name[DNS_NAME_MAX];
    size_t name_len = 0, at = 12;
    if (len < 12 || dns_get16(msg) != id || (msg[2] & 0xf8) != 0x80 || dns_get16(msg + 4) != 1)
        return 0;
    size_t taken = dns__xwire_name(msg, len, 12, name, &name_len);
    if (taken == 0 || len - 12 - taken < 4 || !dns_name_equal(name, r->job->zone) ||
        dns_get16(msg + 12 + taken) != DNS_TYPE_SOA)
        return 0;
    if (msg[3] & 15)
        return gtm_error_set(r->err, GTM_EDENIED, "asked for the SOA, it answers RCODE %u",
                             msg[3] & 15u);
    *ret_tc = (msg[2] & 2) != 0;
    if (*ret_tc)
        return 0;
    if (!(msg[2] & 4))
        return fail(r, GTM_EPARSE, "it is not authoritative for the zone");
    at += taken + 4;
    struct dns__xwire *wire = gtm_malloc(sizeof(*wire));
    int rc = wire ? GTM_EPARSE : GTM_ENOMEM;
    for (unsigned i = dns_get16(msg + 6); wire && i > 0; i--) {
        if (!dns__xwire_read(msg, len, &at, wire))
            break;
        if (wire->type != DNS_TYPE_SOA || !dns_name_equal(wire->owner, r->job->zone))
            continue;
        *ret_serial = dns_get32(wire->rdata + wire->rdlen - 20);
        rc = 1;
        break;
    }
    gtm_free(wire);
    return rc == 1 ? 1 : fail(r, rc, "its answer has no SOA");
}

/* 1, or 0: ask by TCP. */
static int soa_udp(struct run *r, uint32_t *ret_serial)
{
    uint8_t query[REQUEST_MAX];
    for (int i = 0; i < UDP_TRIES; i++) {
        uint16_t id = random_id();
        bool tc = false;
        size_t len = sign(r, query, soa_query(r, id, query));
        int rc = open_socket(r, SOCK_DGRAM);
        if (rc != GTM_OK || len == 0)
            return rc == GTM_ESTATE ? rc : 0;
        uint64_t until = now_ms() + UDP_WAIT_MS;
        if (send(r->fd, query, len, MSG_NOSIGNAL) < 0)
            return 0;
        while (now_ms() < until) {
            rc = wait_fd(r, POLLIN, until - now_ms());
            if (rc == GTM_ESTATE)
                return rc;
            ssize_t n = rc == GTM_OK ? recv(r->fd, r->chunk, sizeof(r->chunk), 0) : -1;
            if (n < 0)
                break;
            struct dns_tsig before = r->tsig;
            size_t bare = (size_t)n;
            rc = n >= 12 && dns_get16(r->chunk) == id
                     ? check_signature(r, r->chunk, (size_t)n, true, &bare)
                     : GTM_EDENIED;
            if (rc == GTM_OK)
                rc = read_soa(r, id, r->chunk, bare, ret_serial, &tc);
            if (rc == 1)
                return 1;
            if (tc || rc < 0)
                return 0; /* what it says counts when it says it by TCP */
            r->tsig = before;
        }
    }
    return 0;
}

static int send_framed(struct run *r, uint8_t *framed, size_t len)
{
    len = sign(r, framed + 2, len);
    if (len == 0)
        return fail(r, GTM_ELIMIT, "the request does not fit");
    dns_put16(framed, (uint16_t)len);
    return send_all(r, framed, len + 2);
}

static int soa_tcp(struct run *r, uint32_t *ret_serial)
{
    uint8_t framed[REQUEST_MAX];
    const uint8_t *msg = NULL;
    size_t len = 0, bare = 0;
    bool tc = false;
    uint16_t id = random_id();
    int rc = open_socket(r, SOCK_STREAM);
    if (rc == GTM_OK)
        rc = send_framed(r, framed, soa_query(r, id, framed + 2));
    if (rc == GTM_OK)
        rc = next_message(r, &msg, &len);
    if (rc == GTM_OK)
        rc = check_signature(r, msg, len, true, &bare);
    if (rc != GTM_OK)
        return rc;
    rc = read_soa(r, id, msg, bare, ret_serial, &tc);
    return rc != 0 ? rc : fail(r, GTM_EPARSE, "asked for the SOA, it answers something else");
}

/* --- the zone --- */

/* An enum dns_xfer_in_state, or negative. */
static int transfer(struct run *r, struct dns_xfer_in *x)
{
    uint8_t framed[REQUEST_MAX];
    int rc = open_socket(r, SOCK_STREAM);
    if (rc == GTM_OK)
        rc = send_framed(
            r, framed,
            dns_xfer_in_request(x, random_id(), framed + 2, REQUEST_MAX - 2 - DNS_TSIG_RECORD_MAX));
    while (rc == GTM_OK) { /* DNS_XFER_IN_MORE */
        const uint8_t *msg = NULL;
        size_t len = 0, bare = 0;
        if (now_ms() >= r->deadline_ms)
            return fail(r, GTM_ETIMEOUT, "the transfer takes too long");
        rc = next_message(r, &msg, &len);
        if (rc == GTM_OK)
            rc = check_signature(r, msg, len, false, &bare);
        if (rc == GTM_OK)
            rc = dns_xfer_in_feed(x, msg, bare, r->err);
    }
    if (rc > 0 && r->job->key && r->tsig.unsigned_count > 0)
        return fail(r, GTM_EDENIED, "the last message is not signed");
    return rc;
}

static int transfer_as(struct run *r, bool ixfr, struct dns_xfer_in_result *ret)
{
    struct dns_xfer_in_opts opts = {.zone = r->job->zone,
                                    .ixfr = ixfr,
                                    .have = ixfr ? r->job->have : NULL,
                                    .max_bytes = r->job->max_bytes,
                                    .max_records = r->job->max_records};
    struct dns_xfer_in *x = dns_xfer_in_new(&opts);
    if (!x)
        return fail(r, GTM_ENOMEM, "out of memory");
    int rc = transfer(r, x);
    if (rc == DNS_XFER_IN_DONE) {
        int failed = dns_xfer_in_text(x, &ret->text, &ret->text_len, r->err);
        rc = failed ? failed : rc;
        ret->changed = !failed;
        ret->serial = dns_xfer_in_serial(x);
        ret->records = dns_xfer_in_records(x);
        ret->incremental = dns_xfer_in_differences(x);
    }
    dns_xfer_in_free(x);
    return rc;
}

static int run(struct run *r, struct dns_xfer_in_result *ret)
{
    uint32_t serial = 0;
    r->asking = true;
    int rc = soa_udp(r, &serial);
    if (rc == 0)
        rc = soa_tcp(r, &serial);
    r->asking = false;
    if (rc < 0)
        return rc;
    if (r->job->have) {
        struct dns_zone_info info;
        dns_zone_info(r->job->have, &info);
        ret->serial = info.serial;
        if (!dns_serial_after(serial, info.serial))
            return GTM_OK;
        rc = transfer_as(r, true, ret);
        /* differences that make no sense would make none the next time: the whole zone does */
        if (rc != DNS_XFER_IN_AXFR && rc != GTM_EPARSE && rc != GTM_ELIMIT)
            return rc < 0 ? rc : GTM_OK;
    }
    rc = transfer_as(r, false, ret);
    return rc < 0 ? rc : GTM_OK;
}

int dns_xfer_in_run(const struct dns_xfer_in_job *job, struct dns_xfer_in_result *ret,
                    struct gtm_error *err)
{
    struct gtm_error local = {0};
    struct run *r = gtm_calloc(1, sizeof(*r));
    *ret = (struct dns_xfer_in_result){0};
    if (!r)
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    r->job = job;
    r->err = err ? err : &local;
    r->fd = -1;
    r->deadline_ms = now_ms() + (job->total_ms ? job->total_ms : DNS_XFER_IN_TOTAL_MS);
    int rc = run(r, ret);
    hang_up(r);
    dns_tsig_fini(&r->tsig);
    gtm_free(r);
    return rc;
}
