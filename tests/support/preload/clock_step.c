/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps the clocks of one process while it runs: LD_PRELOAD this with GTM_TEST_CLOCK=FILE, a file
 * of eight octets: milliseconds (signed, this machine's order) to add to the time of day, and with
 * GTM_TEST_MONOTONIC=FILE, the same for the monotonic clock (not that of boot time, which sessions
 * go by). For tests of a cluster whose nodes' clocks differ, and of what happens once an hour.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *step_ms, *monotonic_ms;

static const volatile int64_t *open_one(const char *name)
{
    const char *path = getenv(name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof(*step_ms), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED ? map : NULL;
}

__attribute__((constructor)) static void open_step(void)
{
    step_ms = open_one("GTM_TEST_CLOCK");
    monotonic_ms = open_one("GTM_TEST_MONOTONIC");
}

static void add(struct timespec *ts, int64_t ms)
{
    int64_t ns = ts->tv_nsec + ms % 1000 * 1000000;
    ts->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
    ts->tv_nsec = ns + (ns < 0 ? 1000000000 : ns >= 1000000000 ? -1000000000 : 0);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && step_ms && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        add(ts, *step_ms);
    bool monotonic =
        id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW;
    if (rc == 0 && monotonic_ms && monotonic)
        add(ts, *monotonic_ms);
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts))
        return -1;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
