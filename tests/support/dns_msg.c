/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_msg.h"

#include "dns/name.h"
#include "dns/rr.h"

#include <string.h>

void msg_octets(struct msg *m, const void *data, size_t len)
{
    assert_true(m->n + len <= sizeof(m->p));
    if (len > 0)
        memcpy(m->p + m->n, data, len);
    m->n += len;
}

static void put16(struct msg *m, unsigned v)
{
    uint8_t b[2];
    dns_put16(b, (uint16_t)v);
    msg_octets(m, b, 2);
}

static void put_name(struct msg *m, const char *name)
{
    struct gtm_error err = {0};
    uint8_t wire[DNS_NAME_MAX];
    size_t n;
    assert_int_equal(dns_name_parse(name, strlen(name), NULL, wire, &n, &err), 0);
    msg_octets(m, wire, n);
}

void msg_begin(struct msg *m, unsigned opcode, const char *name, unsigned type)
{
    memset(m->p, 0, 12);
    m->n = 12;
    m->opt = 0;
    memcpy(m->p, "\x12\x34", 2);
    m->p[2] = (uint8_t)(opcode << 3);
    if (name == NULL)
        return;
    m->p[5] = 1;
    put_name(m, name);
    put16(m, type);
    put16(m, DNS_CLASS_IN);
}

void msg_class(struct msg *m, unsigned qclass)
{
    dns_put16(m->p + m->n - 2, (uint16_t)qclass);
}

void msg_record(struct msg *m, unsigned section, const char *name, unsigned type, unsigned rr_class,
                const void *rdata, size_t len)
{
    uint8_t *count = m->p + 4 + 2 * section;
    dns_put16(count, (uint16_t)(dns_get16(count) + 1));
    put_name(m, name ? name : ".");
    put16(m, type);
    put16(m, rr_class);
    put16(m, 0);
    put16(m, 0);
    put16(m, (unsigned)len);
    msg_octets(m, rdata, len);
}

void msg_opt(struct msg *m, unsigned payload)
{
    msg_record(m, 3, NULL, DNS_TYPE_OPT, payload, NULL, 0);
    m->opt = m->n - 2;
}

void msg_option(struct msg *m, unsigned code, const void *data, size_t len)
{
    assert_true(m->opt != 0);
    dns_put16(m->p + m->opt, (uint16_t)(dns_get16(m->p + m->opt) + 4 + len));
    put16(m, code);
    put16(m, (unsigned)len);
    msg_octets(m, data, len);
}

/* The answer's OPT: its offset behind the owner, 0 = none. */
static size_t find_opt(const uint8_t *a, size_t len)
{
    size_t at = 12;
    unsigned questions = dns_get16(a + 4);
    unsigned records = dns_get16(a + 6) + dns_get16(a + 8) + dns_get16(a + 10);
    for (unsigned i = 0; i < questions + records; i++) {
        while (at < len && a[at] != 0 && (a[at] & 0xc0) == 0)
            at += a[at] + 1u;
        at += at < len && a[at] == 0 ? 1 : 2;
        assert_true(at + 4 <= len);
        if (i < questions) {
            at += 4;
            continue;
        }
        assert_true(at + 10 <= len);
        if (dns_get16(a + at) == DNS_TYPE_OPT)
            return at;
        at += 10u + dns_get16(a + at + 8);
    }
    return 0;
}

unsigned msg_rcode(const uint8_t *answer, size_t len)
{
    assert_true(len >= 12);
    size_t opt = find_opt(answer, len);
    return (answer[3] & 15u) | (opt ? answer[opt + 4] * 16u : 0);
}

const uint8_t *msg_find_option(const uint8_t *answer, size_t len, unsigned code, size_t *ret_len)
{
    size_t opt = find_opt(answer, len);
    if (opt == 0)
        return NULL;
    size_t end = opt + 10 + dns_get16(answer + opt + 8);
    assert_true(end <= len);
    for (size_t at = opt + 10; at < end;) {
        size_t n = dns_get16(answer + at + 2);
        assert_true(at + 4 + n <= end);
        if (dns_get16(answer + at) == code) {
            *ret_len = n;
            return answer + at + 4;
        }
        at += 4 + n;
    }
    return NULL;
}
