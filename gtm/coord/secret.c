/* SPDX-License-Identifier: Apache-2.0
 *
 * See secret.h.
 */
#include "gtm/coord/secret.h"

#include "gtm/base/fs.h"
#include "gtm/base/json.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_FILE_MAX 4096u
#define NONCE        12u
#define TAG          16u
#define ALGORITHM    "aes-256-gcm"

/* --- hex --- */

static bool from_hex(const char *hex, uint8_t *out, size_t room, size_t *ret_len)
{
    size_t digits = strlen(hex);
    /* OpenSSL's own would skip separators. */
    bool ok = digits % 2 == 0 && strspn(hex, "0123456789abcdefABCDEF") == digits &&
              OPENSSL_hexstr2buf_ex(out, room, ret_len, hex, '\0') == 1;
    ERR_clear_error();
    return ok;
}

static void to_hex(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

/* --- the key --- */

static bool parse_key(char *text, struct gtm_secret_key *key)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    size_t len = 0;
    char *at = text + strspn(text, " \t\r\n");
    at[strcspn(at, " \t\r\n")] = '\0';
    if (strlen(at) != 2 * sizeof(key->key) || !from_hex(at, key->key, sizeof(key->key), &len))
        return false;
    SHA256(key->key, sizeof(key->key), digest);
    to_hex(digest, 4, key->id);
    return true;
}

int gtm_secret_key_load(const char *path, struct gtm_secret_key *ret_key, struct gtm_error *err)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    *ret_key = (struct gtm_secret_key){0};
    if (stat(path, &st) != 0)
        return gtm_error_set(err, gtm_err_from_errno(errno), "secret_key %s: %s", path,
                             strerror(errno));
    if (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))
        return gtm_error_set(err, GTM_EDENIED,
                             "secret_key %s: its mode is %04o; only its owner may write it, and "
                             "only its group read it: chmod 0600 or 0640",
                             path, (unsigned)(st.st_mode & 07777));
    int rc = gtm_fs_read(path, KEY_FILE_MAX, &text, &len, err);
    if (rc != GTM_OK)
        return rc;
    size_t blank = strspn(text, " \t\r\n"), word = strcspn(text + blank, " \t\r\n");
    bool alone = blank + word + strspn(text + blank + word, " \t\r\n") == len;
    if (!alone || !parse_key(text, ret_key))
        rc = gtm_error_set(err, GTM_EPARSE,
                           "secret_key %s: wants 64 hexadecimal digits (openssl rand -hex 32)",
                           path);
    OPENSSL_cleanse(text, len);
    gtm_free(text);
    return rc;
}

void gtm_secret_key_clear(struct gtm_secret_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* --- sealing --- */

static bool encrypt(EVP_CIPHER_CTX *ctx, const struct gtm_secret_key *key, const char *name,
                    const uint8_t *nonce, const void *data, size_t len, uint8_t *out)
{
    int n = 0, end = 0;
    return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)name, (int)strlen(name)) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, data, (int)len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + n, &end) == 1 && (size_t)n + (size_t)end == len &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, out + len) == 1;
}

static char *print(const struct gtm_secret_key *key, const uint8_t *nonce, const uint8_t *data,
                   size_t len)
{
    char nonce_hex[2 * NONCE + 1], *hex = gtm_calloc(2 * len + 1, 1), *text = NULL;
    struct gtm_json *root = gtm_json_object();
    if (hex) {
        to_hex(nonce, NONCE, nonce_hex);
        to_hex(data, len, hex);
        gtm_json_add_i64(root, "v", 1);
        gtm_json_add_str(root, "alg", ALGORITHM);
        gtm_json_add_str(root, "key", key->id);
        gtm_json_add_str(root, "nonce", nonce_hex);
        gtm_json_add_str(root, "data", hex);
        text = gtm_json_print(root, false);
    }
    gtm_json_free(root);
    gtm_free(hex);
    return text;
}

