/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of measured times for `latency`: which region is how far from which network.
 *
 *     # network        region   ms
 *     198.51.100.0/24  eu-west  12.5
 *     2001:db8::/32,us-east,80
 *
 * One line for each network and region; blanks or commas between the words, `#` starts a comment, a
 * first line that starts with the word "network" is a heading. A bare address is a network of one.
 * The longest network that holds a client counts, with all its lines; what it does not name is
 * ranked by distance. Pure (text in, table out); a table is immutable, any thread.
 */
#ifndef GTM_POLICIES_LATENCY_H
#define GTM_POLICIES_LATENCY_H

#include "gtm/base/diag.h"
#include "gtm/model/intent.h"
#include "policies/policy.h"

#include <stddef.h>
#include <stdint.h>

#define POLICY_LATENCY_LINES_MAX 2000000
#define POLICY_LATENCY_BYTES_MAX (256u << 20) /* of a whole text */
#define POLICY_LATENCY_LINE_MAX  255          /* octets */
#define POLICY_LATENCY_MS_MAX    60000.0

struct policy_latency;

/* Parses a table for the policy. Errors and warnings go to diags as file:line:col. NULL when there
 * is any error or no memory (which is also one in diags). A region that the intent does not have is
 * a warning, one where the policy's pool has no endpoint is left out silently; of two lines for the
 * same network and region the later counts, with a warning. */
struct policy_latency *policy_latency_parse(const struct gtm_intent *intent, unsigned policy,
                                            const char *file, const char *text, size_t len,
                                            struct gtm_diags *diags);
void policy_latency_free(struct policy_latency *table); /* NULL is fine */

/* A fingerprint of the ranking: two tables with the same one rank alike. */
uint64_t policy_latency_hash(const struct policy_latency *table);
/* Its networks, and the label of each, below policy_latency_labels: those with the same order of
 * regions and the same length share one, and a longer network has the greater label. So the
 * greatest label of those networks that hold a client is that of the longest. */
size_t policy_latency_networks(const struct policy_latency *table);
void policy_latency_network(const struct policy_latency *table, size_t i, struct gtm_network *ret,
                            uint32_t *ret_label);
uint32_t policy_latency_labels(const struct policy_latency *table);
/* Regions by ascending time; borrowed. */
const struct policy_regions *policy_latency_order(const struct policy_latency *table,
                                                  uint32_t label);

/* For explaining: the longest network that holds the first prefix_len bits of addr, or -1. */
int64_t policy_latency_find(const struct policy_latency *table, uint8_t family,
                            const uint8_t addr[16], unsigned prefix_len);
/* The k-th measured time of network i, ascending; false when there are no more. */
bool policy_latency_time(const struct policy_latency *table, size_t i, unsigned k,
                         unsigned *ret_region, double *ret_ms);

#endif
