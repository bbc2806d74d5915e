/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools, endpoints, regions and orders as JSON. Reads facts only, so any thread may call with a
 * clone of its own.
 */
#ifndef GTM_DAEMON_API_OBJECTS_H
#define GTM_DAEMON_API_OBJECTS_H

#include "gtm/base/json.h"
#include "gtm/daemon/facts.h"

#include <stddef.h>

/* Longer lists are built on a helper thread. */
#define GTM_API_INLINE_ENDPOINTS 300

/* "ipv4", "ipv6". */
const char *gtm_family_word(enum gtm_family family);
/* Text of an endpoint's address of the family; out has room for INET6_ADDRSTRLEN. */
const char *gtm_endpoint_address(const struct gtm_endpoint *endpoint, enum gtm_family family,
                                 char *out, size_t out_bytes);

/* NULL = no order. */
struct gtm_json *gtm_api_admin(const struct gtm_override *override);
struct gtm_json *gtm_api_endpoint(const struct gtm_facts *facts, size_t pool, size_t endpoint);
struct gtm_json *gtm_api_endpoints(const struct gtm_facts *facts, size_t pool);
struct gtm_json *gtm_api_pool(const struct gtm_facts *facts, size_t pool, bool with_endpoints);
struct gtm_json *gtm_api_region(const struct gtm_facts *facts, size_t region);

#endif
