/* SPDX-License-Identifier: Apache-2.0
 *
 * Width: 500 regions and a pool of 1,000 endpoints, one policy of each kind over it. How long until
 * the class maps of so many regions are ready, how much memory they take, and how long a change of
 * one endpoint, of one region and of everything takes to be in a view. Prints a table with JSON
 * lines in it. Reports only.
 *
 *     bench_wide [DATABASE [REGIONS [ENDPOINTS]]]     DATABASE "-" = no geography
 */
#include "dns/geodb.h"
#include "gtm/base/clock.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/publish.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS    21
#define DB_PATH "/usr/share/libloc-location/location.db"

static double now_ms(void)
{
    return (double)gtm_mono_ns(gtm_clock_system()) / 1e6;
}

static void report(const char *policy, const char *what, double value, const char *unit)
{
    printf("%-20s %-36s %10.2f %s\n", policy, what, value, unit);
    printf(
        "{\"bench\":\"wide\",\"policy\":\"%s\",\"what\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n",
        policy, what, value, unit);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- inputs ---- */

static FILE *create(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    return f;
}

static void write_zone(const char *path)
{
    FILE *f = create(path);
    fputs("$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 admin 1 3600 600 86400 60\n@ NS ns1\n"
          "ns1 A 192.0.2.53\n",
          f);
    fclose(f);
}

/* Regions spread evenly over the globe: Fibonacci's lattice. */
static void write_intent(const char *path, const char *zone, const char *steer, unsigned regions,
                         unsigned endpoints)
{
    FILE *f = create(path);
    fputs("regions:\n", f);
    for (unsigned i = 0; i < regions; i++) {
        double lat = asin(2 * (i + 0.5) / regions - 1) * 180 / M_PI;
        double lon = fmod(i * 222.4922359499622, 360) - 180;
        fprintf(f, "  - {name: r%u, location: [%.4f, %.4f]}\n", i, lat, lon);
    }
    fputs("monitors:\n  - {name: web, kind: http, port: 80}\n"
          "pools:\n  - name: p\n    monitors: [web]\n    endpoints:\n",
          f);
    for (unsigned i = 0; i < endpoints; i++)
        fprintf(f, "      - {name: e%u, region: r%u, addresses: [10.1.%u.%u], weight: %u}\n", i,
                i % regions, i >> 8, i & 255, 50 + i % 100);
    const char *more =
        strcmp(steer, "geo") == 0
            ? ", routes: [{match: {continent: EU}, regions: [r7, r9]}], default: [r1]"
        : strcmp(steer, "failover") == 0 ? ", order: [r1, r2, r3]"
                                         : "";
    fprintf(f, "policies:\n  - {name: it, pool: p, steer: %s%s}\n", steer, more);
    fprintf(f, "zones:\n  - name: example.com\n    file: %s\n    names:\n", zone);
    for (unsigned i = 0; i < 100; i++)
        fprintf(f, "      - {name: w%u, policy: it}\n", i);
    fclose(f);
}

/* ---- the runs ---- */

struct bench {
    const char *steer;
    struct gtm_intent *intent;
    struct gtm_compiled *compiled;
    struct gtm_states *states;
    struct gtm_touched touched;
    struct gtm_publisher *pub;
};

static void drop_view(void *ctx, struct dns_view *view)
{
    (void)ctx;
    dns_view_unref(view);
}

static void must(int rc, const struct gtm_error *err)
{
    if (rc == GTM_OK)
        return;
    fprintf(stderr, "bench_wide: %s\n", err->text);
    exit(1);
}

static void load(struct bench *b, const char *path, struct dns_geodb *db)
{
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct gtm_compiled_info info;
    double at = now_ms();
    b->intent = gtm_intent_load(path, &diags);
    b->compiled = b->intent ? gtm_compile(b->intent, db, NULL, &diags) : NULL;
    if (!b->compiled) {
        gtm_diags_print(&diags, stderr);
        exit(1);
    }
    gtm_diags_fini(&diags);
    report(b->steer, "compiled", now_ms() - at, "ms");
    gtm_compiled_info(b->compiled, &info);
    report(b->steer, "class map memory", (double)info.map_bytes / 1e6, "MB");
    at = now_ms();
    b->states = gtm_states_new(b->intent);
    b->pub = gtm_publisher_new(drop_view, NULL);
    if (!b->states || !b->pub || gtm_touched_init(&b->touched, b->intent->pools_count) != GTM_OK)
        abort();
    must(gtm_publisher_install(b->pub, b->compiled, b->states, &err), &err);
    report(b->steer, "installed", now_ms() - at, "ms");
}

/* Endpoints from..count in steps get the health; how long until it is in a view. */
static double flip(struct bench *b, size_t from, size_t step, enum gtm_health health)
{
    struct gtm_error err = {0};
    double start = now_ms();
    for (size_t e = from; e < b->intent->pools[0].endpoints_count; e += step)
        gtm_states_set_health(b->states, 0, e, GTM_FAMILY_V4, health, &b->touched);
    must(gtm_publisher_flip(b->pub, b->states, &b->touched, &err), &err);
    gtm_touched_clear(&b->touched);
    return now_ms() - start;
}

static void run(struct bench *b, const char *what, size_t step)
{
    double down[RUNS], up[RUNS];
    char text[64];
    for (unsigned i = 0; i < RUNS; i++) {
        size_t from = i * 37u % step % b->intent->pools[0].endpoints_count;
        down[i] = flip(b, from, step, GTM_HEALTH_DOWN);
        up[i] = flip(b, from, step, GTM_HEALTH_UP);
    }
    qsort(down, RUNS, sizeof(*down), compare);
    qsort(up, RUNS, sizeof(*up), compare);
    snprintf(text, sizeof(text), "%s down, median", what);
    report(b->steer, text, down[RUNS / 2], "ms");
    snprintf(text, sizeof(text), "%s down, worst", what);
    report(b->steer, text, down[RUNS - 1], "ms");
    snprintf(text, sizeof(text), "%s up, median", what);
    report(b->steer, text, up[RUNS / 2], "ms");
}

int main(int argc, char **argv)
{
    static const char *const steers[] = {"nearest",    "geo",    "failover",
                                         "multivalue", "sticky", "least_connections"};
    const char *db_path = argc > 1 ? argv[1] : DB_PATH;
    unsigned regions = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 500;
    unsigned endpoints = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1000;
    char dir[] = "/tmp/gtm-wide-XXXXXX", zone[64], intent[64];
    struct gtm_error err = {0};
    if (regions == 0 || endpoints == 0 || !mkdtemp(dir))
        return 1;
    snprintf(zone, sizeof(zone), "%s/zone", dir);
    snprintf(intent, sizeof(intent), "%s/intent.yaml", dir);
    struct dns_geodb *db =
        strcmp(db_path, "-") != 0 ? dns_geodb_load(&db_path, 1, NULL, &err) : NULL;
    for (size_t i = 0; i < sizeof(steers) / sizeof(steers[0]); i++) {
        struct bench b = {.steer = steers[i]};
        write_zone(zone);
        write_intent(intent, zone, b.steer, regions, endpoints);
        load(&b, intent, db);
        run(&b, "one endpoint", endpoints);
        run(&b, "one region", regions);
        run(&b, "everything", 1);
        gtm_publisher_free(b.pub);
        gtm_compiled_unref(b.compiled);
        gtm_states_free(b.states);
        gtm_touched_fini(&b.touched);
        gtm_intent_unref(b.intent);
    }
    unlink(zone);
    unlink(intent);
    rmdir(dir);
    return 0;
}
