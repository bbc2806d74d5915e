/* SPDX-License-Identifier: Apache-2.0
 *
 * See sha.h.
 */
#include "gtm/base/sha.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

bool gtm_sha256_hex2(const void *a, size_t a_len, const void *b, size_t b_len,
                     char ret_hex[GTM_SHA256_HEX_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, a, a_len) == 1 && EVP_DigestUpdate(ctx, b, b_len) == 1 &&
                EVP_DigestFinal_ex(ctx, hash, &n) == 1 && n * 2 + 1 == GTM_SHA256_HEX_BYTES;
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; good && i < n; i++)
        snprintf(ret_hex + (size_t)i * 2, 3, "%02x", hash[i]);
    return good;
}

bool gtm_sha256_hex(const void *data, size_t len, char ret_hex[GTM_SHA256_HEX_BYTES])
{
    return gtm_sha256_hex2(data, len, "", 0, ret_hex);
}

bool gtm_sha256_ok(const char *hex)
{
    return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}
