/* SPDX-License-Identifier: Apache-2.0
 *
 * NOTIFY out. Happy path: a message for each target → sent → its answer comes → done. Failure: no
 * answer → sent again after twice the time, at most five times → done, silent. An answer that is
 * not ours (address, id, opcode, question, signature) is as none.
 */
#include "dns/notify.h"

#include "dns/rr.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS       1024u
#define FIRST_WAIT_MS 1000u
#define READS         64 /* datagrams in a row before others have their turn */
#define MESSAGE_BYTES (12 + DNS_NAME_MAX + 4 + 12 + DNS_SOA_RDATA_MAX + DNS_TSIG_RECORD_MAX)

enum { FLAG_QR = 0x80, FLAG_AA = 0x04, OPCODE_NOTIFY = 4 << 3 };

struct message {
    struct message *next;      /* in its bucket of ids */
    struct message *zone_next; /* and in that of zones */
    struct dns_notify *owner;
    struct gtm_timer *timer;
    struct dns_notify_target target;
    struct dns_tsig_key key;
    struct dns_tsig tsig;
    uint8_t zone[DNS_NAME_MAX];
    size_t zone_len;
    uint32_t serial;
    uint16_t id;
    unsigned tries;
    bool bad_signature; /* an answer had one */
    size_t len;         /* without signature */
    uint8_t data[MESSAGE_BYTES];
};

struct dns_notify {
    struct dns_notify_opts opts;
    int fd[2]; /* IPv4, IPv6; -1 = not needed yet */
    struct event *readable[2];
    struct message *buckets[BUCKETS]; /* by id */
    struct message *zones[BUCKETS];   /* by zone */
    size_t pending;
};

const char *dns_notify_outcome_text(enum dns_notify_outcome outcome)
{
    static const char *const words[] = {"taken", "refused", "bad signature", "silent"};
    return (unsigned)outcome < sizeof(words) / sizeof(words[0]) ? words[outcome] : "?";
}

/* ---- messages ---- */

static void message_free(struct message *m)
{
    gtm_timer_free(m->timer);
    dns_tsig_fini(&m->tsig);
    explicit_bzero(&m->key, sizeof(m->key));
    gtm_free(m);
}

static unsigned zone_bucket(const uint8_t *zone, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ zone[i]) * 16777619u;
    return h % BUCKETS;
}

static void link_message(struct message *m)
{
    struct message **by_id = &m->owner->buckets[m->id % BUCKETS];
    struct message **by_zone = &m->owner->zones[zone_bucket(m->zone, m->zone_len)];

    m->next = *by_id;
    *by_id = m;
    m->zone_next = *by_zone;
    *by_zone = m;
    m->owner->pending++;
}

static void unlink_message(struct message *m)
{
    struct message **at = &m->owner->buckets[m->id % BUCKETS];

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    at = &m->owner->zones[zone_bucket(m->zone, m->zone_len)];
    while (*at != m)
        at = &(*at)->zone_next;
    *at = m->zone_next;
    m->owner->pending--;
}

static void end(struct message *m, enum dns_notify_outcome outcome, unsigned rcode)
{
    struct dns_notify *n = m->owner;
    struct dns_notify_result result = {.zone = m->zone,
                                       .serial = m->serial,
                                       .target = m->target,
                                       .outcome = outcome,
                                       .rcode = rcode,
                                       .tries = m->tries};

    unlink_message(m);
    if (n->opts.done != NULL)
        n->opts.done(n->opts.ctx, &result);
    message_free(m);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    struct sockaddr_in6 x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x.sin6_port == y.sin6_port &&
           memcmp(&x.sin6_addr, &y.sin6_addr, sizeof(x.sin6_addr)) == 0;
}

/* The message about that zone that is under way to the target, or NULL. */
static struct message *find_same(const struct dns_notify *n, const uint8_t *zone,
                                 const struct dns_notify_target *target)
{
    struct message *m = n->zones[zone_bucket(zone, dns_name_len(zone))];

    while (m != NULL &&
           !(dns_name_equal(m->zone, zone) && same_address(&m->target.addr, &target->addr)))
        m = m->zone_next;
    return m;
}

