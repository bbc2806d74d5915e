/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiles a zone: collects records into nodes (every ancestor up to the top exists, so empty
 * non-terminals need no special case), has them checked, and lays nodes and images out in one
 * block.
 */
#include "dns/zone_build.h"

#include "dns/steer.h"
#include "gtm/base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define CHUNK_BYTES (1u << 20)

struct dns__chunk {
    struct dns__chunk *next;
    size_t used, cap;
    uint8_t data[];
};

static void *arena(struct dns__build *b, size_t len)
{
    struct dns__chunk *c = b->chunks;

    if (c == NULL || c->cap - c->used < len) {
        size_t cap = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        c = gtm_malloc(sizeof(*c) + cap);
        if (c == NULL) {
            b->failed = GTM_ENOMEM;
            return NULL;
        }
        c->next = b->chunks;
        c->used = 0;
        c->cap = cap;
        b->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += len;
    return p;
}

void dns__build_say(struct dns__build *b, enum gtm_severity severity, const struct dns__rec *rec,
                    const char *fmt, ...)
{
    char text[GTM_ERROR_TEXT_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gtm_diags_add(b->diags, severity, rec != NULL ? rec->file : b->path,
                  rec != NULL ? rec->line : 0, rec != NULL ? rec->col : 0, "%s", text);
}

/* ---- nodes ---- */

static uint64_t hash_of(const uint8_t *name)
{
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];

    dns__hash_name(name, offsets, hashes);
    return hashes[0];
}

static uint32_t find_hashed(const struct dns__build *b, uint64_t hash, const uint8_t *name,
                            unsigned len)
{
    for (uint64_t i = hash & b->table_mask;; i = (i + 1) & b->table_mask) {
        if (b->table[i] == 0)
            return DNS__NONE;
        const struct dns__bnode *n = &b->nodes[b->table[i] - 1];
        if (n->hash == hash && n->len == len && memcmp(n->name, name, len) == 0)
            return b->table[i] - 1;
    }
}

uint32_t dns__build_find(const struct dns__build *b, const uint8_t *name, unsigned len)
{
    return find_hashed(b, hash_of(name), name, len);
}

uint32_t dns__build_covering(const struct dns__build *b, const uint8_t *name, unsigned len)
{
    uint8_t star[DNS_NAME_MAX + DNS_HASH_PAD + 2] = {1, '*'};
    uint32_t node = dns__build_find(b, name, len);
    unsigned at = 0;

    if (node != DNS__NONE)
        return node;
    while (node == DNS__NONE && len - at > b->origin_len) {
        at += name[at] + 1u;
        node = dns__build_find(b, name + at, len - at);
    }
    memcpy(star + 2, name + at, len - at);
    return dns__build_find(b, star, len - at + 2);
}

static void table_put(uint32_t *table, uint64_t mask, uint64_t hash, uint32_t value)
{
    uint64_t i = hash & mask;

    while (table[i] != 0)
        i = (i + 1) & mask;
    table[i] = value;
}

static int table_room(struct dns__build *b)
{
    if (b->table != NULL && (b->nodes_count + 1) * 2 <= b->table_mask + 1)
        return 0;
    uint64_t size = b->table == NULL ? 1024 : (b->table_mask + 1) * 2;
    uint32_t *table = gtm_calloc(size, sizeof(*table));
    if (table == NULL)
        return b->failed = GTM_ENOMEM;
    for (size_t i = 0; i < b->nodes_count; i++)
        table_put(table, size - 1, b->nodes[i].hash, (uint32_t)i + 1);
    gtm_free(b->table);
    b->table = table;
    b->table_mask = size - 1;
    return 0;
}

static uint32_t node_add(struct dns__build *b, uint64_t hash, const uint8_t *name, unsigned len,
                         uint32_t parent)
{
    if (b->nodes_count >= UINT32_MAX / 4) {
        b->failed = GTM_ELIMIT;
        return DNS__NONE;
    }
    if (table_room(b) != 0 ||
        gtm_grow((void **)&b->nodes, &b->nodes_cap, b->nodes_count + 1, sizeof(*b->nodes)) != 0) {
        b->failed = GTM_ENOMEM;
        return DNS__NONE;
    }
    uint8_t *copy = arena(b, len + DNS_HASH_PAD);
    if (copy == NULL)
        return DNS__NONE;
    memcpy(copy, name, len);
    memset(copy + len, 0, DNS_HASH_PAD);
    struct dns__bnode *n = &b->nodes[b->nodes_count];
    *n = (struct dns__bnode){.name = copy,
                             .hash = hash,
                             .first = DNS__NONE,
                             .last = DNS__NONE,
                             .parent = parent,
                             .cut = DNS__NONE,
                             .len = (uint8_t)len};
    table_put(b->table, b->table_mask, hash, (uint32_t)b->nodes_count + 1);
    return (uint32_t)b->nodes_count++;
}

/* Finds or makes the node of a name inside the zone, and its ancestors first. `name` is canonical
 * and padded. */
static uint32_t node_get(struct dns__build *b, const uint8_t *name, unsigned len)
{
    uint8_t offsets[DNS_LABELS_MAX];
    uint64_t hashes[DNS_LABELS_MAX];
    unsigned labels = dns__hash_name(name, offsets, hashes);
    uint32_t node = find_hashed(b, hashes[0], name, len);

    if (node != DNS__NONE)
        return node;
    unsigned depth = labels - b->origin_labels, have = 1;
    node = DNS__NONE;
    for (; have <= depth; have++) { /* the nearest ancestor that exists */
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): one each is set */
        node = find_hashed(b, hashes[have], name + offsets[have], len - offsets[have]);
        if (node != DNS__NONE)
            break;
    }
    for (unsigned i = have; i-- > 0;) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): as above */
        node = node_add(b, hashes[i], name + offsets[i], len - offsets[i], node);
        if (node == DNS__NONE)
            return DNS__NONE;
        if (name[offsets[i]] == 1 && name[offsets[i] + 1] == '*' &&
            b->nodes[node].parent != DNS__NONE)
            b->nodes[b->nodes[node].parent].flags |= DNS_NODE_WILDCARD;
    }
    return node;
}

