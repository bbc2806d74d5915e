/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd in memory behind etcdc's functions: as strict as the real one about revisions, and able to
 * lose answers before or after the deed, or to do the deed much later. One client, one watch. What
 * the store over etcd uses, and no more; a test that includes this links none of etcdc but its
 * words.
 */
#ifndef GTM_TESTS_UNIT_GTM_COORD_ETCDC_FAKE_H
#define GTM_TESTS_UNIT_GTM_COORD_ETCDC_FAKE_H

#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_KEYS 2000
#define FAKE_OPS  400

struct fake_kv {
    char *key, *value;
    size_t key_len, value_len;
    int64_t create, mod, version, lease;
};
enum fake_op_kind { FAKE_IF, FAKE_PUT, FAKE_DELETE, FAKE_RANGE };
struct fake_op {
    enum fake_op_kind kind;
    bool otherwise;
    char *key, *value;
    size_t key_len, value_len;
    enum etcdc_target target;
    int64_t number;
};
struct etcdc_txn {
    struct fake_op ops[FAKE_OPS];
    size_t count;
};
struct fake_answer {
    struct fake_answer *next;
    void *arg;
    etcdc_done_fn *done;
    etcdc_page_fn *page;
    struct etcdc_answer answer;
    struct etcdc_kv kvs[FAKE_OPS];
    struct etcdc_part parts[FAKE_OPS];
    char *bytes[FAKE_OPS * 2];
    size_t kvs_count, bytes_count;
};
enum fake_loss { FAKE_NONE = 0, FAKE_LOST_BEFORE, FAKE_LOST_AFTER, FAKE_LATE };

struct etcdc_watch {
    etcdc_watch_fn *cb;
    void *arg;
    int64_t given; /* revision */
    bool listed;
};

static struct fake {
    struct gtm_loop *loop;
    struct gtm_timer *timer;
    struct fake_kv kvs[FAKE_KEYS]; /* in order of keys; `mod` < 0: deleted at -mod */
    size_t count;
    int64_t revision;
    uint64_t cluster, expected;
    int code;            /* of every call; nothing happens */
    enum fake_loss loss; /* of the next `losses` commits */
    unsigned losses, commits;
    struct etcdc_txn *late;
    bool watch_held;
    struct fake_answer *answers;
    struct etcdc_watch *watch;
    int64_t last_lease;
} fake;

static inline int fake_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

static inline size_t fake_find(const char *key, size_t len, bool *ret_there)
{
    size_t i = 0;
    int order = -1;
    while (i < fake.count &&
           (order = fake_compare(fake.kvs[i].key, fake.kvs[i].key_len, key, len)) < 0)
        i++;
    *ret_there = i < fake.count && order == 0;
    return i;
}