/* ---- answers ---- */

/* Is it an answer to this message, its signature aside? */
static bool answers(const struct message *m, const uint8_t *data, size_t len,
                    const struct sockaddr_storage *from)
{
    if (len < 12 + m->zone_len + 4 || dns_get16(data) != m->id || (data[2] & FLAG_QR) == 0 ||
        (data[2] & 0x78) != OPCODE_NOTIFY || dns_get16(data + 4) != 1 ||
        !same_address(from, &m->target.addr))
        return false;
    const uint8_t *type = data + 12 + m->zone_len;
    return dns_name_check(data + 12, m->zone_len) == m->zone_len &&
           dns_name_equal(data + 12, m->zone) && dns_get16(type) == DNS_TYPE_SOA &&
           dns_get16(type + 2) == DNS_CLASS_IN;
}

static void take_answer(struct dns_notify *n, const uint8_t *data, size_t len,
                        const struct sockaddr_storage *from)
{
    struct message *m = len >= 12 ? n->buckets[dns_get16(data) % BUCKETS] : NULL;

    while (m != NULL && !answers(m, data, len, from))
        m = m->next;
    if (m == NULL)
        return;
    if (m->target.key != NULL) {
        struct dns_tsig tsig = m->tsig; /* a forged answer must not spoil the state */
        size_t without;
        enum dns_tsig_verdict v = dns_tsig_check_answer(
            &tsig, data, len, true, (uint64_t)gtm_wall_ms(n->opts.clock) / 1000, &without);
        if (v != DNS_TSIG_GOOD) {
            m->bad_signature = true;
            return;
        }
    }
    unsigned rcode = data[3] & 15u;
    end(m, rcode == DNS_RCODE_NOERROR ? DNS_NOTIFY_TAKEN : DNS_NOTIFY_REFUSED, rcode);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    for (int i = 0; i < READS; i++) {
        uint8_t data[2048];
        struct sockaddr_storage from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t got =
            recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got > 0) /* an error concerns one peer, whose silence will show */
            take_answer(arg, data, (size_t)got, &from);
    }
}

/* ---- sending ---- */

static int open_socket(struct dns_notify *n, bool v6)
{
    struct sockaddr_storage from = v6 ? n->opts.source6 : n->opts.source4;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (from.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&from)->sin_port = 0;
    else if (from.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&from)->sin6_port = 0;
    socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct event *readable =
        from.ss_family == AF_UNSPEC || bind(fd, (struct sockaddr *)&from, len) == 0
            ? event_new(gtm_loop_base(n->opts.loop), fd, EV_READ | EV_PERSIST, on_readable, n)
            : NULL;
    if (readable == NULL || event_add(readable, NULL) != 0) {
        if (readable != NULL)
            event_free(readable);
        close(fd);
        return -1;
    }
    n->fd[v6] = fd;
    n->readable[v6] = readable;
    return fd;
}

/* Sends it once more and waits; what cannot be sent now may be sent later. */
static void try_again(void *arg)
{
    struct message *m = arg;
    struct dns_notify *n = m->owner;
    bool v6 = m->target.addr.ss_family == AF_INET6;
    uint8_t data[MESSAGE_BYTES];
    size_t len = m->len;

    if (m->tries == DNS_NOTIFY_TRIES) {
        end(m, m->bad_signature ? DNS_NOTIFY_BADSIG : DNS_NOTIFY_SILENT, 0);
        return;
    }
    memcpy(data, m->data, len);
    if (m->target.key != NULL) {
        dns_tsig_fini(&m->tsig);
        memset(&m->tsig, 0, sizeof(m->tsig));
        len = dns_tsig_sign_request(&m->tsig, m->target.key, data, len, sizeof(data),
                                    (uint64_t)gtm_wall_ms(n->opts.clock) / 1000);
    }
    int fd = n->fd[v6] >= 0 ? n->fd[v6] : open_socket(n, v6);
    if (fd >= 0 && len > 0)
        (void)sendto(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&m->target.addr, m->target.addr_len);
    gtm_timer_start(m->timer, (uint64_t)n->opts.first_wait_ms << m->tries);
    m->tries++;
}

