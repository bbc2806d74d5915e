/* SPDX-License-Identifier: Apache-2.0
 *
 * Transactions: three lists of JSON objects that grow with each addition. The first failure is
 * kept for commit.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/mem.h"

#include <inttypes.h>
#include <string.h>

struct put_key { /* keys put, to refuse a second put here: the server would refuse all */
    bool otherwise;
    size_t n;
    uint8_t *p;
};

struct etcdc_txn {
    struct gtm_buf compares, branch[2];
    unsigned compares_count, ops[2];
    struct put_key *puts;
    size_t puts_count, puts_cap;
    int code;
};

struct etcdc_txn *etcdc_txn_new(void)
{
    return gtm_calloc(1, sizeof(struct etcdc_txn));
}

void etcdc_txn_free(struct etcdc_txn *txn)
{
    if (!txn)
        return;
    gtm_buf_fini(&txn->compares);
    gtm_buf_fini(&txn->branch[0]);
    gtm_buf_fini(&txn->branch[1]);
    for (size_t i = 0; i < txn->puts_count; i++)
        gtm_free(txn->puts[i].p);
    gtm_free(txn->puts);
    gtm_free(txn);
}

static void fail(struct etcdc_txn *txn, int code)
{
    if (txn->code == ETCDC_OK)
        txn->code = code;
}

/* Room for one more object of the list, and the comma before it. */
static bool opens(struct etcdc_txn *txn, struct gtm_buf *list, unsigned *count, bool good)
{
    size_t bytes = txn->compares.len + txn->branch[0].len + txn->branch[1].len;
    if (!good || *count >= ETCDC_TXN_OPS_MAX || bytes / 4 * 3 > ETCDC_TXN_BYTES_MAX)
        fail(txn, ETCDC_E_ARG);
    if (txn->code != ETCDC_OK)
        return false;
    if ((*count)++ > 0)
        gtm_buf_addc(list, ',');
    return true;
}

static void compare(struct etcdc_txn *txn, struct etcdc_buf key, const char *target,
                    const char *result, const char *member)
{
    struct gtm_buf *list = &txn->compares;
    gtm_buf_addc(list, '{');
    etcdc__put_bytes(list, "key", key);
    etcdc__put_word(list, "target", target);
    etcdc__put_word(list, "result", result);
    etcdc__put_name(list, member); /* also when it is zero: it says what is compared */
}

void etcdc_txn_if(struct etcdc_txn *txn, struct etcdc_buf key, enum etcdc_target target,
                  enum etcdc_compare how, int64_t value)
{
    static const char *const targets[] = {"CREATE", "MOD", "VERSION", "LEASE"};
    static const char *const members[] = {"create_revision", "mod_revision", "version", "lease"};
    static const char *const results[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
    if (!opens(txn, &txn->compares, &txn->compares_count, etcdc__key_good(key)))
        return;
    compare(txn, key, targets[target], results[how], members[target]);
    gtm_buf_addf(&txn->compares, "\"%" PRId64 "\"}", value);
}

void etcdc_txn_if_value(struct etcdc_txn *txn, struct etcdc_buf key, struct etcdc_buf value)
{
    if (!opens(txn, &txn->compares, &txn->compares_count,
               etcdc__key_good(key) && value.n <= ETCDC_VALUE_MAX))
        return;
    compare(txn, key, "VALUE", "EQUAL", "value");
    gtm_buf_addc(&txn->compares, '"');
    etcdc__base64(&txn->compares, value);
    gtm_buf_adds(&txn->compares, "\"}");
}

static bool remember_put(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key)
{
    for (size_t i = 0; i < txn->puts_count; i++)
        if (txn->puts[i].otherwise == otherwise && txn->puts[i].n == key.n &&
            memcmp(txn->puts[i].p, key.p, key.n) == 0)
            fail(txn, ETCDC_E_ARG);
    if (txn->code != ETCDC_OK)
        return false;
    uint8_t *p = gtm_memdup(key.p, key.n);
    if (!p || gtm_grow((void **)&txn->puts, &txn->puts_cap, txn->puts_count + 1,
                       sizeof(*txn->puts)) != 0) {
        gtm_free(p);
        fail(txn, ETCDC_E_NOMEM);
        return false;
    }
    txn->puts[txn->puts_count++] = (struct put_key){otherwise, key.n, p};
    return true;
}

void etcdc_txn_put(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                   struct etcdc_buf value, int64_t lease, unsigned flags)
{
    struct gtm_buf *list = &txn->branch[otherwise];
    bool good = etcdc__key_good(key) && value.n <= ETCDC_VALUE_MAX && lease >= 0 &&
                !(lease && flags & ETCDC_KEEP_LEASE);
    if (!good) /* before it is remembered: its key may be anything */
        fail(txn, ETCDC_E_ARG);
    if (txn->code != ETCDC_OK || !remember_put(txn, otherwise, key) ||
        !opens(txn, list, &txn->ops[otherwise], good))
        return;
    gtm_buf_adds(list, "{\"request_put\":");
    etcdc__write_put(list, key, value, lease, flags);
    gtm_buf_addc(list, '}');
}

void etcdc_txn_delete(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                      struct etcdc_buf end)
{
    struct gtm_buf *list = &txn->branch[otherwise];
    if (!opens(txn, list, &txn->ops[otherwise], etcdc__key_good(key) && etcdc__end_good(end)))
        return;
    gtm_buf_adds(list, "{\"request_delete_range\":");
    etcdc__write_delete(list, key, end, 0);
    gtm_buf_addc(list, '}');
}

void etcdc_txn_range(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                     struct etcdc_buf end, int64_t limit)
{
    struct gtm_buf *list = &txn->branch[otherwise];
    if (!opens(txn, list, &txn->ops[otherwise],
               etcdc__key_good(key) && etcdc__end_good(end) && limit >= 0))
        return;
    gtm_buf_adds(list, "{\"request_range\":");
    etcdc__write_range(list, key, end, limit, 0, 0);
    gtm_buf_addc(list, '}');
}

static void add_list(struct gtm_buf *body, const char *name, const struct gtm_buf *list)
{
    if (!list->len)
        return;
    etcdc__put_name(body, name);
    gtm_buf_addc(body, '[');
    gtm_buf_add(body, list->data, list->len);
    gtm_buf_addc(body, ']');
}

int etcdc_commit(struct etcdc *client, struct etcdc_txn *txn, unsigned flags, etcdc_done_fn *done,
                 void *arg)
{
    struct gtm_buf body = {0};
    if (!txn)
        return ETCDC_E_NOMEM;
    int code = txn->code;
    gtm_buf_addc(&body, '{');
    add_list(&body, "compare", &txn->compares);
    add_list(&body, "success", &txn->branch[0]);
    add_list(&body, "failure", &txn->branch[1]);
    gtm_buf_addc(&body, '}');
    body.failed |= txn->compares.failed || txn->branch[0].failed || txn->branch[1].failed;
    /* The server counts octets before base64. */
    if (code == ETCDC_OK && body.len / 4 * 3 > ETCDC_TXN_BYTES_MAX)
        code = ETCDC_E_ARG;
    etcdc_txn_free(txn);
    if (code != ETCDC_OK) {
        gtm_buf_fini(&body);
        return code;
    }
    return etcdc__call_start(client, ETCDC__TXN, flags & ~ETCDC_SERIALIZABLE, &body, done, arg,
                             NULL);
}