char *gtm_secret_seal(const struct gtm_secret_key *key, const char *name, const void *data,
                      size_t len, struct gtm_error *err)
{
    uint8_t nonce[NONCE], *out = NULL;
    char *text = NULL;
    if (len == 0 || len > GTM_SECRET_DATA_MAX) {
        gtm_error_set(err, GTM_ELIMIT, "a secret has 1 to %u octets", GTM_SECRET_DATA_MAX);
        return NULL;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    out = gtm_calloc(len + TAG, 1);
    if (ctx && out && gtm_rand_secure(nonce, sizeof(nonce)) == GTM_OK &&
        encrypt(ctx, key, name, nonce, data, len, out))
        text = print(key, nonce, out, len + TAG);
    if (!text)
        gtm_error_set(err, GTM_ENOMEM, "secret %s cannot be sealed", name);
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    gtm_free(out);
    return text;
}

/* --- opening --- */

static bool decrypt(EVP_CIPHER_CTX *ctx, const struct gtm_secret_key *key, const char *name,
                    const uint8_t *nonce, uint8_t *data, size_t len, char *out)
{
    int n = 0, end = 0;
    return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->key, nonce) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)name, (int)strlen(name)) == 1 &&
           EVP_DecryptUpdate(ctx, (uint8_t *)out, &n, data, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, data + len) == 1 &&
           EVP_DecryptFinal_ex(ctx, (uint8_t *)out + n, &end) == 1;
}

static int open_data(const struct gtm_secret_key *key, const char *name, const char *nonce_hex,
                     const char *hex, char **ret_data, size_t *ret_len, struct gtm_error *err)
{
    uint8_t nonce[NONCE];
    size_t nonce_len = 0, len = 0, room = strlen(hex) / 2;
    if (room <= TAG || room > GTM_SECRET_DATA_MAX + TAG)
        return gtm_error_set(err, GTM_EPARSE, "secret %s has no data of a fit length", name);
    uint8_t *data = gtm_calloc(room, 1);
    char *out = gtm_calloc(room, 1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int rc = GTM_OK;
    if (!data || !out || !ctx)
        rc = gtm_error_set(err, GTM_ENOMEM, "out of memory");
    else if (!from_hex(nonce_hex, nonce, sizeof(nonce), &nonce_len) || nonce_len != NONCE ||
             !from_hex(hex, data, room, &len))
        rc = gtm_error_set(err, GTM_EPARSE, "secret %s is not written in hex", name);
    else if (!decrypt(ctx, key, name, nonce, data, len - TAG, out))
        rc = gtm_error_set(err, GTM_ECORRUPT, "secret %s was changed, or is another's", name);
    if (rc == GTM_OK && out) {
        *ret_len = len - TAG;
        out[*ret_len] = '\0';
        *ret_data = out;
    } else if (out) {
        OPENSSL_cleanse(out, room);
        gtm_free(out);
    }
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    gtm_free(data);
    return rc;
}

int gtm_secret_open(const struct gtm_secret_key *key, const char *name, const char *text,
                    size_t text_len, char **ret_data, size_t *ret_len, struct gtm_error *err)
{
    struct gtm_error why = {0};
    struct gtm_json *root = gtm_json_parse(text, text_len, &why);
    const char *id = gtm_json_str(root, "key", "");
    int rc;
    *ret_data = NULL;
    *ret_len = 0;
    if (gtm_json_i64(root, "v", 0) != 1 || strcmp(gtm_json_str(root, "alg", ""), ALGORITHM) != 0)
        rc = gtm_error_set(err, GTM_EPARSE, "secret %s is not in a form that is known here", name);
    else if (strcmp(id, key->id) != 0)
        rc = gtm_error_set(err, GTM_EDENIED,
                           "secret %s was sealed with key %.8s, and this node's secret_key is %s",
                           name, id, key->id);
    else
        rc = open_data(key, name, gtm_json_str(root, "nonce", ""), gtm_json_str(root, "data", ""),
                       ret_data, ret_len, err);
    gtm_json_free(root);
    return rc;
}
