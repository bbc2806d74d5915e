/* SPDX-License-Identifier: Apache-2.0
 *
 * Scale: 100,000 dynamic names over 10,000 pools and policies, beside 1,000,000 static records. How
 * long from files to answers, how much memory, and how long a change of state takes to be in a
 * view: one endpoint, one region's endpoint of every pool, all endpoints. Prints a table with JSON
 * lines (those that begin with a brace) in it. Reports only; never fails because a machine is slow.
 *
 *     bench_scale [DATABASE [POOLS [NAMES [RECORDS]]]]     DATABASE "-" = no geography
 */
#include "dns/geodb.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS    21
#define REGIONS 3
#define DB_PATH "/usr/share/libloc-location/location.db"

static double now_ms(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e6;
}

/* A field of /proc/self/status in MB ("VmRSS:", "VmHWM:"). */
static double memory_mb(const char *field)
{
    char line[256];
    double mb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, field, strlen(field)) == 0)
            mb = strtod(line + strlen(field), NULL) / 1024;
    if (f)
        fclose(f);
    return mb;
}

static void report(const char *what, double value, const char *unit)
{
    printf("%-44s %10.2f %s\n", what, value, unit);
    printf("{\"bench\":\"scale\",\"what\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n", what, value,
           unit);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* ---- inputs ---- */

struct size {
    unsigned pools, names, records;
};

static void write_zone(const char *path, const struct size *size)
{
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    fputs("$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 admin 1 3600 600 86400 60\n@ NS ns1\n"
          "ns1 A 192.0.2.53\n",
          f);
    for (unsigned i = 0; i < size->records; i++)
        fprintf(f, "host%u A 10.%u.%u.%u\n", i, (i >> 16) & 255, (i >> 8) & 255, i & 255);
    fclose(f);
}

static void write_intent(const char *path, const char *zone, const struct size *size)
{
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    fputs("regions:\n"
          "  - {name: us-east, location: [38.9, -77.0]}\n"
          "  - {name: eu-west, location: [53.3, -6.3]}\n"
          "  - {name: ap-south, location: [1.35, 103.8]}\n"
          "monitors:\n  - {name: web, kind: http, port: 80}\npools:\n",
          f);
    for (unsigned i = 0; i < size->pools; i++)
        fprintf(
            f,
            "  - name: p%u\n    monitors: [web]\n    endpoints:\n"
            "      - {name: us, region: us-east, addresses: [10.1.%u.%u, \"2001:db8:1::%x\"]}\n"
            "      - {name: eu, region: eu-west, addresses: [10.2.%u.%u, \"2001:db8:2::%x\"]}\n"
            "      - {name: ap, region: ap-south, addresses: [10.3.%u.%u, \"2001:db8:3::%x\"]}\n",
            i, i >> 8 & 255, i & 255, i + 1, i >> 8 & 255, i & 255, i + 1, i >> 8 & 255, i & 255,
            i + 1);
    fputs("policies:\n", f);
    for (unsigned i = 0; i < size->pools; i++)
        fprintf(f, "  - {name: n%u, pool: p%u, steer: nearest}\n", i, i);
    fprintf(f, "zones:\n  - name: example.com\n    file: %s\n    names:\n", zone);
    for (unsigned i = 0; i < size->names; i++)
        fprintf(f, "      - {name: w%u, policy: n%u}\n", i, i % size->pools);
    fclose(f);
}

/* ---- the runs ---- */

struct bench {
    struct gtm_intent *intent;
    struct dns_geodb *db;
    struct gtm_compiled *compiled;
    struct gtm_states *states;
    struct gtm_touched touched;
    struct gtm_publisher *pub;
    unsigned views;
};

static void count_view(void *ctx, struct dns_view *view)
{
    ((struct bench *)ctx)->views++;
    dns_view_unref(view);
}

static void must(int rc, const struct gtm_error *err)
{
    if (rc == GTM_OK)
        return;
    fprintf(stderr, "bench_scale: %s\n", err->text);
    exit(1);
}

static void load(struct bench *b, const char *intent_path, const char *db_path)
{
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    double start = now_ms(), at = start;
    b->intent = gtm_intent_load(intent_path, &diags);
    report("intent parsed", now_ms() - at, "ms");
    at = now_ms();
    if (b->intent && strcmp(db_path, "-") != 0)
        b->db = dns_geodb_load(&db_path, 1, NULL, &err);
    report("geography loaded", now_ms() - at, "ms");
    at = now_ms();
    b->compiled = b->intent ? gtm_compile(b->intent, b->db, NULL, &diags) : NULL;
    report("zones and class maps compiled", now_ms() - at, "ms");
    if (!b->compiled) {
        gtm_diags_print(&diags, stderr);
        exit(1);
    }
    gtm_diags_fini(&diags);
    at = now_ms();
    b->states = gtm_states_new(b->intent);
    b->pub = gtm_publisher_new(count_view, b);
    if (!b->states || !b->pub || gtm_touched_init(&b->touched, b->intent->pools_count) != GTM_OK)
        abort();
    must(gtm_publisher_install(b->pub, b->compiled, b->states, &err), &err);
    report("steering tables installed", now_ms() - at, "ms");
    report("ready, in all", now_ms() - start, "ms");
}

static void set_all(struct bench *b, unsigned endpoint, enum gtm_health health)
{
    for (size_t p = 0; p < b->intent->pools_count; p++)
        for (unsigned f = 0; f < GTM_FAMILY_COUNT; f++)
            gtm_states_set_health(b->states, p, endpoint, (enum gtm_family)f, health, &b->touched);
}

static double flip(struct bench *b, double start)
{
    struct gtm_error err = {0};
    must(gtm_publisher_flip(b->pub, b->states, &b->touched, &err), &err);
    double ms = now_ms() - start;
    gtm_touched_clear(&b->touched);
    return ms;
}

static void run_one(struct bench *b)
{
    double down[RUNS], up[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        size_t pool = i * 7919u % b->intent->pools_count;
        double start = now_ms();
        gtm_states_set_health(b->states, pool, 1, GTM_FAMILY_V4, GTM_HEALTH_DOWN, &b->touched);
        down[i] = flip(b, start);
        start = now_ms();
        gtm_states_set_health(b->states, pool, 1, GTM_FAMILY_V4, GTM_HEALTH_UP, &b->touched);
        up[i] = flip(b, start);
    }
    report("flip of one pool, down, median", median(down, RUNS), "ms");
    report("flip of one pool, up, median", median(up, RUNS), "ms");
}

static void run_region(struct bench *b)
{
    double down[RUNS], up[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        double start = now_ms();
        set_all(b, i % REGIONS, GTM_HEALTH_DOWN);
        down[i] = flip(b, start);
        start = now_ms();
        set_all(b, i % REGIONS, GTM_HEALTH_UP);
        up[i] = flip(b, start);
    }
    report("a region of all pools down, median", median(down, RUNS), "ms");
    report("a region of all pools down, worst", down[RUNS - 1], "ms");
    report("a region of all pools up, median", median(up, RUNS), "ms");
}

static void run_all(struct bench *b)
{
    double start = now_ms();
    for (unsigned e = 0; e < REGIONS; e++)
        set_all(b, e, GTM_HEALTH_DOWN);
    report("everything down (fail_open)", flip(b, start), "ms");
    start = now_ms();
    for (unsigned e = 0; e < REGIONS; e++)
        set_all(b, e, GTM_HEALTH_UP);
    report("everything up", flip(b, start), "ms");
}

static void run_reload(struct bench *b)
{
    struct gtm_diags diags = {0};
    struct gtm_compiled_info info;
    double start = now_ms();
    struct gtm_compiled *again = gtm_compile(b->intent, b->db, b->compiled, &diags);
    report("compiled again, nothing changed", now_ms() - start, "ms");
    if (!again)
        exit(1);
    gtm_compiled_info(again, &info);
    report("class maps", (double)info.maps, "");
    report("class map memory", (double)info.map_bytes / 1e6, "MB");
    gtm_compiled_unref(again);
    gtm_diags_fini(&diags);
}

static void fini(struct bench *b)
{
    gtm_publisher_free(b->pub);
    gtm_compiled_unref(b->compiled);
    gtm_states_free(b->states);
    gtm_touched_fini(&b->touched);
    gtm_intent_unref(b->intent);
}

int main(int argc, char **argv)
{
    struct size size = {.pools = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000,
                        .names = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100000,
                        .records = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1000000};
    char dir[] = "/tmp/gtm-scale-XXXXXX", zone[64], intent[64];
    struct bench b = {.views = 0};
    if (size.pools == 0 || !mkdtemp(dir))
        return 1;
    snprintf(zone, sizeof(zone), "%s/zone", dir);
    snprintf(intent, sizeof(intent), "%s/intent.yaml", dir);
    write_zone(zone, &size);
    write_intent(intent, zone, &size);
    printf("%u names, %u pools and policies, %u static records\n", size.names, size.pools,
           size.records);
    load(&b, intent, argc > 1 ? argv[1] : DB_PATH);
    report("memory at its highest", memory_mb("VmHWM:"), "MB");
    run_reload(&b);
    dns_geodb_free(b.db); /* a node throws it away, too */
    malloc_trim(0);
    report("memory afterwards", memory_mb("VmRSS:"), "MB");
    run_one(&b);
    run_region(&b);
    run_all(&b);
    malloc_trim(0);
    report("memory after the flips", memory_mb("VmRSS:"), "MB");
    fini(&b);
    unlink(zone);
    unlink(intent);
    return rmdir(dir) == 0 ? 0 : 1;
}
