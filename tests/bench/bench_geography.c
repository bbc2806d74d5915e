/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the country database in the forms that the peers of the DNS benchmark read, so that all
 * servers answer from the same geography. Neighbouring networks of one country are merged.
 *
 *     bench_geography DATABASE FOLDER REGION,LATITUDE,LONGITUDE...
 *
 * FOLDER/networks.txt   a network, its country and its regions from the nearest on, in each line
 * FOLDER/gdnsd.nets     the same as gdnsd's `nets` file
 * FOLDER/country.mmdb   country.iso_code, and the nearest region as continent.code: what a server
 *                       that picks from a .mmdb can look up with the least work
 */
#include "dns/geodb.h"
#include "gtm/model/location.h"
#include "tests/support/mmdb_write.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS_MAX  8
#define NAME_BYTES   32
#define COUNTRIES    (26 * 26)
#define PREFIX_DEPTH 130 /* open networks of one family: at most one for each prefix length */

struct region {
    char name[NAME_BYTES];
    double lat, lon;
};

struct network {
    uint8_t addr[16];
    uint8_t family, prefix_len;
    char country[3];
};

struct output {
    struct region regions[REGIONS_MAX];
    unsigned regions_count;
    FILE *list, *nets;
    struct mmdb_writer mmdb;
    uint32_t records[COUNTRIES]; /* offset + 1 in the data section, 0 = not written yet */
    size_t networks;
    /* networks that may still be merged with the next one */
    struct network open[PREFIX_DEPTH];
    unsigned open_count;
};

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    return f;
}

