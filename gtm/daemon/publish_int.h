/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of publishing (gtm/daemon/publish*.c) share and nobody else includes.
 */
#ifndef GTM_DAEMON_PUBLISH_INT_H
#define GTM_DAEMON_PUBLISH_INT_H

#include "dns/classmap.h"
#include "dns/steer.h"
#include "dns/view.h"
#include "gtm/base/buf.h"
#include "gtm/daemon/publish.h"
#include "gtm/daemon/publish_intern.h"
#include "policies/policy.h"
#include "policies/sticky.h"

#include <stdatomic.h>

/* ---- compiled: immutable ---- */

/* A class map with what its classes mean. Counted: shared by policies and by compiles. */
struct gtm__map {
    atomic_int refs;
    char *key; /* the ranking-relevant part of the policies, as bytes */
    size_t key_len;
    uint64_t geography; /* fingerprint of the databases, 0 = none */
    struct dns_classmap *map;
    size_t parts, classes;
    struct policy_regions *lists; /* classes × parts */
};

/* What a steering table answers with. */
enum gtm__table_of {
    GTM__TABLE_POLICY = 0,
    GTM__TABLE_GROUP,
    GTM__TABLE_FIXED /* what an alias found in a zone file */
};
/* The records of one type that an alias found, the same for everybody. */
struct gtm__fixed {
    uint16_t type;
    uint16_t count; /* 0: none, NODATA or, with why, SERVFAIL */
    char why[DNS_EDE_TEXT_MAX + 1];
    uint8_t rdata[];
};

static inline size_t gtm__fixed_bytes(uint16_t type, size_t count)
{
    return count * (type == GTM_TYPE_A ? 4u : 16u);
}

/* One steering table to be kept. Names that agree in all of this share it. */
struct gtm__table {
    enum gtm__table_of of;
    unsigned index; /* of the policy or group */
    uint32_t ttl_s;
    uint32_t kinds;                         /* bit n: enum dns_kind n; A and AAAA always together */
    uint32_t map;                           /* into maps */
    const struct gtm_dynamic_name *service; /* whose port, priority and ALPN; NULL for addresses and
                                               CNAME. The intent's */
    struct gtm__fixed *fixed;               /* owned */
};
#define GTM__KINDS_ADDRESS ((1u << DNS_KIND_A) | (1u << DNS_KIND_AAAA))

/* A slot that belongs to an alias: whose, and for which type. name NULL = it does not. */
struct gtm__alias {
    const struct gtm_dynamic_name *name; /* the intent's */
    uint16_t type;
};
#define GTM__TABLE_LATER UINT32_MAX /* the table of an alias that is not resolved yet */

struct gtm__zone {
    struct dns_zone *zone;
    uint64_t text_hash[2], names_hash[2];
    bool includes;              /* its text includes other files: never taken over unread */
    bool placeholder;           /* a copy that has not come yet: it cannot answer */
    uint32_t *tables;           /* by slot */
    struct gtm__alias *aliases; /* by slot */
    size_t slot_count;
    uint32_t *table_of; /* by name */
};

/* What sticky policies go by. Counted: shared by compiles of one intent. */
struct gtm__orders {
    atomic_int refs;
    struct policy_orders *orders;
};

/* What latency policies go by. Counted: shared by compiles of one intent. */
struct gtm__latency {
    atomic_int refs;
    size_t policies;
    struct policy_latency **tables; /* by policy; NULL = no times are known */
    struct gtm_latency_info *infos; /* by policy; networks is not filled in */
};

struct gtm_compiled {
    atomic_int refs;
    struct gtm_intent *intent;
    char *copies_dir; /* of zones with primaries; NULL = none */
    uint64_t geography;
    struct gtm__map **maps;
    size_t maps_count, maps_cap;
    struct gtm__table *tables;
    size_t tables_count, tables_cap;
    struct gtm__zone *zones; /* one for each of the intent's */
    size_t zones_count;
    struct gtm__orders *orders;
    struct gtm__latency *latency;
    uint32_t *pool_first, *pool_tables; /* the tables that use pool p: [first[p], first[p + 1]) */
    struct gtm_compiled_info info;
};

