/* SPDX-License-Identifier: Apache-2.0
 *
 * The builder that the readers of geography databases feed, and the sweep that makes nested
 * networks disjoint. See geodb_internal.h; one load, one thread.
 */
#include "dns/geodb_internal.h"
#include "gtm/base/mem.h"

#include <string.h>

int dns__geo_builder_init(struct dns__geo_builder *builder)
{
    struct gtm_location unknown;
    uint32_t number;
    memset(builder, 0, sizeof(*builder));
    memset(&unknown, 0, sizeof(unknown));
    builder->db = gtm_calloc(1, sizeof(*builder->db));
    if (!builder->db)
        return GTM_ENOMEM;
    return dns__geo_intern(builder, &unknown, &number);
}

static uint64_t location_hash(const struct gtm_location *loc)
{
    uint64_t codes = 0, place = 0;
    memcpy(&codes, loc->country, 2);
    memcpy((char *)&codes + 2, loc->continent, 2);
    memcpy((char *)&codes + 4, loc->subdivision, 3);
    if (loc->has_point) {
        memcpy(&place, &loc->lat, 4);
        memcpy((char *)&place + 4, &loc->lon, 4);
    }
    uint64_t rest = (uint64_t)loc->asn << 1 | loc->has_point;
    return dns__mix64(dns__mix64(dns__mix64(codes) ^ place) ^ rest);
}

static bool location_equal(const struct gtm_location *a, const struct gtm_location *b)
{
    return memcmp(a->country, b->country, 2) == 0 && memcmp(a->continent, b->continent, 2) == 0 &&
           memcmp(a->subdivision, b->subdivision, 3) == 0 && a->has_point == b->has_point &&
           (!a->has_point || (a->lat == b->lat && a->lon == b->lon)) && a->asn == b->asn;
}

int dns__geo_intern(struct dns__geo_builder *builder, const struct gtm_location *loc,
                    uint32_t *ret_number)
{
    struct dns_geodb *db = builder->db;
    uint64_t key = location_hash(loc);
    uint32_t *place;
    for (;; key++) { /* two contents with one hash take neighbouring keys */
        int rc = dns__hash64_place(&builder->index, key, &place);
        if (rc)
            return rc;
        if (*place == DNS__HASH_NONE)
            break;
        if (location_equal(&db->locations[*place], loc)) {
            *ret_number = *place;
            return GTM_OK;
        }
    }
    /* Never leave the new place without a value: the table could not tell it from an empty one. */
    *place = 0;
    if (db->locations_count >= DNS__GEO_LOCATIONS_MAX)
        return GTM_ELIMIT;
    int rc = gtm_grow((void **)&db->locations, &builder->locations_cap, db->locations_count + 1,
                      sizeof(*db->locations));
    if (rc)
        return rc;
    *place = *ret_number = (uint32_t)db->locations_count;
    db->locations[db->locations_count++] = *loc;
    return GTM_OK;
}

static int write_leaf(struct dns__geo_builder *builder, int family, dns__key first,
                      unsigned prefix_len, uint32_t loc)
{
    struct dns_geodb *db = builder->db;
    size_t count = family == 4 ? db->v4_count : db->v6_count;
    if (count >= DNS__GEO_LEAVES_MAX)
        return GTM_ELIMIT;
    int rc = family == 4 ? gtm_grow((void **)&db->v4, &builder->v4_cap, count + 1, sizeof(*db->v4))
                         : gtm_grow((void **)&db->v6, &builder->v6_cap, count + 1, sizeof(*db->v6));
    if (rc)
        return rc;
    if (family == 4)
        db->v4[db->v4_count++] =
            (struct dns_geo_leaf4){.addr = (uint32_t)(dns__key_hi(first) >> 32),
                                   .loc = loc,
                                   .prefix_len = (uint8_t)prefix_len};
    else
        db->v6[db->v6_count++] = (struct dns_geo_leaf6){.hi = dns__key_hi(first),
                                                        .lo = dns__key_lo(first),
                                                        .loc = loc,
                                                        .prefix_len = (uint8_t)prefix_len};
    return GTM_OK;
}

