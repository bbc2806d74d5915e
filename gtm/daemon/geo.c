/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading of geography and its move out of the heap. See geo.h.
 */
#include "gtm/daemon/geo.h"

#include "gtm/base/clock.h"
#include "gtm/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a (Fowler, Noll, Vo): no secret, only "is it another one?". */
static void mix(uint64_t *hash, uint64_t v)
{
    for (int i = 0; i < 8; i++, v >>= 8)
        *hash = (*hash ^ (v & 0xff)) * 0x100000001b3u;
}

struct gtm_geo_print gtm_geo_fingerprint(char *const *paths, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        for (const char *p = paths[i]; *p; p++)
            mix(&hash, (unsigned char)*p);
        if (stat(paths[i], &st)) {
            mix(&hash, (uint64_t)errno);
            continue;
        }
        mix(&hash, st.st_dev);
        mix(&hash, st.st_ino);
        mix(&hash, (uint64_t)st.st_size);
        mix(&hash, (uint64_t)st.st_mtim.tv_sec);
        mix(&hash, (uint64_t)st.st_mtim.tv_nsec);
    }
    return (struct gtm_geo_print){hash};
}

static size_t aligned(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static bool write_all(int fd, const void *data, size_t len, size_t at)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* The three tables into an unlinked file; false: not possible, all stays in the heap. */
static bool move_out(struct gtm_geo *geo, const char *data_dir)
{
    struct dns_geodb *db = geo->db, *mapped = gtm_calloc(1, sizeof(*mapped));
    size_t loc_bytes = db->locations_count * sizeof(*db->locations);
    size_t v4_bytes = db->v4_count * sizeof(*db->v4), v6_bytes = db->v6_count * sizeof(*db->v6);
    size_t v4_at = aligned(loc_bytes), v6_at = v4_at + aligned(v4_bytes);
    size_t total = v6_at + aligned(v6_bytes) + 64;
    int fd = open(data_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    /* Room first: a page of a mapping that the disk has no room for would be a SIGBUS. */
    if (mapped && fd >= 0 && !posix_fallocate(fd, 0, (off_t)total) &&
        write_all(fd, db->locations, loc_bytes, 0) && write_all(fd, db->v4, v4_bytes, v4_at) &&
        write_all(fd, db->v6, v6_bytes, v6_at))
        map = mmap(NULL, total, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED) {
        gtm_free(mapped);
        return false;
    }
    char *base = map;
    *mapped = (struct dns_geodb){.locations = (void *)base,
                                 .locations_count = db->locations_count,
                                 .v4 = (void *)(base + v4_at),
                                 .v4_count = db->v4_count,
                                 .v6 = (void *)(base + v6_at),
                                 .v6_count = db->v6_count};
    dns_geodb_free(db);
    geo->db = mapped;
    geo->map = map;
    geo->map_bytes = total;
    return true;
}

struct gtm_geo *gtm_geo_load(char *const *paths, size_t count, const char *data_dir,
                             struct gtm_error *err)
{
    struct gtm_geo *geo = gtm_calloc(1, sizeof(*geo));
    if (!geo) {
        gtm_error_set(err, GTM_ENOMEM, "out of memory");
        return NULL;
    }
    geo->refs = 1;
    geo->print = gtm_geo_fingerprint(paths, count);
    for (; geo->count < count && geo->count < GTM_GEO_DBS_MAX; geo->count++) {
        geo->paths[geo->count] = gtm_strdup(paths[geo->count]);
        if (!geo->paths[geo->count]) {
            gtm_error_set(err, GTM_ENOMEM, "out of memory");
            goto fail;
        }
    }
    geo->db = dns_geodb_load((const char *const *)geo->paths, geo->count, geo->infos, err);
    if (!geo->db)
        goto fail;
    if (data_dir)
        (void)move_out(geo, data_dir); /* else it stays in the heap, which costs memory only */
    geo->loaded_ms = gtm_wall_ms(gtm_clock_system());
    return geo;
fail:
    gtm_geo_unref(geo);
    return NULL;
}

struct gtm_geo *gtm_geo_ref(struct gtm_geo *geo)
{
    if (geo)
        __atomic_add_fetch(&geo->refs, 1, __ATOMIC_RELAXED);
    return geo;
}

void gtm_geo_unref(struct gtm_geo *geo)
{
    if (!geo || __atomic_sub_fetch(&geo->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (geo->map) {
        munmap(geo->map, geo->map_bytes);
        gtm_free(geo->db);
    } else {
        dns_geodb_free(geo->db);
    }
    for (size_t i = 0; i < geo->count; i++)
        gtm_free(geo->paths[i]);
    gtm_free(geo);
}

void gtm_geo_release_pages(const struct gtm_geo *geo)
{
    if (geo && geo->map)
        madvise(geo->map, geo->map_bytes, MADV_DONTNEED);
}

int64_t gtm_geo_built_s(const struct gtm_geo *geo)
{
    int64_t newest = 0;
    for (size_t i = 0; i < geo->count; i++)
        if (geo->infos[i].built_s > newest)
            newest = geo->infos[i].built_s;
    return newest;
}
