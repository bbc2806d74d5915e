/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the audit chain: entries of one node wait for each other; between nodes, whoever finds
 * that the head has moved builds its entry anew on the new head. See audit.h; the loop's thread.
 */
#include "gtm/coord/audit.h"

#include "gtm/base/mem.h"
#include "gtm/coord/commit.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX 50 /* each lost one means that somebody else's entry was written */
#define OWN_MAX   (GTM_STORE_CHANGES_MAX - 4)
#define PRUNE_MAX 100 /* entries in one commit of the leader */
#define FILE_DROP 2   /* with one commit of a standalone store */

struct coord__audit {
    struct coord__audit *next;
    struct gtm_store *store;
    struct gtm_json *entry;    /* all but v, seq, prev and hash */
    struct coord__commit *own; /* the caller's changes, and whom to tell */
    int64_t head_revision;     /* that the present try rests on */
    unsigned tries;
};

struct steps {
    struct gtm_store_change list[GTM_STORE_CHANGES_MAX];
    size_t count;
    char keys[FILE_DROP + 1][GTM_AUDIT_KEY_BYTES];
};

static void free_audit(struct coord__audit *a)
{
    gtm_json_free(a->entry);
    coord__commit_free(a->own);
    gtm_free(a);
}

/* The head as this node's copy has it; all zero when there is none. */
static int read_head(const struct gtm_store *store, struct gtm_audit_head *ret_head,
                     int64_t *ret_revision, struct gtm_error *err)
{
    struct gtm_store_entry entry;
    *ret_head = (struct gtm_audit_head){.first = 1};
    *ret_revision = GTM_STORE_ABSENT;
    if (gtm_store_get(store, GTM_AUDIT_HEAD, &entry) != GTM_OK)
        return GTM_OK;
    *ret_revision = entry.revision;
    return gtm_audit_head_parse(entry.value, entry.value_len, ret_head, err);
}

/* Where all keys are in memory nobody else prunes. */
static void drop_oldest(const struct gtm_store *store, struct gtm_audit_head *head,
                        struct steps *steps)
{
    for (unsigned i = 1; i <= FILE_DROP && head->seq - head->first >= GTM_AUDIT_KEEP_FILE; i++) {
        struct gtm_store_entry entry;
        char *key = steps->keys[i];
        gtm_audit_key(head->first, key);
        if (gtm_store_get(store, key, &entry) != GTM_OK)
            return;
        steps->list[steps->count++] = (struct gtm_store_change){
            .kind = GTM_STORE_DELETE, .key = key, .expect = GTM_STORE_ANY};
        head->first++;
    }
}

static void add_put(struct steps *steps, const char *key, const char *text, int64_t expect)
{
    steps->list[steps->count++] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                                            .key = key,
                                                            .value = text,
                                                            .value_len = strlen(text),
                                                            .expect = expect};
}

static void on_done(void *arg, const struct gtm_store_result *result);

/* Builds the entry on the head as it is now, and commits. */
static int try_commit(struct coord__audit *a, struct gtm_error *err)
{
    struct gtm_audit_head head;
    int rc = read_head(a->store, &head, &a->head_revision, err);
    if (rc != GTM_OK)
        return rc;
    struct steps steps = {0};
    for (; steps.count < a->own->count; steps.count++) {
        steps.list[steps.count] = a->own->changes[steps.count];
        steps.list[steps.count].value = a->own->values[steps.count];
    }
    int64_t head_revision = a->head_revision;
    char *entry = gtm_audit_entry_print(a->entry, &head);
    drop_oldest(a->store, &head, &steps);
    char *head_text = entry ? gtm_audit_head_print(&head) : NULL;
    gtm_audit_key(head.seq, steps.keys[0]);
    if (head_text) {
        add_put(&steps, steps.keys[0], entry, GTM_STORE_ABSENT);
        add_put(&steps, GTM_AUDIT_HEAD, head_text, head_revision);
        rc = gtm_store_commit(a->store, steps.list, steps.count, on_done, a);
    } else {
        rc = GTM_ENOMEM;
    }
    gtm_free(entry);
    gtm_free(head_text);
    return rc == GTM_OK ? GTM_OK : gtm_error_set(err, rc, "%s", gtm_err_text(rc));
}

/* Takes the first out of the store's row, begins with the next, and tells the outcome; as often as
 * the next one cannot begin. */
