/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash map from strings to pointers, in order of insertion when walked. Not thread-safe.
 */
#ifndef GTM_BASE_MAP_H
#define GTM_BASE_MAP_H

#include "gtm/base/err.h"

#include <stddef.h>

struct gtm_map; /* opaque */

/* NULL on allocation failure. */
struct gtm_map *gtm_map_new(void);
/* Frees the map and its copies of keys; values with free_value when it is not NULL. NULL is fine.
 */
void gtm_map_free(struct gtm_map *map, void (*free_value)(void *));
/* Copies key; 0 or GTM_ENOMEM. *ret_old (may be NULL) receives the value that was there, else NULL.
 */
int gtm_map_put(struct gtm_map *map, const char *key, void *value, void **ret_old) GTM_MUST_CHECK;
/* NULL when absent. */
void *gtm_map_get(const struct gtm_map *map, const char *key);
/* Returns the value that was there, else NULL. */
void *gtm_map_remove(struct gtm_map *map, const char *key);
size_t gtm_map_count(const struct gtm_map *map);
/* Walk: *it starts at 0; returns 0 at the end. Removing the entry just returned is allowed. */
int gtm_map_next(const struct gtm_map *map, size_t *it, const char **ret_key, void **ret_value);

#endif
