/* SPDX-License-Identifier: Apache-2.0
 *
 * A small writer of MaxMind DB files (.mmdb), for tests: trees of both families, the three record
 * sizes, IPv4 aliases, and raw bytes wherever a hostile file needs them. Aborts when memory runs
 * out. One thread.
 */
#ifndef TESTS_SUPPORT_MMDB_WRITE_H
#define TESTS_SUPPORT_MMDB_WRITE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the data section or of the metadata while they are put together. Zero-initialise, then
 * mmdb_bytes_fini. */
struct mmdb_bytes {
    uint8_t *data;
    size_t len, cap;
};
void mmdb_bytes_fini(struct mmdb_bytes *bytes);
void mmdb_raw(struct mmdb_bytes *bytes, const void *data, size_t len);
/* The head of a map or an array; that many pairs or elements follow. */
void mmdb_map(struct mmdb_bytes *bytes, unsigned pairs);
void mmdb_array(struct mmdb_bytes *bytes, unsigned elements);
void mmdb_string(struct mmdb_bytes *bytes, const char *s);
void mmdb_double(struct mmdb_bytes *bytes, double value);
void mmdb_float(struct mmdb_bytes *bytes, float value);
void mmdb_uint32(struct mmdb_bytes *bytes, uint32_t value);
void mmdb_pointer(struct mmdb_bytes *bytes, uint32_t offset);

struct mmdb_writer {
    unsigned ip_version, record_size; /* 4 or 6; 24, 28 or 32 */
    unsigned major_version;           /* 2 */
    const char *type;
    struct mmdb_bytes data; /* the data section; records are offsets into it */
    struct {
        uint32_t child[2];
    } * nodes;
    size_t nodes_count, nodes_cap;
};

void mmdb_writer_init(struct mmdb_writer *w, unsigned ip_version, unsigned record_size,
                      const char *type);
void mmdb_writer_fini(struct mmdb_writer *w);
/* Gives all addresses of a network the record at `offset` of the data section; a later, smaller
 * network overrides. family 4 in a tree of 6 goes to ::/96. */
void mmdb_writer_add(struct mmdb_writer *w, int family, const uint8_t *addr, unsigned prefix_len,
                     uint32_t offset);
/* Lets a network of an IPv6 tree lead to the IPv4 tree (2002::/16 and the like), or, with
 * to_root, to a node near the top: a loop. */
void mmdb_writer_alias(struct mmdb_writer *w, const uint8_t *addr, unsigned prefix_len,
                       int to_root);
/* The whole file; the caller finishes *ret. */
void mmdb_writer_finish(const struct mmdb_writer *w, struct mmdb_bytes *ret);

/* Writes bytes to a new file; aborts on failure. */
void mmdb_save(const struct mmdb_bytes *bytes, const char *path);

#endif
