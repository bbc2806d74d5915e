/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream thread on loopback for tests, with one zone: www A 192.0.2.1, `big` with a TXT set of
 * 51,000 octets, 20,205 records in a transfer, which anybody may have; proxies in 127.0.9.0/24. And
 * clients of it. Everything fails the test when it cannot be done.
 */
#ifndef TESTS_SUPPORT_STREAM_WORLD_H
#define TESTS_SUPPORT_STREAM_WORLD_H

#include "dns/stream.h"
#include "dns/tls.h"
#include "tests/support/temp_dir.h"

#include <netinet/in.h>

#define STREAM_DEADLINE_MS 20000
#define STREAM_RECORDS     20205u

struct stream_world {
    struct dns_view *view;
    struct dns_stream *stream;
    struct sockaddr_in addr;
    struct ssl_ctx_st *tls; /* set before stream_world_start: taken */
};

void stream_world_start(struct stream_world *w, unsigned max_clients, unsigned per_client,
                        unsigned idle_ms);
void stream_world_finish(struct stream_world *w);
/* Room for as many descriptors as tests need. */
int stream_world_set_up(void **state);

/* Connects from 127.0.x.y; rcvbuf 0 = the system's. */
int stream_dial(const struct stream_world *w, unsigned x, unsigned y, int rcvbuf);
/* A query with its length; returns the octets. */
size_t stream_query(uint8_t *out, const char *name, uint16_t type);
/* The last message read. */
extern uint8_t stream_message[65535];
/* The next message's octets, 0 = closed. */
size_t stream_read(int fd);
/* Asks for www: 1 = answered, 0 = the connection is closed. */
int stream_ask(int fd);
uint64_t stream_event(const struct stream_world *w, size_t offset);
#define STREAM_EVENT(w, which) stream_event(w, offsetof(struct dns_stream_events, which))

#define STREAM_WAIT_FOR(condition)                                                               \
    for (uint64_t until = gtm_mono_ms(gtm_clock_system()) + STREAM_DEADLINE_MS; !(condition);) { \
        assert_true(gtm_mono_ms(gtm_clock_system()) < until);                                    \
        usleep(1000);                                                                            \
    }

#endif
