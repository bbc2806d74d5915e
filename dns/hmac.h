/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC (RFC 2104) over OpenSSL's plain SHA functions. OpenSSL's own HMAC and EVP interfaces fetch
 * under locks and allocate for each message, which the query path must not do; these work in the
 * caller's storage. Internal to dns/; a state belongs to one thread at a time.
 */
#ifndef DNS_HMAC_H
#define DNS_HMAC_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/sha.h>

#define DNS_HMAC_MAX 64 /* octets of the longest result */

enum dns_hmac_hash {
    DNS_HMAC_SHA1 = 0,
    DNS_HMAC_SHA224,
    DNS_HMAC_SHA256,
    DNS_HMAC_SHA384,
    DNS_HMAC_SHA512
};

struct dns_hmac {
    union {
        SHA_CTX sha1;
        SHA256_CTX sha256; /* SHA-224 too */
        SHA512_CTX sha512; /* SHA-384 too */
    } inner;
    enum dns_hmac_hash hash;
    uint8_t outer_pad[128]; /* the key in its second mask, for the end */
};

/* Octets of a result. */
unsigned dns_hmac_bytes(enum dns_hmac_hash hash);
void dns_hmac_start(struct dns_hmac *hmac, enum dns_hmac_hash hash, const uint8_t *key,
                    size_t key_len);
void dns_hmac_add(struct dns_hmac *hmac, const void *data, size_t len);
/* Writes dns_hmac_bytes octets and wipes the state. */
void dns_hmac_end(struct dns_hmac *hmac, uint8_t out[DNS_HMAC_MAX]);

#endif
