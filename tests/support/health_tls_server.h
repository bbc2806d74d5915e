/* SPDX-License-Identifier: Apache-2.0
 *
 * A TLS server on 127.0.0.1 that answers each HTTP/1.1 request with 200 and "all is well", on
 * threads of its own. Asserts on failure of the host.
 */
#ifndef GTM_TESTS_SUPPORT_HEALTH_TLS_SERVER_H
#define GTM_TESTS_SUPPORT_HEALTH_TLS_SERVER_H

#include <stdint.h>

struct tls_server;

struct tls_server_want {
    const char *pem;       /* certificate, key, and what is sent with them */
    const char *client_ca; /* not NULL: clients need a certificate of it */
    int max_version;       /* TLS1_1_VERSION …; 0 = any */
    int mute;              /* accepts, and never shakes hands */
    int reset; /* shakes hands, and then resets the connection, as one may see who is refused */
};

struct tls_server *tls_server_new(const struct tls_server_want *want);
void tls_server_free(struct tls_server *server);
uint16_t tls_server_port(const struct tls_server *server);
unsigned tls_server_handshakes(struct tls_server *server); /* completed */
unsigned tls_server_resumed(struct tls_server *server);    /* … of them by an old session */
/* The name (SNI) of the last handshake; "" without one. */
const char *tls_server_name(struct tls_server *server);

#endif
