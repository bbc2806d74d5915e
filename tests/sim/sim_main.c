/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs seeds. A seed that fails is run again with everything said, and how to run it by hand.
 *
 *   sim [--seeds N] [--from S] [--mutant NAME|all] [--trace]
 *     --mutant all   every mutant must be caught within N seeds (default 200; they stop at the
 * first) Exit 0: all sound seeds passed, every mutant was caught; 1 otherwise; 2 usage.
 */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const sim_mutant_words[SIM_MUTANTS] = {
    "sound",           "no-guard",         "fitness-ignored",  "minority-counts", "older-view",
    "empty-answer",    "waits-for-leader", "no-local-removal", "no-resync",       "silence-ignored",
    "merge-forgotten", "late-put",         "last-removed",
};

struct totals {
    uint64_t events, views, merges, isolations, elections, resyncs, worst_ms;
};

/* The first thing that was wrong, or NULL; valid until the next run. */
static const char *run(uint64_t seed, enum sim_mutant mutant, bool trace, struct totals *totals)
{
    static char failure[sizeof(sim.failure)];
    sim_begin(seed, mutant, trace);
    sim_run();
    totals->events += sim.events;
    totals->views += sim.views;
    totals->merges += sim.merges;
    totals->isolations += sim.isolations;
    totals->elections += sim.elections;
    totals->resyncs += sim.resyncs;
    if (sim.worst_ms > totals->worst_ms)
        totals->worst_ms = sim.worst_ms;
    memcpy(failure, sim.failure, sizeof(failure));
    sim_end();
    return failure[0] ? failure : NULL;
}

static int replay(uint64_t seed, enum sim_mutant mutant)
{
    struct totals totals = {0};
    const char *failure = run(seed, mutant, true, &totals);
    printf("seed %llu: %s\nagain: tests/sim/run --from %llu --seeds 1 --trace\n",
           (unsigned long long)seed, failure ? failure : "passed, though it failed before",
           (unsigned long long)seed);
    return 1;
}

static int sound(uint64_t from, uint64_t seeds)
{
    struct totals t = {0};
    clock_t begin = clock();
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        if (run(seed, SIM_SOUND, false, &t))
            return replay(seed, SIM_SOUND);
    }
    printf("%llu seeds, %llu events, %llu views, %llu merges, %llu isolations, %llu elections of "
           "etcd, %llu resyncs, %llu ms to the dead at worst, in %.1f s\n",
           (unsigned long long)seeds, (unsigned long long)t.events, (unsigned long long)t.views,
           (unsigned long long)t.merges, (unsigned long long)t.isolations,
           (unsigned long long)t.elections, (unsigned long long)t.resyncs,
           (unsigned long long)t.worst_ms, (double)(clock() - begin) / CLOCKS_PER_SEC);
    /* what never happened was not tested */
    bool all = t.merges && t.isolations && t.elections && t.resyncs;
    if (seeds >= 100 && !all)
        puts("but something in that row never happened");
    return seeds >= 100 && !all;
}

static int caught(enum sim_mutant mutant, uint64_t from, uint64_t seeds)
{
    struct totals totals = {0};
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        const char *failure = run(seed, mutant, false, &totals);
        if (failure) {
            printf("%s: seed %llu %s\n", sim_mutant_words[mutant], (unsigned long long)seed,
                   failure);
            return 0;
        }
    }
    printf("%s: not noticed in %llu seeds\n", sim_mutant_words[mutant], (unsigned long long)seeds);
    return 1;
}

static int usage(void)
{
    fputs("usage: sim [--seeds N] [--from S] [--mutant NAME|all] [--trace]\nmutants:", stderr);
    for (int m = SIM_SOUND + 1; m < SIM_MUTANTS; m++)
        fprintf(stderr, " %s", sim_mutant_words[m]);
    fputs("\n", stderr);
    return 2;
}

static int mutants(const char *name, uint64_t from, uint64_t seeds)
{
    int bad = 0, found = 0;
    for (int m = SIM_SOUND + 1; m < SIM_MUTANTS; m++) {
        if (strcmp(name, "all") != 0 && strcmp(name, sim_mutant_words[m]) != 0)
            continue;
        found++;
        bad |= caught((enum sim_mutant)m, from, seeds);
    }
    return found ? bad : usage();
}

int main(int argc, char **argv)
{
    uint64_t seeds = 200, from = 1;
    const char *mutant = NULL;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
            continue;
        }
        if (!value)
            return usage();
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--from") == 0)
            from = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--mutant") == 0)
            mutant = value;
        else
            return usage();
        i++;
    }
    if (seeds == 0)
        return usage();
    if (mutant)
        return mutants(mutant, from, seeds);
    return trace ? replay(from, SIM_SOUND) : sound(from, seeds);
}
