/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads libloc's location.db (Debian: libloc-database) through libloc. The library trusts the
 * shape of the network tree, so that is checked first: a tree with a loop or deeper than an address
 * is long would keep it busy for ever or make it write outside its arrays. Flags of networks
 * (anonymous proxy, …) are ignored. See geodb_internal.h.
 */
#include "dns/geodb_internal.h"
#include "gtm/base/mem.h"

#include <libloc/country.h>
#include <libloc/database.h>
#include <libloc/libloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOC_MAGIC        "LOCDBXX"
#define LOC_MAGIC_BYTES  7
#define LOC_VERSION      1
#define LOC_HEADER_BYTES 4200 /* magic, version, header with two signatures of 2048, padding */
#define LOC_NODE_BYTES   12
#define LOC_RECORD_BYTES 12
#define LOC_NO_NETWORK   UINT32_MAX

/* Where the header (big endian) keeps offset and length of what libloc follows. */
enum loc_section {
    LOC_AT_NETWORKS = 36,
    LOC_AT_TREE = 44,
    LOC_AT_COUNTRIES = 52,
    LOC_AT_POOL = 60
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool dns__geo_is_loc(const struct dns__geo_image *image)
{
    return image->size > LOC_MAGIC_BYTES && memcmp(image->data, LOC_MAGIC, LOC_MAGIC_BYTES) == 0;
}

static bool section_inside(const struct dns__geo_image *image, enum loc_section at)
{
    uint64_t offset = be32(image->data + at), length = be32(image->data + at + 4);
    return offset + length <= image->size;
}

/* Every node is reached once, from one with a smaller number (so there is no loop), at a depth of
 * at most 128, and every network it names exists. depth[] gets each node's depth + 1. */
static bool tree_is_sound(const uint8_t *tree, size_t nodes, size_t records, uint8_t *depth)
{
    if (nodes == 0)
        return false;
    depth[0] = 1;
    for (size_t i = 0; i < nodes; i++) {
        const uint8_t *node = tree + i * LOC_NODE_BYTES;
        uint32_t network = be32(node + 8);
        if (network != LOC_NO_NETWORK && network >= records)
            return false;
        for (unsigned side = 0; side < 2; side++) {
            uint32_t child = be32(node + 4 * (size_t)side);
            if (child == 0)
                continue;
            if (child <= i || child >= nodes || depth[i] == 0 || depth[child] != 0 ||
                depth[i] > 128)
                return false;
            depth[child] = (uint8_t)(depth[i] + 1);
        }
    }
    return true;
}

/* libloc gives up on a code that is not two letters, and leaks the network that has it. */
static bool codes_are_sound(const uint8_t *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *code = records + i * LOC_RECORD_BYTES;
        if (code[0] != 0 && (code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z'))
            return false;
    }
    return true;
}

static int check_image(const struct dns__geo_image *image, struct gtm_error *err)
{
    if (image->data[LOC_MAGIC_BYTES] != LOC_VERSION)
        return gtm_error_set(err, GTM_EUNSUPPORTED,
                             "has libloc format version %u; this build reads version %d",
                             image->data[LOC_MAGIC_BYTES], LOC_VERSION);
    if (image->size < LOC_HEADER_BYTES || !section_inside(image, LOC_AT_NETWORKS) ||
        !section_inside(image, LOC_AT_TREE) || !section_inside(image, LOC_AT_COUNTRIES) ||
        !section_inside(image, LOC_AT_POOL))
        return gtm_error_set(err, GTM_ECORRUPT, "is a libloc database that has been cut off");
    size_t pool = be32(image->data + LOC_AT_POOL), pool_bytes = be32(image->data + LOC_AT_POOL + 4);
    if (pool_bytes == 0 || image->data[pool + pool_bytes - 1] != '\0')
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged libloc database (strings)");
    size_t nodes = be32(image->data + LOC_AT_TREE + 4) / LOC_NODE_BYTES;
    size_t records = be32(image->data + LOC_AT_NETWORKS + 4) / LOC_RECORD_BYTES;
    if (!codes_are_sound(image->data + be32(image->data + LOC_AT_NETWORKS), records))
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged libloc database (country codes)");
    uint8_t *depth = gtm_calloc(nodes, 1);
    if (!depth)
        return gtm_error_set(err, GTM_ENOMEM, "does not fit into memory");
    bool sound =
        tree_is_sound(image->data + be32(image->data + LOC_AT_TREE), nodes, records, depth);
    gtm_free(depth);
    if (!sound)
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged libloc database (network tree)");
    return GTM_OK;
}

/* The library prints to standard error by default. */
__attribute__((format(printf, 6, 0))) static void ignore_log(struct loc_ctx *ctx, int priority,
                                                             const char *file, int line,
                                                             const char *fn, const char *format,
                                                             va_list args)
{
    (void)ctx, (void)priority, (void)file, (void)line, (void)fn, (void)format, (void)args;
}

struct loc_reader {
    struct dns__geo_builder *builder;
    struct loc_database *db;
    struct dns__sweep sweep4, sweep6;
    uint64_t networks;
};

static int emit4(void *ctx, dns__key first, dns__key last, uint32_t loc)
{
    return dns__geo_add(((struct loc_reader *)ctx)->builder, 4, first, last, loc);
}

static int emit6(void *ctx, dns__key first, dns__key last, uint32_t loc)
{
    return dns__geo_add(((struct loc_reader *)ctx)->builder, 6, first, last, loc);
}

static bool is_code(const char *s)
{
    return s && s[0] >= 'A' && s[0] <= 'Z' && s[1] != '\0' && s[2] == '\0' &&
           ((s[1] >= 'A' && s[1] <= 'Z') || (s[1] >= '0' && s[1] <= '9'));
}

/* Codes that are no country of ours (EU, AP) may still have a continent in the database. */
static void fill_continent(const struct loc_reader *reader, struct gtm_location *loc)
{
    struct loc_country *country = NULL;
    if (gtm_country_find(loc->country) ||
        loc_database_get_country(reader->db, &country, loc->country) != 0 || !country)
        return;
    const char *continent = loc_country_get_continent_code(country);
    if (is_code(continent) && gtm_continent_valid(continent))
        memcpy(loc->continent, continent, 3);
    loc_country_unref(country);
}

static int add_network(struct loc_reader *reader, struct loc_network *network)
{
    struct gtm_location loc;
    memset(&loc, 0, sizeof(loc));
    const char *code = loc_network_get_country_code(network);
    if (is_code(code)) {
        memcpy(loc.country, code, 3);
        fill_continent(reader, &loc);
    }
    loc.asn = loc_network_get_asn(network);
    uint32_t number;
    int rc = dns__geo_intern(reader->builder, &loc, &number);
    if (rc)
        return rc;

    bool is4 = loc_network_address_family(network) == AF_INET;
    dns__key first = dns__key_bytes(6, loc_network_get_first_address(network)->s6_addr);
    unsigned prefix_len = loc_network_prefix(network);
    if (prefix_len > (is4 ? 32u : 128u))
        return GTM_ECORRUPT;
    if (is4) /* ::ffff:a.b.c.d */
        first = dns__key_from4((uint32_t)first);
    struct dns__sweep *sweep = is4 ? &reader->sweep4 : &reader->sweep6;
    first &= ~dns__key_tail(prefix_len);
    rc = dns__sweep_to(sweep, first);
    reader->networks++;
    return rc ? rc : dns__sweep_open(sweep, first, first | dns__key_tail(prefix_len), number);
}

static int add_networks(struct loc_reader *reader)
{
    struct loc_database_enumerator *all = NULL;
    if (loc_database_enumerator_new(&all, reader->db, LOC_DB_ENUMERATE_NETWORKS, 0) != 0)
        return GTM_ENOMEM;
    int rc = GTM_OK;
    while (!rc) {
        struct loc_network *network = NULL;
        if (loc_database_enumerator_next_network(all, &network) != 0) {
            rc = GTM_ECORRUPT;
            break;
        }
        if (!network)
            break;
        rc = add_network(reader, network);
        loc_network_unref(network);
    }
    loc_database_enumerator_unref(all);
    if (!rc)
        rc = dns__sweep_end(&reader->sweep4);
    return rc ? rc : dns__sweep_end(&reader->sweep6);
}

static int read_database(struct loc_database *db, struct dns__geo_builder *builder,
                         struct dns_geodb_info *info, struct gtm_error *err)
{
    struct loc_reader *reader = gtm_calloc(1, sizeof(*reader));
    if (!reader)
        return gtm_error_set(err, GTM_ENOMEM, "does not fit into memory");
    reader->builder = builder;
    reader->db = db;
    reader->sweep4 = (struct dns__sweep){.emit = emit4, .ctx = reader};
    reader->sweep6 = (struct dns__sweep){.emit = emit6, .ctx = reader};
    int rc = add_networks(reader);
    const char *vendor = loc_database_get_vendor(db);
    snprintf(info->kind, sizeof(info->kind), "libloc");
    snprintf(info->type, sizeof(info->type), "%s", vendor ? vendor : "");
    info->built_s = (int64_t)loc_database_created_at(db);
    info->networks = reader->networks;
    gtm_free(reader);
    if (rc)
        gtm_error_set(err, rc, "libloc database, after %llu networks: %s",
                      (unsigned long long)info->networks, gtm_err_text(rc));
    return rc;
}

int dns__geo_read_loc(const struct dns__geo_image *image, struct dns__geo_builder *builder,
                      struct dns_geodb_info *info, struct gtm_error *err)
{
    struct loc_ctx *ctx = NULL;
    struct loc_database *db = NULL;
    int rc = check_image(image, err);
    if (rc)
        return rc;
    /* libloc takes a FILE* and reads on from where it stands; the copy keeps ours open. */
    int fd = dup(image->fd);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        return gtm_error_set(err, GTM_EIO, "cannot be opened a second time");
    }
    rewind(file);
    if (loc_new(&ctx) != 0) { /* libloc's unref functions do not take NULL */
        fclose(file);
        return gtm_error_set(err, GTM_ENOMEM, "libloc cannot start");
    }
    loc_set_log_fn(ctx, ignore_log);
    loc_set_log_priority(ctx, 0);
    if (loc_database_new(ctx, &db, file) != 0) {
        rc = gtm_error_set(err, GTM_ECORRUPT, "is refused by libloc");
    } else {
        rc = read_database(db, builder, info, err);
        loc_database_unref(db);
    }
    loc_unref(ctx);
    fclose(file);
    return rc;
}
