/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operator wants (cluster.yaml), parsed, checked and with references resolved to indexes.
 * An intent is immutable after gtm_intent_load and reference-counted; readers on any thread may
 * hold one. Kinds whose engine does not exist yet are parsed and checked in full and listed in
 * `inactive`.
 */
#ifndef GTM_MODEL_INTENT_H
#define GTM_MODEL_INTENT_H

#include "gtm/base/diag.h"
#include "gtm/base/err.h"
#include "gtm/base/json.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_NAME_MAX            63 /* bytes of an object's name: [a-z0-9] and inner [-_.] */
#define GTM_REGIONS_MAX         500
#define GTM_MONITORS_MAX        10000
#define GTM_POOLS_MAX           20000
#define GTM_POOL_ENDPOINTS_MAX  1000
#define GTM_POLICIES_MAX        20000
#define GTM_ZONES_MAX           10000
#define GTM_NAMES_MAX           200000 /* dynamic names of one zone */
#define GTM_ROUTES_MAX          4096   /* routes of one policy */
#define GTM_ROUTE_NETWORKS_MAX  100000 /* networks of one policy's routes together */
#define GTM_ANSWERS_MAX         16     /* records in one dynamic answer */
#define GTM_KEYS_MAX            1000   /* TSIG keys */
#define GTM_ZONE_PEERS_MAX      64     /* primaries, secondaries or transfer rules of one zone */
#define GTM_HEALTH_CANARIES_MAX 16
#define GTM_TTL_MAX_S           604800

/* Where an object stands in the file. */
struct gtm_srcpos {
    unsigned line, col;
};

struct gtm_region {
    char *name;
    bool has_location;
    double lat, lon;
    char *failure_domain;           /* NULL = its own */
    double capacity_requests_per_s; /* negative = unknown */
    struct gtm_srcpos pos;
};

enum gtm_monitor_kind {
    GTM_MONITOR_HTTP = 0,
    GTM_MONITOR_HTTPS,
    GTM_MONITOR_TCP,
    GTM_MONITOR_TLS,
    GTM_MONITOR_DNS,
    GTM_MONITOR_ICMP,
    GTM_MONITOR_GRPC,
    GTM_MONITOR_POSTGRESQL,
    GTM_MONITOR_REDIS,
    GTM_MONITOR_EXEC,
    GTM_MONITOR_PUSH,
    GTM_MONITOR_PROMETHEUS,
    GTM_MONITOR_KIND_COUNT
};
extern const char *const gtm_monitor_kind_words[GTM_MONITOR_KIND_COUNT];
/* True when this build probes the kind; the others are accepted and shown as not active yet. */
bool gtm_monitor_kind_active(enum gtm_monitor_kind kind);

enum gtm_http_version {
    GTM_HTTP_AUTO = 0, /* https: what ALPN finds; http: 1.1 */
    GTM_HTTP_1_1,
    GTM_HTTP_2, /* http: with prior knowledge (RFC 9113 3.3) */
    GTM_HTTP_VERSION_COUNT
};

/* What a load report can say of an endpoint. */
enum gtm_load {
    GTM_LOAD_LOAD = 0,    /* utilisation: 1 = full */
    GTM_LOAD_CONNECTIONS, /* open now */
    GTM_LOAD_LATENCY_MS,  /* as its users see it */
    GTM_LOAD_REQUESTS_PER_S,
    GTM_LOAD_COUNT
};
extern const char *const gtm_load_words[GTM_LOAD_COUNT]; /* "load", "connections", … */

struct gtm_monitor {
    char *name;
    enum gtm_monitor_kind kind;
    uint16_t port;           /* 1..65535 */
    char *path;              /* "/" */
    char *host;              /* Host header, or NULL: the endpoint's address */
    char *method;            /* "GET" */
    uint16_t *expect_status; /* NULL = 200..299 */
    size_t expect_status_count;
    char *expect_body; /* substring of the first 64 KiB, or NULL */
    char *send;        /* tcp, tls: bytes to send first, or NULL */
    enum gtm_http_version http_version;
    /* https, tls, grpc with tls: verified against tls_ca (NULL: the system's) for tls_name (NULL:
     * `host`, else the endpoint's address) unless tls_insecure; a certificate that ends within
     * tls_expiry_ms fails. */
    bool tls; /* grpc: over TLS; set for https and tls */
    bool tls_insecure;
    char *tls_ca, *tls_name, *tls_cert, *tls_key; /* paths and a name, or NULL */
    uint64_t tls_expiry_ms;
    char *query_name;      /* dns: absolute; NULL = the root */
    uint16_t query_type;   /* dns: default A, of the root NS */
    bool query_tcp;        /* dns: over TCP */
    unsigned expect_rcode; /* dns: default NOERROR */
    char *expect_answer;   /* dns: text of one rdata in the answer section, or NULL */
    char *grpc_service;    /* grpc: or NULL = the server as a whole */
    char *program;         /* exec: a file name in the node's exec_dir */
    char **args;           /* exec: "{address}", "{port}", "{endpoint}", "{pool}" are replaced */
    size_t args_count;
    char *push_token;                   /* push: path of the file with its token */
    char *load_pointer[GTM_LOAD_COUNT]; /* JSON pointers (RFC 6901) into the answer, or NULL */
    unsigned interval_ms, timeout_ms, fall, rise;
    struct gtm_srcpos pos;
};

