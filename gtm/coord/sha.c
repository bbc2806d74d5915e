/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 of texts. See sha.h.
 */
#include "gtm/coord/sha.h"

#include <openssl/evp.h>
#include <stdio.h>

bool coord__sha256(const void *a, size_t a_len, const void *b, size_t b_len,
                   char out[COORD__SHA_TEXT])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, a, a_len) == 1 && EVP_DigestUpdate(ctx, b, b_len) == 1 &&
                EVP_DigestFinal_ex(ctx, hash, &n) == 1 && n * 2 + 1 == COORD__SHA_TEXT;
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; good && i < n; i++)
        snprintf(out + (size_t)i * 2, 3, "%02x", hash[i]);
    return good;
}
