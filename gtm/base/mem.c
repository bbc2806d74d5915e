/* SPDX-License-Identifier: Apache-2.0
 *
 * The allocation seam over malloc, with the countdown that tests use to fail an allocation. See
 * mem.h; any thread.
 */
#include "gtm/base/mem.h"

#include "gtm/base/err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t fail_countdown; /* 0 = off, 1 = the next one fails */
static atomic_int fail_forever;
static _Thread_local uint64_t thread_count;

static bool must_fail(void)
{
    thread_count++;
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left != 0) {
        bool now = left == 1;
        uint64_t next = now && atomic_load(&fail_forever) ? 1 : left - 1;
        if (atomic_compare_exchange_weak(&fail_countdown, &left, next))
            return now;
    }
    return false;
}

void gtm_mem_fail_at(uint64_t n, int forever)
{
    atomic_store(&fail_forever, forever);
    atomic_store(&fail_countdown, n);
}

uint64_t gtm_mem_count(void)
{
    return thread_count;
}

void *gtm_malloc(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes ? bytes : 1);
}

void *gtm_calloc(size_t count, size_t bytes)
{
    return must_fail() ? NULL : calloc(count ? count : 1, bytes ? bytes : 1);
}

void *gtm_realloc(void *ptr, size_t bytes)
{
    return must_fail() ? NULL : realloc(ptr, bytes ? bytes : 1);
}

void *gtm_aligned_alloc(size_t align, size_t bytes)
{
    void *ptr = NULL;
    if (must_fail() || posix_memalign(&ptr, align, bytes ? bytes : 1) != 0)
        return NULL;
    return ptr;
}

void gtm_free(void *ptr)
{
    free(ptr);
}

void *gtm_memdup(const void *p, size_t n)
{
    void *copy = gtm_malloc(n);
    if (copy && n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *gtm_strdup(const char *s)
{
    return gtm_memdup(s, strlen(s) + 1);
}

char *gtm_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = gtm_malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *gtm_asprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        return NULL;
    char *out = gtm_malloc((size_t)len + 1);
    if (!out)
        return NULL;
    va_start(args, fmt);
    vsnprintf(out, (size_t)len + 1, fmt, args);
    va_end(args);
    return out;
}

int gtm_grow(void **array, size_t *cap, size_t need, size_t elem_bytes)
{
    if (need <= *cap)
        return GTM_OK;
    size_t want = *cap ? *cap : 8;
    while (want < need) {
        if (want > SIZE_MAX / 2)
            return GTM_ENOMEM;
        want *= 2;
    }
    if (elem_bytes != 0 && want > SIZE_MAX / elem_bytes)
        return GTM_ENOMEM;
    void *grown = gtm_realloc(*array, want * elem_bytes);
    if (!grown)
        return GTM_ENOMEM;
    *array = grown;
    *cap = want;
    return GTM_OK;
}
