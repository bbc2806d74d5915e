/* SPDX-License-Identifier: Apache-2.0
 *
 * See mmdb_write.h. Format: MaxMind DB File Format Specification 2.0.
 */
#include "tests/support/mmdb_write.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A record while the tree is built: nothing, an inner node, or data. */
#define RECORD_EMPTY 0u
#define RECORD_DATA  0x80000000u

static void *grown(void *array, size_t *cap, size_t need, size_t elem_bytes)
{
    if (need <= *cap)
        return array;
    *cap = need * 2 > 64 ? need * 2 : 64;
    void *p = realloc(array, *cap * elem_bytes);
    if (!p)
        abort();
    return p;
}

void mmdb_bytes_fini(struct mmdb_bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}

void mmdb_raw(struct mmdb_bytes *bytes, const void *data, size_t len)
{
    bytes->data = grown(bytes->data, &bytes->cap, bytes->len + len, 1);
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

static void put_number(struct mmdb_bytes *bytes, uint64_t value, unsigned octets)
{
    for (unsigned i = 0; i < octets; i++) {
        uint8_t octet = (uint8_t)(value >> (8 * (octets - 1 - i)));
        mmdb_raw(bytes, &octet, 1);
    }
}

static void put_head(struct mmdb_bytes *bytes, unsigned type, size_t size)
{
    unsigned code = size < 29 ? (unsigned)size : size < 285 ? 29 : size < 65821 ? 30 : 31;
    put_number(bytes, (type <= 7 ? type << 5 : 0) | code, 1);
    if (type > 7)
        put_number(bytes, type - 7, 1);
    if (code == 29)
        put_number(bytes, size - 29, 1);
    else if (code == 30)
        put_number(bytes, size - 285, 2);
    else if (code == 31)
        put_number(bytes, size - 65821, 3);
}

void mmdb_map(struct mmdb_bytes *bytes, unsigned pairs)
{
    put_head(bytes, 7, pairs);
}

void mmdb_array(struct mmdb_bytes *bytes, unsigned elements)
{
    put_head(bytes, 11, elements);
}

void mmdb_string(struct mmdb_bytes *bytes, const char *s)
{
    put_head(bytes, 2, strlen(s));
    mmdb_raw(bytes, s, strlen(s));
}

void mmdb_double(struct mmdb_bytes *bytes, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    put_head(bytes, 3, 8);
    put_number(bytes, bits, 8);
}

void mmdb_float(struct mmdb_bytes *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_head(bytes, 15, 4);
    put_number(bytes, bits, 4);
}

void mmdb_uint32(struct mmdb_bytes *bytes, uint32_t value)
{
    put_head(bytes, 6, 4);
    put_number(bytes, value, 4);
}

void mmdb_pointer(struct mmdb_bytes *bytes, uint32_t offset)
{
    put_number(bytes, 1u << 5 | 3u << 3, 1);
    put_number(bytes, offset, 4);
}

static uint32_t new_node(struct mmdb_writer *w, uint32_t both)
{
    w->nodes = grown(w->nodes, &w->nodes_cap, w->nodes_count + 1, sizeof(*w->nodes));
    w->nodes[w->nodes_count].child[0] = w->nodes[w->nodes_count].child[1] = both;
    return (uint32_t)w->nodes_count++;
}

void mmdb_writer_init(struct mmdb_writer *w, unsigned ip_version, unsigned record_size,
                      const char *type)
{
    memset(w, 0, sizeof(*w));
    w->ip_version = ip_version;
    w->record_size = record_size;
    w->major_version = 2;
    w->type = type;
    new_node(w, RECORD_EMPTY);
}

void mmdb_writer_fini(struct mmdb_writer *w)
{
    mmdb_bytes_fini(&w->data);
    free(w->nodes);
    memset(w, 0, sizeof(*w));
}

/* Walks down bits of the address, making nodes, and sets the record there. */
static void set_record(struct mmdb_writer *w, const uint8_t *addr, unsigned bits, uint32_t record)
{
    uint32_t node = 0;
    for (unsigned i = 0; i + 1 < bits; i++) {
        unsigned bit = addr[i / 8] >> (7 - i % 8) & 1;
        uint32_t next = w->nodes[node].child[bit];
        if (next == RECORD_EMPTY || next & RECORD_DATA) {
            next = new_node(w, next);
            w->nodes[node].child[bit] = next;
        }
        node = next;
    }
    if (bits > 0)
        w->nodes[node].child[addr[(bits - 1) / 8] >> (7 - (bits - 1) % 8) & 1] = record;
    else
        w->nodes[0].child[0] = w->nodes[0].child[1] = record;
}

void mmdb_writer_add(struct mmdb_writer *w, int family, const uint8_t *addr, unsigned prefix_len,
                     uint32_t offset)
{
    uint8_t key[16] = {0};
    if (family == 4 && w->ip_version == 6) {
        memcpy(key + 12, addr, 4);
        prefix_len += 96;
    } else {
        memcpy(key, addr, family == 4 ? 4 : 16);
    }
    set_record(w, key, prefix_len, RECORD_DATA | offset);
}

void mmdb_writer_alias(struct mmdb_writer *w, const uint8_t *addr, unsigned prefix_len, int to_root)
{
    uint32_t node = 0;
    for (unsigned i = 0; i < 96 && !to_root; i++)
        node = w->nodes[node].child[0]; /* ::/96 must have networks already */
    /* The top is node 0, which means "empty" while the tree is built; 1 never leads upwards. */
    set_record(w, addr, prefix_len, to_root ? 1 : node);
}

static void put_node(struct mmdb_bytes *out, unsigned record_size, const uint32_t records[2])
{
    if (record_size == 28) {
        put_number(out, records[0] & 0xffffff, 3);
        put_number(out, (records[0] >> 24 & 15) << 4 | (records[1] >> 24 & 15), 1);
        put_number(out, records[1] & 0xffffff, 3);
        return;
    }
    put_number(out, records[0], record_size / 8);
    put_number(out, records[1], record_size / 8);
}

static void put_metadata(const struct mmdb_writer *w, struct mmdb_bytes *out)
{
    mmdb_raw(out, "\xab\xcd\xefMaxMind.com", 14);
    mmdb_map(out, 9);
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"binary_format_major_version", w->major_version},
                   {"binary_format_minor_version", 0},
                   {"ip_version", w->ip_version},
                   {"node_count", (uint32_t)w->nodes_count},
                   {"record_size", w->record_size}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        mmdb_string(out, numbers[i].key);
        /* The format wants 16 bits everywhere but for the node count. */
        bool wide = strcmp(numbers[i].key, "node_count") == 0;
        put_head(out, wide ? 6 : 5, wide ? 4 : 2);
        put_number(out, numbers[i].value, wide ? 4 : 2);
    }
    mmdb_string(out, "build_epoch");
    put_head(out, 9, 8);
    put_number(out, 1700000000, 8);
    mmdb_string(out, "database_type");
    mmdb_string(out, w->type);
    mmdb_string(out, "description");
    mmdb_map(out, 1);
    mmdb_string(out, "en");
    mmdb_string(out, "made by a test");
    mmdb_string(out, "languages");
    mmdb_array(out, 1);
    mmdb_string(out, "en");
}

void mmdb_writer_finish(const struct mmdb_writer *w, struct mmdb_bytes *ret)
{
    static const uint8_t separator[16];
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < w->nodes_count; i++) {
        uint32_t records[2];
        for (int side = 0; side < 2; side++) {
            uint32_t record = w->nodes[i].child[side];
            if (record == RECORD_EMPTY)
                record = (uint32_t)w->nodes_count;
            else if (record & RECORD_DATA)
                record = (uint32_t)w->nodes_count + 16 + (record & ~RECORD_DATA);
            records[side] = record;
        }
        put_node(ret, w->record_size, records);
    }
    mmdb_raw(ret, separator, sizeof(separator));
    mmdb_raw(ret, w->data.data, w->data.len);
    put_metadata(w, ret);
}

void mmdb_save(const struct mmdb_bytes *bytes, const char *path)
{
    unlink(path); /* a file system may flush to disk when a file is cut to nothing and refilled */
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes->data, 1, bytes->len, f) != bytes->len || fclose(f) != 0) {
        perror(path);
        abort();
    }
}
