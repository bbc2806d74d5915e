/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of one request each: keys, leases, compaction, status.
 */
#include "gtm/etcdc/call_int.h"

int etcdc_range(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, int64_t limit,
                int64_t revision, unsigned flags, etcdc_done_fn *done, void *arg)
{
    struct gtm_buf body = {0};
    if (!etcdc__key_good(key) || !etcdc__end_good(end) || limit < 0 || revision < 0)
        return ETCDC_E_ARG;
    etcdc__write_range(&body, key, end, limit, revision, flags);
    return etcdc__call_start(client, ETCDC__RANGE, flags, &body, done, arg, NULL);
}

int etcdc_put(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf value, int64_t lease,
              unsigned flags, etcdc_done_fn *done, void *arg)
{
    struct gtm_buf body = {0};
    if (!etcdc__key_good(key) || value.n > ETCDC_VALUE_MAX || (value.n && !value.p) || lease < 0 ||
        (lease && flags & ETCDC_KEEP_LEASE))
        return ETCDC_E_ARG;
    etcdc__write_put(&body, key, value, lease, flags);
    return etcdc__call_start(client, ETCDC__PUT, flags & ~ETCDC_SERIALIZABLE, &body, done, arg,
                             NULL);
}

int etcdc_delete(struct etcdc *client, struct etcdc_buf key, struct etcdc_buf end, unsigned flags,
                 etcdc_done_fn *done, void *arg)
{
    struct gtm_buf body = {0};
    if (!etcdc__key_good(key) || !etcdc__end_good(end))
        return ETCDC_E_ARG;
    etcdc__write_delete(&body, key, end, flags);
    return etcdc__call_start(client, ETCDC__DELETE, flags & ~ETCDC_SERIALIZABLE, &body, done, arg,
                             NULL);
}

static int start_number(struct etcdc *client, enum etcdc__kind kind, const char *name,
                        int64_t value, unsigned flags, etcdc_done_fn *done, void *arg)
{
    struct gtm_buf body = {0};
    if (value <= 0)
        return ETCDC_E_ARG;
    gtm_buf_addc(&body, '{');
    etcdc__put_i64(&body, name, value);
    gtm_buf_addc(&body, '}');
    return etcdc__call_start(client, kind, flags, &body, done, arg, NULL);
}

int etcdc_lease_grant(struct etcdc *client, int64_t ttl_s, etcdc_done_fn *done, void *arg)
{
    /* Sent twice it gives two leases, of which one ends by itself: harmless. */
    return start_number(client, ETCDC__LEASE_GRANT, "TTL", ttl_s, ETCDC_IDEMPOTENT, done, arg);
}

int etcdc_lease_revoke(struct etcdc *client, int64_t lease, etcdc_done_fn *done, void *arg)
{
    return start_number(client, ETCDC__LEASE_REVOKE, "ID", lease, ETCDC_IDEMPOTENT, done, arg);
}

int etcdc_lease_keep_alive(struct etcdc *client, int64_t lease, etcdc_done_fn *done, void *arg)
{
    return start_number(client, ETCDC__LEASE_KEEP_ALIVE, "ID", lease, 0, done, arg);
}

int etcdc_compact(struct etcdc *client, int64_t revision, etcdc_done_fn *done, void *arg)
{
    return start_number(client, ETCDC__COMPACT, "revision", revision, ETCDC_IDEMPOTENT, done, arg);
}

int etcdc_status(struct etcdc *client, size_t endpoint, etcdc_status_fn *done, void *arg)
{
    struct gtm_buf body = {0};
    struct etcdc__call *call;
    if (endpoint >= client->endpoints_count)
        return ETCDC_E_ARG;
    gtm_buf_adds(&body, "{}");
    int code = etcdc__call_start(client, ETCDC__STATUS, 0, &body, NULL, arg, &call);
    if (code != ETCDC_OK)
        return code;
    call->only = endpoint;
    call->status_done = done;
    return ETCDC_OK;
}
