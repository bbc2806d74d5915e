/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads geography databases: copies each file to private memory, finds its kind, has it read, and
 * layers the results. Also the look-up in the lists. See geodb.h; worker threads.
 */
#include "dns/geodb.h"

#include "dns/geodb_internal.h"
#include "gtm/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void image_close(struct dns__geo_image *image)
{
    if (image->data)
        munmap(image->data, image->size);
    if (image->fd >= 0)
        close(image->fd);
    image->data = NULL;
    image->fd = -1;
}

static int check_file(int fd, struct stat *ret_st, struct gtm_error *err)
{
    if (fstat(fd, ret_st) != 0)
        return gtm_error_set(err, gtm_err_from_errno(errno), "%s", strerror(errno));
    if (S_ISDIR(ret_st->st_mode))
        return gtm_error_set(err, GTM_EINVAL, "is a directory, not a geography database");
    if (!S_ISREG(ret_st->st_mode))
        return gtm_error_set(err, GTM_EINVAL, "is not a regular file");
    if (ret_st->st_size == 0)
        return gtm_error_set(err, GTM_ECORRUPT, "is empty");
    if ((uint64_t)ret_st->st_size > DNS__GEO_FILE_MAX_BYTES)
        return gtm_error_set(err, GTM_ELIMIT, "is larger than %zu MiB",
                             DNS__GEO_FILE_MAX_BYTES >> 20);
    return GTM_OK;
}

static int image_fill(struct dns__geo_image *image, int from, struct gtm_error *err)
{
    size_t have = 0;
    while (have < image->size) {
        ssize_t n = read(from, image->data + have, image->size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gtm_error_set(err, GTM_EIO, "cannot be read: %s", strerror(errno));
        if (n == 0)
            return gtm_error_set(err, GTM_EIO, "became shorter while it was read");
        have += (size_t)n;
    }
    return GTM_OK;
}

static int image_open(struct dns__geo_image *image, const char *path, struct gtm_error *err)
{
    struct stat st;
    *image = (struct dns__geo_image){.path = path, .fd = -1};
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return gtm_error_set(err, gtm_err_from_errno(errno), "cannot be opened: %s",
                             strerror(errno));
    int rc = check_file(from, &st, err);
    if (rc)
        goto out;
    image->size = (size_t)st.st_size;
    image->fd = memfd_create("gtm-geodb", MFD_CLOEXEC);
    if (image->fd < 0 || ftruncate(image->fd, st.st_size) != 0) {
        rc = gtm_error_set(err, GTM_ENOMEM, "cannot be copied to memory: %s", strerror(errno));
        goto out;
    }
    void *data = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_SHARED, image->fd, 0);
    if (data == MAP_FAILED) {
        rc = gtm_error_set(err, GTM_ENOMEM, "cannot be copied to memory: %s", strerror(errno));
        goto out;
    }
    image->data = data;
    rc = image_fill(image, from, err);
out:
    close(from);
    if (rc)
        image_close(image);
    return rc;
}

static int read_image(const struct dns__geo_image *image, struct dns__geo_builder *builder,
                      struct dns_geodb_info *info, struct gtm_error *err)
{
    if (dns__geo_is_loc(image))
        return dns__geo_read_loc(image, builder, info, err);
    if (dns__geo_is_mmdb(image))
        return dns__geo_read_mmdb(image, builder, info, err);
    return gtm_error_set(err, GTM_EUNSUPPORTED,
                         "is neither a libloc database nor a MaxMind DB (.mmdb)");
}

/* One file, alone; locations not completed yet. NULL on failure. */
static struct dns_geodb *load_one(const char *path, struct dns_geodb_info *info,
                                  struct gtm_error *err)
{
    struct dns__geo_image image;
    struct dns__geo_builder builder;
    struct dns_geodb *db = NULL;
    memset(info, 0, sizeof(*info));
    if (image_open(&image, path, err))
        return NULL;
    int rc = dns__geo_builder_init(&builder);
    if (rc)
        gtm_error_set(err, rc, "%s", gtm_err_text(rc));
    else
        rc = read_image(&image, &builder, info, err);
    if (!rc) {
        db = dns__geo_builder_take(&builder);
        if (!db)
            gtm_error_set(err, GTM_ENOMEM, "does not fit into memory");
    }
    if (db && db->v4_count + db->v6_count == 0) {
        gtm_error_set(err, GTM_EINVAL, "says nothing about places or networks (type \"%s\")",
                      info->type);
        dns_geodb_free(db);
        db = NULL;
    }
    dns__geo_builder_fini(&builder);
    image_close(&image);
    return db;
}