/* Header, question, and the SOA as a hint (RFC 1996 3.7). */
static void compose(struct message *m, const struct dns_zone *zone)
{
    uint8_t *p = m->data;
    uint32_t ttl_s;

    memset(p, 0, 12);
    dns_put16(p, m->id);
    p[2] = OPCODE_NOTIFY | FLAG_AA;
    p[5] = 1;
    p[7] = 1;
    memcpy(p + 12, m->zone, m->zone_len);
    p += 12 + m->zone_len;
    dns_put16(p, DNS_TYPE_SOA);
    dns_put16(p + 2, DNS_CLASS_IN);
    p += 4;
    size_t rdlen = dns_zone_soa(zone, p + 12, &ttl_s);
    dns_put16(p, 0xc00c);
    dns_put16(p + 2, DNS_TYPE_SOA);
    dns_put16(p + 4, DNS_CLASS_IN);
    dns_put32(p + 6, ttl_s);
    dns_put16(p + 10, (uint16_t)rdlen);
    m->len = (size_t)(p - m->data) + 12 + rdlen;
}

static int send_one(struct dns_notify *n, const struct dns_zone *zone,
                    const struct dns_notify_target *target)
{
    struct dns_zone_info info;
    struct message *old, *m;

    dns_zone_info(zone, &info);
    if ((old = find_same(n, info.apex, target)) != NULL) {
        unlink_message(old);
        message_free(old);
    }
    if (n->pending >= DNS_NOTIFY_MAX)
        return GTM_ELIMIT;
    m = gtm_calloc(1, sizeof(*m));
    if (m == NULL)
        return GTM_ENOMEM;
    m->owner = n;
    m->target = *target;
    if (target->key != NULL) {
        m->key = *target->key;
        m->target.key = &m->key;
    }
    m->zone_len = dns_name_lower(info.apex, m->zone);
    m->serial = info.serial;
    m->timer = gtm_timer_new(n->opts.loop, try_again, m);
    if (m->timer == NULL || gtm_rand_secure(&m->id, sizeof(m->id)) != GTM_OK) {
        message_free(m);
        return GTM_ENOMEM;
    }
    compose(m, zone);
    link_message(m);
    try_again(m);
    return 0;
}

int dns_notify_send(struct dns_notify *notify, const struct dns_zone *zone,
                    const struct dns_notify_target *targets, size_t targets_count)
{
    int rc = 0;

    for (size_t i = 0; i < targets_count; i++) {
        int one = send_one(notify, zone, &targets[i]);
        rc = rc == 0 ? one : rc;
    }
    return rc;
}

/* ---- life ---- */

struct dns_notify *dns_notify_new(const struct dns_notify_opts *opts, struct gtm_error *err)
{
    struct dns_notify *n = gtm_calloc(1, sizeof(*n));

    if (n == NULL) {
        gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
        return NULL;
    }
    n->opts = *opts;
    if (n->opts.first_wait_ms == 0)
        n->opts.first_wait_ms = FIRST_WAIT_MS;
    n->fd[0] = n->fd[1] = -1;
    return n;
}

size_t dns_notify_pending(const struct dns_notify *notify)
{
    return notify->pending;
}

void dns_notify_free(struct dns_notify *notify)
{
    if (notify == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct message *m = notify->buckets[i], *next; m != NULL; m = next) {
            next = m->next;
            message_free(m);
        }
    for (int v6 = 0; v6 < 2; v6++) {
        if (notify->readable[v6] != NULL)
            event_free(notify->readable[v6]);
        if (notify->fd[v6] >= 0)
            close(notify->fd[v6]);
    }
    gtm_free(notify);
}
