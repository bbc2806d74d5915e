/* SPDX-License-Identifier: Apache-2.0
 *
 * Transaction signatures against messages that dnspython 2.3 signed (key "Key.Example.", secret
 * octets 1 to 80, time 1700000000), and every way in which one can be wrong.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/rr.h"
#include "dns/tsig.h"

#include <stdio.h>
#include <string.h>

#define T 1700000000u

/* clang-format off */
static const struct vector { const char *query, *answer; } vectors[] = {
    {"12340000000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000002f09686d61632d736861310000006553f100012c0014dfec29405daae6d2a4f77aad62cebad3f8e4e9e8123400000000",
     "12348400000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000002f09686d61632d736861310000006553f101012c0014daba75d1069348391032fb9fb5ae99e33291564f123400000000"},
    {"12340000000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff0000000000390b686d61632d7368613232340000006553f100012c001c2ec2dfd8637d4fa0483f777720d03944f5bc9d4626e8c3986f74f1d0123400000000",
     "12348400000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff0000000000390b686d61632d7368613232340000006553f101012c001caaa91cb83cc02e1f15e2685f918ad243f5946233284b93128b881eca123400000000"},
    {"12340000000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c002044eb2db93c9bd1e8c6c8c8e71d1426522b1b73b5ac3a180a9d2774daa36efacf123400000000",
     "12348400000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f101012c00203cce75a7007cc9d01da3548beff250c787cb136283a02d4ef59c0be9600933d3123400000000"},
    {"12340000000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000004d0b686d61632d7368613338340000006553f100012c0030a574d7e18ad861175ecc3a400295a05ca11f74f5f75e045cc4be839e32a96e672617bf30efe3f6977dca2d15c55d67d6123400000000",
     "12348400000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000004d0b686d61632d7368613338340000006553f101012c0030d5910a3fe9053de051564230e11585a54dbfd3c53c852e898e0e6b4ad035f2a9e76367fc001a9c20ef4b82d5cb9764ad123400000000"},
    {"12340000000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000005d0b686d61632d7368613531320000006553f100012c004081e49e9e5fad97cc477a5df42fc3e14d12241c9acb3e3066f92264e1e90c150dd75f1e7d37f1cdcb040ee6ac5090877603adcf298ab27bc508a770e8520856b1123400000000",
     "12348400000100000000000103777777076578616d706c6503636f6d0000010001034b6579074578616d706c650000fa00ff00000000005d0b686d61632d7368613531320000006553f101012c0040d3aef9abd961ecee37a191724f3f6bd749ce51149783e5ab5bdfbcae476ef5bd17c5ca46cabaa59bcc8f13fbe465bc1a4263a13b5384f5b576ceb3c110a4cde2123400000000"},
};
static const char *const stream[] = {
    "123400000001000000000001076578616d706c6503636f6d0000fc0001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c0020a5f6433f170b828261d0b7cee0b9659c8fa10253bf0c8fff01b15bb3d04431cd123400000000",
    "123484000001000000000001076578616d706c6503636f6d0000fc0001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c0020b18474bafd61c06ab226eb176751fecec7a49e40f1cc4f10374f17b20b3b962e123400000000",
    "123484000001000000000000076578616d706c6503636f6d0000fc0001",
    "123484000001000000000000076578616d706c6503636f6d0000fc0001",
    "123484000001000000000001076578616d706c6503636f6d0000fc0001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f102012c00200753855fd574e98dc751519316592eee890123e0e4cca8f7fb3433439b5561b2123400000000",
    "123484000001000000000001076578616d706c6503636f6d0000fc0001034b6579074578616d706c650000fa00ff00000000003d0b686d61632d7368613235360000006553f103012c0020f7980516f5156ddca87aa1726f1f9e77fa9c258b53180db193a6222b102b0b2e123400000000",
};
/* clang-format on */

