/* SPDX-License-Identifier: Apache-2.0
 *
 * Geography databases from arbitrary octets, of both kinds: loading ends, and what it accepts is
 * sorted, disjoint, and refers to locations that exist.
 */
#include "dns/geodb.h"
#include "dns/key128.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libmaxminddb loses memory when it refuses damaged metadata. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb\n";
}

static void check(const struct dns_geodb *db)
{
    uint64_t end4 = 0;
    for (size_t i = 0; i < db->v4_count; i++) {
        if (db->v4[i].addr < end4 || db->v4[i].prefix_len > 32 ||
            db->v4[i].loc >= db->locations_count)
            abort();
        end4 = db->v4[i].addr + (UINT64_C(1) << (32 - db->v4[i].prefix_len));
    }
    for (size_t i = 0; i < db->v6_count; i++) {
        const struct dns_geo_leaf6 *leaf = &db->v6[i], *next = leaf + 1;
        dns__key first = dns__key_from(leaf->hi, leaf->lo);
        if (leaf->prefix_len > 128 || leaf->loc >= db->locations_count ||
            (first & dns__key_tail(leaf->prefix_len)))
            abort();
        if (i + 1 < db->v6_count &&
            dns__key_from(next->hi, next->lo) <= (first | dns__key_tail(leaf->prefix_len)))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const char *paths[1] = {path};
    struct gtm_error err = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    if (size == 0 || write(fd, data, size) == (ssize_t)size) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        struct dns_geodb *db = dns_geodb_load(paths, 1, NULL, &err);
        if (db)
            check(db);
        else if (err.code == 0)
            abort();
        dns_geodb_free(db);
    }
    close(fd);
    return 0;
}
