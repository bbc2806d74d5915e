/* SPDX-License-Identifier: Apache-2.0
 *
 * Real etcd servers for a test, on loopback addresses and ports of their own (parallel tests do not
 * meet), with data in a scratch folder. Asserts on failure of the host. The servers end with the
 * test, also when it crashes.
 */
#ifndef GTM_TESTS_SUPPORT_ETCD_SERVER_H
#define GTM_TESTS_SUPPORT_ETCD_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#define ETCD_MEMBERS_MAX 5

struct etcd_server;

struct etcd_server_want {
    unsigned members;            /* 0 = 1 */
    unsigned election_ms;        /* 0 = 500; leases last at least one and a half of it */
    const char *const *args;     /* more arguments for each, NULL-terminated; NULL = none */
    const char *ca, *cert, *key; /* not NULL: https, and clients need a certificate of ca */
};

/* Is etcd installed? Says so on standard error when it is not: then skip(). */
bool etcd_server_have(void);
/* Starts all members and waits until they are healthy. want NULL = one plain member. */
struct etcd_server *etcd_server_new(const struct etcd_server_want *want);
/* Ends them (SIGKILL) and removes their data. NULL is fine. */
void etcd_server_free(struct etcd_server *server);
const char *etcd_server_url(const struct etcd_server *server, unsigned member);
/* The index of the member that leads; waits for one. Not with TLS. */
unsigned etcd_server_leader(struct etcd_server *server);
/* SIGKILL. start: again with its data; forget before start: with none, but the same flags (of one
 * member: the same cluster id); wipe before start: as a new cluster of one at the same address. */
void etcd_server_kill(struct etcd_server *server, unsigned member);
void etcd_server_forget(struct etcd_server *server, unsigned member);
void etcd_server_wipe(struct etcd_server *server, unsigned member);
void etcd_server_start(struct etcd_server *server, unsigned member);
/* Waits (20 s) until a member says that it is healthy. */
void etcd_server_wait(struct etcd_server *server, unsigned member);
/* SIGSTOP and SIGCONT. */
void etcd_server_pause(struct etcd_server *server, unsigned member);
void etcd_server_resume(struct etcd_server *server, unsigned member);

#endif
