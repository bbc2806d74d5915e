/* SPDX-License-Identifier: Apache-2.0
 *
 * What became of a commit whose answer was lost. See store_etcd_txn.h.
 *
 * One transaction asks and settles: "if the slot's key has not moved, move it (the commit can then
 * never happen); else show it". This question may get lost, too, and is then asked again, for some
 * seconds; after that nobody knows, and the result says so.
 */
#include "gtm/coord/store_etcd_txn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 200

struct etcdc_buf etcd__slot_key(const struct etcd__store *store, unsigned slot,
                                char out[COORD__KEY_BYTES])
{
    int n = snprintf(out, COORD__KEY_BYTES, GTM_STORE_PREFIX COORD__ACTS "%.400s/%02u", store->node,
                     slot);
    return etcdc_bytes(out, (size_t)n);
}

void etcd__slot_value(const struct etcd__txn *txn, const char *word, char out[64])
{
    snprintf(out, 64, "{\"v\":1,\"%s\":\"%016" PRIx64 "\"}", word, txn->id);
}

void etcd__nobody_knows(struct etcd__txn *txn, const char *why)
{
    gtm_error_set(&txn->commit->err, GTM_EIO,
                  "etcd did not answer: the change may have happened; look before trying again "
                  "(%.200s)",
                  why);
    etcd__settled(txn, ETCD__DONE);
}

static bool holds(const struct etcdc_kv *kv, const char *text)
{
    return kv->value.n == strlen(text) && memcmp(kv->value.p, text, kv->value.n) == 0;
}

static void on_look(void *arg, const struct etcdc_answer *answer)
{
    struct etcd__txn *txn = arg;
    struct etcd__store *store = txn->store;
    uint64_t now = gtm_mono_ms(store->clock);
    const struct etcdc_part *part = answer->parts_count ? &answer->parts[0] : NULL;
    const struct etcdc_kv *kv = part && part->kvs_count ? &part->kvs[0] : NULL;
    char ours[64], void_text[64];
    etcd__slot_value(txn, "op", ours);
    etcd__slot_value(txn, "void", void_text);
    if (answer->code != ETCDC_OK) {
        if (now >= txn->give_up_ms || etcdc_class(answer->code) == ETCDC_PERMANENT) {
            etcd__nobody_knows(txn, answer->text);
            return;
        }
        txn->stage = ETCD__LOOK;
        txn->next_ms = now + LOOK_MS;
    } else if (!answer->succeeded && kv && holds(kv, ours)) {
        store->slots[txn->slot].revision = kv->mod_revision;
        txn->commit->revision = kv->mod_revision;
        etcd__settled(txn, ETCD__WAIT);
    } else if (answer->succeeded || (kv && holds(kv, void_text))) {
        store->slots[txn->slot].revision =
            answer->succeeded ? answer->header.revision : kv->mod_revision;
        gtm_error_set(&txn->commit->err, GTM_ETIMEOUT,
                      "etcd did not answer in time; nothing was changed");
        etcd__settled(txn, ETCD__DONE);
    } else {
        store->slots[txn->slot].revision = kv ? kv->mod_revision : 0;
        etcd__nobody_knows(txn, "another node has the same name");
    }
    etcd__commits_go_on(store);
}

void etcd__look(struct etcd__txn *txn)
{
    struct etcd__store *store = txn->store;
    char key[COORD__KEY_BYTES], value[64];
    struct etcdc_buf slot = etcd__slot_key(store, txn->slot, key);
    etcd__slot_value(txn, "void", value);
    struct etcdc_txn *ask = etcdc_txn_new();
    int rc = ETCDC_E_NOMEM;
    if (ask) {
        etcdc_txn_if(ask, slot, ETCDC_MOD_REVISION, ETCDC_EQUAL, store->slots[txn->slot].revision);
        etcdc_txn_put(ask, false, slot, etcdc_str(value), 0, 0);
        etcdc_txn_range(ask, true, slot, etcdc_bytes("", 0), 1);
        rc = etcdc_commit(store->client, ask, 0, on_look, txn);
    }
    txn->stage = rc == ETCDC_OK ? ETCD__LOOKING : ETCD__LOOK;
    txn->next_ms = gtm_mono_ms(store->clock) + LOOK_MS;
}
