/* SPDX-License-Identifier: Apache-2.0
 *
 * What one vantage sees of one pool: the text under "obs/<vantage>/<pool>" (leased). Packed by
 * monitor and family, since most of it is "up":
 *
 *     {"v":1,"region":"us-east","at":MS,"seq":N,
 *      "m":{"web":{"4":{"up":["www-us","www-eu"],"unknown":[],
 *                       "down":[["www-ap",SINCE_MS,"refused","connection refused"],
 *                              ["www-sa",SINCE_MS,"status","got 503","content"]]}}}}
 *
 * seq rises with every writing of that vantage for that pool. "refused" is the word of enum
 * health_result; this file only carries it. A failure of content says so. Monitors, families and
 * endpoints are sorted, so that the same observations are the same text. Unknown members are
 * ignored (newer minor writers). Pure; any thread.
 */
#ifndef GTM_MODEL_OBS_H
#define GTM_MODEL_OBS_H

#include "gtm/base/buf.h"
#include "gtm/base/err.h"
#include "gtm/model/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_OBS_FORMAT    1
#define GTM_OBS_EVIDENCE  96    /* with the NUL; longer ones are cut */
#define GTM_OBS_RESULT    32    /* likewise */
#define GTM_OBS_SLOTS_MAX 64000 /* of one pool */
#define GTM_OBS_BYTES_MAX (256u << 10)

/* What is seen of one address by one monitor. */
struct gtm_obs_slot {
    const char *endpoint, *monitor; /* names; borrowed from the document */
    uint8_t family;                 /* enum gtm_family */
    uint8_t health;                 /* up, down, unknown; degraded is written as up */
    bool content;
    int64_t since_ms;              /* Unix time by the vantage's clock; only down has it */
    const char *result, *evidence; /* only down; never NULL */
};
struct gtm_obs {
    char region[64];
    int64_t at_ms;
    uint64_t seq;
    struct gtm_obs_slot *slots;
    size_t count;
    void *own; /* what the texts live in */
};
/* Appends the text; nothing on failure. Slots in any order. GTM_ENOMEM; GTM_ELIMIT when it would be
 * longer than GTM_OBS_BYTES_MAX even without evidence (which is dropped first), or for too many
 * slots; GTM_EINVAL for what no reader would take: a name that is empty, too long or no UTF-8, a
 * negative time, an address seen twice by one monitor. */
int gtm_obs_print(const struct gtm_obs *obs, struct gtm_buf *ret) GTM_MUST_CHECK;
/* GTM_EPARSE, GTM_EUNSUPPORTED (a newer format), GTM_ELIMIT, GTM_ENOMEM; *ret_obs is then empty. */
int gtm_obs_parse(const char *text, size_t len, struct gtm_obs *ret_obs,
                  struct gtm_error *err) GTM_MUST_CHECK;
void gtm_obs_fini(struct gtm_obs *obs);

#endif
