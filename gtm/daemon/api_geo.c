/* SPDX-License-Identifier: Apache-2.0
 *
 * /geo and /explain. See deploy/openapi.yaml.
 */
#include "gtm/base/mem.h"
#include "gtm/daemon/api_handlers.h"
#include "gtm/daemon/daemon.h"
#include "gtm/model/location.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- /geo --- */

static void add_age(struct gtm_json *one, const struct gtmd *d, int64_t built_s)
{
    gtm_api_add_time(one, "built_at", built_s * 1000);
    if (built_s)
        gtm_json_add_i64(one, "age_seconds", gtm_wall_ms(d->clock) / 1000 - built_s);
    else
        gtm_json_add_null(one, "age_seconds");
}

static void add_database(struct gtm_json *list, const struct gtmd *d, const char *path,
                         const struct dns_geodb_info *info)
{
    struct gtm_json *one = gtm_json_append_object(list);
    gtm_json_add_str(one, "path", path);
    gtm_json_add_str(one, "kind", info ? info->kind : NULL);
    gtm_json_add_str(one, "type", info ? info->type : NULL);
    add_age(one, d, info ? info->built_s : 0);
    gtm_json_add_i64(one, "networks", info ? (int64_t)info->networks : 0);
}

void gtm_api_get_geo(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    const struct gtm_geo *geo = d->geo;
    const struct gtm_reload_status *status = gtm_reload_status(d->reload);
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_bool(one, "loaded", geo != NULL);
    gtm_api_add_time(one, "loaded_at", geo ? geo->loaded_ms : 0);
    gtm_json_add_str(one, "error", status->geo_ok ? NULL : status->geo_error);
    struct gtm_json *list = gtm_json_add_array(one, "databases");
    for (size_t i = 0; geo && i < geo->count; i++)
        add_database(list, d, geo->paths[i], &geo->infos[i]);
    for (size_t i = 0; !geo && i < d->node->geo_databases_count; i++)
        add_database(list, d, d->node->geo_databases[i], NULL);
    gtm_json_add_i64(one, "networks_ipv4", geo ? (int64_t)geo->db->v4_count : 0);
    gtm_json_add_i64(one, "networks_ipv6", geo ? (int64_t)geo->db->v6_count : 0);
    gtm_json_add_i64(one, "locations", geo ? (int64_t)geo->db->locations_count : 0);
    struct gtm_compiled_info info = {0};
    if (d->compiled)
        gtm_compiled_info(d->compiled, &info);
    struct gtm_json *maps = gtm_json_add_object(one, "class_maps");
    gtm_json_add_i64(maps, "count", (int64_t)info.maps);
    gtm_json_add_i64(maps, "bytes", (int64_t)info.map_bytes);
    gtm_json_add_i64(maps, "classes", (int64_t)info.classes);
    gtm_api_item(req, 200, "Geo", one);
}

/* --- addresses --- */

struct client {
    int family; /* 4 or 6 */
    uint8_t addr[16];
    unsigned prefix_len;
};

/* "ADDRESS" or "ADDRESS/LENGTH". An IPv4-mapped address counts as IPv4; what lies beyond the length
 * is cleared. */
