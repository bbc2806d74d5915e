/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose store it is. See identity.h.
 */
#include "gtm/coord/identity.h"

#include "gtm/base/json.h"
#include "gtm/base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORMAT 1

bool coord__identity_same_id(const char *a, const char *b)
{
    return a[0] == '\0' || b[0] == '\0' || strcmp(a, b) == 0;
}

void coord__identity_take(struct coord__identity *known, int64_t epoch, const char *id)
{
    if (id[0] != '\0' || epoch != known->epoch)
        snprintf(known->id, sizeof(known->id), "%s", id);
    known->epoch = epoch;
}

bool coord__identity_set_id(struct coord__identity *identity, const char *id)
{
    size_t len = strlen(id);
    bool good = len < sizeof(identity->id) &&
                strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
    snprintf(identity->id, sizeof(identity->id), "%s", good ? id : "");
    return good;
}

enum coord__judgement coord__identity_judge(const struct coord__identity *known,
                                            const struct coord__identity *found,
                                            char why[COORD__WHY_BYTES])
{
    why[0] = '\0';
    if (found->restoring) {
        snprintf(why, COORD__WHY_BYTES,
                 "a snapshot is being restored (epoch %" PRId64 "); if nobody is doing so, restore "
                 "again or run gtmctl snapshot adopt",
                 found->epoch);
        return COORD__REFUSED;
    }
    if (known->cluster_id == 0 || found->epoch > known->epoch)
        return COORD__ADOPTED;
    if (found->cluster_id != known->cluster_id)
        snprintf(why, COORD__WHY_BYTES,
                 "etcd is another cluster (%" PRIx64 ", not %" PRIx64
                 "): check the endpoints; gtmctl snapshot adopt accepts it",
                 found->cluster_id, known->cluster_id);
    else if (found->epoch == 0 && known->epoch > 0)
        snprintf(why, COORD__WHY_BYTES,
                 "etcd's store has no identity (store/id), this node has seen epoch %" PRId64
                 ": it was made anew, or an older copy was restored; gtmctl snapshot adopt "
                 "accepts it",
                 known->epoch);
    else if (found->epoch < known->epoch)
        snprintf(why, COORD__WHY_BYTES,
                 "etcd has the store's epoch %" PRId64 ", this node has seen %" PRId64
                 ": an older copy was restored, or another cluster answers; gtmctl snapshot adopt "
                 "accepts it",
                 found->epoch, known->epoch);
    else if (!coord__identity_same_id(found->id, known->id))
        snprintf(why, COORD__WHY_BYTES,
                 "etcd has another store of the same epoch: it was made anew, or another cluster "
                 "answers; gtmctl snapshot adopt accepts it");
    else if (found->revision < known->revision)
        snprintf(why, COORD__WHY_BYTES,
                 "etcd's revision went back from %" PRId64 " to %" PRId64
                 ": an older copy was restored; gtmctl snapshot adopt accepts it",
                 known->revision, found->revision);
    else
        return COORD__OURS;
    return COORD__REFUSED;
}

int coord__identity_parse(const char *text, size_t len, struct coord__identity *ret,
                          struct gtm_error *err)
{
    ret->epoch = 0;
    ret->restoring = false;
    ret->id[0] = '\0';
    if (!text)
        return GTM_OK;
    struct gtm_error why = {0};
    struct gtm_json *json = gtm_json_parse(text, len, &why);
    if (!json)
        return gtm_error_set(err, why.code == GTM_ENOMEM ? GTM_ENOMEM : GTM_ECORRUPT,
                             "store/id is not JSON: %.200s", why.text);
    int64_t v = gtm_json_i64(json, "v", 0);
    ret->epoch = gtm_json_i64(json, "epoch", 0);
    ret->restoring = gtm_json_bool(json, "restoring", false);
    bool good = coord__identity_set_id(ret, gtm_json_str(json, "id", ""));
    gtm_json_free(json);
    if (v > FORMAT)
        return gtm_error_set(err, GTM_EUNSUPPORTED, "store/id is of a newer version (v %lld)",
                             (long long)v);
    if (v != FORMAT || !good || ret->epoch < 1 || ret->epoch == INT64_MAX)
        return gtm_error_set(err, GTM_ECORRUPT, "store/id is damaged");
    return GTM_OK;
}

char *coord__identity_print(int64_t epoch, bool restoring, int64_t made_ms, const char *node,
                            const char *owner, const char *reason)
{
    unsigned char id[16];
    char text[33];
    if (gtm_rand_secure(id, sizeof(id)) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(id); i++)
        snprintf(text + i * 2, 3, "%02x", id[i]);
    struct gtm_json *json = gtm_json_object();
    gtm_json_add_i64(json, "v", FORMAT);
    gtm_json_add_str(json, "id", text);
    gtm_json_add_i64(json, "epoch", epoch);
    gtm_json_add_i64(json, "made", made_ms);
    gtm_json_add_str(json, "by", owner ? owner : "local");
    gtm_json_add_str(json, "node", node);
    gtm_json_add_str(json, "reason", reason);
    if (restoring)
        gtm_json_add_bool(json, "restoring", true);
    char *out = gtm_json_print(json, false);
    gtm_json_free(json);
    return out;
}
