/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads MaxMind DB files (.mmdb: GeoLite2, GeoIP2, DB-IP, IPinfo and the like) through
 * libmaxminddb: walks the whole search tree and decodes each record once. Everything the library is
 * shown has been proved finite first (geodb_guard.c), and the walk is bounded by the number of
 * nodes. See geodb_internal.h.
 */
#include "dns/geodb_internal.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"

#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKER               "\xab\xcd\xefMaxMind.com"
#define MARKER_BYTES         14
#define METADATA_MAX_BYTES   (128 * 1024) /* the specification's own bound */
#define METADATA_VALUES_MAX  4096
#define RECORD_VALUES_MAX    65536
#define READ_MAX_MS          60000
#define DATA_SEPARATOR_BYTES 16 /* between the tree and the data */
#define VISITS_PER_CHECK     4096

struct mmdb_reader {
    MMDB_s mmdb;
    struct dns__geo_builder *builder;
    struct dns__hash64 records; /* offset in the data section → location */
    uint64_t values_budget;     /* values of all records together */
    uint64_t visits_left;       /* nodes */
    uint64_t deadline_ms;
    uint64_t networks;
};

/* The last marker within the last 128 KiB; the metadata follow it. NULL when there is none. */
static const uint8_t *find_metadata(const struct dns__geo_image *image)
{
    size_t span = image->size < METADATA_MAX_BYTES ? image->size : METADATA_MAX_BYTES;
    const uint8_t *end = image->data + image->size, *start = end - span;
    for (const uint8_t *p = end - MARKER_BYTES; span >= MARKER_BYTES && p >= start; p--)
        if (memcmp(p, MARKER, MARKER_BYTES) == 0)
            return p + MARKER_BYTES;
    return NULL;
}

bool dns__geo_is_mmdb(const struct dns__geo_image *image)
{
    return find_metadata(image) != NULL;
}

/* The value at a path (a NULL-terminated list), following pointers; absent is not an error. */
static int get(MMDB_entry_s *entry, const char *const *path, MMDB_entry_data_s *ret)
{
    int status = MMDB_aget_value(entry, ret, path);
    if (status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR ||
        status == MMDB_INVALID_LOOKUP_PATH_ERROR) {
        ret->has_data = false;
        return GTM_OK;
    }
    return status == MMDB_SUCCESS ? GTM_OK : GTM_ECORRUPT;
}

#define PATHS_MAX 4
#define PATH(...)         \
    {                     \
        __VA_ARGS__, NULL \
    }
struct field_paths {
    const char *paths[PATHS_MAX][4]; /* the nested layout first, then the flat ones */
};
static const struct field_paths country_paths = {
    {PATH("country", "iso_code"), PATH("country_code"), PATH("country")}};
static const struct field_paths continent_paths = {
    {PATH("continent", "code"), PATH("continent_code"), PATH("continent")}};
static const struct field_paths subdivision_paths = {{PATH("subdivisions", "0", "iso_code"),
                                                      PATH("subdivision"), PATH("region_code"),
                                                      PATH("region")}};
static const struct field_paths latitude_paths = {
    {PATH("location", "latitude"), PATH("latitude"), PATH("lat")}};
static const struct field_paths longitude_paths = {
    {PATH("location", "longitude"), PATH("longitude"), PATH("lng"), PATH("lon")}};
static const struct field_paths asn_paths = {
    {PATH("autonomous_system_number"), PATH("asn"), PATH("as_number")}};

struct scalar {
    bool is_text, is_number;
    char text[32];
    double number;
};

static void take_scalar(const MMDB_entry_data_s *data, struct scalar *ret)
{
    ret->is_number = true;
    switch (data->type) {
    case MMDB_DATA_TYPE_UTF8_STRING:
        ret->is_number = false;
        ret->is_text = data->data_size > 0 && data->data_size < sizeof(ret->text);
        if (ret->is_text)
            memcpy(ret->text, data->utf8_string, data->data_size);
        break;
    case MMDB_DATA_TYPE_DOUBLE:
        ret->number = data->double_value;
        break;
    case MMDB_DATA_TYPE_FLOAT:
        ret->number = (double)data->float_value;
        break;
    case MMDB_DATA_TYPE_UINT16:
        ret->number = data->uint16;
        break;
    case MMDB_DATA_TYPE_UINT32:
        ret->number = data->uint32;
        break;
    case MMDB_DATA_TYPE_INT32:
        ret->number = data->int32;
        break;
    case MMDB_DATA_TYPE_UINT64:
        ret->number = (double)data->uint64;
        break;
    default:
        ret->is_number = false;
        break;
    }
}

