/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests for transfers, whatever octets they are made of. Input: an octet of circumstances, then
 * the packet; with its highest bit a well-formed AXFR stands before it and the octets are changes
 * to it (place, value). What comes out must be one well-formed answer, or a transfer whose messages
 * are well-formed, bounded, framed by the SOA, and signed when the request was.
 */
#include "dns/rr.h"
#include "dns/steer_int.h"
#include "dns/xfer_out.h"
#include "tests/support/dns_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1700000000u

static struct dns_view *view;
static struct dns_tsig_key key;
static uint8_t packet[65535 + 16], out[DNS_MESSAGE_MAX];

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void set_up(void)
{
    static const char secret[] = "c2VjcmV0LW9mLXRoaXMtdGVzdC1rZXktMzItYnl0ZXM=";
    struct gtm_error err = {0};
    if (dns_tsig_key_init(&key, "k.", DNS_TSIG_SHA256, secret, sizeof(secret) - 1, &err) != 0)
        die(err.text);
    const struct dns_tsig_key *keys[] = {&key};
    struct dns_settings *settings =
        dns_settings_new(&(struct dns_settings){.keys = keys, .keys_count = 1});
    struct dns_peer rules[2] = {{.network = {.family = 4, .prefix_len = 8, .addr = {10}}},
                                {.network = {.family = 6}}};
    if (settings == NULL)
        die("no settings");
    rules[1].key = settings->keys[0];
    struct dns_view *world = dns_world();
    struct dns_view_zone vz = world->zones[0];
    vz.peers = dns_zone_peers_new(rules, 2, NULL, 0);
    view = dns_view_new(&vz, 1, settings, 1, &err);
    if (view == NULL)
        die(err.text);
    dns_zone_peers_unref(vz.peers);
    dns_settings_unref(settings);
    dns_view_unref(world);
}

static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
    while (at < len && msg[at] != 0) {
        if ((msg[at] & 0xc0) == 0xc0) {
            if (at + 2 > len || (size_t)(dns_get16(msg + at) & 0x3fff) >= at)
                die("a pointer that leads nowhere");
            return at + 2;
        }
        at += msg[at] + 1u;
    }
    return at + 1;
}

/* Walks a message; returns its answer records. *soa: of the first and the last of them. */
static unsigned check_message(const uint8_t *msg, size_t len, bool soa[2])
{
    size_t at = 12;
    unsigned answers = dns_get16(msg + 6);
    if (len < 12 || (msg[2] & 0x80) == 0)
        die("no answer");
    for (unsigned i = dns_get16(msg + 4); i > 0; i--)
        at = skip_name(msg, len, at) + 4;
    for (unsigned i = 0; i < answers + dns_get16(msg + 8) + dns_get16(msg + 10); i++) {
        at = skip_name(msg, len, at);
        if (at + 10 > len || at + 10 + dns_get16(msg + at + 8) > len)
            die("a record over the end");
        if (i == 0)
            soa[0] = dns_get16(msg + at) == DNS_TYPE_SOA;
        if (i + 1 == answers)
            soa[1] = dns_get16(msg + at) == DNS_TYPE_SOA;
        at += 10 + dns_get16(msg + at + 8);
    }
    if (at != len)
        die("octets left over");
    return answers;
}

static void drain(struct dns_xfer_out *x)
{
    unsigned records = 0, messages = 0;
    bool soa[2] = {false, false}, first = false;
    size_t n;
    int rc = 0;
    while ((n = dns_xfer_out_next(x, out, sizeof(out), NOW, &rc)) > 0) {
        if (n > DNS_XFER_OUT_MESSAGE && dns_get16(out + 6) != 1)
            die("a message that is too large");
        records += check_message(out, n, soa);
        if (messages++ == 0)
            first = soa[0];
        if (messages > 100)
            die("it never ends");
    }
    if (rc != 0 || !first || !soa[1] || records < 20)
        die("not a whole zone");
    dns_xfer_out_free(x);
}

/* The packet of the input; returns its octets. */
static size_t make(const uint8_t *data, size_t size)
{
    static const uint8_t axfr[] = "\x12\x34\0\0\0\1\0\0\0\0\0\0\7example\3com\0\0\xfc\0\1";
    struct dns_tsig tsig = {0};
    if ((data[0] & 0x80) == 0) {
        memcpy(packet, data + 1, size - 1);
        return size - 1;
    }
    size_t len = sizeof(axfr) - 1;
    memcpy(packet, axfr, len);
    if ((data[0] & 0x40) != 0)
        len = dns_tsig_sign_request(&tsig, &key, packet, len, 512, NOW);
    for (size_t i = 1; i + 1 < size; i += 2)
        packet[data[i] % len] = data[i + 1];
    dns_tsig_fini(&tsig);
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_query query;
    struct dns_xfer_out *x = NULL;
    bool soa[2];
    if (view == NULL)
        set_up();
    if (size < 2 || size > 65536)
        return 0;
    struct dns_client client = {.family = data[0] & 1 ? 6 : 4,
                                .addr = {data[0] & 2 ? 10 : 11},
                                .proto = data[0] & 4 ? DNS_PROTO_UDP : DNS_PROTO_TCP};
    size_t len = make(data, size);
    dns_query_prepare(&query, view, packet, len);
    if (!dns_xfer_out_wanted(&query))
        return 0;
    size_t n =
        dns_xfer_out_begin(&query, view, &client, (data[0] & 8) == 0, NOW, out, sizeof(out), &x);
    if ((x == NULL) == (n == 0))
        die("neither or both");
    if (n > 0)
        check_message(out, n, soa);
    if (x != NULL &&
        (client.proto == DNS_PROTO_UDP || (client.family == 4 && client.addr[0] != 10)))
        die("a transfer that is not allowed");
    if (x != NULL)
        drain(x);
    return 0;
}
