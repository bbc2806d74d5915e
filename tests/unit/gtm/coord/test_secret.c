/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets sealed and opened; keys' files; what was changed, moved or sealed with another key.
 */
#include "gtm/coord/secret.h"

#include "gtm/base/mem.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "F00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char dir[TEST_TEMP_DIR_BYTES], path[128];

static int set_up(void **state)
{
    int rc = test_temp_dir_make("secret", dir);
    snprintf(path, sizeof(path), "%s/key", dir);
    return rc;
}

static int tear_down(void **state)
{
    return test_temp_dir_remove(dir);
}

static int load(const char *text, mode_t mode, struct gtm_secret_key *key, struct gtm_error *err)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
    memset(err, 0, sizeof(*err));
    return gtm_secret_key_load(path, key, err);
}

static void keys(void **state)
{
    struct gtm_secret_key key;
    struct gtm_error err;
    assert_int_equal(load(KEY_A "\n", 0600, &key, &err), GTM_OK);
    assert_int_equal(key.key[31], 0x1f);
    assert_string_equal(key.id, "630dcd29"); /* sha256sum of the 32 octets */
    assert_int_equal(load("  " KEY_B "\r\n\n", 0640, &key, &err), GTM_OK);
    assert_int_equal(key.key[0], 0xf0);
    static const char *const bad[] = {
        "",
        "\n",
        "00",
        KEY_A "0",
        KEY_A "00",
        KEY_A " " KEY_A,
        "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:1f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(load(bad[i], 0600, &key, &err), GTM_EPARSE);
        assert_non_null(strstr(err.text, path));
        assert_true(!bad[i][0] || bad[i][0] == '\n' || !strstr(err.text, bad[i]) ||
                    strlen(bad[i]) < 8); /* never what is in it */
    }
    static const mode_t open[] = {0644, 0660, 0604, 0602, 0777, 0601};
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        assert_int_equal(load(KEY_A, open[i], &key, &err), GTM_EDENIED);
        assert_non_null(strstr(err.text, "chmod 0600"));
    }
    assert_int_equal(gtm_secret_key_load("/nowhere", &key, &err), GTM_ENOTFOUND);
}

static int open_it(const struct gtm_secret_key *key, const char *name, const char *text,
                   struct gtm_error *err)
{
    char *data;
    size_t len;
    int rc = gtm_secret_open(key, name, text, strlen(text), &data, &len, err);
    if (rc == GTM_OK)
        assert_string_equal(data, "it is a secret");
    else
        assert_null(data);
    gtm_free(data);
    return rc;
}

static void there_and_back(void **state)
{
    struct gtm_secret_key a, b;
    struct gtm_error err;
    assert_int_equal(load(KEY_A, 0600, &a, &err), GTM_OK);
    assert_int_equal(load(KEY_B, 0600, &b, &err), GTM_OK);
    char *one = gtm_secret_seal(&a, "x", "it is a secret", 14, &err);
    char *two = gtm_secret_seal(&a, "x", "it is a secret", 14, &err);
    assert_non_null(one);
    assert_non_null(two);
    assert_string_not_equal(one, two); /* another nonce */
    assert_null(strstr(one, "secret"));
    assert_null(strstr(one, "6974206973")); /* nor in hex */
    assert_null(strstr(one, KEY_A));
    assert_int_equal(open_it(&a, "x", one, &err), GTM_OK);
    assert_int_equal(open_it(&a, "y", one, &err), GTM_ECORRUPT);
    assert_int_equal(open_it(&b, "x", one, &err), GTM_EDENIED);
    assert_non_null(strstr(err.text, "sealed with key 630dcd29"));
    snprintf(b.id, sizeof(b.id), "%s", a.id); /* another key of the same name */
    assert_int_equal(open_it(&b, "x", one, &err), GTM_ECORRUPT);
    gtm_free(one);
    gtm_free(two);
    assert_null(gtm_secret_seal(&a, "x", "", 0, &err));
    gtm_secret_key_clear(&a);
    assert_int_equal(a.key[31], 0);
}

static void every_change_is_seen(void **state)
{
    struct gtm_secret_key key;
    struct gtm_error err;
    assert_int_equal(load(KEY_A, 0600, &key, &err), GTM_OK);
    char *text = gtm_secret_seal(&key, "x", "it is a secret", 14, &err);
    assert_non_null(text);
    for (size_t i = 0; i < strlen(text); i++) {
        char was = text[i];
        text[i] = was == '0' ? '1' : '0';
        assert_int_not_equal(open_it(&key, "x", text, &err), GTM_OK);
        text[i] = was;
    }
    for (size_t i = strlen(text); i-- > 0;) {
        text[i] = '\0';
        assert_int_equal(open_it(&key, "x", text, &err), GTM_EPARSE);
    }
    gtm_free(text);
    static const char *const odd[] = {
        "[]", "{\"v\":1,\"alg\":\"aes-256-gcm\",\"key\":\"630dcd29\"}",
        "{\"v\":1,\"alg\":\"aes-256-gcm\",\"key\":\"630dcd29\",\"nonce\":5,\"data\":{}}",
        "{\"v\":1,\"alg\":\"none\",\"key\":\"630dcd29\",\"nonce\":\"\",\"data\":\"6974\"}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_int_equal(open_it(&key, "x", odd[i], &err), GTM_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(every_change_is_seen),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
