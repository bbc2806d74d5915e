/* SPDX-License-Identifier: Apache-2.0
 *
 * A database whose metadata promises more nodes than the file has, so many that their octets wrap
 * around in 32 bits: libmaxminddb's own check then passes and it reads outside of the file. Found
 * by fuzz_mmdb.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "dns/geodb.h"
#include "tests/support/mmdb_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void load_with_count(unsigned ip_version, unsigned record_size, uint32_t count,
                            struct gtm_error *err)
{
    struct mmdb_writer w;
    struct mmdb_bytes bytes = {0}, wrong = {0};
    char path[] = "/tmp/gtm-test-counts-XXXXXX";
    const char *paths[1] = {path};
    static const uint8_t ten[4] = {10};
    static const char key[] = "node_count";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    mmdb_writer_init(&w, ip_version, record_size, "small");
    uint32_t at = (uint32_t)w.data.len;
    mmdb_map(&w.data, 1);
    mmdb_string(&w.data, "country_code");
    mmdb_string(&w.data, "DE");
    mmdb_writer_add(&w, 4, ten, 8, at);
    mmdb_writer_finish(&w, &bytes);
    uint8_t *found = memmem(bytes.data, bytes.len, key, sizeof(key) - 1);
    assert_non_null(found);
    size_t value = (size_t)(found - bytes.data) + sizeof(key) - 1;
    size_t old = 1 + (bytes.data[value] & 31u); /* control octet and number */
    const uint8_t number[5] = {0xc4, (uint8_t)(count >> 24), (uint8_t)(count >> 16),
                               (uint8_t)(count >> 8), (uint8_t)count};
    mmdb_raw(&wrong, bytes.data, value);
    mmdb_raw(&wrong, number, sizeof(number));
    mmdb_raw(&wrong, bytes.data + value + old, bytes.len - value - old);
    mmdb_save(&wrong, path);
    assert_null(dns_geodb_load(paths, 1, NULL, err));
    unlink(path);
    mmdb_bytes_fini(&bytes);
    mmdb_bytes_fini(&wrong);
    mmdb_writer_fini(&w);
}

static void more_nodes_than_the_file_has(void **state)
{
    (void)state;
    for (unsigned version = 4; version <= 6; version += 2) {
        struct gtm_error err = {0};
        load_with_count(version, 32, 0x80000001u, &err); /* × 8 = 8 in 32 bits */
        assert_int_equal(err.code, GTM_ECORRUPT);
        /* of IPv6 trees the library itself sees it, while it looks for the root of IPv4 */
        assert_non_null(strstr(err.text, version == 4 ? "(node_count)" : "damaged MaxMind DB"));
        load_with_count(version, 24, 0x2aaaaaabu, &err); /* × 6 = 2 */
        assert_int_equal(err.code, GTM_ECORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(more_nodes_than_the_file_has)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