/* Gives back what growing by doubling left over. A refusal changes nothing. */
static void shrink(void **array, size_t count, size_t elem_bytes)
{
    void *fit = *array ? gtm_realloc(*array, count * elem_bytes) : NULL;
    if (fit)
        *array = fit;
}

static void finish(struct dns_geodb *db)
{
    for (size_t i = 1; i < db->locations_count; i++)
        gtm_location_complete(&db->locations[i]);
    shrink((void **)&db->locations, db->locations_count, sizeof(*db->locations));
    shrink((void **)&db->v4, db->v4_count, sizeof(*db->v4));
    shrink((void **)&db->v6, db->v6_count, sizeof(*db->v6));
}

struct dns_geodb *dns_geodb_load(const char *const *paths, size_t paths_count,
                                 struct dns_geodb_info *infos, struct gtm_error *err)
{
    struct dns_geodb *db = NULL;
    if (paths_count == 0) {
        gtm_error_set(err, GTM_EINVAL, "no geography database is named");
        return NULL;
    }
    for (size_t i = 0; i < paths_count; i++) {
        struct dns_geodb_info info;
        struct gtm_error why = {0};
        struct dns_geodb *next = load_one(paths[i], &info, &why);
        if (!next) {
            gtm_error_at(err, why.code, paths[i], 0, 0, "%s", why.text);
            dns_geodb_free(db);
            return NULL;
        }
        if (infos)
            infos[i] = info;
        if (!db) {
            db = next;
            continue;
        }
        struct dns_geodb *merged = dns__geo_merge(db, next, err);
        dns_geodb_free(db);
        dns_geodb_free(next);
        if (!merged)
            return NULL;
        db = merged;
    }
    finish(db);
    return db;
}

void dns_geodb_free(struct dns_geodb *db)
{
    if (!db)
        return;
    gtm_free(db->locations);
    gtm_free(db->v4);
    gtm_free(db->v6);
    gtm_free(db);
}

static uint32_t find4(const struct dns_geodb *db, uint32_t addr, unsigned *ret_prefix_len)
{
    size_t low = 0, high = db->v4_count; /* the last leaf that starts at or before addr */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (db->v4[mid].addr <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return 0;
    const struct dns_geo_leaf4 *leaf = &db->v4[low - 1];
    if ((uint64_t)(addr ^ leaf->addr) >> (32 - leaf->prefix_len))
        return 0;
    *ret_prefix_len = leaf->prefix_len;
    return leaf->loc;
}

static uint32_t find6(const struct dns_geodb *db, dns__key addr, unsigned *ret_prefix_len)
{
    size_t low = 0, high = db->v6_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (dns__key_from(db->v6[mid].hi, db->v6[mid].lo) <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return 0;
    const struct dns_geo_leaf6 *leaf = &db->v6[low - 1];
    if ((addr ^ dns__key_from(leaf->hi, leaf->lo)) & ~dns__key_tail(leaf->prefix_len))
        return 0;
    *ret_prefix_len = leaf->prefix_len;
    return leaf->loc;
}

const struct gtm_location *dns_geodb_find(const struct dns_geodb *db, int family,
                                          const uint8_t *addr, unsigned *ret_prefix_len)
{
    dns__key key = dns__key_bytes(family, addr);
    unsigned prefix_len = 0;
    uint32_t loc = family == 4 ? find4(db, (uint32_t)(dns__key_hi(key) >> 32), &prefix_len)
                               : find6(db, key, &prefix_len);
    if (ret_prefix_len)
        *ret_prefix_len = prefix_len;
    return &db->locations[loc];
}
