/* SPDX-License-Identifier: Apache-2.0
 *
 * PROXY headers: the verdict on a stream never changes as more octets come, nothing is read behind
 * what is there, and a datagram never waits for more.
 */
#include "dns/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

static enum dns_proxy_result read_exact(const uint8_t *data, size_t len, bool datagram,
                                        struct dns_client *client, size_t *used)
{
    uint8_t *exact = malloc(len ? len : 1); /* its own block, so that the sanitizer sees its end */
    if (exact == NULL)
        stop("no memory");
    if (len > 0)
        memcpy(exact, data, len);
    memset(client, 0, sizeof(*client));
    *used = 0;
    enum dns_proxy_result r = dns_proxy_read(exact, len, datagram, client, used);
    free(exact);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_client whole, part;
    size_t used, part_used;

    if (size > 2048)
        return 0;
    enum dns_proxy_result last = read_exact(data, size, false, &whole, &used);
    if (last == DNS_PROXY_MORE && size >= DNS_PROXY_MAX)
        stop("waits for more than a header can have");
    bool known = last == DNS_PROXY_CLIENT || last == DNS_PROXY_LOCAL;
    if (known && (used < 16 || used > size || used > DNS_PROXY_MAX))
        stop("wrong length");
    if (last == DNS_PROXY_CLIENT ? whole.family != 4 && whole.family != 6 : whole.family != 0)
        stop("wrong family");
    enum dns_proxy_result datagram = read_exact(data, size, true, &part, &part_used);
    if (datagram != (last == DNS_PROXY_MORE ? DNS_PROXY_BAD : last))
        stop("a datagram is judged differently");
    for (size_t cut = 0; cut < size; cut += 1 + cut / 64) {
        enum dns_proxy_result r = read_exact(data, cut, false, &part, &part_used);
        if (r == DNS_PROXY_MORE)
            continue;
        if (r != last || part_used != used || memcmp(&part, &whole, sizeof(part)) != 0)
            stop("the verdict changes as more comes");
    }
    return 0;
}
