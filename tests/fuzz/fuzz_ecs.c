/* SPDX-License-Identifier: Apache-2.0
 *
 * Client subnets: whatever option comes, a malformed one is FORMERR, a good one is echoed with the
 * scope of its class, and every probed address inside that scope gets the same records (RFC
 * 7871 7.2.1).
 */
#include "tests/support/dns_world.h"

#include "dns/answer.h"
#include "dns/rr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t question[] = "\x12\x34\1\0\0\1\0\0\0\0\0\1"
                                  "\3www\7example\3com\0\0\1\0\1"
                                  "\0\0\x29\4\xd0\0\0\0\0";

/* The answer to a query with one ECS option; the random state is always the same, so equal classes
 * give equal octets. */
static size_t ask(const struct dns_view *view, const uint8_t *option, size_t len, uint8_t out[1280])
{
    uint8_t packet[512];
    struct dns_client client = {.family = 4, .addr = {10, 9, 9, 9}, .proto = DNS_PROTO_UDP};
    struct dns_answerer a;
    size_t n = sizeof(question) - 1;

    memcpy(packet, question, n);
    dns_put16(packet + n, (uint16_t)(len + 4));
    dns_put16(packet + n + 2, 8);
    dns_put16(packet + n + 4, (uint16_t)len);
    memcpy(packet + n + 6, option, len);
    dns_answerer_init(&a, 7);
    return dns_answer(&a, view, &client, packet, n + 6 + len, out, 1280);
}

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

/* Another address inside addr/scope, by the fuzzer's octets, asked with the whole address as the
 * source. */
static void probe(const struct dns_view *view, const uint8_t *option, unsigned scope,
                  const uint8_t *noise, const uint8_t *want, size_t want_len)
{
    uint8_t other[20] = {0}, out[1280];
    unsigned octets = option[1] == 1 ? 4 : 16;

    memcpy(other, option, 2);
    other[2] = (uint8_t)(octets * 8);
    for (unsigned i = 0; i < octets; i++) {
        unsigned keep = scope >= (i + 1) * 8 ? 0xff
                        : scope <= i * 8     ? 0
                                             : 0xff00u >> (scope - i * 8) & 0xff;
        other[4 + i] = (uint8_t)((option[4 + i] & keep) | (noise[i] & ~keep));
    }
    size_t n = ask(view, other, 4 + octets, out);
    if (n < want_len || memcmp(out + 12, want + 12, want_len - 12) != 0)
        stop("an address inside the scope gets another answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_view *view;
    uint8_t out[1280], option[20] = {0};

    if (view == NULL)
        view = dns_world();
    if (size < 16 || size > 16 + 40)
        return 0;
    const uint8_t *noise = data;
    data += 16;
    size -= 16;
    size_t n = ask(view, data, size, out);
    if (n < 12)
        stop("silence");
    unsigned family = size >= 4 ? dns_get16(data) : 0, source = size >= 4 ? data[2] : 0;
    unsigned octets = (source + 7) / 8;
    bool good = size >= 4 && (family == 1 || family == 2) && data[3] == 0 &&
                source <= (family == 1 ? 32u : 128u) && size == 4 + octets &&
                ((source & 7) == 0 || (data[3 + octets] & (0xff >> (source & 7))) == 0);
    if ((out[3] & 15) != (good ? DNS_RCODE_NOERROR : DNS_RCODE_FORMERR) &&
        !(good && (out[3] & 15) == DNS_RCODE_SERVFAIL))
        stop("wrong RCODE");
    if (!good)
        return 0;
    memcpy(option, data, size);
    size_t at = 0; /* the echoed option stands behind the answer; an extended error may follow it */
    for (size_t i = 12; i + 8 + octets <= n; i++)
        if (memcmp(out + i, "\0\x08\0", 3) == 0 && out[i + 3] == 4 + octets &&
            memcmp(out + i + 4, data, 3) == 0 && memcmp(out + i + 8, data + 4, octets) == 0)
            at = i;
    if (at == 0)
        stop("the option is not echoed");
    unsigned scope = out[at + 7];
    if (scope > (family == 1 ? 32u : 128u) || (source == 0 && scope != 0))
        stop("impossible scope");
    size_t opt = at;
    while (opt > 12 && memcmp(out + opt, "\0\0\x29", 3) != 0)
        opt--;
    if (source > 0)
        probe(view, option, scope, noise, out, opt);
    return 0;
}
