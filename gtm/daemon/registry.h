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
 *
 * A name taken twice: who was there first keeps it for as long as its entry stands. The other one
 * says so (problem NodeNameTaken), follows and answers, but writes neither its entry nor
 * observations and does not lead. "process" tells the two apart: the same folder on the same
 * running machine is the same node, started again or handed over, and goes on at once. (Made anew
 * with another folder, or after a quick reboot, it waits for the old entry's lease to run out.)
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

/* What "process" says of one that runs with this folder: the same until the machine starts again,
 * and never the same as with another folder or on another machine. Without the kernel's word
 * (boot_id, NULL = ask it) or the folder: at random. */
#define GTM_NODE_PROCESS_BYTES 33
void gtm_node_process(const char *data_dir, const char *boot_id, char ret[GTM_NODE_PROCESS_BYTES]);

struct gtm_registry *gtm_registry_new(struct gtmd *d); /* NULL: out of memory */
void gtm_registry_free(struct gtm_registry *registry); /* NULL is fine */
/* Something of this node's entry may have changed. */
void gtm_registry_poke(struct gtm_registry *registry);
/* The session is another: the entry needs its lease. */
void gtm_registry_session(struct gtm_registry *registry);
/* Whose is this node's name? */
enum gtm_registry_name {
    GTM_NAME_UNKNOWN = 0, /* not written yet in this session */
    GTM_NAME_OURS,
    GTM_NAME_TAKEN,
};
enum gtm_registry_name gtm_registry_name(const struct gtm_registry *registry);
/* Another process has this node's name, and not as one whose lease is about to run out: who, for
 * people; NULL = none. */
const char *gtm_registry_rival(const struct gtm_registry *registry, int64_t *ret_since_ms);

#endif
