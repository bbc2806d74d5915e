/* SPDX-License-Identifier: Apache-2.0
 *
 * Time behind a vtable, so that deciding code and tests run in virtual time. Thread-safe.
 */
#ifndef GTM_BASE_CLOCK_H
#define GTM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct gtm_clock {
    uint64_t (*mono_ns)(void *ctx); /* never goes back; unrelated to the calendar */
    int64_t (*wall_ms)(void *ctx);  /* Unix time in milliseconds; may step */
    void *ctx;
};

/* The machine's clock (CLOCK_MONOTONIC, CLOCK_REALTIME + the test offset). */
const struct gtm_clock *gtm_clock_system(void);
/* CLOCK_BOOTTIME: as mono_ns of the system's clock, but goes on while the machine sleeps. For
 * promises that others time: leases. */
uint64_t gtm_boot_ns(void);
/* Tests: steps the system clock's calendar by offset_ms against the machine's; process-wide. */
void gtm_clock_set_test_offset_ms(int64_t offset_ms);

static inline uint64_t gtm_mono_ns(const struct gtm_clock *clock)
{
    return clock->mono_ns(clock->ctx);
}
static inline uint64_t gtm_mono_ms(const struct gtm_clock *clock)
{
    return clock->mono_ns(clock->ctx) / 1000000u;
}
static inline int64_t gtm_wall_ms(const struct gtm_clock *clock)
{
    return clock->wall_ms(clock->ctx);
}

/* A settable clock for tests: set fields, point gtm_clock.ctx at it by gtm_clock_fake_init. */
struct gtm_clock_fake {
    struct gtm_clock clock;
    uint64_t mono_ns;
    int64_t wall_ms;
};
void gtm_clock_fake_init(struct gtm_clock_fake *fake);

#define GTM_TIME_TEXT_BYTES 32
/* RFC 3339 in UTC with milliseconds ("2026-11-20T17:00:00.123Z"); returns out. Years outside
 * 0 to 9999 give "out-of-range". */
const char *gtm_time_format(int64_t wall_ms, char out[GTM_TIME_TEXT_BYTES]);

#endif
