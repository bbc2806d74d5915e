/* SPDX-License-Identifier: Apache-2.0
 *
 * One explanation under way: shared by publish_explain.c (why) and publish_explain_reply.c (what
 * dns_answer says). Internal to explaining.
 */
#ifndef GTM_DAEMON_PUBLISH_EXPLAIN_INT_H
#define GTM_DAEMON_PUBLISH_EXPLAIN_INT_H

#include "dns/answer.h"
#include "dns/rr.h"
#include "gtm/daemon/publish_int.h"

#define GTM__EXPLAIN_CHAIN_MAX 16 /* CNAMEs followed */

struct gtm__explain {
    const struct gtm_publisher *pub;
    const struct gtm_states *states;
    const struct gtm_explain_query *query;
    uint8_t addr[16]; /* the query's, cut to its prefix */
    uint8_t *reply;   /* DNS_MESSAGE_MAX octets */
    size_t reply_len;
    uint8_t asked[DNS_NAME_MAX];
    uint8_t qname[DNS_NAME_MAX]; /* follows CNAMEs */
    struct gtm_json *root;
    bool policy_told; /* the keys that describe a policy are there */
};

/* Asks the published view for x->qname. */
void gtm__explain_ask(struct gtm__explain *x, size_t qname_len);
/* Writes "answer" and follows CNAMEs from x->qname. False: the reply is malformed. */
bool gtm__explain_reply(struct gtm__explain *x);
/* The target of the CNAME that the reply has for a name, into the name. False: there is none. */
bool gtm__explain_cname(const struct gtm__explain *x, uint8_t name[DNS_NAME_MAX]);
const char *gtm__explain_type(uint16_t type, char out[16]);

#endif
