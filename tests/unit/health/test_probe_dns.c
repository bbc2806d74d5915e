/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of health/probe_dns and health/dns_message: a name server on loopback that answers well,
 * badly, late or for others.
 */
#include "health/dns_message.h"
#include "tests/support/health_world.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum mood {
    OK,         /* two A records */
    SERVFAIL,   /* */
    REFUSES,    /* without the question */
    SILENT,     /* */
    OTHER_ID,   /* the right answer to another query */
    OTHER_NAME, /* … to another question */
    NO_ANSWER,  /* the query comes back */
    SPOOFED,    /* several wrong ones, then the right one */
    EMPTY,      /* NOERROR without records */
    CUT_SHORT,  /* a record that ends in the middle */
    TRUNCATES,  /* UDP: TC, nothing in it; TCP: OK */
    CLOSES,     /* TCP: after the length */
    TEXTS       /* a CNAME and TXT records */
};

struct name_server {
    atomic_int mood;
    atomic_bool stop;
    atomic_uint udp, tcp;
    int udp_fd, tcp_fd;
    uint16_t port;
    pthread_t thread;
};

static void add(uint8_t *out, size_t *len, const void *data, size_t n)
{
    memcpy(out + *len, data, n);
    *len += n;
}

#define ADD(text) add(out, &len, text, sizeof(text) - 1)

/* Makes the answer to a query in place. */
static size_t answer(enum mood mood, uint8_t *out, size_t len, bool tcp)
{
    out[2] |= 0x80;
    switch (mood) {
    case SERVFAIL:
        out[3] |= 2;
        break;
    case REFUSES:
        out[3] |= 5;
        out[5] = 0;
        return 12;
    case OTHER_ID:
        out[0] ^= 1;
        break;
    case OTHER_NAME:
        out[14] ^= 1;
        break;
    case NO_ANSWER:
        out[2] &= 0x7f;
        break;
    case TRUNCATES:
        if (!tcp) {
            out[2] |= 2;
            break;
        }
        /* fall through */
    case OK:
    case SPOOFED:
        out[7] = 2;
        ADD("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1");
        ADD("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\2");
        break;
    case CUT_SHORT:
        out[7] = 1;
        ADD("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0");
        break;
    case TEXTS:
        out[7] = 2;
        ADD("\xc0\x0c\0\5\0\1\0\0\0\x3c\0\x0d\3Web\7example\0");
        ADD("\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\6\5Hello");
        break;
    default:
        break;
    }
    return len;
}

static void answer_udp(struct name_server *s)
{
    uint8_t packet[512];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(s->udp_fd, packet, 300, 0, (struct sockaddr *)&from, &from_len);
    enum mood mood = (enum mood)atomic_load(&s->mood);
    atomic_fetch_add(&s->udp, 1);
    if (n < 17 || mood == SILENT)
        return;
    if (mood == SPOOFED) {
        static const enum mood wrong[] = {OTHER_ID, OTHER_NAME, NO_ANSWER};
        for (size_t i = 0; i < 3; i++) {
            uint8_t other[512];
            memcpy(other, packet, (size_t)n);
            sendto(s->udp_fd, other, answer(wrong[i], other, (size_t)n, false), 0,
                   (struct sockaddr *)&from, from_len);
        }
        sendto(s->udp_fd, "", 0, 0, (struct sockaddr *)&from, from_len);
    }
    sendto(s->udp_fd, packet, answer(mood, packet, (size_t)n, false), 0, (struct sockaddr *)&from,
           from_len);
}

static void answer_tcp(struct name_server *s)
{
    uint8_t packet[512];
    int fd = accept(s->tcp_fd, NULL, NULL);
    if (fd < 0)
        return;
    atomic_fetch_add(&s->tcp, 1);
    struct timeval tv = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    ssize_t n = recv(fd, packet, 300, 0);
    enum mood mood = (enum mood)atomic_load(&s->mood);
    if (n > 18) {
        size_t len = answer(mood, packet + 2, (size_t)n - 2, true);
        packet[0] = (uint8_t)(len >> 8);
        packet[1] = (uint8_t)len;
        send(fd, packet, 1, MSG_NOSIGNAL); /* in pieces */
        poll(NULL, 0, 1);
        send(fd, packet + 1, mood == CLOSES ? 1 : len + 1, MSG_NOSIGNAL);
    }
    close(fd);
}