struct gtm_endpoint {
    char *name;
    unsigned region; /* index into regions */
    bool has_v4, has_v6;
    struct in_addr v4;
    struct in6_addr v6;
    uint32_t weight; /* 0..65535, default 100; 0 takes no users unless nothing else is left */
    double capacity_requests_per_s; /* negative = unknown */
    char *host; /* what CNAME, SRV, HTTPS and SVCB answers name; without the final dot; or NULL */
    struct gtm_srcpos pos;
};

enum gtm_failback_mode { GTM_FAILBACK_AUTO = 0, GTM_FAILBACK_MANUAL };
struct gtm_pool {
    char *name;
    unsigned *monitors; /* indexes */
    size_t monitors_count;
    enum gtm_failback_mode failback_mode;
    unsigned failback_hold_ms, failback_ramp_ms;
    unsigned monitors_needed; /* of its monitors must be healthy; 0 = all. More healthy than that
                                 but not all: degraded */
    double degraded_weight;   /* × weight of a degraded endpoint, 0..1, default 0.5 */
    /* Flap penalty: every fall adds one, it halves every flap_half_life_ms; from flap_suppress on
     * a recovered endpoint is held until it is half of that, at most flap_hold_ms. 0 = off */
    unsigned flap_half_life_ms, flap_hold_ms;
    double flap_suppress;
    /* Spillover by utilisation: above spill_high users are shed until it is spill_low. Negative =
     * no spillover */
    double spill_low, spill_high;
    double panic; /* 0..1, default 0.5, 0 = off */
    struct gtm_endpoint *endpoints;
    size_t endpoints_count;
    uint32_t *by_name; /* indexes of endpoints, sorted by name; NULL in hand-made ones */
    struct gtm_srcpos pos;
};

enum gtm_steer {
    GTM_STEER_NEAREST = 0,
    GTM_STEER_GEO,
    GTM_STEER_WEIGHTED,
    GTM_STEER_FAILOVER,
    GTM_STEER_MULTIVALUE,
    GTM_STEER_LATENCY,
    GTM_STEER_LEAST_CONNECTIONS,
    GTM_STEER_RESPONSE_TIME,
    GTM_STEER_EWMA,
    GTM_STEER_STICKY,
    GTM_STEER_COUNT
};
extern const char *const gtm_steer_words[GTM_STEER_COUNT];
/* True when this build steers so: all that there are. */
bool gtm_steer_active(enum gtm_steer steer);

enum gtm_all_down {
    GTM_ALL_DOWN_FAIL_OPEN = 0,
    GTM_ALL_DOWN_LAST_GOOD,
    GTM_ALL_DOWN_FAIL_CLOSED,
    GTM_ALL_DOWN_BACKUP,
    GTM_ALL_DOWN_COUNT
};
extern const char *const gtm_all_down_words[GTM_ALL_DOWN_COUNT];

struct gtm_network {
    uint8_t family;     /* 4 or 6 */
    uint8_t prefix_len; /* bits; the address has no bit set beyond */
    uint8_t addr[16];   /* IPv4 in the first four bytes */
};

/* One row of a geo policy: any given condition list must contain the client (lists are or-ed
 * inside, and-ed between). */
struct gtm_route {
    struct gtm_network *networks;
    size_t networks_count;
    char (*countries)[3];
    size_t countries_count;
    char (*continents)[3];
    size_t continents_count;
    char (*subdivisions)[8]; /* "US-CA" */
    size_t subdivisions_count;
    uint32_t *asns;
    size_t asns_count;
    unsigned *regions; /* preference order */
    size_t regions_count;
    bool has_policy; /* instead of regions: answer as this policy does */
    unsigned policy;
    struct gtm_srcpos pos;
};

enum gtm_target_kind { GTM_TARGET_POOL = 0, GTM_TARGET_POLICY, GTM_TARGET_ENDPOINT };
struct gtm_target {
    enum gtm_target_kind kind;
    unsigned index;    /* of the pool (also an endpoint's pool) or policy */
    unsigned endpoint; /* within the pool, for GTM_TARGET_ENDPOINT */
    uint32_t weight;   /* 0..65535 */
    struct gtm_srcpos pos;
};

