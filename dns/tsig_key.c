/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of transaction signatures from text. Failures are texts that never show the secret. Pure.
 */
#include "dns/tsig.h"

#include "gtm/base/base64.h"

#include <string.h>

/* Strict but for white space. Returns the octets, or -1: no base64, -2: too many. */
static int base64_decode(const char *text, size_t len, uint8_t *out, size_t room)
{
    uint32_t bits = 0;
    unsigned digits = 0, padding = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            continue;
        int v = gtm_base64_value(c);
        if (c == '=' && digits % 4 >= 2 && padding < 2)
            padding++;
        else if (v < 0 || padding > 0)
            return -1;
        bits = bits << 6 | (v < 0 ? 0 : (uint32_t)v);
        if (++digits % 4 != 0)
            continue;
        if (n + 3 - padding > room)
            return -2;
        for (unsigned k = 0; k < 3 - padding; k++)
            out[n++] = (uint8_t)(bits >> (16 - 8 * k));
        if (padding > 0 && (bits & (padding == 1 ? 0xffu : 0xffffu)) != 0)
            return -1; /* spare bits must be zero (RFC 4648 3.5) */
    }
    return digits % 4 == 0 ? (int)n : -1;
}

int dns_tsig_key_init(struct dns_tsig_key *ret_key, const char *name,
                      enum dns_tsig_algorithm algorithm, const char *base64, size_t base64_len,
                      struct gtm_error *err)
{
    struct dns_tsig_key key = {.algorithm = algorithm};
    size_t name_len;

    if ((unsigned)algorithm >= DNS_TSIG_ALGORITHMS)
        return gtm_error_set(err, GTM_EINVAL, "key %s: unknown algorithm", name);
    int rc = dns_name_parse(name, strlen(name), NULL, key.name, &name_len, err);
    if (rc != GTM_OK) {
        gtm_error_wrap(err, "key %s", name);
        return rc;
    }
    key.name_len = (uint8_t)dns_name_lower(key.name, key.name);
    int secret = base64_decode(base64, base64_len, key.secret, sizeof(key.secret));
    if (secret <= 0) {
        explicit_bzero(&key, sizeof(key));
        if (secret == -2)
            return gtm_error_set(err, GTM_EPARSE, "key %s: its secret has more than %d octets",
                                 name, DNS_TSIG_SECRET_MAX);
        return gtm_error_set(
            err, GTM_EPARSE,
            secret == 0 ? "key %s: its secret is empty" : "key %s: its secret is not base64", name);
    }
    key.secret_len = (uint8_t)secret;
    *ret_key = key;
    explicit_bzero(&key, sizeof(key));
    return GTM_OK;
}
