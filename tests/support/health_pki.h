/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of every kind, good and bad, made for a test. Asserts on failure.
 */
#ifndef GTM_TESTS_SUPPORT_HEALTH_PKI_H
#define GTM_TESTS_SUPPORT_HEALTH_PKI_H

#include <openssl/x509.h>
#include <stdbool.h>

#define PKI_PATH_BYTES 160

struct pki_cert {
    X509 *cert;
    EVP_PKEY *key;
    char path[PKI_PATH_BYTES]; /* PEM: the certificate, then its key */
};

struct pki_want {
    const char *name;              /* CN and file name */
    const char *san;               /* "DNS:www.example.com,IP:127.0.0.1"; NULL = none */
    const char *usage;             /* extended key usage; NULL = "serverAuth" */
    int from_days, until_days;     /* from now; until 0 = 30 days */
    unsigned rsa_bits;             /* 0 = EC P-256 */
    const EVP_MD *md;              /* NULL = SHA-256 */
    bool authority;                /* may issue */
    const struct pki_cert *issuer; /* NULL = itself */
};

/* Makes one in the folder. */
void pki_make(struct pki_cert *ret_cert, const struct pki_want *want, const char *dir);
/* Adds another certificate to the file of the first: what a server sends with its own. */
void pki_append(const struct pki_cert *to, const struct pki_cert *more);
void pki_free(struct pki_cert *cert);

#endif