/* Not by gtm_malloc: what a test lets fail is the store's memory. */
static inline char *fake_dup(const char *s, size_t len)
{
    char *copy = malloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

static inline void fake_put(const char *key, size_t key_len, const void *value, size_t len,
                            int64_t lease)
{
    bool there;
    size_t i = fake_find(key, key_len, &there);
    if (!there) {
        memmove(&fake.kvs[i + 1], &fake.kvs[i], (fake.count - i) * sizeof(fake.kvs[0]));
        fake.count++;
        fake.kvs[i] = (struct fake_kv){.key = fake_dup(key, key_len), .key_len = key_len};
    }
    struct fake_kv *kv = &fake.kvs[i];
    bool fresh = !there || kv->mod < 0;
    free(kv->value);
    kv->value = malloc(len + 1);
    memcpy(kv->value, value, len);
    kv->value[len] = '\0';
    kv->value_len = len;
    kv->create = fresh ? fake.revision : kv->create;
    kv->version = fresh ? 1 : kv->version + 1;
    kv->mod = fake.revision;
    kv->lease = lease;
}

static inline void fake_delete(const char *key, size_t key_len)
{
    bool there;
    size_t i = fake_find(key, key_len, &there);
    if (there && fake.kvs[i].mod > 0)
        fake.kvs[i].mod = -fake.revision;
}

/* Somebody else's write, one revision. value NULL: delete. */
static inline void fake_write(const char *key, const char *value)
{
    char full[600];
    fake.revision++;
    int n = snprintf(full, sizeof(full), "/gtm/v1/%s", key);
    if (value)
        fake_put(full, (size_t)n, value, strlen(value), 0);
    else
        fake_delete(full, (size_t)n);
    gtm_timer_start(fake.timer, 0);
}

static inline const struct fake_kv *fake_get(const char *key)
{
    char full[600];
    bool there;
    int n = snprintf(full, sizeof(full), "/gtm/v1/%s", key);
    size_t i = fake_find(full, (size_t)n, &there);
    return there && fake.kvs[i].mod > 0 ? &fake.kvs[i] : NULL;
}

static inline void fake_forget(void)
{
    for (size_t i = 0; i < fake.count; i++) {
        free(fake.kvs[i].key);
        free(fake.kvs[i].value);
    }
    fake.count = 0;
}

/* --- answers --- */

static inline struct fake_answer *fake_answer(void *arg, etcdc_done_fn *done)
{
    struct fake_answer *a = calloc(1, sizeof(*a));
    struct fake_answer **last = &fake.answers;
    while (*last)
        last = &(*last)->next;
    *last = a;
    a->arg = arg;
    a->done = done;
    a->answer = (struct etcdc_answer){.code = fake.code, .text = "", .endpoint = "fake"};
    a->answer.header = (struct etcdc_header){.cluster_id = fake.cluster, .revision = fake.revision};
    gtm_timer_start(fake.timer, 0);
    return a;
}

static inline struct etcdc_buf fake_copy(struct fake_answer *a, const void *p, size_t n)
{
    char *copy = malloc(n + 1);
    memcpy(copy, p, n);
    a->bytes[a->bytes_count++] = copy;
    return etcdc_bytes(copy, n);
}

static inline void fake_range_into(struct fake_answer *a, const char *key, size_t key_len,
                                   const char *end, size_t end_len, int64_t limit)
{
    struct etcdc_part *part = &a->parts[a->answer.parts_count++];
    a->answer.parts = a->parts;
    part->kvs = &a->kvs[a->kvs_count];
    for (size_t i = 0; i < fake.count; i++) {
        const struct fake_kv *kv = &fake.kvs[i];
        int low = fake_compare(kv->key, kv->key_len, key, key_len);
        if (kv->mod < 0 || low < 0 ||
            (end_len ? fake_compare(kv->key, kv->key_len, end, end_len) >= 0 : low > 0))
            continue;
        part->count++;
        if ((limit && part->kvs_count == (size_t)limit) || a->kvs_count == FAKE_OPS) {
            part->more = true;
            continue;
        }
        a->kvs[a->kvs_count++] = (struct etcdc_kv){.key = fake_copy(a, kv->key, kv->key_len),
                                                   .value = fake_copy(a, kv->value, kv->value_len),
                                                   .create_revision = kv->create,
                                                   .mod_revision = kv->mod,
                                                   .version = kv->version,
                                                   .lease = kv->lease};
        part->kvs_count++;
    }
}

static inline void fake_answer_free(struct fake_answer *a)
{
    for (size_t i = 0; i < a->bytes_count; i++)
        free(a->bytes[i]);
    free(a);
}

/* --- the watch --- */

static inline void fake_give(struct etcdc_watch **watch, enum etcdc_event_type type,
                             const struct etcdc_kv *kv, int64_t revision)
{
    if (*watch)
        (*watch)->cb((*watch)->arg, &(struct etcdc_event){.type = type,
                                                          .kv = kv,
                                                          .revision = revision,
                                                          .text = "",
                                                          .header = {.cluster_id = fake.cluster,
                                                                     .revision = revision}});
}

static inline void fake_give_revision(int64_t revision, bool all)
{
    for (size_t i = 0; fake.watch && i < fake.count; i++) {
        const struct fake_kv *kv = &fake.kvs[i];
        int64_t at = kv->mod < 0 ? -kv->mod : kv->mod;
        if (strncmp(kv->key, "/gtm/v1/", 8) != 0 || strcmp(kv->key, "/gtm/v1/c") < 0 ||
            (all ? kv->mod < 0 : at != revision))
            continue;
        struct etcdc_kv out = {.key = etcdc_bytes(kv->key, kv->key_len),
                               .value = etcdc_bytes(kv->value, kv->value_len),
                               .create_revision = kv->create,
                               .mod_revision = at,
                               .lease = kv->lease};
        fake_give(&fake.watch, kv->mod < 0 ? ETCDC_DELETE : ETCDC_PUT, &out, revision);
    }
    if (fake.watch) {
        fake.watch->given = revision;
        fake_give(&fake.watch, ETCDC_REVISION, NULL, revision);
    }
}

static inline void fake_watch_on(void)
{
    if (!fake.watch || fake.watch_held || fake.code)
        return;
    if (!fake.watch->listed) {
        fake.watch->listed = true;
        fake_give(&fake.watch, ETCDC_SNAPSHOT, NULL, fake.revision);
        fake_give_revision(fake.revision, true);
    }
    while (fake.watch && !fake.watch_held && fake.watch->given < fake.revision)
        fake_give_revision(fake.watch->given + 1, false);
}

static inline void fake_turn(void *arg)
{
    struct fake_answer *all = fake.answers;
    fake.answers = NULL;
    while (all) {
        struct fake_answer *a = all;
        all = a->next;
        /* What is answered now may cancel what is answered next: put the rest back first. */
        struct fake_answer *rest = fake.answers;
        fake.answers = all;
        struct fake_answer **last = &fake.answers;
        while (*last)
            last = &(*last)->next;
        *last = rest;
        if (a->page && a->answer.code == ETCDC_OK)
            a->page(a->arg, a->kvs, a->kvs_count, false);
        if (a->done)
            a->done(a->arg, &a->answer);
        fake_answer_free(a);
        all = fake.answers;
        fake.answers = NULL;
    }
    fake_watch_on();
}

static inline void fake_open(struct gtm_loop *loop)
{
    fake_forget();
    fake = (struct fake){.loop = loop, .revision = 1, .cluster = 77};
    fake.timer = gtm_timer_new(loop, fake_turn, NULL);
}

static inline void fake_close(void)
{
    gtm_timer_free(fake.timer);
    while (fake.answers) {
        struct fake_answer *a = fake.answers;
        fake.answers = a->next;
        fake_answer_free(a);
    }
    etcdc_txn_free(fake.late);
    fake_forget();
}

/* --- what the store calls --- */

struct etcdc_buf etcdc_prefix_end(struct etcdc_buf prefix, uint8_t *out)
{
    memcpy(out, prefix.p, prefix.n);
    out[prefix.n - 1]++;
    return etcdc_bytes(out, prefix.n);
}

void etcdc_expect_cluster(struct etcdc *client, uint64_t cluster_id)
{
    fake.expected = cluster_id;
}

void etcdc_cancel(struct etcdc *client, const void *arg)
{
    for (struct fake_answer **at = &fake.answers; *at;) {
        struct fake_answer *a = *at;
        if (a->arg != arg) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        fake_answer_free(a);
    }
}

static inline int fake_code(void)
{
    if (fake.code)
        return fake.code;
    return fake.expected && fake.expected != fake.cluster ? ETCDC_E_CLUSTER_CHANGED : ETCDC_OK;
}

int etcdc_range(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, int64_t limit,
                int64_t revision, unsigned flags, etcdc_done_fn *done, void *arg)
{
    struct fake_answer *a = fake_answer(arg, done);
    a->answer.code = fake_code();
    if (a->answer.code == ETCDC_OK)
        fake_range_into(a, key.p, key.n, end.p, end.n, limit);
    return ETCDC_OK;
}

int etcdc_list(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, unsigned flags,
               etcdc_page_fn *page, etcdc_done_fn *done, void *arg)
{
    int rc = etcdc_range(client, key, end, 0, 0, flags, done, arg);
    struct fake_answer *a = fake.answers;
    while (a->next)
        a = a->next;
    a->page = page;
    return rc;
}

struct etcdc_txn *etcdc_txn_new(void)
{
    return calloc(1, sizeof(struct etcdc_txn));
}

void etcdc_txn_free(struct etcdc_txn *txn)
{
    for (size_t i = 0; txn && i < txn->count; i++) {
        free(txn->ops[i].key);
        free(txn->ops[i].value);
    }
    free(txn);
}

static inline struct fake_op *fake_add(struct etcdc_txn *txn, enum fake_op_kind kind,
                                       bool otherwise, struct etcdc_buf key)
{
    struct fake_op *op = &txn->ops[txn->count++];
    *op = (struct fake_op){.kind = kind, .otherwise = otherwise, .key_len = key.n};
    op->key = calloc(1, key.n + 1);
    memcpy(op->key, key.p, key.n);
    return op;
}

void etcdc_txn_if(struct etcdc_txn *txn, struct etcdc_buf key, enum etcdc_target target,
                  enum etcdc_compare compare, int64_t value)
{
    struct fake_op *op = fake_add(txn, FAKE_IF, false, key);
    op->target = target;
    op->number = value;
}

void etcdc_txn_put(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                   struct etcdc_buf value, int64_t lease, unsigned flags)
{
    struct fake_op *op = fake_add(txn, FAKE_PUT, otherwise, key);
    op->value = malloc(value.n + 1);
    memcpy(op->value, value.p, value.n);
    op->value_len = value.n;
    op->number = lease;
}

void etcdc_txn_delete(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                      struct etcdc_buf end)
{
    fake_add(txn, FAKE_DELETE, otherwise, key);
}

void etcdc_txn_range(struct etcdc_txn *txn, bool otherwise, struct etcdc_buf key,
                     struct etcdc_buf end, int64_t limit)
{
    fake_add(txn, FAKE_RANGE, otherwise, key)->number = limit;
}

static inline bool fake_holds(const struct etcdc_txn *txn)
{
    bool holds = true;
    for (size_t i = 0; i < txn->count; i++) {
        const struct fake_op *op = &txn->ops[i];
        bool there;
        size_t at = fake_find(op->key, op->key_len, &there);
        if (op->kind == FAKE_IF)
            holds = holds && (there && fake.kvs[at].mod > 0 ? fake.kvs[at].mod : 0) == op->number;
    }
    return holds;
}

static inline void fake_apply(struct etcdc_txn *txn, struct fake_answer *a)
{
    bool holds = fake_holds(txn), wrote = false;
    for (size_t i = 0; i < txn->count; i++)
        wrote = wrote || (holds && txn->ops[i].kind == FAKE_PUT);
    fake.revision += wrote;
    for (size_t i = 0; i < txn->count; i++) {
        struct fake_op *op = &txn->ops[i];
        if (op->kind == FAKE_IF || op->otherwise == holds)
            continue;
        if (op->kind == FAKE_PUT) {
            fake_put(op->key, op->key_len, op->value, op->value_len, op->number);
            fake.last_lease = op->number ? op->number : fake.last_lease;
        } else if (op->kind == FAKE_DELETE) {
            fake_delete(op->key, op->key_len);
        } else if (a) {
            fake_range_into(a, op->key, op->key_len, NULL, 0, op->number);
        }
    }
    if (a) {
        a->answer.succeeded = holds;
        a->answer.header.revision = fake.revision;
    }
    gtm_timer_start(fake.timer, 0);
}

int etcdc_commit(struct etcdc *client, struct etcdc_txn *txn, unsigned flags, etcdc_done_fn *done,
                 void *arg)
{
    struct fake_answer *a = fake_answer(arg, done);
    enum fake_loss loss = fake.losses ? fake.loss : FAKE_NONE;
    fake.commits++;
    a->answer.code = fake_code();
    fake.losses -= fake.losses && a->answer.code == ETCDC_OK;
    if (a->answer.code == ETCDC_OK && loss != FAKE_NONE)
        a->answer.code = ETCDC_E_AMBIGUOUS;
    if (loss == FAKE_LATE && a->answer.code == ETCDC_E_AMBIGUOUS) {
        fake.late = txn;
        return ETCDC_OK;
    }
    if (a->answer.code == ETCDC_OK || loss == FAKE_LOST_AFTER)
        fake_apply(txn, a->answer.code == ETCDC_OK ? a : NULL);
    etcdc_txn_free(txn);
    return ETCDC_OK;
}

/* What was late happens now, if its comparisons hold. */
static inline void fake_land(void)
{
    fake_apply(fake.late, NULL);
    etcdc_txn_free(fake.late);
    fake.late = NULL;
}

struct etcdc_watch *etcdc_watch(struct etcdc *client, const struct etcdc_watch_opts *opts,
                                etcdc_watch_fn *cb, void *arg)
{
    fake.watch = calloc(1, sizeof(*fake.watch));
    *fake.watch = (struct etcdc_watch){.cb = cb, .arg = arg};
    gtm_timer_start(fake.timer, 0);
    return fake.watch;
}

void etcdc_watch_close(struct etcdc_watch *watch)
{
    if (watch)
        fake.watch = NULL;
    free(watch);
}

uint64_t etcdc_watch_age_ms(const struct etcdc_watch *watch)
{
    return watch->listed ? 0 : UINT64_MAX;
}

#endif
