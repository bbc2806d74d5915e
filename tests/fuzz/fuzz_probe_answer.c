/* SPDX-License-Identifier: Apache-2.0
 *
 * What a checked server may send: DNS messages, gRPC headers and bodies, ICMP packets. The first
 * octet says which. Whatever comes, there is an outcome with a reason, or nothing at all.
 */
#include "health/dns_message.h"
#include "health/grpc.h"
#include "health/icmp_packet.h"
#include "health/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

static struct health_dns_ask *ask(uint16_t type, const char *expect)
{
    struct health_dns_ask *made = NULL;
    struct gtm_monitor m = {.kind = GTM_MONITOR_DNS,
                            .query_name = (char *)(uintptr_t) "www.example.",
                            .query_type = type,
                            .expect_answer = (char *)(uintptr_t)expect};
    if (health_dns_ask_new(&m, &made, NULL) != GTM_OK)
        stop("no question");
    return made;
}

/* The message with the right id and, when it is long enough, the right question. */
static void dns(const struct health_dns_ask *wanted, const uint8_t *data, size_t size, bool help)
{
    uint8_t message[4096];
    struct health_outcome o = {0};
    size_t len = size < sizeof(message) ? size : sizeof(message);
    memcpy(message, data, len);
    if (help && len >= wanted->len) {
        memset(message, 0, 2);
        message[2] = (uint8_t)((message[2] & 7) | 0x80);
        memcpy(message + 4, "\0\1", 2);
        memcpy(message + 12, wanted->query + 12, wanted->len - 12);
    }
    enum health_dns_step step = health_dns_judge(wanted, 0, len & 1, message, len, &o);
    if (step != HEALTH_DNS_DECIDED && (o.result != HEALTH_RESULT_NONE || o.text))
        stop("an outcome of no answer");
    if (step == HEALTH_DNS_DECIDED && o.result == HEALTH_RESULT_NONE)
        stop("decided without a result");
    if (o.result == HEALTH_RESULT_OK && wanted->expect && len < wanted->len + 11)
        stop("well without a record");
    health_outcome_clear(&o);
}

/* Pieces of a length that the octet before them says; an odd one is a header. */
static void grpc(const uint8_t *data, size_t size)
{
    struct health_grpc g = {0};
    struct health_outcome o = {0};
    while (size > 0) {
        size_t n = data[0] / 2u;
        if (n > size - 1)
            n = size - 1;
        if (data[0] & 1)
            health_grpc_header(&g, (const char *)data + 1, n);
        else
            health_grpc_body(&g, data + 1, n);
        data += n + 1;
        size -= n + 1;
    }
    health_grpc_judge(&g, "shop", &o);
    if (o.result != HEALTH_RESULT_OK && o.result != HEALTH_RESULT_ANSWER &&
        o.result != HEALTH_RESULT_GARBAGE)
        stop("no result");
    if (o.result == HEALTH_RESULT_OK && (!g.has_status || g.status != 0 || g.len < 7))
        stop("well without an answer");
    health_outcome_clear(&o);
}

static void icmp(const uint8_t *data, size_t size)
{
    struct health_echo echo;
    for (int v6 = 0; v6 < 2; v6++)
        for (int header = 0; header < 2; header++) {
            int family = v6 ? AF_INET6 : AF_INET;
            if (health_echo_read(family, header, data, size, &echo) != HEALTH_ECHO_OTHER &&
                size < HEALTH_ECHO_BYTES)
                stop("an echo that is not there");
            health_echo_read_request(family, data, size, &echo);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct health_dns_ask *plain, *address, *text;
    if (!plain) {
        plain = ask(1, NULL);
        address = ask(1, "192.0.2.1");
        text = ask(16, "\"hello\"");
    }
    if (size == 0)
        return 0;
    switch (data[0] & 7) {
    case 0:
        dns(plain, data + 1, size - 1, false);
        break;
    case 1:
        dns(plain, data + 1, size - 1, true);
        break;
    case 2:
        dns(address, data + 1, size - 1, true);
        break;
    case 3:
        dns(text, data + 1, size - 1, true);
        break;
    case 4:
        grpc(data + 1, size - 1);
        break;
    default:
        icmp(data + 1, size - 1);
    }
    return 0;
}