static inline const struct policy_regions *gtm__map_class(const struct gtm__map *map,
                                                          size_t class_id)
{
    return map->lists ? &map->lists[class_id * map->parts] : NULL;
}

/* publish_latency.c */
/* Sets out->latency. False: errors are in the diags. */
bool gtm__latency_load(struct gtm_compiled *out, struct gtm_diags *diags);
struct gtm__latency *gtm__latency_ref(struct gtm__latency *latency); /* NULL is fine */
void gtm__latency_unref(struct gtm__latency *latency);               /* NULL is fine */

/* publish_map.c */
struct gtm__map_builder {
    const struct dns_geodb *geodb;
    const struct gtm_compiled *previous;
    struct gtm_compiled *out;
    struct gtm__intern keys; /* number = index into out->maps */
};
uint64_t gtm__geography(const struct dns_geodb *geodb);
/* The index of the map that the policy needs, built when none is there yet. */
int gtm__map_for(struct gtm__map_builder *b, unsigned policy, uint32_t *ret_map,
                 struct gtm_error *err) GTM_MUST_CHECK;
/* The same for what has no geography in it. */
int gtm__map_trivial(struct gtm__map_builder *b, uint32_t *ret_map,
                     struct gtm_error *err) GTM_MUST_CHECK;
void gtm__map_unref(struct gtm__map *map);

/* publish_compile.c */
struct gtm__work {
    struct gtm_compiled *out;
    struct gtm_diags *diags;
    struct gtm__intern tables; /* number = table */
    struct gtm_buf key;        /* scratch */
    uint32_t **table_of;       /* [zone][name]; GTM__TABLE_LATER for aliases */
    uint8_t *checked;          /* by policy: 1 = fine, 2 = refused */
    bool nomem;
};
/* The number of the table, which is added unless one like it is there. Takes table->fixed over in
 * either case. GTM_ENOMEM. */
int gtm__table_add(struct gtm__work *w, struct gtm__table *table,
                   uint32_t *ret_number) GTM_MUST_CHECK;

/* publish_alias.c */
/* Finds the tables of all aliases, once all zones are loaded. False: errors are in the diags. */
bool gtm__aliases_resolve(struct gtm__work *w);

/* publish_zone.c */
/* Loads zone i, or takes it from the previous. table_of[n] is the table of its n-th name. Errors go
 * to diags: then false. */
bool gtm__zone_compile(struct gtm_compiled *out, const struct gtm_compiled *previous, size_t i,
                       const uint32_t *table_of, struct gtm_diags *diags);
void gtm__zone_fini(struct gtm__zone *zone);
/* Where the zone's text is: its file, or its copy; new, NULL: out of memory. */
char *gtm__zone_path(const struct gtm_compiled *compiled, const struct gtm_zone_conf *conf);

/* ---- publisher: one owner ---- */

/* Picks with a class that stands for each slot. Shared by the tables of one state. */
struct gtm__picks {
    unsigned uses;
    struct dns_picks *picks;
    uint32_t *class_of_slot;
    size_t slots;
};
struct gtm__picks_cache {
    struct gtm__intern keys; /* map and usable regions → index into items */
    struct gtm__picks **items;
    size_t cap;
    size_t in_use; /* items with uses > 0 */
};

/* A ready choice with the bytes it was made from, to be recognised. */
struct gtm__choice {
    unsigned uses;
    struct dns_choice *choice;
    size_t spec_words;
    uint32_t spec[];
};

struct gtm__table_kind {
    enum policy_mode mode;
    struct gtm__picks *picks; /* NULL before the first build, and for kinds that are not wanted */
    struct gtm__choice **choices;
    size_t count;
};
struct gtm__table_now {
    struct dns_steer *steer;
    struct gtm__table_kind kind[DNS_KINDS];
};