struct gtm_policy {
    char *name;
    enum gtm_steer steer;
    bool has_pool;
    unsigned pool;
    enum gtm_all_down all_down;
    bool has_backup;
    struct gtm_target backup; /* a pool or a policy */
    unsigned answers;         /* 1..GTM_ANSWERS_MAX; default 1, multivalue 8 */
    unsigned ttl_s;           /* default 30 */
    struct gtm_route *routes; /* geo */
    size_t routes_count;
    unsigned *order; /* regions: failover's `order`, geo's `default`; the default order elsewhere */
    size_t order_count;
    struct gtm_target *to; /* weighted, instead of a pool */
    size_t to_count;
    char *latency_file; /* latency: the table of networks; NULL = only what is pushed */
    struct gtm_srcpos pos;
};

#define GTM_TYPE_A     1
#define GTM_TYPE_CNAME 5
#define GTM_TYPE_AAAA  28
#define GTM_TYPE_SRV   33
#define GTM_TYPE_SVCB  64
#define GTM_TYPE_HTTPS 65
#define GTM_TYPES_MAX  6 /* that can be dynamic */
struct gtm_dynamic_name {
    char *name;      /* relative to the zone, "@" for its top, "*" wildcards allowed */
    uint16_t *types; /* default A and AAAA; alias: those of the target */
    size_t types_count;
    char *alias;           /* instead of policy and group: another name of the zones served here,
                              absolute or relative to this zone, whose A and AAAA this one has
                              (what is called ALIAS or ANAME elsewhere); no CNAME, so also at the
                              top */
    uint16_t service_port; /* SRV, and HTTPS/SVCB when nonzero */
    uint16_t service_priority; /* SRV priority, SvcPriority; default 1 */
    char **alpn;               /* HTTPS, SVCB: "h2", "h3" */
    size_t alpn_count;
    bool has_policy;
    unsigned policy;
    bool has_group; /* group names are not active yet: they answer SERVFAIL with the reason */
    unsigned group;
    bool reader;         /* of a group: any member close enough; else only the writer */
    unsigned max_lag_ms; /* with reader, 0 = no bound */
    bool has_ttl;
    unsigned ttl_s;
    struct gtm_srcpos pos;
};

/* A TSIG key (RFC 8945). */
enum gtm_tsig_algorithm {
    GTM_TSIG_SHA1 = 0,
    GTM_TSIG_SHA224,
    GTM_TSIG_SHA256,
    GTM_TSIG_SHA384,
    GTM_TSIG_SHA512,
    GTM_TSIG_COUNT
};
extern const char *const gtm_tsig_words[GTM_TSIG_COUNT]; /* "hmac-sha256", … */
struct gtm_tsig_key {
    char *name; /* a domain name without the final dot, lower case */
    enum gtm_tsig_algorithm algorithm;
    char *secret_file; /* base64 */
    struct gtm_srcpos pos;
};
/* Another name server. */
struct gtm_zone_peer {
    struct gtm_network address; /* a whole address */
    uint16_t port;              /* default 53 */
    bool has_key;
    unsigned key; /* index into keys */
    struct gtm_srcpos pos;
};
/* Who may transfer a zone: in one of the networks (none given: anywhere) and, when it has one, with
 * the key. */
struct gtm_transfer_rule {
    struct gtm_network *networks;
    size_t networks_count;
    bool has_key;
    unsigned key;
    struct gtm_srcpos pos;
};

struct gtm_zone_conf {
    char *name; /* without the final dot, lower case */
    char *file; /* absolute or relative to the intent file's folder; resolved to a usable path; NULL
                   when the zone has primaries: then a copy is kept in data_dir */
    struct gtm_zone_peer *primaries; /* where it is transferred from */
    size_t primaries_count;
    struct gtm_zone_peer *secondaries; /* told of changes (NOTIFY), and may transfer */
    size_t secondaries_count;
    struct gtm_transfer_rule *transfer;
    size_t transfer_count;
    struct gtm_dynamic_name *names;
    size_t names_count;
    struct gtm_srcpos pos;
};

