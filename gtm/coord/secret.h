/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets that nodes share through the store: sealed with AES-256-GCM (NIST SP 800-38D) under a key
 * that only the nodes have (node.yaml's secret_key), so that neither etcd nor its backups give them
 * away. The value of secret/<name> is
 *
 *     {"v":1,"alg":"aes-256-gcm","key":"0a1b2c3d","nonce":HEX,"data":HEX}
 *
 * "key" says which key it was, by the first 8 digits of its SHA-256; data ends with the tag; the
 * additional data is the name, so that one secret cannot be put in the place of another. A nonce is
 * 96 random bits: fit for 2^32 seals with one key (section 8.3). Pure but for the key's file; any
 * thread.
 */
#ifndef GTM_COORD_SECRET_H
#define GTM_COORD_SECRET_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define GTM_SECRET_PREFIX   "secret/"
#define GTM_SECRET_DATA_MAX 16384u /* octets of a secret */

struct gtm_secret_key {
    uint8_t key[32];
    char id[9]; /* the first 8 hex digits of its SHA-256 */
};

/* Reads 64 hex digits, and nothing else but white space around them, from a file that others than
 * its owner cannot write and others than its group cannot read. GTM_EDENIED (mode), GTM_EPARSE, or
 * of gtm_fs_read; err names the file and never what is in it. Blocks for the disk. */
int gtm_secret_key_load(const char *path, struct gtm_secret_key *ret_key,
                        struct gtm_error *err) GTM_MUST_CHECK;
void gtm_secret_key_clear(struct gtm_secret_key *key);

/* A new text for the store (gtm_free); NULL with err. name is what follows GTM_SECRET_PREFIX. */
char *gtm_secret_seal(const struct gtm_secret_key *key, const char *name, const void *data,
                      size_t len, struct gtm_error *err);
/* *ret_data is new, with a NUL beyond *ret_len; clear it before gtm_free. GTM_EPARSE (no such
 * text), GTM_EDENIED (sealed with another key), GTM_ECORRUPT (changed, or another name's). */
int gtm_secret_open(const struct gtm_secret_key *key, const char *name, const char *text,
                    size_t text_len, char **ret_data, size_t *ret_len,
                    struct gtm_error *err) GTM_MUST_CHECK;

#endif