/* ---- records ---- */

static struct dns__rec *rec_add(struct dns__build *b, const uint8_t *owner, uint16_t type)
{
    uint8_t name[DNS_NAME_MAX + DNS_HASH_PAD] = {0};
    unsigned len = (unsigned)dns_name_lower(owner, name);
    uint32_t node = node_get(b, name, len);

    if (node == DNS__NONE)
        return NULL;
    if (b->recs_count >= UINT32_MAX - 1 ||
        gtm_grow((void **)&b->recs, &b->recs_cap, b->recs_count + 1, sizeof(*b->recs)) != 0) {
        b->failed = GTM_ENOMEM;
        return NULL;
    }
    uint32_t at = (uint32_t)b->recs_count++;
    struct dns__bnode *n = &b->nodes[node];
    if (n->first == DNS__NONE)
        n->first = at;
    else
        b->recs[n->last].next = at;
    n->last = at;
    b->recs[at] = (struct dns__rec){.next = DNS__NONE, .type = type};
    return &b->recs[at];
}

static const char *intern_file(struct dns__build *b, const char *file)
{
    if (file == NULL)
        return "";
    if (b->last_file != NULL && strcmp(b->last_file, file) == 0)
        return b->last_file;
    size_t n = strlen(file) + 1;
    char *copy = arena(b, n);
    if (copy == NULL)
        return "";
    memcpy(copy, file, n);
    b->last_file = copy;
    return copy;
}

static int on_record(void *ctx, const struct dns_record *r)
{
    struct dns__build *b = ctx;
    char text[DNS_NAME_TEXT_MAX];

    if (!dns_name_under(r->owner, b->origin)) {
        gtm_diags_add(b->diags, GTM_SEV_ERROR, r->file, r->line, r->col,
                      "%s is not inside the zone", dns_name_text(r->owner, text));
        return 0;
    }
    const char *file = intern_file(b, r->file);
    uint8_t *rdata = arena(b, r->rdlen ? r->rdlen : 1u);
    if (rdata == NULL)
        return GTM_ENOMEM;
    memcpy(rdata, r->rdata, r->rdlen);
    struct dns__rec *rec = rec_add(b, r->owner, r->type);
    if (rec == NULL)
        return b->failed;
    rec->rdata = rdata;
    rec->rdlen = r->rdlen;
    rec->ttl = r->ttl;
    rec->file = file;
    rec->line = r->line;
    rec->col = r->col > UINT16_MAX ? UINT16_MAX : (uint16_t)r->col;
    return 0;
}

