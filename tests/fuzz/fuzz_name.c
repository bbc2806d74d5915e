/* SPDX-License-Identifier: Apache-2.0
 *
 * Domain names: the input as text and as wire. What is accepted must be well-formed and survive the
 * way there and back; comparison must agree with itself.
 */
#include "dns/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void check_wire(const uint8_t *name, size_t len)
{
    char text[DNS_NAME_TEXT_MAX];
    uint8_t back[DNS_NAME_MAX], lowered[DNS_NAME_MAX];
    size_t back_len = 0;
    require(dns_name_check(name, len) == len && dns_name_len(name) == len, "length");
    dns_name_text(name, text);
    require(strlen(text) < DNS_NAME_TEXT_MAX, "text is too long");
    require(dns_name_parse(text, strlen(text), NULL, back, &back_len, NULL) == 0, "text refused");
    require(back_len == len && memcmp(back, name, len) == 0, "another name comes back");
    require(dns_name_lower(name, lowered) == len, "length of the lowered name");
    require(dns_name_equal(name, lowered) && dns_name_compare(name, lowered) == 0, "case counts");
    require(dns_name_under(name, lowered) && dns_name_under(name, (const uint8_t *)""), "under");
    require(dns_name_labels(name) < DNS_LABELS_MAX, "labels");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t origin[] = "\7example\3com";
    uint8_t name[DNS_NAME_MAX];
    size_t len = 0;
    if (dns_name_parse((const char *)data, size, size & 1 ? origin : NULL, name, &len, NULL) == 0)
        check_wire(name, len);
    size_t first = dns_name_check(data, size);
    if (first == 0)
        return 0;
    check_wire(data, first);
    size_t second = dns_name_check(data + first, size - first);
    if (second > 0) {
        const uint8_t *other = data + first;
        int order = dns_name_compare(data, other), reverse = dns_name_compare(other, data);
        require((order > 0) == (reverse < 0) && (order == 0) == (reverse == 0), "order");
        require((order == 0) == dns_name_equal(data, other), "equality and order");
    }
    return 0;
}
