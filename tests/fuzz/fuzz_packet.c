/* SPDX-License-Identifier: Apache-2.0
 *
 * Any packet, over UDP and TCP, against a world of static and dynamic names: the answer is
 * well-formed and within the client's limit, or there is none. The first octet chooses transport,
 * client and room.
 */
#include "tests/support/dns_world.h"

#include "dns/answer.h"
#include "dns/rr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_view *view;
    static const size_t rooms[4] = {512, 1232, 1280, 65535};
    static uint8_t out[65535];

    if (view == NULL)
        view = dns_world();
    if (size < 1 || size > 65536)
        return 0;
    struct dns_client client = {.family = data[0] & 1 ? 4 : 6,
                                .addr = {10, 1, 2, data[0]},
                                .proto = data[0] & 2 ? DNS_PROTO_UDP : DNS_PROTO_TCP};
    size_t room = rooms[data[0] >> 2 & 3], len = size - 1;
    uint8_t *packet = malloc(len + 1); /* its own block, so that the sanitizer sees its end */
    struct dns_answerer a;

    dns_answerer_init(&a, data[0]);
    if (packet == NULL)
        return 0;
    memcpy(packet, data + 1, len);
    size_t n = dns_answer(&a, view, &client, packet, len, out, room);
    const char *wrong = dns_world_check(packet, len, out, n);
    if (n > room || (client.proto == DNS_PROTO_UDP && n > DNS_UDP_PAYLOAD_MAX))
        wrong = "too long";
    if (wrong != NULL) {
        fprintf(stderr, "%s\n", wrong);
        abort();
    }
    free(packet);
    return 0;
}