static void *server_main(void *ctx)
{
    struct name_server *s = ctx;
    struct pollfd fds[2] = {{.fd = s->udp_fd, .events = POLLIN},
                            {.fd = s->tcp_fd, .events = POLLIN}};
    while (!s->stop) {
        if (poll(fds, 2, 5) <= 0)
            continue;
        if (fds[0].revents)
            answer_udp(s);
        if (fds[1].revents)
            answer_tcp(s);
    }
    return NULL;
}

static void server_open_at(struct name_server *s, enum mood mood)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *s = (struct name_server){.mood = mood};
    for (int i = 0; i < 50; i++) { /* a port that is free for both */
        in.sin_port = 0;
        s->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        s->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(s->tcp_fd, (struct sockaddr *)&in, sizeof(in)), 0);
        assert_int_equal(getsockname(s->tcp_fd, (struct sockaddr *)&in, &len), 0);
        if (bind(s->udp_fd, (struct sockaddr *)&in, sizeof(in)) == 0)
            break;
        close(s->udp_fd);
        close(s->tcp_fd);
        assert_int_not_equal(i, 49);
    }
    assert_int_equal(listen(s->tcp_fd, 64), 0);
    s->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_close(struct name_server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->udp_fd);
    close(s->tcp_fd);
}

struct row {
    const char *key;
    enum mood mood;
    bool tcp;
    const char *expect_answer;
    unsigned rcode;
    enum health_result result;
    const char *evidence;
};

