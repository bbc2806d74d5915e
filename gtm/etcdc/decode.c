/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of each kind of call, from JSON. Pure but for memory.
 */
#include "gtm/etcdc/call_int.h"

#include "gtm/base/mem.h"

#include <stdio.h>
#include <string.h>

static int get_kvs(const struct gtm_json *array, struct etcdc__arena *arena,
                   struct etcdc_part *part)
{
    size_t count = gtm_json_type(array) == GTM_JSON_ARRAY ? gtm_json_count(array) : 0;
    if (array && gtm_json_type(array) != GTM_JSON_ARRAY)
        return ETCDC_E_PROTOCOL;
    if (count == 0)
        return ETCDC_OK;
    part->kvs = gtm_calloc(count, sizeof(*part->kvs));
    if (!part->kvs)
        return ETCDC_E_NOMEM;
    for (const struct gtm_json *kv = gtm_json_first(array); kv; kv = gtm_json_next(kv))
        if (!etcdc__get_kv(kv, arena, &part->kvs[part->kvs_count++]))
            return ETCDC_E_PROTOCOL;
    return ETCDC_OK;
}

static int get_range(const struct gtm_json *body, struct etcdc__arena *arena,
                     struct etcdc_part *part)
{
    part->more = gtm_json_bool(body, "more", false);
    if (!etcdc__get_i64(body, "count", &part->count))
        return ETCDC_E_PROTOCOL;
    return get_kvs(gtm_json_get(body, "kvs"), arena, part);
}

static int get_put(const struct gtm_json *body, struct etcdc__arena *arena, struct etcdc_part *part)
{
    const struct gtm_json *prev = gtm_json_get(body, "prev_kv");
    if (!prev)
        return ETCDC_OK;
    part->kvs = gtm_calloc(1, sizeof(*part->kvs));
    if (!part->kvs)
        return ETCDC_E_NOMEM;
    part->kvs_count = 1;
    return etcdc__get_kv(prev, arena, part->kvs) ? ETCDC_OK : ETCDC_E_PROTOCOL;
}

static int get_delete(const struct gtm_json *body, struct etcdc__arena *arena,
                      struct etcdc_part *part)
{
    if (!etcdc__get_i64(body, "deleted", &part->count))
        return ETCDC_E_PROTOCOL;
    return get_kvs(gtm_json_get(body, "prev_kvs"), arena, part);
}

static int get_part(const struct gtm_json *response, struct etcdc__arena *arena,
                    struct etcdc_part *part)
{
    const struct gtm_json *body;
    if ((body = gtm_json_get(response, "response_range")))
        return get_range(body, arena, part);
    if ((body = gtm_json_get(response, "response_put")))
        return get_put(body, arena, part);
    if ((body = gtm_json_get(response, "response_delete_range")))
        return get_delete(body, arena, part);
    return ETCDC_E_PROTOCOL;
}

static int make_parts(struct etcdc_answer *answer, size_t count)
{
    if (count == 0)
        return ETCDC_OK;
    answer->parts = gtm_calloc(count, sizeof(*answer->parts));
    answer->parts_count = answer->parts ? count : 0;
    return answer->parts ? ETCDC_OK : ETCDC_E_NOMEM;
}

static int get_txn(const struct gtm_json *body, struct etcdc__decoded *ret)
{
    const struct gtm_json *responses = gtm_json_get(body, "responses");
    if (responses && gtm_json_type(responses) != GTM_JSON_ARRAY)
        return ETCDC_E_PROTOCOL;
    ret->answer.succeeded = gtm_json_bool(body, "succeeded", false);
    int code = make_parts(&ret->answer, responses ? gtm_json_count(responses) : 0);
    size_t i = 0;
    const struct gtm_json *response = code == ETCDC_OK ? gtm_json_first(responses) : NULL;
    for (; response && code == ETCDC_OK; response = gtm_json_next(response))
        code = get_part(response, &ret->arena, &ret->answer.parts[i++]);
    return code;
}

