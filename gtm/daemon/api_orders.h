/* SPDX-License-Identifier: Apache-2.0
 *
 * What all routes that take an order share: its body, its plan with the rules, the refusal, the
 * commit and the answer. Control thread.
 */
#ifndef GTM_DAEMON_API_ORDERS_H
#define GTM_DAEMON_API_ORDERS_H

#include "gtm/daemon/api.h"
#include "gtm/daemon/orders.h"

/* A request to change an order; make one with gtm_api_order_new, fill in key, verb and what is
 * ordered, and give it to gtm_api_order_go, which answers. */
struct gtm_api_order {
    struct gtm_api_req *req;
    struct gtm_order order;
    bool dry_run;
    char pool[GTM_NAME_MAX + 1], endpoint[GTM_NAME_MAX + 1]; /* "" = none */
    /* made by _go */
    struct gtm_json *item;
};

/* Reads dryRun, If-Match and of the body owner, reason, until and override_rules; `allowed` names
 * the members it may have. NULL: wrong, and answered. *ret_body is the body (gtm_json_free). */
struct gtm_api_order *gtm_api_order_new(struct gtm_api_req *req, const char *allowed,
                                        struct gtm_json **ret_body);
/* For a handler that found the body wrong, and answered. */
void gtm_api_order_drop(struct gtm_api_order *order);
/* Takes it and answers: the plan (dry run), the refusal, or how the commit went. */
void gtm_api_order_go(struct gtm_api_order *order);

/* The whole request for an admin state: noun "endpoint", "pool", "region" or "node". endpoint NULL:
 * name is the object itself, else its pool. */
void gtm_api_order_admin(struct gtm_api_req *req, const char *noun, const char *name,
                         const char *endpoint);

#endif
