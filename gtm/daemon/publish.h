/* SPDX-License-Identifier: Apache-2.0
 *
 * From intent, geography and states to what DNS workers read. Two steps, because they differ a
 * thousandfold in cost:
 *
 *     gtm_compile            zones, class maps            seconds; a worker thread; on reload only
 *     gtm_publisher_install  all steering tables, a view  control thread; after each compile
 *     gtm_publisher_flip     the tables of touched pools  control thread; when a state changes
 *
 * What is unchanged is shared, with the previous compile as well as between policies: zones by
 * their text and names, class maps by geography and ranking, picks by map and usable regions,
 * choices by content. Nothing here decides: policies/ does.
 */
#ifndef GTM_DAEMON_PUBLISH_H
#define GTM_DAEMON_PUBLISH_H

#include "dns/view.h"
#include "gtm/base/diag.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"
#include "gtm/model/intent.h"
#include "gtm/model/location.h"
#include "gtm/model/states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_geodb;

/* The result of compiling: immutable, counted, any thread. */
struct gtm_compiled;

/* Compiles the whole intent. geodb may be NULL (every client is then at the unknown place); it is
 * only read during the call. previous (may be NULL) lends what is unchanged. NULL when anything is
 * wrong: then diags has all errors, and nothing changes for whoever keeps the previous one. Returns
 * one reference. Worker threads only: takes up to seconds. */
struct gtm_compiled *gtm_compile(const struct gtm_intent *intent, const struct dns_geodb *geodb,
                                 const struct gtm_compiled *previous, struct gtm_diags *diags);
/* The same with a folder of copies: the texts of zones that have primaries instead of a file. A
 * zone whose copy is not there answers SERVFAIL until it is. */
struct gtm_compiled *gtm_compile_in(const struct gtm_intent *intent, const struct dns_geodb *geodb,
                                    const struct gtm_compiled *previous, const char *copies_dir,
                                    struct gtm_diags *diags);
/* Loads these zones (indexes, ascending) again and takes all else from `previous`: costs what the
 * zones cost. A zone that is wrong stays as in previous, and diags says why. ret_loaded (by
 * position in `zones`) says which are new. NULL: out of memory. Worker threads only. Not for
 * intents whose zones depend on each other (gtm_compiled_linked): those take gtm_compile_in. */
struct gtm_compiled *gtm_compile_zones(const struct gtm_compiled *previous, const size_t *zones,
                                       size_t count, bool *ret_loaded, struct gtm_diags *diags);
bool gtm_compiled_linked(const struct gtm_compiled *compiled);
/* Is the zone one whose copy has not come yet? */
bool gtm_compiled_placeholder(const struct gtm_compiled *compiled, size_t zone);
/* Does its text include other files? */
bool gtm_compiled_includes(const struct gtm_compiled *compiled, size_t zone);
/* The path of the text of the intent's zone i; new, NULL: out of memory. */
char *gtm_compiled_zone_path(const struct gtm_compiled *compiled, size_t zone);
struct gtm_compiled *gtm_compiled_ref(struct gtm_compiled *compiled);
void gtm_compiled_unref(struct gtm_compiled *compiled); /* NULL is fine */
const struct gtm_intent *gtm_compiled_intent(const struct gtm_compiled *compiled); /* borrowed */

/* The table of a latency policy from outside (`PUT /api/v1/latency/POLICY`), instead of its file:
 * checked, then kept in copies_dir for the next gtm_compile_in with that folder, which the caller
 * starts. text NULL: forgets it. 0, GTM_ENOTFOUND (no such latency policy; nothing to forget),
 * GTM_EPARSE (diags says what), or what writing gave. May block: worker threads only. */
int gtm_latency_push(const struct gtm_intent *intent, const char *copies_dir, const char *policy,
                     const char *text, size_t len, struct gtm_diags *diags) GTM_MUST_CHECK;

struct gtm_latency_info {
    bool pushed; /* else from its file */
    size_t networks;
    int64_t changed_ms; /* of the text, Unix time */
};
/* The table of a latency policy; false: it has none. */
bool gtm_compiled_latency(const struct gtm_compiled *compiled, size_t policy,
                          struct gtm_latency_info *ret);