static int get_lease(const struct gtm_json *body, struct etcdc_answer *answer)
{
    if (!etcdc__get_i64(body, "ID", &answer->lease) || !etcdc__get_i64(body, "TTL", &answer->ttl_s))
        return ETCDC_E_PROTOCOL;
    return ETCDC_OK;
}

/* A gateway that does not know a lease any more says 200, and leaves the TTL out. */
static int get_beat(const struct gtm_json *body, struct etcdc_answer *answer)
{
    const struct gtm_json *result = gtm_json_get(body, "result");
    int code = get_lease(result, answer);
    if (!result || gtm_json_type(result) != GTM_JSON_OBJECT)
        return ETCDC_E_PROTOCOL;
    if (code == ETCDC_OK && !etcdc__get_header(result, &answer->header))
        return ETCDC_E_PROTOCOL;
    return code == ETCDC_OK && answer->ttl_s <= 0 ? ETCDC_E_LEASE_NOT_FOUND : code;
}

static int get_status(const struct gtm_json *body, struct etcdc__decoded *ret)
{
    struct etcdc_status *status = &ret->status;
    size_t used = 0;
    snprintf(status->version, sizeof(status->version), "%s", gtm_json_str(body, "version", ""));
    status->learner = gtm_json_bool(body, "isLearner", gtm_json_bool(body, "is_learner", false));
    bool good = etcdc__get_u64(body, "leader", &status->leader) &&
                etcdc__get_i64(body, "dbSize", &status->db_bytes);
    if (good && status->db_bytes == 0)
        good = etcdc__get_i64(body, "db_size", &status->db_bytes);
    /* "memberID:… alarm:NOSPACE " among "errors" */
    const struct gtm_json *error = gtm_json_first(gtm_json_get(body, "errors"));
    for (; error; error = gtm_json_next(error)) {
        const char *text = gtm_json_as_str(error), *at = text ? strstr(text, "alarm:") : NULL;
        size_t len = at ? strcspn(at + 6, " ") : 0;
        if (len > 0 && used + len + 2 < sizeof(ret->alarms))
            used += (size_t)snprintf(ret->alarms + used, sizeof(ret->alarms) - used, "%s%.*s",
                                     used ? " " : "", (int)len, at + 6);
    }
    status->alarms = ret->alarms;
    status->header = ret->answer.header;
    return good ? ETCDC_OK : ETCDC_E_PROTOCOL;
}

int etcdc__decode(enum etcdc__kind kind, const struct gtm_json *answer, size_t bytes,
                  struct etcdc__decoded *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->answer.text = ret->answer.endpoint = ret->status.text = ret->status.alarms = "";
    if (gtm_json_type(answer) != GTM_JSON_OBJECT || !etcdc__get_header(answer, &ret->answer.header))
        return ETCDC_E_PROTOCOL;
    if (etcdc__arena_init(&ret->arena, bytes) != ETCDC_OK)
        return ETCDC_E_NOMEM;
    bool one = kind == ETCDC__RANGE || kind == ETCDC__PUT || kind == ETCDC__DELETE;
    if (one && make_parts(&ret->answer, 1) != ETCDC_OK)
        return ETCDC_E_NOMEM;
    switch (kind) {
    case ETCDC__RANGE:
        return get_range(answer, &ret->arena, ret->answer.parts);
    case ETCDC__PUT:
        return get_put(answer, &ret->arena, ret->answer.parts);
    case ETCDC__DELETE:
        return get_delete(answer, &ret->arena, ret->answer.parts);
    case ETCDC__TXN:
        return get_txn(answer, ret);
    case ETCDC__LEASE_GRANT:
        return get_lease(answer, &ret->answer);
    case ETCDC__LEASE_KEEP_ALIVE:
        return get_beat(answer, &ret->answer);
    case ETCDC__STATUS:
        return get_status(answer, ret);
    default:
        return ETCDC_OK;
    }
}

void etcdc__decoded_fini(struct etcdc__decoded *decoded)
{
    for (size_t i = 0; i < decoded->answer.parts_count; i++)
        gtm_free(decoded->answer.parts[i].kvs);
    gtm_free(decoded->answer.parts);
    etcdc__arena_fini(&decoded->arena);
}
