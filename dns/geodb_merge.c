/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers one geography database on another: walks both lists of disjoint networks side by side and
 * interns each pair of locations that meets. See geodb_internal.h; one load, one thread.
 */
#include "dns/geodb_internal.h"
#include "gtm/base/mem.h"

#include <string.h>

/* One attribute after the other, the upper layer first. What belongs to a country (continent,
 * subdivision, point) is only taken from a layer that does not speak of another country; and a
 * registry's code that is no country (EU, A1) gives way to a country. */
static void combine(const struct gtm_location *over, const struct gtm_location *under,
                    struct gtm_location *ret)
{
    *ret = *over;
    if (ret->country[0] == '\0' || (under->country[0] != '\0' && !gtm_country_find(ret->country) &&
                                    gtm_country_find(under->country))) {
        memcpy(ret->country, under->country, sizeof(ret->country));
        if (over->country[0] != '\0') { /* the code that gave way takes its continent along */
            ret->continent[0] = '\0';
            ret->has_point = false;
        }
    }
    if (under->country[0] == '\0' || strcmp(ret->country, under->country) == 0) {
        if (ret->continent[0] == '\0')
            memcpy(ret->continent, under->continent, sizeof(ret->continent));
        if (ret->subdivision[0] == '\0')
            memcpy(ret->subdivision, under->subdivision, sizeof(ret->subdivision));
        if (!ret->has_point) {
            ret->has_point = under->has_point;
            ret->lat = under->lat;
            ret->lon = under->lon;
        }
    }
    if (ret->asn == 0)
        ret->asn = under->asn;
}

struct side {
    const struct dns_geodb *db;
    size_t next;
    bool open; /* first, last and loc hold a leaf */
    dns__key first, last;
    uint32_t loc;
};

static void side_next(struct side *side, int family)
{
    const struct dns_geodb *db = side->db;
    side->open = side->next < (family == 4 ? db->v4_count : db->v6_count);
    if (!side->open)
        return;
    unsigned prefix_len;
    if (family == 4) {
        const struct dns_geo_leaf4 *leaf = &db->v4[side->next];
        side->first = dns__key_from4(leaf->addr);
        side->loc = leaf->loc;
        prefix_len = leaf->prefix_len;
    } else {
        const struct dns_geo_leaf6 *leaf = &db->v6[side->next];
        side->first = dns__key_from(leaf->hi, leaf->lo);
        side->loc = leaf->loc;
        prefix_len = leaf->prefix_len;
    }
    side->last = side->first | dns__key_tail(prefix_len);
    side->next++;
}

struct merge {
    const struct dns_geodb *over, *under;
    struct dns__geo_builder out;
    struct dns__hash64 pairs; /* (over, under) → number in out */
};

static int merge_add(struct merge *merge, int family, dns__key first, dns__key last,
                     const uint32_t locs[2])
{
    uint32_t *place;
    int rc = dns__hash64_place(&merge->pairs, (uint64_t)locs[0] << 32 | locs[1], &place);
    if (rc)
        return rc;
    if (*place == DNS__HASH_NONE) {
        struct gtm_location loc;
        combine(&merge->over->locations[locs[0]], &merge->under->locations[locs[1]], &loc);
        *place = 0;
        rc = dns__geo_intern(&merge->out, &loc, place);
        if (rc)
            return rc;
    }
    return dns__geo_add(&merge->out, family, first, last, *place);
}

static int merge_family(struct merge *merge, int family)
{
    struct side sides[2] = {{.db = merge->over}, {.db = merge->under}};
    side_next(&sides[0], family);
    side_next(&sides[1], family);
    while (sides[0].open || sides[1].open) {
        /* The next piece: from the earliest first address to where anything changes. */
        dns__key first = !sides[1].open || (sides[0].open && sides[0].first <= sides[1].first)
                             ? sides[0].first
                             : sides[1].first;
        dns__key last = DNS__KEY_MAX;
        uint32_t locs[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            if (!sides[i].open)
                continue;
            if (sides[i].first > first) {
                last = sides[i].first - 1 < last ? sides[i].first - 1 : last;
            } else {
                last = sides[i].last < last ? sides[i].last : last;
                locs[i] = sides[i].loc;
            }
        }
        int rc = merge_add(merge, family, first, last, locs);
        if (rc)
            return rc;
        for (int i = 0; i < 2; i++) {
            if (!sides[i].open || sides[i].first > first)
                continue;
            if (sides[i].last == last)
                side_next(&sides[i], family);
            else
                sides[i].first = last + 1;
        }
    }
    return GTM_OK;
}

struct dns_geodb *dns__geo_merge(const struct dns_geodb *over, const struct dns_geodb *under,
                                 struct gtm_error *err)
{
    struct merge merge = {.over = over, .under = under};
    struct dns_geodb *db = NULL;
    int rc = dns__geo_builder_init(&merge.out);
    if (!rc)
        rc = merge_family(&merge, 4);
    if (!rc)
        rc = merge_family(&merge, 6);
    if (!rc) {
        db = dns__geo_builder_take(&merge.out);
        rc = db ? GTM_OK : GTM_ENOMEM;
    }
    if (rc)
        gtm_error_set(err, rc, "layering the geography databases: %s", gtm_err_text(rc));
    dns__hash64_fini(&merge.pairs);
    dns__geo_builder_fini(&merge.out);
    return db;
}
