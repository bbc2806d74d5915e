/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC in the caller's storage; see hmac.h. Nothing here can fail: the SHA functions only do if
 * their length counter would overflow.
 */
/* OpenSSL 3 marks the plain SHA functions as old; they are the only ones without allocation. */
#define OPENSSL_API_COMPAT 10100

#include "dns/hmac.h"

#include <string.h>

unsigned dns_hmac_bytes(enum dns_hmac_hash hash)
{
    static const uint8_t bytes[] = {20, 28, 32, 48, 64};
    return bytes[hash];
}

static unsigned block_bytes(enum dns_hmac_hash hash)
{
    return hash >= DNS_HMAC_SHA384 ? 128 : 64;
}

static void hash_start(struct dns_hmac *h)
{
    switch (h->hash) {
    case DNS_HMAC_SHA1:
        (void)SHA1_Init(&h->inner.sha1);
        break;
    case DNS_HMAC_SHA224:
        (void)SHA224_Init(&h->inner.sha256);
        break;
    case DNS_HMAC_SHA256:
        (void)SHA256_Init(&h->inner.sha256);
        break;
    case DNS_HMAC_SHA384:
        (void)SHA384_Init(&h->inner.sha512);
        break;
    case DNS_HMAC_SHA512:
        (void)SHA512_Init(&h->inner.sha512);
        break;
    }
}

void dns_hmac_add(struct dns_hmac *h, const void *data, size_t len)
{
    if (h->hash == DNS_HMAC_SHA1)
        (void)SHA1_Update(&h->inner.sha1, data, len);
    else if (h->hash <= DNS_HMAC_SHA256)
        (void)SHA256_Update(&h->inner.sha256, data, len);
    else
        (void)SHA512_Update(&h->inner.sha512, data, len);
}

/* SHA-224 and SHA-384 end with the functions of their family: the state knows its length. */
static void hash_end(struct dns_hmac *h, uint8_t *out)
{
    if (h->hash == DNS_HMAC_SHA1)
        (void)SHA1_Final(out, &h->inner.sha1);
    else if (h->hash <= DNS_HMAC_SHA256)
        (void)SHA256_Final(out, &h->inner.sha256);
    else
        (void)SHA512_Final(out, &h->inner.sha512);
}

void dns_hmac_start(struct dns_hmac *h, enum dns_hmac_hash hash, const uint8_t *key, size_t key_len)
{
    uint8_t pad[128] = {0}, digest[DNS_HMAC_MAX];
    unsigned block = block_bytes(hash);

    h->hash = hash;
    if (key_len > block) {
        hash_start(h);
        dns_hmac_add(h, key, key_len);
        hash_end(h, digest);
        memcpy(pad, digest, dns_hmac_bytes(hash));
        explicit_bzero(digest, sizeof(digest));
    } else if (key_len > 0) {
        memcpy(pad, key, key_len);
    }
    for (unsigned i = 0; i < block; i++) {
        h->outer_pad[i] = pad[i] ^ 0x5c;
        pad[i] ^= 0x36;
    }
    hash_start(h);
    dns_hmac_add(h, pad, block);
    explicit_bzero(pad, sizeof(pad));
}

void dns_hmac_end(struct dns_hmac *h, uint8_t out[DNS_HMAC_MAX])
{
    uint8_t digest[DNS_HMAC_MAX];

    hash_end(h, digest);
    hash_start(h);
    dns_hmac_add(h, h->outer_pad, block_bytes(h->hash));
    dns_hmac_add(h, digest, dns_hmac_bytes(h->hash));
    hash_end(h, out);
    explicit_bzero(h, sizeof(*h));
    explicit_bzero(digest, sizeof(digest));
}
