/* SPDX-License-Identifier: Apache-2.0
 *
 * Cookies: whatever option comes in a query, the answer is FORMERR for a wrong length and otherwise
 * carries a cookie that is good; none that we did not make is good.
 *
 * Octets: four of time, one that chooses family and key, sixteen of address, then the option.
 */
#include "tests/support/dns_extra.h"
#include "tests/support/dns_world.h"

#include "dns/cookie.h"
#include "dns/rr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

/* The cookie is bound to client, key, time and address: one changed octet spoils it. */
static void check_cookie(const uint8_t keys[2][16], const uint8_t *cookie, uint32_t now_s)
{
    uint8_t other[24], addr[16];

    if (!dns_cookie_good(keys, 2, cookie, 24, client.family, client.addr, now_s))
        stop("our own cookie is not good");
    for (unsigned i = 0; i < 24; i++) {
        memcpy(other, cookie, 24);
        other[i] ^= 0x40;
        if (dns_cookie_good(keys, 2, other, 24, client.family, client.addr, now_s))
            stop("a changed cookie is good");
    }
    memcpy(addr, client.addr, 16);
    addr[client.family == 4 ? 3 : 15] ^= 1;
    if (dns_cookie_good(keys, 2, cookie, 24, client.family, addr, now_s) ||
        dns_cookie_good(keys, 2, cookie, 24, client.family, client.addr, now_s + 3601) ||
        dns_cookie_good(keys, 2, cookie, 24, client.family, client.addr, now_s - 301))
        stop("a cookie is good elsewhere or at another time");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t keys[2][16] = {{1, 2, 3}, {4, 5, 6}};
    static struct dns_view *view;
    size_t len;

    if (view == NULL) {
        struct dns_settings s = {.cookies = true, .cookie_keys_count = 2};
        memcpy(s.cookie_keys, keys, sizeof(keys));
        extra_set_up(NULL);
        view = make_view(&s);
    }
    if (size < 21 || size > 21 + 200)
        return 0;
    uint32_t now_s = dns_get32(data);
    fake.wall_ms = (int64_t)now_s * 1000;
    client = (struct dns_client){.family = data[4] & 1 ? 4 : 6};
    memcpy(client.addr, data + 5, client.family == 4 ? 4 : 16);
    query_cookie(data + 21, size - 21);
    uint64_t good = counted(DNS_CNT_COOKIE_GOOD);
    unsigned rcode = ask(view);
    if (dns_world_check(m.p, m.n, out, out_len) != NULL)
        stop("the answer is malformed");
    bool legal = dns_cookie_length_legal(size - 21);
    if (rcode != (legal ? 0 : DNS_RCODE_FORMERR))
        stop("wrong RCODE");
    const uint8_t *cookie = option(10, &len);
    if (legal != (cookie != NULL) || (legal && (len != 24 || memcmp(cookie, data + 21, 8) != 0)))
        stop("wrong cookie");
    if (legal)
        check_cookie(keys, cookie, now_s);
    if (counted(DNS_CNT_COOKIE_GOOD) != good &&
        (size != 21 + 24 ||
         !dns_cookie_good(keys, 2, data + 21, 24, client.family, client.addr, now_s)))
        stop("a bad cookie was counted as good");
    return 0;
}