/* The first of the paths that holds a short text or a number. */
static int get_scalar(MMDB_entry_s *entry, const struct field_paths *field, struct scalar *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (int i = 0; i < PATHS_MAX && field->paths[i][0]; i++) {
        MMDB_entry_data_s data;
        int rc = get(entry, field->paths[i], &data);
        if (rc)
            return rc;
        if (data.has_data)
            take_scalar(&data, ret);
        if (ret->is_text || ret->is_number)
            break;
    }
    return GTM_OK;
}

/* Letters and digits of ASCII, upper-cased, exactly min..max of them; else out stays "". */
static void take_code(const char *text, size_t min, size_t max, char *out)
{
    size_t len = strlen(text);
    if (len < min || len > max)
        return;
    for (size_t i = 0; i < len; i++) {
        char c = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) {
            memset(out, 0, max);
            return;
        }
        out[i] = c;
    }
}

static bool take_degrees(const struct scalar *scalar, double limit, float *ret)
{
    double degrees = scalar->number;
    if (scalar->is_text) {
        char *end;
        degrees = strtod(scalar->text, &end);
        if (end == scalar->text || *end != '\0')
            return false;
    } else if (!scalar->is_number) {
        return false;
    }
    *ret = (float)degrees;
    return degrees >= -limit && degrees <= limit; /* false for NaN */
}

static uint32_t take_asn(const struct scalar *scalar)
{
    double asn = scalar->number;
    if (scalar->is_text) {
        const char *digits = scalar->text;
        if ((digits[0] == 'A' || digits[0] == 'a') && (digits[1] == 'S' || digits[1] == 's'))
            digits += 2;
        if (digits[0] < '0' || digits[0] > '9')
            return 0;
        char *end;
        asn = (double)strtoull(digits, &end, 10);
        if (*end != '\0' && *end != ' ') /* "AS15169 Google LLC" */
            return 0;
    }
    return asn >= 1 && asn <= UINT32_MAX ? (uint32_t)asn : 0;
}

/* Fills *ret from the record at `offset` of the data section. */
static int read_location(struct mmdb_reader *reader, MMDB_entry_s *entry, struct gtm_location *ret)
{
    struct scalar country, continent, subdivision, lat, lon, asn;
    memset(ret, 0, sizeof(*ret));
    if (reader->values_budget == 0)
        return GTM_ELIMIT;
    uint64_t most =
        reader->values_budget < RECORD_VALUES_MAX ? reader->values_budget : RECORD_VALUES_MAX;
    uint64_t left = most;
    int rc = dns__mmdb_check_value(reader->mmdb.data_section, reader->mmdb.data_section_size,
                                   entry->offset, &left);
    reader->values_budget -= most - left;
    if (rc || (rc = get_scalar(entry, &country_paths, &country)) ||
        (rc = get_scalar(entry, &continent_paths, &continent)) ||
        (rc = get_scalar(entry, &subdivision_paths, &subdivision)) ||
        (rc = get_scalar(entry, &latitude_paths, &lat)) ||
        (rc = get_scalar(entry, &longitude_paths, &lon)) ||
        (rc = get_scalar(entry, &asn_paths, &asn)))
        return rc;
    take_code(country.text, 2, 2, ret->country);
    take_code(continent.text, 2, 2, ret->continent);
    if (!gtm_continent_valid(ret->continent))
        memset(ret->continent, 0, sizeof(ret->continent));
    bool prefixed = strlen(subdivision.text) > 3 && subdivision.text[2] == '-'; /* "US-CA" */
    take_code(subdivision.text + (prefixed ? 3 : 0), 1, 3, ret->subdivision);
    ret->has_point = take_degrees(&lat, 90, &ret->lat) && take_degrees(&lon, 180, &ret->lon);
    ret->asn = take_asn(&asn);
    return GTM_OK;
}

