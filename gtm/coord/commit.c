/* SPDX-License-Identifier: Apache-2.0
 *
 * Commits that wait. See commit.h.
 */
#include "gtm/coord/commit.h"

#include "gtm/base/mem.h"

struct coord__commit *coord__commit_copy(const struct gtm_store_change *changes, size_t count,
                                         gtm_store_done_fn *done, void *arg)
{
    struct coord__commit *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->done = done;
    c->arg = arg;
    c->changes = gtm_calloc(count, sizeof(*c->changes));
    c->values = gtm_calloc(count, sizeof(*c->values));
    bool good = c->changes && c->values;
    for (size_t i = 0; i < count && good; i++, c->count++) {
        const struct gtm_store_change *from = &changes[i];
        bool put = from->kind == GTM_STORE_PUT;
        c->changes[i] = *from;
        c->changes[i].value = NULL;
        c->changes[i].key = gtm_strdup(from->key);
        if (put)
            c->values[i] = gtm_strndup(from->value ? from->value : "", from->value_len);
        c->bytes += put ? from->value_len : 0;
        good = c->changes[i].key && (c->values[i] || !put);
    }
    if (good)
        return c;
    coord__commit_free(c);
    return NULL;
}

void coord__commit_free(struct coord__commit *commit)
{
    if (!commit)
        return;
    for (size_t i = 0; commit->changes && i < commit->count; i++)
        gtm_free((char *)(uintptr_t)commit->changes[i].key);
    for (size_t i = 0; commit->values && i < commit->count; i++)
        gtm_free(commit->values[i]);
    gtm_free(commit->changes);
    gtm_free(commit->values);
    gtm_free(commit);
}

void coord__commit_finish(struct coord__commit *commit)
{
    struct gtm_store_result result = {.code = commit->err.code,
                                      .revision = commit->err.code == GTM_OK ? commit->revision : 0,
                                      .err = &commit->err};
    if (commit->done)
        commit->done(commit->arg, &result);
    coord__commit_free(commit);
}