static void finish(struct coord__audit *a, const struct gtm_store_result *result)
{
    struct gtm_store *store = a->store;
    struct gtm_error err = *result->err;
    int64_t revision = result->revision;
    err.code = result->code;
    for (bool stuck = true; stuck;) {
        struct coord__commit *own = a->own;
        own->err = err;
        own->revision = revision;
        store->audits = a->next;
        a->own = NULL;
        free_audit(a);
        a = store->audits;
        err = (struct gtm_error){0};
        stuck = a && try_commit(a, &err) != GTM_OK;
        revision = 0;
        coord__commit_finish(own);
    }
}

/* Is one of the caller's own guards the reason? Where the copy does not reach, the head tells. */
static bool own_guard_failed(const struct coord__audit *a)
{
    for (size_t i = 0; i < a->own->count; i++) {
        const struct gtm_store_change *ch = &a->own->changes[i];
        struct gtm_store_entry entry;
        if (ch->expect == GTM_STORE_ANY || strcmp(ch->key, GTM_STORE_MIRROR_FROM) < 0)
            continue;
        int64_t now =
            gtm_store_get(a->store, ch->key, &entry) == GTM_OK ? entry.revision : GTM_STORE_ABSENT;
        if (now != ch->expect)
            return true;
    }
    struct gtm_store_entry head;
    int64_t now =
        gtm_store_get(a->store, GTM_AUDIT_HEAD, &head) == GTM_OK ? head.revision : GTM_STORE_ABSENT;
    return now == a->head_revision;
}

static void on_done(void *arg, const struct gtm_store_result *result)
{
    struct coord__audit *a = arg;
    struct gtm_error err = {0};
    if (result->code != GTM_ECONFLICT || own_guard_failed(a)) {
        finish(a, result);
        return;
    }
    if (++a->tries == TRIES_MAX)
        gtm_error_set(&err, GTM_ECONFLICT, "%u others came first; try again", TRIES_MAX);
    else if (try_commit(a, &err) == GTM_OK)
        return;
    finish(a, &(struct gtm_store_result){.code = err.code, .err = &err});
}

int gtm_audit_commit(struct gtm_store *store, const struct gtm_audit_entry *entry,
                     const struct gtm_store_change *changes, size_t count, gtm_store_done_fn *done,
                     void *arg)
{
    if (count > OWN_MAX)
        return GTM_ELIMIT;
    unsigned waiting = 0;
    struct coord__audit **last = &store->audits;
    for (; *last; last = &(*last)->next)
        waiting++;
    if (waiting >= GTM_STORE_PENDING_MAX)
        return GTM_ELIMIT;
    struct coord__audit *a = gtm_calloc(1, sizeof(*a));
    if (!a)
        return GTM_ENOMEM;
    a->store = store;
    a->entry = gtm_audit_entry_json(entry);
    a->own = coord__commit_copy(changes, count, done, arg);
    int rc = a->entry && a->own ? GTM_OK : GTM_ENOMEM;
    struct gtm_error err = {0};
    *last = a;
    if (rc == GTM_OK && last == &store->audits)
        rc = try_commit(a, &err);
    if (rc != GTM_OK) {
        *last = NULL;
        free_audit(a);
    }
    return rc;
}

int gtm_audit_prune(struct gtm_store *store, int64_t keep, const struct gtm_store_change *guard,
                    gtm_store_done_fn *done, void *arg)
{
    struct gtm_audit_head head;
    int64_t revision;
    int rc = read_head(store, &head, &revision, NULL);
    int64_t beyond = head.seq - head.first + 1 - (keep > 0 ? keep : (int64_t)GTM_AUDIT_KEEP);
    if (rc != GTM_OK)
        return rc;
    if (beyond <= 0)
        return GTM_ENOTFOUND;
    struct gtm_store_change list[PRUNE_MAX + 2];
    char keys[PRUNE_MAX][GTM_AUDIT_KEY_BYTES];
    size_t n = 0;
    for (; n < PRUNE_MAX && (int64_t)n < beyond; n++, head.first++) {
        gtm_audit_key(head.first, keys[n]);
        list[n] = (struct gtm_store_change){
            .kind = GTM_STORE_DELETE, .key = keys[n], .expect = GTM_STORE_ANY};
    }
    char *text = gtm_audit_head_print(&head);
    if (!text)
        return GTM_ENOMEM;
    list[n++] = (struct gtm_store_change){.kind = GTM_STORE_PUT,
                                          .key = GTM_AUDIT_HEAD,
                                          .value = text,
                                          .value_len = strlen(text),
                                          .expect = revision};
    if (guard)
        list[n++] = *guard;
    rc = gtm_store_commit(store, list, n, done, arg);
    gtm_free(text);
    return rc;
}