/* A safety rule: what an order must leave behind. */
enum gtm_rule_kind {
    GTM_RULE_ANSWERS_LEFT = 0, /* endpoints that every answer can still draw on: at least min */
    GTM_RULE_REGIONS_OUT,      /* regions without users at a time: at most max */
    GTM_RULE_CAPACITY_LEFT,    /* room for the present users of every pool: at least min times */
    GTM_RULE_GATE,             /* a switch must stand at `allow` */
    GTM_RULE_COOLDOWN,         /* between two orders that take out different regions: at least
                                  time_ms */
    GTM_RULE_KIND_COUNT
};
extern const char *const gtm_rule_kind_words[GTM_RULE_KIND_COUNT]; /* "answers_left", … */
enum gtm_rule_when { GTM_RULE_ALWAYS = 0, GTM_RULE_PLANNED };
enum gtm_switch { GTM_SWITCH_OFF = 0, GTM_SWITCH_ON };
extern const char *const gtm_switch_words[2]; /* "off", "on" */
struct gtm_rule {
    char *name;
    enum gtm_rule_kind kind;
    double min, max;
    enum gtm_rule_when when; /* planned: only warns about a region whose verdict is down */
    char *switch_name;       /* gate */
    enum gtm_switch allow;
    uint64_t time_ms; /* cooldown */
    struct gtm_srcpos pos;
};

/* How many of the configured vantage regions must see a failure (policies/quorum.h). */
enum gtm_quorum { GTM_QUORUM_MAJORITY = 0, GTM_QUORUM_ANY, GTM_QUORUM_ALL };
/* What a vantage connects to in order to tell whether its own network works. */
struct gtm_canary {
    struct gtm_network address; /* a whole address */
    uint16_t port;
    struct gtm_srcpos pos;
};

/* A kind in the file whose engine does not exist in this build. */
struct gtm_inactive {
    const char *kind; /* "groups", "monitor kind icmp", … ; owned by the intent */
    char *name;
    struct gtm_srcpos pos;
};

struct gtm_intent {
    struct gtm_region *regions;
    size_t regions_count;
    struct gtm_monitor *monitors;
    size_t monitors_count;
    struct gtm_pool *pools;
    size_t pools_count;
    struct gtm_policy *policies;
    size_t policies_count;
    struct gtm_zone_conf *zones;
    size_t zones_count;
    struct gtm_tsig_key *keys;
    size_t keys_count;
    unsigned *vantages; /* regions that vote; default all */
    size_t vantages_count;
    enum gtm_quorum quorum;
    struct gtm_canary *canaries;
    size_t canaries_count;
    struct gtm_rule *rules; /* as given: see gtm_intent_rules */
    size_t rules_count;
    struct gtm_inactive *inactive;
    size_t inactive_count;
    char *path;                     /* of the file it came from */
    char sha256[65];                /* of its text, hex */
    struct gtm_intent_later *later; /* groups, rules, plans, …: see intent_later.h */
    int refs;
};

/* Reads, checks and resolves a file. NULL when there is any error: then diags holds all of them
 * (and warnings in either case). May block and take long: worker threads only. Returns one
 * reference. */
struct gtm_intent *gtm_intent_load(const char *path, struct gtm_diags *diags);
/* The same for an intent that came from the cluster: secrets and certificates, which never travel,
 * are relative to local_dir (the node file's folder); zone files and tables to the file's own. */
struct gtm_intent *gtm_intent_load_at(const char *path, const char *local_dir,
                                      struct gtm_diags *diags);
/* The same from memory; `path` is only for messages and relative paths. Used by the fuzzer and the
 * API. */
struct gtm_intent *gtm_intent_parse(const char *path, const char *text, size_t len,
                                    struct gtm_diags *diags);
/* Atomic counting, any thread. */
struct gtm_intent *gtm_intent_ref(const struct gtm_intent *intent);
void gtm_intent_unref(struct gtm_intent *intent); /* NULL is fine */

/* Index by name, or -1. */
int gtm_intent_region(const struct gtm_intent *intent, const char *name);
int gtm_intent_pool(const struct gtm_intent *intent, const char *name);
int gtm_intent_policy(const struct gtm_intent *intent, const char *name);
int gtm_intent_monitor(const struct gtm_intent *intent, const char *name);
int gtm_intent_zone(const struct gtm_intent *intent, const char *name);
int gtm_pool_endpoint(const struct gtm_pool *pool, const char *name);

/* The safety rules in force: those of the file, or, when it has none, the ones that always hold.
 * Borrowed. */
const struct gtm_rule *gtm_intent_rules(const struct gtm_intent *intent, size_t *ret_count);

/* JSON Schema (2020-12) of the intent and of the node file, made from the tables that parse them.
 * New roots or NULL. */
struct gtm_json *gtm_intent_schema(void);
struct gtm_json *gtm_node_schema(void);

/* The whole intent as JSON in the file's own shape with defaults filled in (`gtmctl config show`).
 * New root or NULL. */
struct gtm_json *gtm_intent_to_json(const struct gtm_intent *intent);

#endif
