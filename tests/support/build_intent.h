/* SPDX-License-Identifier: Apache-2.0
 *
 * Intents built in code, for tests that need thousands of them, or states that no file would give.
 * Everything is found by the index returned. Not for production: an allocation failure aborts.
 */
#ifndef GTM_SUPPORT_BUILD_INTENT_H
#define GTM_SUPPORT_BUILD_INTENT_H

#include "gtm/model/intent.h"

struct gtm_intent *build_intent(void);
/* Frees what was built; the caller holds the only reference. */
void build_free(struct gtm_intent *intent);
unsigned build_region(struct gtm_intent *intent, const char *name, double lat, double lon);
/* A region whose place nobody gave. */
unsigned build_region_nowhere(struct gtm_intent *intent, const char *name);
unsigned build_pool(struct gtm_intent *intent, const char *name);
/* v4 or v6 may be NULL. */
unsigned build_endpoint(struct gtm_intent *intent, unsigned pool, const char *name, unsigned region,
                        const char *v4, const char *v6, uint32_t weight);
/* pool < 0: none (weighted). Answers 1, TTL 30 s, fail_open. */
unsigned build_policy(struct gtm_intent *intent, const char *name, enum gtm_steer steer, int pool);
void build_order(struct gtm_intent *intent, unsigned policy, size_t count, const unsigned *regions);
void build_target(struct gtm_intent *intent, unsigned policy, enum gtm_target_kind kind,
                  unsigned index, unsigned endpoint, uint32_t weight);
/* all_down: backup, to that target. */
void build_backup(struct gtm_intent *intent, unsigned policy, enum gtm_target_kind kind,
                  unsigned index);
/* Appends a route without conditions; fill the lists with the functions below. */
struct gtm_route *build_route(struct gtm_intent *intent, unsigned policy, size_t regions_count,
                              const unsigned *regions);
void build_route_country(struct gtm_route *route, const char *code);
void build_route_continent(struct gtm_route *route, const char *code);
void build_route_subdivision(struct gtm_route *route, const char *code);
void build_route_asn(struct gtm_route *route, uint32_t asn);
/* "198.51.100.0/24" */
void build_route_network(struct gtm_route *route, const char *network);
unsigned build_zone(struct gtm_intent *intent, const char *name, const char *file);
/* types: 1 = A, 2 = AAAA, 3 = both. policy < 0: a group's name. */
void build_name(struct gtm_intent *intent, unsigned zone, const char *name, int types, int policy);
/* A name of other types. Priority 1; fill the rest. */
struct gtm_dynamic_name *build_typed(struct gtm_intent *intent, unsigned zone, const char *name,
                                     size_t types_count, const uint16_t *types, unsigned policy);
void build_alpn(struct gtm_dynamic_name *name, const char *protocol);
/* An alias; types: as above. */
struct gtm_dynamic_name *build_alias(struct gtm_intent *intent, unsigned zone, const char *name,
                                     int types, const char *target);
/* What CNAME, SRV, HTTPS and SVCB answers call an endpoint. */
void build_host(struct gtm_intent *intent, unsigned pool, unsigned endpoint, const char *host);

#endif
