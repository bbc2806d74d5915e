/* SPDX-License-Identifier: Apache-2.0
 *
 * A loopback server that behaves as badly as a test wants, on threads of its own. Every function
 * may be called from the test's thread; they assert on failure of the host.
 */
#ifndef GTM_TESTS_SUPPORT_HEALTH_SERVER_H
#define GTM_TESTS_SUPPORT_HEALTH_SERVER_H

#include <netinet/in.h>
#include <stdint.h>

enum server_mood {
    SERVER_OK = 0,          /* 200, Content-Length, body "all is well" */
    SERVER_SILENT,          /* accepts and reads, never answers */
    SERVER_UNAVAILABLE,     /* 503 */
    SERVER_REDIRECTS,       /* 302 to itself */
    SERVER_GARBAGE,         /* bytes that are no HTTP */
    SERVER_ENDLESS_HEADERS, /* header lines for ever */
    SERVER_ENDLESS_LINE,    /* one header line for ever */
    SERVER_CONTINUES,       /* 100 Continue for ever */
    SERVER_ENDLESS_BODY,    /* chunks for ever */
    SERVER_TRICKLES,        /* one byte of the body now and then */
    SERVER_TRICKLES_HEADER, /* one byte of the headers now and then */
    SERVER_SPLIT_BODY,      /* the body in chunks of one byte */
    SERVER_LARGE_BODY,      /* 1 MiB with its length, "all is well" at its start */
    SERVER_BAD_CHUNK,       /* a malformed chunk size */
    SERVER_TRUNCATES,       /* closes before the promised length */
    SERVER_CLOSES,          /* closes without an answer */
    SERVER_RESETS,          /* resets without an answer */
    SERVER_CLOSES_REUSED,   /* closes without an answer on a connection's second request */
    SERVER_HEADERS_ONLY,    /* closes in the middle of the headers */
    SERVER_SLOW,            /* OK after 100 ms */
    SERVER_GREETS           /* tcp: "220 hel" "lo" before anything is sent */
};

struct server;

/* Listens on a port of its own on 127.0.0.1 (or ::1 with v6). */
struct server *server_new(enum server_mood mood, int v6);
void server_free(struct server *server);
void server_set_mood(struct server *server, enum server_mood mood);
uint16_t server_port(const struct server *server);
/* Closes the listener and all connections, as a killed process does; server_revive takes the port
 * again. */
void server_kill(struct server *server);
void server_revive(struct server *server);
unsigned server_accepts(struct server *server);
unsigned server_requests(struct server *server);
unsigned server_open(struct server *server); /* connections now */
/* The first request head that came, NUL-terminated; "" before. */
const char *server_first_request(struct server *server);

#endif
