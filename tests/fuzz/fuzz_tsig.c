/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures: any octets as a request, as messages of an answer, as a key's secret. None is good
 * unless our own code signed it, what is answered fits and is well-formed, and our own signed
 * messages are good with the input as their content.
 *
 * The first octet chooses the algorithm and how the rest is cut into messages.
 */
#include "tests/support/dns_world.h"

#include "dns/rr.h"
#include "dns/tsig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1700000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

static void make_key(struct dns_tsig_key *key, unsigned algorithm)
{
    struct gtm_error err = {0};
    if (dns_tsig_key_init(key, "key.example", (enum dns_tsig_algorithm)(algorithm % 5),
                          "AQIDBAUGBwgJCgsMDQ4P", 20, &err) != 0)
        stop(err.text);
}

/* As a server: whatever the verdict, an answer can be made of it. */
static void as_request(const struct dns_tsig_key *key, const uint8_t *msg, size_t len)
{
    static uint8_t out[4096];
    struct dns_tsig tsig;
    size_t without;
    enum dns_tsig_verdict v = dns_tsig_check_request(&tsig, &key, 1, msg, len, NOW, &without);

    if (without > len || (v == DNS_TSIG_NONE && without != len))
        stop("longer without the record");
    if (dns_tsig_room(&tsig) > DNS_TSIG_RECORD_MAX)
        stop("more room than a record can need");
    for (int i = 0; i < 3; i++) {
        memset(out, 0, 12);
        memcpy(out, len >= 2 ? msg : (const uint8_t *)"xx", 2);
        out[2] = 0x80;
        size_t room = 12 + dns_tsig_room(&tsig);
        size_t n = dns_tsig_sign_answer(&tsig, out, 12, room, NOW);
        if (n != room || (n > 12 && dns_tsig_sign_answer(&tsig, out, 12, room - 1, NOW) != 0))
            stop("the answer does not take the room it said");
        if (len >= 12 && (msg[2] & 0x80) == 0 && dns_world_check(msg, len, out, n) != NULL)
            stop("the answer is malformed");
    }
    dns_tsig_fini(&tsig);
}

static uint64_t sum(const uint8_t *p, size_t len)
{
    uint64_t h = 0;
    for (size_t i = 0; i < len; i++)
        h = h * 31 + p[i];
    return h;
}

/* As a client: the input is what the server sent, cut into messages of `cut` octets. None of it can
 * be signed rightly, so nothing is accepted as the last message. */
static void as_answers(const struct dns_tsig_key *key, const uint8_t *data, size_t size, size_t cut)
{
    uint8_t request[512] = {0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct dns_tsig tsig = {0};
    size_t without;

    if (dns_tsig_sign_request(&tsig, key, request, 12, sizeof(request), NOW) == 0)
        stop("no room for a request");
    for (size_t at = 0; at < size; at += cut) {
        size_t n = size - at < cut ? size - at : cut;
        enum dns_tsig_verdict v =
            dns_tsig_check_answer(&tsig, data + at, n, at + n == size, NOW, &without);
        if (v == DNS_TSIG_GOOD)
            stop("a forged answer is good");
        if (without > n)
            stop("longer without the record");
    }
    dns_tsig_fini(&tsig);
}

/* The input as the content of a message of ours: good, and bad with one octet changed. */
static void round_trip(const struct dns_tsig_key *key, const uint8_t *data, size_t size)
{
    static uint8_t msg[5000];
    struct dns_tsig client = {0}, server;
    size_t without, n = size > 4000 ? 4000 : size;

    memset(msg, 0, 12);
    memcpy(msg, "\x12\x34", 2);
    memcpy(msg + 12, "\0\0\x0a\0\1\0\0\0\0", 9); /* one NULL record holds it */
    dns_put16(msg + 21, (uint16_t)n);
    if (n > 0)
        memcpy(msg + 23, data, n);
    msg[7] = 1;
    size_t len = dns_tsig_sign_request(&client, key, msg, 23 + n, sizeof(msg), NOW);
    if (dns_tsig_check_request(&server, &key, 1, msg, len, NOW, &without) != DNS_TSIG_GOOD ||
        without != 23 + n)
        stop("our own signature is not good");
    size_t at = 2 + sum(data, n) % (21 + n);
    msg[at] ^= 0x11;
    if (dns_tsig_check_request(&server, &key, 1, msg, len, NOW, &without) == DNS_TSIG_GOOD)
        stop("a changed message is good");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_tsig_key key, made;
    struct gtm_error err = {0};

    if (size < 1 || size > 70000)
        return 0;
    make_key(&key, data[0]);
    as_request(&key, data + 1, size - 1);
    as_answers(&key, data + 1, size - 1, 12u + data[0] / 5 * 8u);
    round_trip(&key, data + 1, size - 1);
    if (dns_tsig_key_init(&made, "k", DNS_TSIG_SHA256, (const char *)data + 1, size - 1, &err) ==
            0 &&
        made.secret_len == 0)
        stop("a key without a secret");
    return 0;
}
