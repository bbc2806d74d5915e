/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl's multi_socket interface on the loop: a pool of connections. Internal to http*.c; the
 * loop's thread.
 */
#ifndef GTM_BASE_HTTP_INT_H
#define GTM_BASE_HTTP_INT_H

#include "gtm/base/err.h"

#include <curl/curl.h>
#include <stdbool.h>

struct gtm_loop;
struct http__pool;

/* after: curl has run, there may be messages; it may free the pool. NULL: out of memory. */
struct http__pool *http__pool_new(struct gtm_loop *loop, unsigned connections,
                                  void (*after)(void *arg), void *arg);
void http__pool_free(struct http__pool *pool); /* no transfer is in it; NULL is fine */
/* Starts a transfer; its socket options are the pool's. GTM_ENOMEM. */
int http__pool_add(struct http__pool *pool, CURL *easy) GTM_MUST_CHECK;
void http__pool_remove(struct http__pool *pool, CURL *easy);
unsigned http__pool_count(const struct http__pool *pool); /* transfers in it */
/* The next transfer that ended, or NULL. It stays in the pool until removed. */
CURL *http__pool_ended(struct http__pool *pool, CURLcode *ret_code);

#endif