/* Everything that belongs to one compiled intent; swapped as a whole by an install. */
struct gtm__state {
    struct gtm_compiled *compiled;
    struct gtm__table_now *tables;
    struct gtm__picks_cache picks;
    uint8_t *dirty;       /* by table: to be rebuilt */
    uint32_t *dirty_list; /* the same as a list */
    size_t dirty_count;
    struct dns_view_zone *view_zones;
    struct dns_steer **slots; /* all zones' slots after one another */
    uint32_t *slot_tables;    /* their tables */
    size_t slots_count;
    /* scratch, kept between builds */
    struct policy_choice choice;
    uint32_t *spec;
    size_t spec_words, spec_cap;
    struct gtm_buf rdata, rdlens;
    struct dns_option_spec *options;
    size_t options_cap;
    struct dns_choice **choice_ptrs;
    size_t choice_ptrs_cap;
    struct gtm_publisher_info *info;
};

struct gtm_publisher {
    gtm_publish_fn publish;
    void *ctx;
    struct gtm__state *state;
    struct gtm_settings *settings, *next_settings; /* in force, with the next install; or NULL */
    struct dns_view *view;
    bool view_stale; /* tables are newer than the view: building it failed */
    struct gtm_publisher_info info;
};

/* publish.c */
/* Where each zone's slots stand, with its peers; old (may be NULL) lends which copies are expired.
 */
void gtm__publisher_lay_out(struct gtm__state *state, const struct gtm_settings *settings,
                            const struct dns_view_zone *old);
/* Builds and publishes a view of what is there. */
int gtm__publisher_view(struct gtm_publisher *pub, struct gtm_error *err) GTM_MUST_CHECK;

/* publish_picks.c */
/* The picks of a map under what each part can use now; one use more, to be given back. NULL: err.
 */
struct gtm__picks *gtm__picks_get(struct gtm__state *state, const struct gtm__table *table,
                                  const struct policy_parts *parts, const struct policy_look *look,
                                  struct gtm_error *err);
void gtm__picks_put(struct gtm__state *state, struct gtm__picks *picks);
void gtm__picks_fini(struct gtm__picks_cache *cache);

/* A group's name, for messages. */
const char *gtm__group_name(const struct gtm_intent *intent, unsigned group);

/* The family whose endpoints answer a kind: names of hosts stand for both. */
static inline enum gtm_family gtm__family_of(int kind)
{
    return kind == DNS_KIND_A      ? GTM_FAMILY_V4
           : kind == DNS_KIND_AAAA ? GTM_FAMILY_V6
                                   : GTM_FAMILY_ANY;
}

/* publish_records.c */
struct gtm__spec {
    struct gtm__state *state;
    const struct gtm__table *table;
    const struct policy_env *env;
    enum dns_kind kind;
    char reason[DNS_EDE_TEXT_MAX + GTM_NAME_MAX + 1]; /* of SERVFAIL */
};
/* Writes what state->choice (of a fixed table: the table itself) answers as bytes into state->spec,
 * by which equal choices are recognised. GTM_ENOMEM. */
int gtm__spec_write(struct gtm__spec *spec) GTM_MUST_CHECK;
/* Makes the choice of those bytes. */
struct dns_choice *gtm__spec_choice(struct gtm__spec *spec, struct gtm_error *err);
/* Appends the rdata of an endpoint's record (not A, AAAA). weight: against its neighbours. False:
 * it has none, see gtm_dynamic_name. */
bool gtm__record_rdata(const struct policy_env *env, const struct gtm_dynamic_name *service,
                       enum dns_kind kind, const struct policy_member *member, uint16_t weight,
                       struct gtm_buf *out);

/* publish_table.c */
/* Rebuilds table t; *ret_changed says whether its steering table is another one now. On failure the
 * old one stays. */
int gtm__table_build(struct gtm__state *state, const struct gtm_states *states, size_t t,
                     bool *ret_changed, struct gtm_error *err) GTM_MUST_CHECK;
void gtm__table_fini(struct gtm__state *state, struct gtm__table_now *now);

#endif
