/* SPDX-License-Identifier: Apache-2.0
 *
 * What the nouns endpoint, pool, region and health share: names of endpoints and orders of admin
 * states. One thread.
 */
#ifndef GTM_CTL_ORDER_H
#define GTM_CTL_ORDER_H

#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"
#include "gtm/ctl/show.h"

#define CTL_NAME_BYTES 256

/* "POOL/ENDPOINT": copies the pool into pool and returns the endpoint's name, a part of text. NULL
 * after having said what is wrong. */
const char *ctl_split(const char *text, char pool[CTL_NAME_BYTES]);

/* An order to send. */
struct ctl_order {
    const char *what;            /* "region/eu-west", for people */
    const char *path;            /* without a query; NULL: out of memory */
    const char *method;          /* NULL = PUT */
    const char *pool, *endpoint; /* or NULL */
    bool hurts;                  /* look first, and ask */
};
/* {state, reason, until, over_s, override_rules} from the options; a new object. */
struct gtm_json *ctl_order_body(const struct ctl *ctl, const char *state);
/* Sends it (takes body) and shows what came of it, with what the rules say; what can hurt is looked
 * at first as a dry run, shown, and asked about. Returns an exit code. */
int ctl_order_send(struct ctl *ctl, const struct ctl_order *order, struct gtm_json *body);

/* Orders the state that the command's verb says for a pool, or an endpoint of it (not NULL). What
 * can hurt is looked at first as a dry run, shown, and asked about. Returns an exit code. */
int ctl_order(struct ctl *ctl, const char *pool, const char *endpoint);

/* All endpoints of all pools, or those of one region (not NULL), as the items of a new list. */
int ctl_all_endpoints(struct ctl *ctl, const char *region, struct gtm_json **ret_items);

/* The columns of endpoints. */
extern const struct ctl_column ctl_endpoint_columns[];
extern const size_t ctl_endpoint_columns_count;

#endif
