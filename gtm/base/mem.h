/* SPDX-License-Identifier: Apache-2.0
 *
 * The allocation seam: every heap allocation of gtm goes through here, so that tests can fail the
 * n-th one. Never used on the query path. Thread-safe.
 */
#ifndef GTM_BASE_MEM_H
#define GTM_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* As malloc and friends; NULL on failure, the caller returns GTM_ENOMEM. */
void *gtm_malloc(size_t bytes) __attribute__((malloc));
void *gtm_calloc(size_t count, size_t bytes) __attribute__((malloc));
void *gtm_realloc(void *ptr, size_t bytes);
void *gtm_aligned_alloc(size_t align, size_t bytes); /* free with gtm_free */
void gtm_free(void *ptr);
char *gtm_strdup(const char *s);
char *gtm_strndup(const char *s, size_t n);
void *gtm_memdup(const void *p, size_t n);
char *gtm_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for `need` elements in *array (doubling); 0 or GTM_ENOMEM, *array is then unchanged.
 */
int gtm_grow(void **array, size_t *cap, size_t need, size_t elem_bytes);

/* Tests: the n-th allocation from now fails (1 = the next), and with `forever` all later ones too;
 * 0 switches it off. Returns nothing; process-wide. */
void gtm_mem_fail_at(uint64_t n, int forever);
/* Tests: allocations made by the calling thread so far (allocations per answer = 0 is checked with
 * it). */
uint64_t gtm_mem_count(void);

#endif