static void add_dynamic(struct dns__build *b, const struct dns_zone_dynamic *d)
{
    uint8_t name[DNS_NAME_MAX];
    size_t len;
    struct gtm_error err = {0};

    if (dns_name_parse(d->name, strlen(d->name), b->origin, name, &len, &err) != 0 ||
        !dns_name_under(name, b->origin)) {
        gtm_diags_add(b->diags, GTM_SEV_ERROR, d->file, d->line, d->col, "dynamic name '%s': %s",
                      d->name, err.code != 0 ? err.text : "is not inside the zone");
        return;
    }
    const char *file = intern_file(b, d->file);
    for (size_t i = 0; i < d->types_count; i++) {
        if (dns_kind_of(d->types[i]) < 0) {
            gtm_diags_add(b->diags, GTM_SEV_ERROR, d->file, d->line, d->col,
                          "dynamic name '%s': type %u cannot be dynamic", d->name, d->types[i]);
            continue;
        }
        struct dns__rec *rec = rec_add(b, name, d->types[i]);
        if (rec == NULL)
            return;
        rec->ttl = d->slot;
        rec->file = file;
        rec->line = d->line;
        rec->col = d->col > UINT16_MAX ? UINT16_MAX : (uint16_t)d->col;
        b->dynamics++;
    }
}

/* ---- layout ---- */

void *dns__block_add(struct dns__build *b, size_t len, uint32_t *ret_place)
{
    size_t need = b->block_len + ((len + 7) & ~(size_t)7);

    if (b->failed != 0)
        return NULL;
    if (need / 8 >= UINT32_MAX) {
        b->failed = GTM_ELIMIT;
        return NULL;
    }
    if (need > b->block_cap) {
        size_t cap = b->block_cap == 0 ? 65536 : b->block_cap + b->block_cap / 2;
        if (cap < need)
            cap = need;
        uint8_t *block = gtm_realloc(b->block, cap);
        if (block == NULL) {
            b->failed = GTM_ENOMEM;
            return NULL;
        }
        b->block = block;
        b->block_cap = cap;
    }
    memset(b->block + b->block_len, 0, need - b->block_len);
    void *p = b->block + b->block_len;
    *ret_place = (uint32_t)(b->block_len / 8);
    b->block_len = need;
    return p;
}

static unsigned distinct_types(const struct dns__build *b, const struct dns__bnode *n,
                               uint16_t *types, unsigned max)
{
    unsigned count = 0;

    for (uint32_t r = n->first; r != DNS__NONE; r = b->recs[r].next) {
        unsigned i = 0;
        while (i < count && types[i] != b->recs[r].type)
            i++;
        if (i == count && count < max && !b->recs[r].dropped)
            types[count++] = b->recs[r].type;
    }
    return count;
}

static const struct dns__rec *first_of(const struct dns__build *b, const struct dns__bnode *n,
                                       uint16_t type)
{
    uint32_t r = n->first;

    while (b->recs[r].type != type || b->recs[r].dropped)
        r = b->recs[r].next;
    return &b->recs[r];
}

#define TYPES_MAX 1024 /* different types at one name */

static void lay_node(struct dns__build *b, uint32_t index)
{
    struct dns__bnode *n = &b->nodes[index];
    uint16_t types[TYPES_MAX];
    unsigned count = distinct_types(b, n, types, TYPES_MAX);
    struct dns_node *out =
        dns__block_add(b, sizeof(*out) + count * sizeof(struct dns_set) + n->len, &n->place);

    if (out == NULL)
        return;
    out->tag = dns__hash_tag(n->hash);
    out->flags = n->flags;
    out->sets_count = (uint16_t)count;
    out->name_len = n->len;
    out->cut = n->cut == DNS__NONE ? 0 : b->nodes[n->cut].place;
    memcpy(&out->sets[count], n->name, n->len);

    for (unsigned i = 0; i < count && b->failed == 0; i++) {
        const struct dns__rec *rec = first_of(b, n, types[i]);
        struct dns_set set = {.type = types[i]};
        if (rec->rdata == NULL) {
            set.dynamic = (uint16_t)(dns_kind_of(types[i]) + 1);
            set.value = rec->ttl;
        } else {
            set.value = dns__image_set(b, n, types[i]);
            set.ttl_s = rec->ttl;
        }
        /* the block may have moved */
        out = (struct dns_node *)(void *)(b->block + (size_t)n->place * 8);
        out->sets[i] = set;
    }
    if ((n->flags & DNS_NODE_CUT) != 0 && b->failed == 0) {
        uint32_t glue = dns__image_glue(b, n);
        ((struct dns_node *)(void *)(b->block + (size_t)n->place * 8))->glue = glue;
    }
}