/* The regions from the nearest on. */
static void rank(const struct output *o, const char *country, unsigned order[REGIONS_MAX])
{
    const struct gtm_country *c = gtm_country_find(country);
    double km[REGIONS_MAX];

    for (unsigned i = 0; i < o->regions_count; i++) {
        unsigned at = i;
        km[i] =
            c == NULL ? 0 : gtm_distance_km(c->lat, c->lon, o->regions[i].lat, o->regions[i].lon);
        while (at > 0 && km[order[at - 1]] > km[i]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

static uint32_t record_of(struct output *o, const char *country, const char *region)
{
    unsigned at = (unsigned)(country[0] - 'A') * 26 + (unsigned)(country[1] - 'A');

    if (o->records[at] == 0) {
        o->records[at] = (uint32_t)o->mmdb.data.len + 1;
        mmdb_map(&o->mmdb.data, 2);
        mmdb_string(&o->mmdb.data, "country");
        mmdb_map(&o->mmdb.data, 1);
        mmdb_string(&o->mmdb.data, "iso_code");
        mmdb_string(&o->mmdb.data, country);
        mmdb_string(&o->mmdb.data, "continent");
        mmdb_map(&o->mmdb.data, 1);
        mmdb_string(&o->mmdb.data, "code");
        mmdb_string(&o->mmdb.data, region);
    }
    return o->records[at] - 1;
}

static void write_network(struct output *o, const struct network *n)
{
    char text[INET6_ADDRSTRLEN];
    unsigned order[REGIONS_MAX] = {0};

    inet_ntop(n->family == 4 ? AF_INET : AF_INET6, n->addr, text, sizeof(text));
    rank(o, n->country, order);
    fprintf(o->list, "%s/%u %s", text, n->prefix_len, n->country);
    fprintf(o->nets, "%s/%u => [", text, n->prefix_len);
    for (unsigned i = 0; i < o->regions_count; i++) {
        fprintf(o->list, " %s", o->regions[order[i]].name);
        fprintf(o->nets, "%s%s", i == 0 ? "" : ", ", o->regions[order[i]].name);
    }
    fputs("\n", o->list);
    fputs("]\n", o->nets);
    mmdb_writer_add(&o->mmdb, n->family, n->addr, n->prefix_len,
                    record_of(o, n->country, o->regions[order[0]].name));
    o->networks++;
}

static void flush(struct output *o)
{
    for (unsigned i = 0; i < o->open_count; i++)
        write_network(o, &o->open[i]);
    o->open_count = 0;
}

/* Two halves of one network. */
static bool siblings(const struct network *a, const struct network *b)
{
    uint8_t other[16];
    unsigned bit = a->prefix_len - 1u;

    if (a->prefix_len == 0 || a->prefix_len != b->prefix_len || strcmp(a->country, b->country) != 0)
        return false;
    memcpy(other, a->addr, 16);
    other[bit / 8] ^= (uint8_t)(0x80u >> (bit % 8));
    return memcmp(other, b->addr, 16) == 0;
}

/* Networks come in address order, so only the last ones can have their other half still to come. */
static void add(struct output *o, int family, const uint8_t *addr, size_t bytes, unsigned prefix,
                const char *country)
{
    struct network n = {.family = (uint8_t)family, .prefix_len = (uint8_t)prefix};

    if (country[0] < 'A' || country[0] > 'Z' || country[1] < 'A' || country[1] > 'Z')
        return;
    memcpy(n.addr, addr, bytes);
    memcpy(n.country, country, sizeof(n.country));
    while (o->open_count > 0 && siblings(&o->open[o->open_count - 1], &n)) {
        n = o->open[--o->open_count];
        n.prefix_len--;
    }
    if (o->open_count == PREFIX_DEPTH ||
        (o->open_count > 0 && strcmp(o->open[o->open_count - 1].country, country) != 0))
        flush(o);
    o->open[o->open_count++] = n;
}

static void put64(uint8_t *at, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void write_all(struct output *o, const struct dns_geodb *db)
{
    uint8_t addr[16];

    for (size_t i = 0; i < db->v4_count; i++) {
        put64(addr, (uint64_t)db->v4[i].addr << 32);
        add(o, 4, addr, 4, db->v4[i].prefix_len, db->locations[db->v4[i].loc].country);
    }
    flush(o);
    for (size_t i = 0; i < db->v6_count; i++) {
        put64(addr, db->v6[i].hi);
        put64(addr + 8, db->v6[i].lo);
        add(o, 6, addr, 16, db->v6[i].prefix_len, db->locations[db->v6[i].loc].country);
    }
    flush(o);
}

static bool read_region(const char *text, struct region *ret)
{
    const char *comma = strchr(text, ',');
    size_t len = comma == NULL ? 0 : (size_t)(comma - text);
    char *end;

    if (len == 0 || len >= NAME_BYTES)
        return false;
    memcpy(ret->name, text, len);
    ret->lat = strtod(comma + 1, &end);
    if (*end != ',')
        return false;
    ret->lon = strtod(end + 1, &end);
    return *end == '\0';
}

static struct output out;

int main(int argc, char **argv)
{
    struct gtm_error err = {0};
    struct mmdb_bytes file = {0};
    char path[4096];

    for (int i = 3; i < argc && out.regions_count < REGIONS_MAX; i++)
        if (read_region(argv[i], &out.regions[out.regions_count]))
            out.regions_count++;
    if (argc < 4 || out.regions_count != (unsigned)argc - 3u) {
        fprintf(stderr, "usage: bench_geography DATABASE FOLDER REGION,LATITUDE,LONGITUDE...\n");
        return 2;
    }
    const char *database = argv[1];
    struct dns_geodb *db = dns_geodb_load(&database, 1, NULL, &err);
    if (db == NULL) {
        fprintf(stderr, "bench_geography: %s\n", err.text);
        return 1;
    }
    out.list = create(argv[2], "networks.txt");
    out.nets = create(argv[2], "gdnsd.nets");
    mmdb_writer_init(&out.mmdb, 6, 28, "Bench-Country");
    write_all(&out, db);
    mmdb_writer_finish(&out.mmdb, &file);
    snprintf(path, sizeof(path), "%s/country.mmdb", argv[2]);
    mmdb_save(&file, path);
    printf("%zu networks, %zu octets of .mmdb\n", out.networks, file.len);
    mmdb_bytes_fini(&file);
    mmdb_writer_fini(&out.mmdb);
    dns_geodb_free(db);
    return fclose(out.list) == 0 && fclose(out.nets) == 0 ? 0 : 1;
}