static bool parse_client(const char *text, bool allow_length, struct client *ret)
{
    char addr[INET6_ADDRSTRLEN];
    size_t n = strcspn(text, "/");
    if (n >= sizeof(addr) || (text[n] && !allow_length))
        return false;
    memcpy(addr, text, n);
    addr[n] = 0;
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *ret = (struct client){.family = 4};
    bool was_mapped = false;
    if (inet_pton(AF_INET, addr, ret->addr) != 1) {
        if (inet_pton(AF_INET6, addr, ret->addr) != 1)
            return false;
        was_mapped = !memcmp(ret->addr, mapped, sizeof(mapped));
        ret->family = was_mapped ? 4 : 6;
        if (was_mapped) {
            memmove(ret->addr, ret->addr + 12, 4);
            memset(ret->addr + 4, 0, 12);
        }
    }
    unsigned bits = ret->family == 4 ? 32 : 128;
    ret->prefix_len = bits;
    if (text[n]) {
        char *end = NULL;
        unsigned long len = strtoul(text + n + 1, &end, 10);
        if (text[n + 1] < '0' || text[n + 1] > '9' || *end || len > (was_mapped ? 128 : bits))
            return false;
        if (was_mapped)
            len = len < 96 ? 0 : len - 96;
        ret->prefix_len = (unsigned)len;
    }
    for (unsigned bit = ret->prefix_len; bit < bits; bit++)
        ret->addr[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
    return true;
}

/* What the databases say, NULL = no database. */
static const struct gtm_location *locate(const struct gtmd *d, const struct client *client,
                                         unsigned *ret_prefix_len)
{
    *ret_prefix_len = 0;
    if (!d->geo)
        return NULL;
    return dns_geodb_find(d->geo->db, client->family, client->addr, ret_prefix_len);
}

static void add_text(struct gtm_json *one, const char *key, const char *text)
{
    gtm_json_add_str(one, key, text && text[0] ? text : NULL);
}

static void add_prefix(struct gtm_json *one, const struct client *client, unsigned prefix_len)
{
    uint8_t net[16];
    char addr[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
    memcpy(net, client->addr, sizeof(net));
    for (unsigned bit = prefix_len; bit < (client->family == 4 ? 32u : 128u); bit++)
        net[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
    if (!inet_ntop(client->family == 4 ? AF_INET : AF_INET6, net, addr, sizeof(addr)))
        addr[0] = 0;
    snprintf(text, sizeof(text), "%s/%u", addr, prefix_len);
    gtm_json_add_str(one, "prefix", text);
}

void gtm_api_get_geo_lookup(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    const char *text = gtm_api_query(req, "address");
    struct client client;
    if (!text || !parse_client(text, false, &client)) {
        gtm_api_problem(req, 400, "badrequest", "address must be an IPv4 or IPv6 address");
        return;
    }
    unsigned prefix_len = 0;
    const struct gtm_location *loc = locate(d, &client, &prefix_len);
    const struct gtm_location nothing = {0};
    bool found = loc && prefix_len > 0;
    loc = loc ? loc : &nothing;
    const struct gtm_country *country = loc->country[0] ? gtm_country_find(loc->country) : NULL;
    struct gtm_json *one = gtm_json_object();
    gtm_json_add_str(one, "address", text);
    gtm_json_add_bool(one, "found", found);
    if (found)
        add_prefix(one, &client, prefix_len);
    else
        gtm_json_add_null(one, "prefix");
    add_text(one, "country", loc->country);
    add_text(one, "country_name", country ? country->name : NULL);
    add_text(one, "continent", loc->continent);
    add_text(one, "subdivision", loc->subdivision);
    if (loc->has_point) {
        gtm_json_add_num(one, "latitude", (double)loc->lat);
        gtm_json_add_num(one, "longitude", (double)loc->lon);
    } else {
        gtm_json_add_null(one, "latitude");
        gtm_json_add_null(one, "longitude");
    }
    if (loc->asn)
        gtm_json_add_i64(one, "asn", loc->asn);
    else
        gtm_json_add_null(one, "asn");
    gtm_api_item(req, 200, "GeoLookup", one);
}

/* --- /explain --- */

void gtm_api_get_explain(struct gtm_api_req *req)
{
    const struct gtmd *d = gtm_api_daemon(req);
    const char *name = gtm_api_query(req, "name"), *type = gtm_api_query(req, "type");
    const char *from = gtm_api_query(req, "client");
    struct client client;
    if (!name || !*name || !from || !parse_client(from, true, &client)) {
        gtm_api_problem(req, 400, "badrequest",
                        "name and client=ADDRESS or ADDRESS/LENGTH must be given");
        return;
    }
    ldns_rr_type number = type ? ldns_get_rr_type_by_name(type) : LDNS_RR_TYPE_A;
    if (number == 0 || (unsigned)number > UINT16_MAX) {
        gtm_api_problem(req, 400, "badrequest", "'%.40s' is no record type", type);
        return;
    }
    unsigned prefix_len = 0;
    struct gtm_explain_query query = {.name = name,
                                      .type = (uint16_t)number,
                                      .family = (uint8_t)client.family,
                                      .prefix_len = client.prefix_len,
                                      .loc = locate(d, &client, &prefix_len)};
    memcpy(query.addr, client.addr, sizeof(query.addr));
    struct gtm_error err = {0};
    struct gtm_json *item =
        gtm_explain(d->publisher, gtm_state_facts(d->state)->states, &query, &err);
    if (item)
        gtm_api_item(req, 200, "Explain", item);
    else if (err.code == GTM_EPARSE)
        gtm_api_problem(req, 400, "badrequest", "%s", err.text);
    else if (err.code == GTM_ESTATE)
        gtm_api_problem(req, 503, "starting", "nothing is served yet");
    else
        gtm_api_problem(req, 500, "internal", "%s", err.text[0] ? err.text : "out of memory");
}