static struct dns_tsig_key keys[DNS_TSIG_ALGORITHMS];
static uint8_t buf[65535], other[65535];

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0] != '\0'; hex += 2) {
        unsigned v;
        assert_int_equal(sscanf(hex, "%2x", &v), 1);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static int set_up(void **state)
{
    for (int i = 0; i < DNS_TSIG_ALGORITHMS; i++) {
        size_t n;
        keys[i].algorithm = (enum dns_tsig_algorithm)i;
        assert_int_equal(dns_name_parse("key.example", 11, NULL, keys[i].name, &n, NULL), 0);
        keys[i].name_len = (uint8_t)n;
        keys[i].secret_len = 80;
        keys[i].mac_min = 0;
        for (int k = 0; k < 80; k++)
            keys[i].secret[k] = (uint8_t)(k + 1);
    }
    return 0;
}

static enum dns_tsig_verdict check(struct dns_tsig *t, int key, const uint8_t *msg, size_t len,
                                   uint64_t now)
{
    const struct dns_tsig_key *list[] = {&keys[key]};
    size_t without;
    return dns_tsig_check_request(t, list, 1, msg, len, now, &without);
}

/* What they sign is good here; what we sign is, octet for octet, what they sign. */
static void test_vectors(void **state)
{
    for (int i = 0; i < DNS_TSIG_ALGORITHMS; i++) {
        struct dns_tsig server = {0}, client = {0};
        const struct dns_tsig_key *list[] = {&keys[(i + 1) % 5], &keys[i]};
        size_t len = unhex(vectors[i].query, buf), without;
        assert_int_equal(dns_tsig_check_request(&server, list, 2, buf, len, T + 300, &without),
                         DNS_TSIG_GOOD);
        assert_int_equal(without, 33);
        assert_ptr_equal(server.key, &keys[i]);
        assert_memory_equal(server.key_name, "\3Key\7Example", 13);

        buf[2] = 0x84;
        dns_put16(buf + 10, 0);
        size_t room = 33 + dns_tsig_room(&server);
        assert_int_equal(dns_tsig_sign_answer(&server, buf, 33, room - 1, T + 1), 0);
        assert_int_equal(dns_tsig_sign_answer(&server, buf, 33, room, T + 1), room);
        assert_int_equal(unhex(vectors[i].answer, other), room);
        assert_memory_equal(buf, other, room);

        len = unhex(vectors[i].query, buf);
        dns_put16(buf + 10, 0);
        size_t signed_len = dns_tsig_sign_request(&client, &keys[i], buf, 33, len, T);
        assert_int_equal(signed_len, len);
        assert_int_equal(unhex(vectors[i].query, buf + 1000), len);
        for (size_t k = 33; k < 46; k++) /* our key's name is in lower case */
            buf[1000 + k] |= buf[1000 + k] >= 'A' && buf[1000 + k] <= 'Z' ? 0x20 : 0;
        assert_memory_equal(buf, buf + 1000, len);
        assert_int_equal(dns_tsig_check_answer(&client, other, room, true, T + 2, &without),
                         DNS_TSIG_GOOD);
        assert_int_equal(without, 33);
        dns_tsig_fini(&client);
        dns_tsig_fini(&server);
    }
}

/* No flipped bit goes unnoticed but those of the id (its first value is signed) and of letters'
 * case in names that are compared without case. */
static void test_every_bit(void **state)
{
    size_t len = unhex(vectors[DNS_TSIG_SHA256].query, buf);
    for (size_t bit = 0; bit < len * 8; bit++) {
        struct dns_tsig t = {0};
        size_t at = bit / 8;
        uint8_t mask = (uint8_t)(0x80 >> bit % 8);
        bool free = at < 2 || (mask == 0x20 && ((at >= 34 && at < 37) || (at >= 38 && at < 45) ||
                                                (at >= 57 && at < 61) || (at >= 62 && at < 65)));
        buf[at] ^= mask;
        assert_int_equal(check(&t, DNS_TSIG_SHA256, buf, len, T) == DNS_TSIG_GOOD, free);
        buf[at] ^= mask;
    }
    for (size_t cut = 0; cut < len; cut++) {
        struct dns_tsig t = {0};
        memcpy(other + sizeof(other) - cut, buf, cut); /* read too far shows under ASan */
        assert_int_equal(check(&t, DNS_TSIG_SHA256, other + sizeof(other) - cut, cut, T),
                         DNS_TSIG_FORMERR);
    }
}

/* Cuts the MAC of the record in buf to `mac` octets; its record is the last. */
static size_t truncate_mac(size_t len, unsigned whole, unsigned mac)
{
    uint8_t *p = buf + len - 6 - whole - 2;
    assert_int_equal(dns_get16(p), whole);
    dns_put16(p, (uint16_t)mac);
    if (mac <= whole)
        memmove(p + 2 + mac, p + 2 + whole, 6);
    else
        memmove(p + 2 + mac, p + 2 + whole, 6), memset(p + 2 + whole, 0, mac - whole);
    uint8_t *rdlen = buf + 33 + 13 + 8;
    dns_put16(rdlen, (uint16_t)(dns_get16(rdlen) - whole + mac));
    return len - whole + mac;
}

static void test_truncated(void **state)
{
    static const struct {
        enum dns_tsig_algorithm alg;
        unsigned whole, mac, min;
        enum dns_tsig_verdict want;
    } rows[] = {
        {DNS_TSIG_SHA1, 20, 10, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA1, 20, 9, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA1, 20, 0, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA1, 20, 21, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA224, 28, 14, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA224, 28, 13, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA256, 32, 16, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA256, 32, 31, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA256, 32, 15, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA256, 32, 33, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA256, 32, 16, 32, DNS_TSIG_BADTRUNC},
        {DNS_TSIG_SHA384, 48, 24, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA384, 48, 23, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA512, 64, 32, 0, DNS_TSIG_GOOD},
        {DNS_TSIG_SHA512, 64, 31, 0, DNS_TSIG_FORMERR},
        {DNS_TSIG_SHA512, 64, 65, 0, DNS_TSIG_FORMERR},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct dns_tsig t = {0};
        size_t len =
            truncate_mac(unhex(vectors[rows[i].alg].query, buf), rows[i].whole, rows[i].mac);
        keys[rows[i].alg].mac_min = (uint8_t)rows[i].min;
        assert_int_equal(check(&t, rows[i].alg, buf, len, T), rows[i].want);
        keys[rows[i].alg].mac_min = 0;
        if (rows[i].want != DNS_TSIG_BADTRUNC)
            continue;
        dns_put16(buf + 10, 0); /* the answer that says so is signed, over the MAC as it came */
        assert_int_equal(dns_tsig_room(&t), 13 + 10 + 13 + 16 + 32);
        len = dns_tsig_sign_answer(&t, buf, 33, sizeof(buf), T);
        assert_int_equal(len, 33 + 13 + 10 + 13 + 16 + 32);
        assert_int_equal(dns_get16(buf + len - 4), 22);
    }
}

/* A truncated request MAC goes into the answer's digest as it came (RFC 8945 5.2.2.1, 5.3). */
static void test_truncated_chain(void **state)
{
    struct dns_tsig server = {0}, client = {0};
    size_t without, len = unhex(vectors[DNS_TSIG_SHA256].query, buf);
    dns_put16(buf + 10, 0);
    len = dns_tsig_sign_request(&client, &keys[DNS_TSIG_SHA256], buf, 33, len, T);
    len = truncate_mac(len, 32, 20);
    assert_int_equal(check(&server, DNS_TSIG_SHA256, buf, len, T), DNS_TSIG_GOOD);
    dns_put16(buf + 10, 0);
    len = dns_tsig_sign_answer(&server, buf, 33, sizeof(buf), T);
    assert_int_equal(dns_tsig_check_answer(&client, buf, len, true, T, &without), DNS_TSIG_BADSIG);
    client.mac_len = 20;
    assert_int_equal(dns_tsig_check_answer(&client, buf, len, true, T, &without), DNS_TSIG_GOOD);
}

static void test_time(void **state)
{
    struct dns_tsig server = {0}, client = {0};
    size_t without, len = unhex(vectors[DNS_TSIG_SHA256].query, buf);
    assert_int_equal(check(&server, DNS_TSIG_SHA256, buf, len, T - 300), DNS_TSIG_GOOD);
    assert_int_equal(check(&server, DNS_TSIG_SHA256, buf, len, T - 301), DNS_TSIG_BADTIME);
    assert_int_equal(check(&server, DNS_TSIG_SHA256, buf, len, 0), DNS_TSIG_BADTIME);
    assert_int_equal(check(&server, DNS_TSIG_SHA256, buf, len, T + 301), DNS_TSIG_BADTIME);

    dns_put16(buf + 10, 0);
    size_t room = 33 + dns_tsig_room(&server);
    len = dns_tsig_sign_answer(&server, buf, 33, room, T + 301);
    assert_int_equal(len, room);
    assert_int_equal(dns_get16(buf + len - 10), 18); /* error, then our six octets */
    assert_int_equal(dns_get16(buf + len - 8), 6);
    assert_int_equal(dns_get32(buf + len - 4), T + 301);
    assert_int_equal(dns_get32(buf + 33 + 13 + 10 + 13 + 2), T); /* the client's time */

    /* and the client learns the server's clock, not being fooled by a forged one */
    memcpy(other, buf, len);
    unhex(vectors[DNS_TSIG_SHA256].query, buf);
    dns_put16(buf + 10, 0);
    dns_tsig_sign_request(&client, &keys[DNS_TSIG_SHA256], buf, 33, sizeof(buf), T);
    other[len - 1] ^= 1;
    assert_int_equal(dns_tsig_check_answer(&client, other, len, true, T, &without),
                     DNS_TSIG_BADSIG);
    other[len - 1] ^= 1;
    assert_int_equal(dns_tsig_check_answer(&client, other, len, true, T, &without),
                     DNS_TSIG_BADTIME);
    assert_int_equal(client.peer_time_s, T + 301);
}

/* BADKEY and BADSIG: an answer without a MAC, the key and algorithm as they came. */
static void test_unsigned_errors(void **state)
{
    for (int wrong = 0; wrong < 3; wrong++) {
        struct dns_tsig server = {0}, client = {0};
        size_t without, len = unhex(vectors[DNS_TSIG_SHA256].query, buf);
        enum dns_tsig_verdict want = wrong == 0 ? DNS_TSIG_BADSIG : DNS_TSIG_BADKEY;
        if (wrong == 0)
            buf[len - 7] ^= 0x80; /* the MAC's end */
        if (wrong == 1)
            buf[36] = 'x'; /* the key's name */
        assert_int_equal(
            check(&server, wrong == 2 ? DNS_TSIG_SHA512 : DNS_TSIG_SHA256, buf, len, T), want);
        dns_put16(buf + 10, 0);
        assert_int_equal(dns_tsig_room(&server), 13 + 10 + 13 + 16);
        len = dns_tsig_sign_answer(&server, buf, 33, sizeof(buf), T);
        assert_int_equal(len, 33 + 13 + 10 + 13 + 16);
        assert_int_equal(dns_get16(buf + 10), 1);
        assert_int_equal(dns_get16(buf + len - 8), 0);
        assert_int_equal(dns_get16(buf + len - 4), wrong == 0 ? 16 : 17);
        if (wrong == 1)
            continue;
        memcpy(other, buf, len);
        unhex(vectors[DNS_TSIG_SHA256].query, buf);
        dns_put16(buf + 10, 0);
        dns_tsig_sign_request(&client, &keys[DNS_TSIG_SHA256], buf, 33, sizeof(buf), T);
        assert_int_equal(dns_tsig_check_answer(&client, other, len, true, T, &without), want);
        assert_int_equal(client.error, wrong == 0 ? 16 : 17);
    }
}

static void test_no_key_configured(void **state)
{
    struct dns_tsig t = {0};
    size_t without, len = unhex(vectors[0].query, buf);
    assert_int_equal(dns_tsig_check_request(&t, NULL, 0, buf, len, T, &without), DNS_TSIG_BADKEY);
    assert_int_equal(without, 33);
    dns_put16(buf + 10, 0);
    assert_int_equal(dns_tsig_check_request(&t, NULL, 0, buf, 33, T, &without), DNS_TSIG_NONE);
    assert_int_equal(without, 33);
    assert_int_equal(dns_tsig_room(&t), 0);
    assert_int_equal(dns_tsig_sign_answer(&t, buf, 33, 33, T), 33);
}

/* The record's place and form (5.2): last, once, class ANY, TTL 0, in the additional section. */
static void test_form(void **state)
{
    struct dns_tsig t = {0};
    size_t len = unhex(vectors[DNS_TSIG_SHA256].query, buf), n = len - 33;
    int k = DNS_TSIG_SHA256;
    memcpy(buf + len, buf + 33, n); /* twice */
    dns_put16(buf + 10, 2);
    assert_int_equal(check(&t, k, buf, len + n, T), DNS_TSIG_FORMERR);
    memcpy(buf + len, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11); /* an OPT behind it */
    assert_int_equal(check(&t, k, buf, len + 11, T), DNS_TSIG_FORMERR);
    assert_int_equal(check(&t, k, buf, len, T), DNS_TSIG_FORMERR); /* one counted, not there */
    dns_put16(buf + 10, 1);                                        /* octets behind it */
    assert_int_equal(check(&t, k, buf, len + 1, T), DNS_TSIG_FORMERR);
    dns_put16(buf + 10, 0);
    dns_put16(buf + 8, 1); /* in another section */
    assert_int_equal(check(&t, k, buf, len, T), DNS_TSIG_FORMERR);
    dns_put16(buf + 10, 1);
    dns_put16(buf + 8, 0);
    buf[33 + 13 + 3] = 1; /* class IN */
    assert_int_equal(check(&t, k, buf, len, T), DNS_TSIG_FORMERR);
    buf[33 + 13 + 3] = 255;
    buf[33 + 13 + 7] = 1; /* TTL */
    assert_int_equal(check(&t, k, buf, len, T), DNS_TSIG_FORMERR);
    buf[33 + 13 + 7] = 0;
    assert_int_equal(check(&t, k, buf, len, T), DNS_TSIG_GOOD);
    buf[33] = 0xc0; /* an owner that points at itself */
    buf[34] = 33;
    memmove(buf + 35, buf + 46, len - 46);
    assert_int_equal(check(&t, k, buf, len - 11, T), DNS_TSIG_FORMERR);
    buf[34] = 40; /* forward */
    assert_int_equal(check(&t, k, buf, len - 11, T), DNS_TSIG_FORMERR);
    buf[34] = 12; /* to the question: a name like others */
    assert_int_equal(check(&t, k, buf, len - 11, T), DNS_TSIG_BADKEY);
    assert_int_equal(t.key_name_len, 17);
}

/* Five messages, the second and third unsigned. */
static void test_stream_client(void **state)
{
    struct dns_tsig t = {0};
    size_t len, without;
    for (int broken = 0; broken < 7; broken++) {
        enum dns_tsig_verdict v = DNS_TSIG_GOOD;
        len = unhex(stream[0], buf);
        dns_put16(buf + 10, 0);
        assert_true(dns_tsig_sign_request(&t, &keys[DNS_TSIG_SHA256], buf, 29, len, T) > 0);
        for (int i = 1; i < 6 && v == DNS_TSIG_GOOD; i++) {
            if (i == broken && i != 5 && (i == 2 || i == 3))
                continue; /* lost: found out at the next signed one */
            len = unhex(stream[i], buf);
            if (i == broken)
                buf[3] ^= 1;
            v = dns_tsig_check_answer(&t, buf, len, i == 5, T, &without);
            if (v == DNS_TSIG_GOOD)
                assert_int_equal(without, 29);
            if (v != DNS_TSIG_GOOD)
                assert_int_equal(i, broken == 2 || broken == 3 ? 4 : broken);
        }
        assert_int_equal(v, broken == 0 || broken == 6 ? DNS_TSIG_GOOD : DNS_TSIG_BADSIG);
    }
}

/* What the server makes of a stream, the client takes; and it insists on signatures. */
static void test_stream_both(void **state)
{
    struct dns_tsig client = {0}, server = {0};
    size_t without, len = unhex(stream[0], buf);
    dns_put16(buf + 10, 0);
    len = dns_tsig_sign_request(&client, &keys[DNS_TSIG_SHA512], buf, 29, sizeof(buf), T);
    assert_int_equal(check(&server, DNS_TSIG_SHA512, buf, len, T), DNS_TSIG_GOOD);
    for (unsigned i = 0; i < 300; i++) {
        memcpy(other, buf, 29);
        dns_put16(other + 10, 0);
        other[3] = (uint8_t)i;
        len = dns_tsig_sign_answer(&server, other, 29, sizeof(other), T + i);
        assert_int_equal(dns_tsig_check_answer(&client, other, len, i == 299, T + i, &without),
                         DNS_TSIG_GOOD);
    }
    dns_put16(buf + 10, 0);
    struct dns_tsig copy = client;
    assert_int_equal(dns_tsig_check_answer(&copy, buf, 29, true, T, &without), DNS_TSIG_NONE);
    for (unsigned i = 0; i < DNS_TSIG_STREAM_GAP; i++)
        assert_int_equal(dns_tsig_check_answer(&client, buf, 29, false, T, &without),
                         DNS_TSIG_GOOD);
    assert_int_equal(dns_tsig_check_answer(&client, buf, 29, false, T, &without), DNS_TSIG_NONE);
    struct dns_tsig fresh = {0};
    dns_tsig_sign_request(&fresh, &keys[0], buf, 29, sizeof(buf), T);
    dns_put16(buf + 10, 0);
    assert_int_equal(dns_tsig_check_answer(&fresh, buf, 29, false, T, &without), DNS_TSIG_NONE);
}

static void test_key_init(void **state)
{
    struct dns_tsig_key key;
    struct gtm_error err = {0};
    static const char *const bad[] = {"",
                                      "   ",
                                      "AAA",
                                      "A===",
                                      "AA=A",
                                      "AAAA=",
                                      "AA==AA==",
                                      "AB==",
                                      "AAB=",
                                      "AA*A",
                                      "SECRETSECRETSECRETSECRET\x01"};
    assert_int_equal(
        dns_tsig_key_init(&key, "Xfer.Example.", DNS_TSIG_SHA384, " AQID\nBAU= \n", 12, &err), 0);
    assert_int_equal(key.secret_len, 5);
    assert_memory_equal(key.secret, "\1\2\3\4\5", 5);
    assert_int_equal(key.name_len, 14);
    assert_memory_equal(key.name, "\4xfer\7example", 14);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(dns_tsig_key_init(&key, "k", 0, bad[i], strlen(bad[i]), &err), GTM_EPARSE);
        assert_true(strlen(bad[i]) < 4 || strstr(err.text, bad[i]) == NULL);
        assert_null(strstr(err.text, "SECRET"));
    }
    char longest[180];
    memset(longest, 'A', sizeof(longest));
    memcpy(longest + 168, "AAA=", 4); /* 128 octets */
    assert_int_equal(dns_tsig_key_init(&key, "k", 0, longest, 172, &err), 0);
    assert_int_equal(key.secret_len, 128);
    longest[171] = 'A';
    assert_int_equal(dns_tsig_key_init(&key, "k", 0, longest, 172, &err), GTM_EPARSE);
    assert_int_equal(dns_tsig_key_init(&key, "a..b", 0, "AQID", 4, &err), GTM_EPARSE);
    assert_int_equal(dns_tsig_key_init(&key, "k", (enum dns_tsig_algorithm)5, "AQID", 4, &err),
                     GTM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_truncated_chain),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_unsigned_errors),
        cmocka_unit_test(test_no_key_configured),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_stream_client),
        cmocka_unit_test(test_stream_both),
        cmocka_unit_test(test_key_init),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
