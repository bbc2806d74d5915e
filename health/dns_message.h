/* SPDX-License-Identifier: Apache-2.0
 *
 * What a dns check asks, and its judgement of what comes back. Pure but for allocation; made and
 * freed on any thread, immutable between. Internal to health.
 */
#ifndef GTM_HEALTH_DNS_MESSAGE_H
#define GTM_HEALTH_DNS_MESSAGE_H

#include "gtm/model/intent.h"
#include "health/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_DNS_QUERY_MAX 272 /* header, a name of 255 octets, type and class */

struct health_dns_ask {
    uint8_t query[HEALTH_DNS_QUERY_MAX]; /* with id 0, RD set, without EDNS */
    size_t len;
    uint16_t type;
    bool tcp;
    unsigned rcode; /* expected */
    char *expect;   /* as configured, or NULL */
    char *text;     /* the same as rdata of the type is printed, or NULL when it is none */
};

/* From a monitor of kind dns. GTM_EINVAL (name, expected text), GTM_ENOMEM; *ret_ask is then NULL.
 */
int health_dns_ask_new(const struct gtm_monitor *monitor, struct health_dns_ask **ret_ask,
                       struct gtm_error *err) GTM_MUST_CHECK;
void health_dns_ask_free(struct health_dns_ask *ask); /* or NULL */
bool health_dns_ask_equal(const struct health_dns_ask *a, const struct health_dns_ask *b); /* … */

enum health_dns_step {
    HEALTH_DNS_IGNORE = 0, /* not the answer to this query: go on waiting */
    HEALTH_DNS_TRUNCATED,  /* the answer does not fit: ask again over TCP (RFC 2181 9) */
    HEALTH_DNS_DECIDED     /* the outcome's result and text are set */
};
/* Any octets: a message of a sender that may be anyone. */
enum health_dns_step health_dns_judge(const struct health_dns_ask *ask, uint16_t id, bool tcp,
                                      const uint8_t *message, size_t len,
                                      struct health_outcome *outcome);

#endif
