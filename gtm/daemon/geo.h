/* SPDX-License-Identifier: Apache-2.0
 *
 * The geography databases of a node: loaded once, merged, and then kept in an unlinked file of
 * data_dir that is mapped, not in the heap: answers come from class maps, so this is only read when
 * the intent is compiled and when somebody asks for one address, and the kernel may drop its pages.
 * Immutable and counted after the load; any thread may read.
 */
#ifndef GTM_DAEMON_GEO_H
#define GTM_DAEMON_GEO_H

#include "dns/geodb.h"
#include "gtm/base/err.h"
#include "gtm/model/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What tells one state of the files from another: device, inode, size and time of change. */
struct gtm_geo_print {
    uint64_t hash; /* over all files, also of those that are missing */
};
struct gtm_geo_print gtm_geo_fingerprint(char *const *paths, size_t count);

struct gtm_geo {
    struct dns_geodb *db; /* in the heap or in `map` */
    void *map;            /* NULL: in the heap */
    size_t map_bytes;
    struct dns_geodb_info infos[GTM_GEO_DBS_MAX];
    char *paths[GTM_GEO_DBS_MAX];
    size_t count;
    int64_t loaded_ms;          /* Unix time */
    struct gtm_geo_print print; /* taken before the load */
    int refs;
};

/* Worker threads: takes up to seconds. data_dir NULL keeps it in the heap, and so does a data_dir
 * that cannot take it. NULL on failure (err names the file). Returns one reference. */
struct gtm_geo *gtm_geo_load(char *const *paths, size_t count, const char *data_dir,
                             struct gtm_error *err);
/* Any thread. */
struct gtm_geo *gtm_geo_ref(struct gtm_geo *geo);
void gtm_geo_unref(struct gtm_geo *geo); /* NULL is fine */
/* Lets the kernel take back the pages that a compile has read. */
void gtm_geo_release_pages(const struct gtm_geo *geo); /* NULL is fine */
/* Unix time in seconds of the newest build among the databases; 0 = unknown. */
int64_t gtm_geo_built_s(const struct gtm_geo *geo);

#endif