static int flush_pending(struct dns__geo_builder *builder, int family)
{
    bool *open = &builder->pending[family == 6].open;
    if (!*open)
        return GTM_OK;
    *open = false;
    dns__key first = builder->pending[family == 6].first, last = builder->pending[family == 6].last;
    uint32_t loc = builder->pending[family == 6].loc;
    for (dns__key at = first;;) {
        unsigned len = dns__key_fit(at, first, last);
        int rc = write_leaf(builder, family, at, len, loc);
        if (rc)
            return rc;
        dns__key end = at | dns__key_tail(len);
        if (end == last)
            return GTM_OK;
        at = end + 1;
    }
}

int dns__geo_add(struct dns__geo_builder *builder, int family, dns__key first, dns__key last,
                 uint32_t loc)
{
    int f = family == 6;
    if (loc == 0)
        return GTM_OK;
    if (builder->pending[f].open) {
        if (first <= builder->pending[f].last)
            return GTM_ECORRUPT;
        if (builder->pending[f].loc == loc && builder->pending[f].last + 1 == first) {
            builder->pending[f].last = last;
            return GTM_OK;
        }
        int rc = flush_pending(builder, family);
        if (rc)
            return rc;
    }
    builder->pending[f].open = true;
    builder->pending[f].first = first;
    builder->pending[f].last = last;
    builder->pending[f].loc = loc;
    return GTM_OK;
}

struct dns_geodb *dns__geo_builder_take(struct dns__geo_builder *builder)
{
    if (flush_pending(builder, 4) || flush_pending(builder, 6))
        return NULL;
    struct dns_geodb *db = builder->db;
    builder->db = NULL;
    return db;
}

void dns__geo_builder_fini(struct dns__geo_builder *builder)
{
    dns_geodb_free(builder->db);
    dns__hash64_fini(&builder->index);
    memset(builder, 0, sizeof(*builder));
}

static int sweep_emit(struct dns__sweep *sweep, dns__key last)
{
    if (sweep->done || sweep->pos > last)
        return GTM_OK;
    dns__key first = sweep->pos;
    sweep->done = last == DNS__KEY_MAX;
    sweep->pos = last + 1;
    return sweep->emit(sweep->ctx, first, last, sweep->stack[sweep->depth - 1].value);
}

int dns__sweep_to(struct dns__sweep *sweep, dns__key first)
{
    int rc = GTM_OK;
    while (!rc && sweep->depth > 0 && sweep->stack[sweep->depth - 1].last < first) {
        rc = sweep_emit(sweep, sweep->stack[sweep->depth - 1].last);
        sweep->depth--;
    }
    if (!rc && sweep->depth > 0 && first > 0)
        rc = sweep_emit(sweep, first - 1);
    if (!rc && sweep->pos < first)
        sweep->pos = first; /* a gap that no network covers */
    return rc;
}

int dns__sweep_open(struct dns__sweep *sweep, dns__key first, dns__key last, uint32_t value)
{
    if (sweep->done || first < sweep->pos || last < first ||
        sweep->depth == sizeof(sweep->stack) / sizeof(sweep->stack[0]) ||
        (sweep->depth > 0 && last > sweep->stack[sweep->depth - 1].last))
        return GTM_ECORRUPT;
    sweep->stack[sweep->depth].last = last;
    sweep->stack[sweep->depth++].value = value;
    return GTM_OK;
}

int dns__sweep_end(struct dns__sweep *sweep)
{
    int rc = GTM_OK;
    for (; !rc && sweep->depth > 0; sweep->depth--)
        rc = sweep_emit(sweep, sweep->stack[sweep->depth - 1].last);
    return rc;
}
