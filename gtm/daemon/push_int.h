/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the heartbeat listener share: tokens and certificate (push_secrets.c), who
 * tried too often (push_guard.c), requests (push.c); sockets and connections are listener.h's.
 * Internal to push*.c; the control thread.
 */
#ifndef GTM_DAEMON_PUSH_INT_H
#define GTM_DAEMON_PUSH_INT_H

#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/map.h"
#include "gtm/daemon/listener.h"
#include "gtm/daemon/push.h"

#include <event2/http.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define GTM_PUSH_CONNECTIONS_MAX 1024
#define GTM_PUSH_PER_ADDRESS_MAX 128
#define GTM_PUSH_HEADER_MAX      8192
#define GTM_PUSH_BODY_MAX        16384
#define GTM_PUSH_IDLE_MS         30000 /* without a whole request */
#define GTM_PUSH_HANDSHAKE_MS    10000
#define GTM_PUSH_IO_S            30
#define GTM_PUSH_DIGEST          32   /* bytes of SHA-256 */
#define GTM_PUSH_TOKEN_MAX       4096 /* bytes of a token's file */

enum gtm_push_refusal {
    GTM_PUSH_BAD = 0,
    GTM_PUSH_TOKEN,
    GTM_PUSH_RATE,
    GTM_PUSH_UNKNOWN,
    GTM_PUSH_NOT_READY,
    GTM_PUSH_CONNECTIONS,
    GTM_PUSH_REFUSAL_COUNT
};

/* --- push_guard.c --- */

#define GTM_PUSH_GUARD_SLOTS 1024

/* Who sent wrong tokens lately: IPv4 addresses and IPv6 /64s in a table of fixed size, where a new
 * one takes the place of another. Zero-initialise; seed may be random. */
struct gtm_push_guard {
    uint64_t seed;
    struct {
        uint8_t net[8];
        double left; /* wrong tokens that it may still send */
        uint64_t at_ms;
    } slots[GTM_PUSH_GUARD_SLOTS];
};
/* May this address try a token now? */
bool gtm_push__guard_allows(const struct gtm_push_guard *guard, const struct sockaddr *from,
                            uint64_t now_ms);
/* It sent a wrong one. */
void gtm_push__guard_failed(struct gtm_push_guard *guard, const struct sockaddr *from,
                            uint64_t now_ms);

/* --- push_secrets.c --- */

struct gtm_push_secret {
    uint8_t digest[GTM_PUSH_DIGEST]; /* of the token */
};
/* Starts reading the files that the intent and the node name; what was read before stays until then
 * (and for files that cannot be read). */
void gtm_push__secrets_load(struct gtm_push *push);
/* The TLS context of the node's certificate. NULL on failure. Blocks. Free with SSL_CTX_free. */
SSL_CTX *gtm_push__tls_new(const char *cert, const char *key, struct gtm_error *err);

/* --- push.c --- */

struct gtm_push {
    struct gtmd *d;
    struct gtm_listener *listener;

    struct gtm_map *secrets; /* monitor → struct gtm_push_secret; NULL: not read yet */
    bool reading, read_again;
    bool *alive; /* false once freed; owned by the job when one runs */

    struct gtm_push_guard guard;
    struct gtm_log_limit log_limit;
    uint64_t up, down, refused[GTM_PUSH_REFUSAL_COUNT], load_errors;
};

#endif