struct gtm_compiled_info {
    size_t zones, names, records; /* names = dynamic ones */
    size_t tables;                /* steering tables: distinct (policy or group, TTL) */
    size_t maps, map_bytes, classes;
    size_t zones_reused, maps_reused; /* from the previous one */
    bool has_geography;
};
void gtm_compiled_info(const struct gtm_compiled *compiled, struct gtm_compiled_info *ret);
/* The zone object of the intent's zone i, for `zone show` and transfers; borrowed. */
struct dns_zone *gtm_compiled_zone(const struct gtm_compiled *compiled, size_t i);

/* Receives each new view, with one reference that it takes over. Called inside install and flip. */
typedef void (*gtm_publish_fn)(void *ctx, struct dns_view *view);

/* Owns a compiled intent and its steering tables. One owner: the control thread. */
struct gtm_publisher;
struct gtm_publisher *gtm_publisher_new(gtm_publish_fn publish, void *ctx); /* NULL: no memory */
void gtm_publisher_free(struct gtm_publisher *pub);                         /* NULL is fine */

/* Switches to compiled (takes a reference of its own) with states of the same intent and publishes.
 * On failure (GTM_ENOMEM, GTM_ELIMIT, GTM_EINVAL when the states are another intent's) everything
 * stays as it was. */
int gtm_publisher_install(struct gtm_publisher *pub, struct gtm_compiled *compiled,
                          const struct gtm_states *states, struct gtm_error *err) GTM_MUST_CHECK;

/* Rebuilds the tables of policies that use touched pools, directly or nested, and publishes when
 * any differs. The caller clears `touched` afterwards. After a failure (err has the first) what
 * could not be rebuilt answers as before, until the next flip, which tries it again. */
int gtm_publisher_flip(struct gtm_publisher *pub, const struct gtm_states *states,
                       const struct gtm_touched *touched, struct gtm_error *err) GTM_MUST_CHECK;

/* How views answer beside their zones: in force with the next install that succeeds (and is dropped
 * by one that fails). Takes a reference. NULL: as before. */
struct gtm_settings;
void gtm_publisher_settings(struct gtm_publisher *pub, struct gtm_settings *settings);

/* Publishes once more with staged settings that differ in what does not depend on the intent; on
 * failure (GTM_ESTATE before the first install) those in force stay. */
int gtm_publisher_refresh(struct gtm_publisher *pub, struct gtm_error *err) GTM_MUST_CHECK;

/* A zone file changed and nothing else: switches to what gtm_compile_zones made of the compiled
 * intent in force, keeping all steering tables. GTM_ESTATE when it was made of another one; on
 * failure everything stays as it was. */
int gtm_publisher_zones(struct gtm_publisher *pub, struct gtm_compiled *compiled,
                        struct gtm_error *err) GTM_MUST_CHECK;
/* Marks the intent's zone as expired or not and publishes when that is news: then it answers
 * SERVFAIL (RFC 1034 4.3.5). */
int gtm_publisher_expire(struct gtm_publisher *pub, size_t zone, bool expired,
                         struct gtm_error *err) GTM_MUST_CHECK;

struct gtm_publisher_info {
    uint64_t revision; /* of the last view, counted from 1; 0 = none yet */
    uint64_t views, tables_built, choices_built, picks_built; /* since the start */
    size_t tables, picks;                                     /* now */
    size_t fail_open;   /* tables that answer although nothing of theirs serves, in a family */
    size_t fail_closed; /* tables that answer SERVFAIL because nothing serves */
};
void gtm_publisher_info(const struct gtm_publisher *pub, struct gtm_publisher_info *ret);
/* The view published last, borrowed; NULL before the first install. */
struct dns_view *gtm_publisher_view(const struct gtm_publisher *pub);

struct gtm_explain_query {
    const char *name; /* presentation form, absolute with or without the final dot */
    uint16_t type;
    /* Where the question comes from: a client subnet as a resolver would send it. */
    uint8_t family; /* 4 or 6 */
    uint8_t addr[16];
    unsigned prefix_len;
    const struct gtm_location *loc; /* what geography says of it, for showing; NULL = not known */
};
/* What that client gets and why: the answer by dns_answer on the published view, the class, the ECS
 * scope, the client's regions, and each step in the words of policies/. states as in the last flip.
 * New root; NULL with err: GTM_EPARSE (name), GTM_ESTATE (nothing published), GTM_ENOMEM. */
struct gtm_json *gtm_explain(const struct gtm_publisher *pub, const struct gtm_states *states,
                             const struct gtm_explain_query *query, struct gtm_error *err);

#endif