static int record_location(struct mmdb_reader *reader, MMDB_entry_s *entry, uint32_t *ret)
{
    uint32_t *place;
    int rc = dns__hash64_place(&reader->records, entry->offset, &place);
    if (rc)
        return rc;
    if (*place == DNS__HASH_NONE) {
        struct gtm_location loc;
        *place = 0;
        rc = read_location(reader, entry, &loc);
        if (!rc)
            rc = dns__geo_intern(reader->builder, &loc, place);
        if (rc)
            return rc;
    }
    *ret = *place;
    return GTM_OK;
}

/* What a record of the search tree stands for: all addresses that begin with `depth` bits of key.
 */
struct tree_record {
    uint8_t type;
    unsigned depth;
    uint32_t node; /* of the next level, when type says so */
    MMDB_entry_s entry;
    dns__key key;
};

static int add_record(struct mmdb_reader *reader, struct tree_record *record)
{
    uint32_t loc;
    int rc = record_location(reader, &record->entry, &loc);
    if (rc)
        return rc;
    reader->networks++;
    dns__key last = record->key | dns__key_tail(record->depth);
    if (reader->mmdb.metadata.ip_version == 4)
        return dns__geo_add(reader->builder, 4, record->key, last, loc);
    if (record->key >> 32 == 0) { /* inside or around ::/96, where the IPv4 addresses live */
        bool inside = record->depth >= 96;
        rc = dns__geo_add(reader->builder, 4, inside ? record->key << 96 : 0,
                          inside ? last << 96 | dns__key_tail(32) : DNS__KEY_MAX, loc);
        if (rc || inside)
            return rc;
    }
    return dns__geo_add(reader->builder, 6, record->key, last, loc);
}

/* True for the places where writers of IPv6 trees repeat the IPv4 tree (::ffff:0:0/96, 2002::/16,
 * 2001::/32, …): listing it again would only cost memory. */
static bool is_alias(const struct mmdb_reader *reader, const struct tree_record *record)
{
    const MMDB_ipv4_start_node_s *start = &reader->mmdb.ipv4_start_node;
    if (reader->mmdb.metadata.ip_version != 6 || record->depth == 0)
        return false;
    if (record->depth == 96 && record->key >> 32 == 0xffff)
        return true;
    return start->netmask == 96 && record->node == start->node_value &&
           !(record->depth == 96 && record->key == 0);
}

static int check_effort(struct mmdb_reader *reader)
{
    if (reader->visits_left == 0)
        return GTM_ECORRUPT; /* more visits than nodes: parts of the tree are reached again */
    if (--reader->visits_left % VISITS_PER_CHECK == 0 &&
        gtm_mono_ms(gtm_clock_system()) > reader->deadline_ms)
        return GTM_ETIMEOUT;
    return GTM_OK;
}

static int push_children(struct mmdb_reader *reader, const struct tree_record *parent,
                         struct tree_record *ret_left, struct tree_record *ret_right)
{
    MMDB_search_node_s node;
    unsigned width = reader->mmdb.metadata.ip_version == 4 ? 32 : 128;
    int rc = check_effort(reader);
    if (rc)
        return rc;
    if (parent->depth >= width ||
        MMDB_read_node(&reader->mmdb, parent->node, &node) != MMDB_SUCCESS)
        return GTM_ECORRUPT;
    *ret_left = (struct tree_record){.type = node.left_record_type,
                                     .depth = parent->depth + 1,
                                     .node = (uint32_t)node.left_record,
                                     .entry = node.left_record_entry,
                                     .key = parent->key};
    *ret_right = (struct tree_record){.type = node.right_record_type,
                                      .depth = parent->depth + 1,
                                      .node = (uint32_t)node.right_record,
                                      .entry = node.right_record_entry,
                                      .key = parent->key | (dns__key)1 << (127 - parent->depth)};
    return GTM_OK;
}

