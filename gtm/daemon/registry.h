/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is there: this node's own entry "node/<name>" in the store (leased, so it goes with the
 * node), and what the others' entries say. Control thread.
 *
 * {"v":1,"node","region","roles":["dns",…],"build","api":"HOST:PORT"|null,"dns":["ADDR:PORT",…],
 *  "started":MS,"mode":"follow","view":N,"intent":N,"vantage":{"fit":bool,"why":""},
 *  "state":"starting|serving|draining|stopping"}
 *
 * Written when something of it changes, at most once a second, and whenever the lease is another.
 * Two processes of one name: the entry with the later "started" wins; the other says so (problem
 * NodeNameTaken) and writes no more.
 */
#ifndef GTM_DAEMON_REGISTRY_H
#define GTM_DAEMON_REGISTRY_H

#include "gtm/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_NODES_MAX       1000
#define GTM_NODE_KEY_PREFIX "node/"

struct gtmd;
struct gtm_registry;
struct gtm_store;
struct gtm_store_entry;

/* An entry, parsed; texts cut to fit. */
struct gtm_node_entry {
    char name[64], region[64], api[128], build[32], mode[16], state[16], why[160], started_by[40];
    bool dns, health, controller, witness;
    bool fit; /* as a vantage */
    int64_t started_ms, view, intent;
};
/* GTM_EPARSE for what is no entry. Pure. */
int gtm_node_entry_parse(const struct gtm_store_entry *entry,
                         struct gtm_node_entry *ret) GTM_MUST_CHECK;
/* Every node in the store's copy, by name. */
void gtm_nodes_each(const struct gtm_store *store,
                    void (*visit)(void *arg, const struct gtm_node_entry *node), void *arg);

struct gtm_registry *gtm_registry_new(struct gtmd *d); /* NULL: out of memory */
void gtm_registry_free(struct gtm_registry *registry); /* NULL is fine */
/* Something of this node's entry may have changed. */
void gtm_registry_poke(struct gtm_registry *registry);
/* The session is another: the entry needs its lease. */
void gtm_registry_session(struct gtm_registry *registry);
/* Another process has this node's name; NULL = none. */
const char *gtm_registry_rival(const struct gtm_registry *registry);

#endif
