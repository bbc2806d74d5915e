/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine's clocks, the settable clock of tests, and times as text. See clock.h; any thread.
 */
#include "gtm/base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t test_offset_ms;

static uint64_t system_mono_ns(void *ctx)
{
    (void)ctx;
    struct timespec ts = {0};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec ts = {0};
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 +
           atomic_load_explicit(&test_offset_ms, memory_order_relaxed);
}

const struct gtm_clock *gtm_clock_system(void)
{
    static const struct gtm_clock clock = {.mono_ns = system_mono_ns, .wall_ms = system_wall_ms};
    return &clock;
}

uint64_t gtm_boot_ns(void)
{
    struct timespec ts = {0};
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void gtm_clock_set_test_offset_ms(int64_t offset_ms)
{
    atomic_store_explicit(&test_offset_ms, offset_ms, memory_order_relaxed);
}

static uint64_t fake_mono_ns(void *ctx)
{
    const struct gtm_clock_fake *fake = ctx;
    return fake->mono_ns;
}

static int64_t fake_wall_ms(void *ctx)
{
    const struct gtm_clock_fake *fake = ctx;
    return fake->wall_ms;
}

void gtm_clock_fake_init(struct gtm_clock_fake *fake)
{
    *fake = (struct gtm_clock_fake){
        .clock = {.mono_ns = fake_mono_ns, .wall_ms = fake_wall_ms, .ctx = fake},
    };
}

const char *gtm_time_format(int64_t wall_ms, char out[GTM_TIME_TEXT_BYTES])
{
    int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    time_t when = (time_t)seconds;
    struct tm tm;
    /* RFC 3339 has four digits for the year. */
    if (!gmtime_r(&when, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        snprintf(out, GTM_TIME_TEXT_BYTES, "out-of-range");
    else
        snprintf(out, GTM_TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
                 (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                 (unsigned)tm.tm_sec % 100, (unsigned)ms % 1000);
    return out;
}