/* In address order, with a stack of one open right side per level. */
static int walk_tree(struct mmdb_reader *reader)
{
    struct tree_record stack[132];
    unsigned count = 0;
    stack[count++] = (struct tree_record){.type = MMDB_RECORD_TYPE_SEARCH_NODE};
    while (count > 0) {
        struct tree_record record = stack[--count];
        int rc = GTM_OK;
        switch (record.type) {
        case MMDB_RECORD_TYPE_EMPTY:
            break;
        case MMDB_RECORD_TYPE_DATA:
            rc = add_record(reader, &record);
            break;
        case MMDB_RECORD_TYPE_SEARCH_NODE:
            if (is_alias(reader, &record))
                break;
            rc = push_children(reader, &record, &stack[count + 1], &stack[count]);
            count += 2;
            break;
        default:
            rc = GTM_ECORRUPT;
            break;
        }
        if (rc)
            return rc;
    }
    return GTM_OK;
}

static int open_mmdb(const struct dns__geo_image *image, MMDB_s *mmdb, struct gtm_error *err)
{
    char path[64];
    const uint8_t *metadata = find_metadata(image);
    uint64_t budget = METADATA_VALUES_MAX;
    int rc = metadata ? dns__mmdb_check_value(
                            metadata, (size_t)(image->data + image->size - metadata), 0, &budget)
                      : GTM_ECORRUPT;
    if (rc)
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged MaxMind DB (metadata)");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
    int status = MMDB_open(path, MMDB_MODE_MMAP, mmdb);
    if (status == MMDB_UNKNOWN_DATABASE_FORMAT_ERROR)
        return gtm_error_set(err, GTM_EUNSUPPORTED,
                             "has a MaxMind DB format version that this build cannot read "
                             "(it reads version 2)");
    if (status != MMDB_SUCCESS)
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged MaxMind DB: %s",
                             MMDB_strerror(status));
    const char *wrong = NULL;
    /* The library multiplies these two in 32 bits: a count that wraps around would pass its check.
     */
    uint64_t tree_bytes = (uint64_t)mmdb->metadata.node_count * mmdb->full_record_byte_size;
    if (mmdb->metadata.ip_version != 4 && mmdb->metadata.ip_version != 6)
        wrong = "ip_version";
    else if (tree_bytes + DATA_SEPARATOR_BYTES > image->size)
        wrong = "node_count";
    if (wrong) {
        MMDB_close(mmdb);
        return gtm_error_set(err, GTM_ECORRUPT, "is a damaged MaxMind DB (%s)", wrong);
    }
    return GTM_OK;
}

int dns__geo_read_mmdb(const struct dns__geo_image *image, struct dns__geo_builder *builder,
                       struct dns_geodb_info *info, struct gtm_error *err)
{
    struct mmdb_reader reader = {.builder = builder};
    int rc = open_mmdb(image, &reader.mmdb, err);
    if (rc)
        return rc;
    /* Each node is visited once in a sound tree; aliases other than IPv4's may repeat a little. */
    reader.visits_left = 1000 + 2 * (uint64_t)reader.mmdb.metadata.node_count;
    reader.values_budget = 1000000 + 32 * (uint64_t)image->size;
    reader.deadline_ms = gtm_mono_ms(gtm_clock_system()) + READ_MAX_MS;
    rc = walk_tree(&reader);
    if (rc)
        gtm_error_set(err, rc, "is a damaged MaxMind DB, after %llu networks: %s",
                      (unsigned long long)reader.networks, gtm_err_text(rc));
    uint64_t built_s = reader.mmdb.metadata.build_epoch;
    const char *type = reader.mmdb.metadata.database_type;
    snprintf(info->kind, sizeof(info->kind), "mmdb");
    snprintf(info->type, sizeof(info->type), "%s", type ? type : "");
    info->built_s = built_s <= INT64_MAX ? (int64_t)built_s : 0;
    info->networks = reader.networks;
    MMDB_close(&reader.mmdb);
    dns__hash64_fini(&reader.records);
    return rc;
}