static struct dns_zone *assemble(struct dns__build *b, uint32_t negative_soa)
{
    uint64_t size = 16;
    while (size < b->nodes_count * 2)
        size *= 2;
    struct dns_zone *zone = gtm_calloc(1, sizeof(*zone));
    struct dns_zone_slot *slots = gtm_calloc(size, sizeof(*slots));
    if (zone == NULL || slots == NULL) {
        gtm_free(zone);
        gtm_free(slots);
        b->failed = GTM_ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < b->nodes_count; i++) {
        uint64_t at = b->nodes[i].hash & (size - 1);
        while (slots[at].node != 0)
            at = (at + 1) & (size - 1);
        slots[at].tag = dns__hash_tag(b->nodes[i].hash);
        slots[at].node = b->nodes[i].place;
    }
    uint8_t *block = gtm_realloc(b->block, b->block_len);
    zone->block_memory = block != NULL ? block : b->block;
    b->block = NULL;
    zone->block = zone->block_memory;
    zone->slots_memory = slots;
    zone->slots = slots;
    zone->mask = size - 1;
    zone->apex = b->nodes[0].place;
    zone->negative_soa = negative_soa;
    zone->apex_len = (uint8_t)b->origin_len;
    zone->apex_labels = (uint8_t)b->origin_labels;
    memcpy(zone->apex_name, b->origin, b->origin_len);
    zone->info.serial = b->serial;
    zone->info.names = b->nodes_count;
    zone->info.dynamics = b->dynamics;
    zone->info.records = b->recs_count - b->dynamics;
    zone->info.bytes = b->block_len + size * sizeof(*slots) + sizeof(*zone);
    atomic_init(&zone->refs, 1);
    return zone;
}

static struct dns_zone *lay_out(struct dns__build *b)
{
    uint32_t place;

    dns__block_add(b, 8, &place); /* place 0 means "none" */
    for (size_t i = 0; i < b->nodes_count && b->failed == 0; i++)
        lay_node(b, (uint32_t)i);
    uint32_t soa = b->failed == 0 ? dns__image_negative_soa(b) : 0;
    return b->failed == 0 ? assemble(b, soa) : NULL;
}

static int start(struct dns__build *b, const struct dns_zone_spec *spec)
{
    struct gtm_error err = {0};
    uint8_t name[DNS_NAME_MAX];
    size_t len;
    static const uint8_t root[1] = {0};

    if (dns_name_parse(spec->origin, strlen(spec->origin), root, name, &len, &err) != 0) {
        gtm_diags_add(b->diags, GTM_SEV_ERROR, spec->path, 0, 0, "zone name '%s': %s", spec->origin,
                      err.text);
        return GTM_EPARSE;
    }
    b->origin_len = (unsigned)dns_name_lower(name, b->origin);
    b->origin_labels = dns_name_labels(b->origin);
    b->path = spec->path != NULL ? spec->path : spec->origin;
    return node_add(b, hash_of(b->origin), b->origin, b->origin_len, DNS__NONE) == DNS__NONE
               ? GTM_ENOMEM
               : 0;
}

static void finish(struct dns__build *b)
{
    while (b->chunks != NULL) {
        struct dns__chunk *next = b->chunks->next;
        gtm_free(b->chunks);
        b->chunks = next;
    }
    gtm_free(b->nodes);
    gtm_free(b->table);
    gtm_free(b->recs);
    gtm_free(b->block);
}

static struct dns_zone *load(const struct dns_zone_spec *spec, const char *text, size_t len,
                             struct gtm_diags *diags)
{
    struct dns__build b = {.diags = diags};
    size_t errors_before = diags->errors;
    struct dns_zone *zone = NULL;

    if (start(&b, spec) == 0) {
        struct dns_zonefile_opts opts = {.path = spec->path, .origin = b.origin};
        int rc = dns_zonefile_parse(&opts, text, len, on_record, &b, diags);
        for (size_t i = 0; i < spec->dynamics_count && b.failed == 0; i++)
            add_dynamic(&b, &spec->dynamics[i]);
        if (b.failed == 0 && rc != GTM_ENOTFOUND && rc != GTM_EIO)
            dns__zone_check(&b);
        if (rc == 0 && b.failed == 0 && diags->errors == errors_before)
            zone = lay_out(&b);
    }
    if (b.failed != 0)
        gtm_diags_add(diags, GTM_SEV_ERROR, spec->path, 0, 0, "zone %s: %s", spec->origin,
                      gtm_err_text(b.failed));
    else if (zone == NULL && diags->errors == errors_before)
        gtm_diags_add(diags, GTM_SEV_ERROR, spec->path, 0, 0, "zone %s cannot be read",
                      spec->origin);
    if (zone != NULL)
        zone->info.slot_count = spec->slot_count;
    finish(&b);
    return zone;
}

struct dns_zone *dns_zone_load(const struct dns_zone_spec *spec, struct gtm_diags *diags)
{
    return load(spec, NULL, 0, diags);
}

struct dns_zone *dns_zone_load_text(const struct dns_zone_spec *spec, const char *text, size_t len,
                                    struct gtm_diags *diags)
{
    return load(spec, text, len, diags);
}
