/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard health service of gRPC, grpc.health.v1.Health/Check: the one request and answer that
 * it needs of Protocol Buffers and of gRPC over HTTP/2. Pure but for allocation. Internal to
 * health.
 */
#ifndef GTM_HEALTH_GRPC_H
#define GTM_HEALTH_GRPC_H

#include "health/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_GRPC_PATH          "/grpc.health.v1.Health/Check"
#define HEALTH_GRPC_BODY_MAX      1024 /* of an answer; a usual one has 7 */
#define HEALTH_GRPC_MESSAGE_BYTES 96

/* The request's body (gtm_free): a prefix of five octets and the message. NULL when out of memory.
 */
uint8_t *health_grpc_request(const char *service, size_t *ret_len);

/* What came of one call; zero-initialise. */
struct health_grpc {
    uint8_t body[HEALTH_GRPC_BODY_MAX];
    size_t len;
    bool too_long, has_status;
    unsigned status;
    char message[HEALTH_GRPC_MESSAGE_BYTES];
};

/* A header or trailer line, and a piece of the body; any octets. */
void health_grpc_header(struct health_grpc *grpc, const char *line, size_t len);
void health_grpc_body(struct health_grpc *grpc, const void *data, size_t len);

/* The call is over: sets the outcome's result and text. */
void health_grpc_judge(const struct health_grpc *grpc, const char *service,
                       struct health_outcome *outcome);

#endif
