/* SPDX-License-Identifier: Apache-2.0
 *
 * Any packet, over UDP, TCP and TLS, against a world of static and dynamic names, or one with every
 * setting on (keys, cookies, NSID, CHAOS, rate limits, a zone that NOTIFYs are heeded for): the
 * answer is well-formed and within the client's limit, or there is none. The first octet chooses
 * transport, client, room and world.
 */
#include "tests/support/dns_extra.h"
#include "tests/support/dns_world.h"

#include "dns/answer.h"
#include "dns/rr.h"
#include "dns/rrl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dns_view *full_world(void)
{
    static const struct dns_network exempt = {4, 8, {9}};
    struct dns_settings s = {.nsid = "node-7",
                             .cookies = true,
                             .cookie_keys_count = 2,
                             .cookie_keys = {{1}, {2}},
                             .chaos_version = "gtm",
                             .chaos_hostname = "node-7",
                             .rate_limit = 1,
                             .rate_limit_slip = 2,
                             .rate_limit_exempt = &exempt,
                             .rate_limit_exempt_count = 1};
    extra_set_up(NULL);
    return make_view(&s);
}

/* Every query two times: the second may be over the rate. Longer key names may take more than the
 * client said, but no more than its query had. */
static const char *answer(const struct dns_view *view, const struct dns_client *who,
                          struct dns_answerer *a, const uint8_t *packet, size_t len, size_t room)
{
    static uint8_t reply[65535];
    size_t n = dns_answer(a, view, who, packet, len, reply, room);
    const char *wrong = dns_world_check(packet, len, reply, n);

    if (n > room || (who->proto == DNS_PROTO_UDP && n > DNS_UDP_PAYLOAD_MAX))
        return "too long";
    return wrong;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_view *views[2];
    static struct dns_rrl *rrl;
    static const size_t rooms[4] = {512, 1232, 1280, 65535};

    if (views[0] == NULL) {
        views[0] = dns_world();
        views[1] = full_world();
        rrl = dns_rrl_new(64);
    }
    if (size < 1 || size > 65536)
        return 0;
    bool full = (data[0] & 16) != 0;
    struct dns_client who = {.family = data[0] & 1 ? 4 : 6,
                             .addr = {10, 1, 2, data[0]},
                             .proto = data[0] & 2    ? DNS_PROTO_UDP
                                      : data[0] & 32 ? DNS_PROTO_TLS
                                                     : DNS_PROTO_TCP};
    if (full && (data[0] & 64) != 0)
        memcpy(who.addr, "\xcb\0\x71", 3); /* a primary */
    size_t len = size - 1;
    uint8_t *packet = malloc(len + 1); /* its own block, so that the sanitizer sees its end */
    struct dns_answerer a;

    dns_answerer_init(&a, data[0]);
    a.clock = &fake.clock;
    a.rrl = full ? rrl : NULL;
    a.keepalive = data[0] >> 3;
    if (packet == NULL)
        return 0;
    memcpy(packet, data + 1, len);
    for (int i = 0; i < 2; i++) {
        const char *wrong = answer(views[full], &who, &a, packet, len, rooms[data[0] >> 2 & 3]);
        if (wrong != NULL) {
            fprintf(stderr, "%s\n", wrong);
            abort();
        }
    }
    free(packet);
    return 0;
}
