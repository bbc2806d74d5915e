/* SPDX-License-Identifier: Apache-2.0
 *
 * /pools and /regions. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/api_objects.h"
#include "gtm/daemon/api_orders.h"
#include "gtm/daemon/daemon.h"

#include <stdio.h>
#include <string.h>

/* --- lists --- */

enum list_what { LIST_POOLS, LIST_POOL, LIST_ENDPOINTS, LIST_REGIONS };

struct list_job {
    struct gtm_facts *facts;
    uint64_t revision;
    enum list_what what;
    size_t pool;
};

static void list_fini(void *arg)
{
    struct list_job *job = arg;
    gtm_facts_free(job->facts);
    gtm_free(job);
}

static struct gtm_json *list_build(void *arg)
{
    struct list_job *job = arg;
    const struct gtm_facts *facts = job->facts;
    if (job->what == LIST_POOL)
        return gtm_api_item_root("Pool", job->revision, gtm_api_pool(facts, job->pool, true));
    if (job->what == LIST_ENDPOINTS)
        return gtm_api_list_root("EndpointList", job->revision,
                                 gtm_api_endpoints(facts, job->pool));
    struct gtm_json *items = gtm_json_array();
    if (job->what == LIST_REGIONS) {
        for (size_t r = 0; r < facts->intent->regions_count; r++)
            gtm_json_append(items, gtm_api_region(facts, r));
        return gtm_api_list_root("RegionList", job->revision, items);
    }
    for (size_t p = 0; p < facts->intent->pools_count; p++)
        gtm_json_append(items, gtm_api_pool(facts, p, false));
    return gtm_api_list_root("PoolList", job->revision, items);
}

static void list(struct gtm_api_req *req, enum list_what what, size_t pool)
{
    struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    struct list_job *job = gtm_calloc(1, sizeof(*job));
    struct gtm_facts *clone = job ? gtm_facts_clone(facts) : NULL;
    if (!clone) {
        gtm_free(job);
        gtm_api_problem(req, 500, "internal", "out of memory");
        return;
    }
    *job = (struct list_job){clone, gtmd_revision(d), what, pool};
    size_t cost = what == LIST_POOL || what == LIST_ENDPOINTS
                      ? facts->intent->pools[pool].endpoints_count
                  : what == LIST_REGIONS ? facts->endpoints / 16 + facts->intent->regions_count
                                         : facts->endpoints / 4 + facts->intent->pools_count;
    gtm_api_build(req, cost > GTM_API_INLINE_ENDPOINTS, list_build, list_fini, job);
}

/* The pool of the path; -1: there is none, and 404 was answered. */
static int find_pool(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "pool");
    int pool = gtm_intent_pool(gtm_api_daemon(req)->intent, name);
    if (pool < 0)
        gtm_api_problem(req, 404, "notfound", "there is no pool '%.100s'", name);
    return pool;
}

static int find_endpoint(struct gtm_api_req *req, int pool)
{
    const char *name = gtm_api_path(req, "endpoint");
    const struct gtm_pool *p = &gtm_api_daemon(req)->intent->pools[pool];
    int endpoint = gtm_pool_endpoint(p, name);
    if (endpoint < 0)
        gtm_api_problem(req, 404, "notfound", "pool '%s' has no endpoint '%.100s'", p->name, name);
    return endpoint;
}

void gtm_api_get_pools(struct gtm_api_req *req)
{
    list(req, LIST_POOLS, 0);
}

void gtm_api_get_pool(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        list(req, LIST_POOL, (size_t)pool);
}

void gtm_api_get_endpoints(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        list(req, LIST_ENDPOINTS, (size_t)pool);
}

void gtm_api_get_endpoint(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    if (endpoint >= 0)
        gtm_api_item(req, 200, "Endpoint",
                     gtm_api_endpoint(gtm_state_facts(gtm_api_daemon(req)->state), (size_t)pool,
                                      (size_t)endpoint));
}

void gtm_api_get_regions(struct gtm_api_req *req)
{
    list(req, LIST_REGIONS, 0);
}

/* The region of the path; -1: there is none, and 404 was answered. */
static int find_region(struct gtm_api_req *req)
{
    const char *name = gtm_api_path(req, "region");
    int region = gtm_intent_region(gtm_api_daemon(req)->intent, name);
    if (region < 0)
        gtm_api_problem(req, 404, "notfound", "there is no region '%.100s'", name);
    return region;
}

void gtm_api_get_region(struct gtm_api_req *req)
{
    int region = find_region(req);
    if (region >= 0)
        gtm_api_item(req, 200, "Region",
                     gtm_api_region(gtm_state_facts(gtm_api_daemon(req)->state), (size_t)region));
}

void gtm_api_put_region_admin(struct gtm_api_req *req)
{
    int region = find_region(req);
    if (region >= 0)
        gtm_api_order_admin(req, "region", gtm_api_daemon(req)->intent->regions[region].name, NULL);
}

/* --- orders --- */

void gtm_api_put_pool_admin(struct gtm_api_req *req)
{
    int pool = find_pool(req);
    if (pool >= 0)
        gtm_api_order_admin(req, "pool", gtm_api_daemon(req)->intent->pools[pool].name, NULL);
}

void gtm_api_put_endpoint_admin(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    if (endpoint < 0)
        return; /* answered, and gone */
    const struct gtm_pool *p = &gtm_api_daemon(req)->intent->pools[pool];
    gtm_api_order_admin(req, "endpoint", p->name, p->endpoints[endpoint].name);
}

void gtm_api_post_endpoint_resume(struct gtm_api_req *req)
{
    int pool = find_pool(req), endpoint = pool >= 0 ? find_endpoint(req, pool) : -1;
    char owner[GTM_OVERRIDE_OWNER_BYTES];
    bool dry_run = false;
    if (endpoint < 0 || !gtm_api_query_dry_run(req, &dry_run) || !gtm_api_if_match(req))
        return;
    struct gtm_state *state = gtm_api_daemon(req)->state;
    gtm_api_owner(req, owner);
    int rc = gtm_state_resume(state, (size_t)pool, (size_t)endpoint, owner, dry_run);
    if (rc)
        gtm_api_problem(req, 409, "conflict",
                        "it waits for nothing: only a recovered endpoint that is held, or waits "
                        "for a word (failback.mode: manual), can be resumed");
    else
        gtm_api_item(req, 200, "Endpoint",
                     gtm_api_endpoint(gtm_state_facts(state), (size_t)pool, (size_t)endpoint));
}