static const struct row rows[] = {
    {"ok", OK, false, NULL, 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"ok-tcp", OK, true, NULL, 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"has", OK, false, "192.0.2.2", 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"lacks", OK, false, "192.0.2.3", 0, HEALTH_RESULT_ANSWER,
     "the answer lacks 192.0.2.3: 192.0.2.1, 192.0.2.2"},
    {"empty", EMPTY, false, "192.0.2.3", 0, HEALTH_RESULT_ANSWER,
     "the answer is empty, wanted 192.0.2.3"},
    {"cname", TEXTS, false, "web.example.", 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"txt", TEXTS, false, "\"Hello\"", 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"txt-case", TEXTS, false, "\"hello\"", 0, HEALTH_RESULT_ANSWER,
     "the answer lacks \"hello\": Web.example., \"Hello\""},
    {"servfail", SERVFAIL, false, NULL, 0, HEALTH_RESULT_ANSWER, "rcode SERVFAIL, wanted NOERROR"},
    {"wants-refused", REFUSES, false, NULL, 5, HEALTH_RESULT_OK, "REFUSED, 0 records"},
    {"refuses", REFUSES, true, NULL, 0, HEALTH_RESULT_ANSWER, "rcode REFUSED, wanted NOERROR"},
    {"wants-nxdomain", OK, false, NULL, 3, HEALTH_RESULT_ANSWER, "rcode NOERROR, wanted NXDOMAIN"},
    {"silent", SILENT, false, NULL, 0, HEALTH_RESULT_TIMEOUT, "no answer in 300 ms"},
    {"other-id", OTHER_ID, false, NULL, 0, HEALTH_RESULT_TIMEOUT, "no answer in 300 ms"},
    {"other-name", OTHER_NAME, false, NULL, 0, HEALTH_RESULT_TIMEOUT, "no answer in 300 ms"},
    {"no-answer", NO_ANSWER, false, NULL, 0, HEALTH_RESULT_TIMEOUT, "no answer in 300 ms"},
    {"spoofed", SPOOFED, false, "192.0.2.1", 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"other-id-tcp", OTHER_ID, true, NULL, 0, HEALTH_RESULT_GARBAGE, "not the answer to the query"},
    {"cut", CUT_SHORT, false, NULL, 0, HEALTH_RESULT_GARBAGE, "malformed DNS message"},
    {"truncates", TRUNCATES, false, "192.0.2.2", 0, HEALTH_RESULT_OK, "NOERROR, 2 records"},
    {"truncates-fine", TRUNCATES, false, NULL, 0, HEALTH_RESULT_OK, "NOERROR, 0 records"},
    {"closes", CLOSES, true, NULL, 0, HEALTH_RESULT_RESET,
     "connection closed before the answer's end"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct gtm_monitor *add_check(struct world *w, const char *key, uint16_t port)
{
    world_add(w, key, port);
    struct gtm_monitor *m = world_monitor(w, key);
    m->kind = GTM_MONITOR_DNS;
    m->query_name = (char *)"www.example.";
    return m;
}

static void answers_of_every_kind(void **state)
{
    static struct world w;
    static struct name_server servers[ROWS];
    world_init(&w);
    for (size_t i = 0; i < ROWS; i++) {
        server_open_at(&servers[i], rows[i].mood);
        struct gtm_monitor *m = add_check(&w, rows[i].key, servers[i].port);
        m->query_tcp = rows[i].tcp;
        m->expect_answer = (char *)rows[i].expect_answer;
        m->expect_rcode = rows[i].rcode;
        if (rows[i].result != HEALTH_RESULT_TIMEOUT)
            m->timeout_ms = 5000;
    }
    world_apply(&w);
    for (size_t i = 0; i < ROWS; i++) {
        bool up = rows[i].result == HEALTH_RESULT_OK;
        world_wait(&w, rows[i].key, up ? GTM_HEALTH_UP : GTM_HEALTH_DOWN);
        struct health_report r = world_wait_result(&w, rows[i].key, rows[i].result);
        if (strcmp(r.evidence, rows[i].evidence) != 0)
            fail_msg("%s: %s, wanted %s", rows[i].key, r.evidence, rows[i].evidence);
        if (strcmp(rows[i].key, "truncates") == 0)
            assert_true(servers[i].tcp > 0 && servers[i].udp > 0);
        if (strcmp(rows[i].key, "truncates-fine") == 0)
            assert_int_equal(servers[i].tcp, 0);
        if (rows[i].tcp)
            assert_int_equal(servers[i].udp, 0);
    }
    world_fini(&w);
    for (size_t i = 0; i < ROWS; i++)
        server_close(&servers[i]);
}

static void nobody_there(void **state)
{
    static struct world w;
    static struct name_server s;
    server_open_at(&s, OK);
    server_close(&s);
    world_init(&w);
    add_check(&w, "udp", s.port);
    add_check(&w, "tcp", s.port)->query_tcp = true;
    world_apply(&w);
    for (int i = 0; i < 2; i++) {
        struct health_report r = world_wait(&w, i ? "tcp" : "udp", GTM_HEALTH_DOWN);
        assert_int_equal(r.last, HEALTH_RESULT_REFUSED);
    }
    world_fini(&w);
}

static struct health_dns_ask *ask(const char *name, unsigned type, const char *expect)
{
    struct health_dns_ask *a = NULL;
    struct gtm_error err = {0};
    struct gtm_monitor m = {.kind = GTM_MONITOR_DNS,
                            .query_name = (char *)name,
                            .query_type = (uint16_t)type,
                            .expect_answer = (char *)expect};
    assert_int_equal(health_dns_ask_new(&m, &a, &err), GTM_OK);
    return a;
}

static void questions_are_what_was_asked(void **state)
{
    static const uint8_t root[] = "\0\0\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1";
    static const uint8_t www[] = "\0\0\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\x1c\0\1";
    struct health_dns_ask *a = ask(NULL, 0, NULL), *b = ask("www.example.", 28, "2001:DB8:0::1");
    assert_int_equal(a->len, sizeof(root) - 1);
    assert_memory_equal(a->query, root, a->len);
    assert_int_equal(b->len, sizeof(www) - 1);
    assert_memory_equal(b->query, www, b->len);
    assert_string_equal(b->text, "2001:db8::1");
    assert_true(health_dns_ask_equal(NULL, NULL));
    assert_false(health_dns_ask_equal(a, NULL));
    assert_false(health_dns_ask_equal(a, b));
    struct health_dns_ask *c = ask("www.example.", 28, "2001:DB8:0::1");
    struct health_dns_ask *d = ask("www.example.", 28, NULL), *e = ask("www.example.", 1, NULL);
    assert_true(health_dns_ask_equal(b, c));
    assert_false(health_dns_ask_equal(c, d));
    assert_false(health_dns_ask_equal(d, e));
    struct health_dns_ask *f = ask("a.example", 0, NULL);
    assert_int_equal(f->type, 1);
    health_dns_ask_free(f);
    health_dns_ask_free(a);
    health_dns_ask_free(b);
    health_dns_ask_free(c);
    health_dns_ask_free(d);
    health_dns_ask_free(e);
}

static void malformed_wishes_are_refused(void **state)
{
    static const struct gtm_monitor bad[] = {
        {.query_name = (char *)"a..b."},
        {.query_name = (char *)"this-label-is-longer-than-the-sixty-three-octets-that-a-label-may-"
                               "have.example."},
        {.query_name = (char *)"a.", .expect_answer = (char *)"192.0.2.1\nevil. IN A 192.0.2.2"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct health_dns_ask *a = NULL;
        struct gtm_error err = {0};
        assert_int_equal(health_dns_ask_new(&bad[i], &a, &err), GTM_EINVAL);
        assert_null(a);
        assert_true(err.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_every_kind),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(questions_are_what_was_asked),
        cmocka_unit_test(malformed_wishes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
