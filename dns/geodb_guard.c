/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a value of a MaxMind DB data section and proves that it is finite: inside the section, not
 * nested too deep, with a bounded number of parts. It decodes nothing; libmaxminddb does, after
 * this said yes. Format: MaxMind DB File Format Specification 2.0, "Output Data Section". Pure.
 */
#include "dns/geodb_internal.h"

#define VALUE_DEPTH_MAX 32 /* MaxMind's own databases stay below 8 */

enum mmdb_type {
    MMDB_EXTENDED = 0,
    MMDB_POINTER = 1,
    MMDB_MAP = 7,
    MMDB_ARRAY = 11,
    MMDB_CONTAINER = 12,
    MMDB_END_MARKER = 13,
    MMDB_BOOLEAN = 14,
    MMDB_FLOAT = 15
};

struct guard {
    const uint8_t *data;
    size_t size;
    uint64_t *budget;
};

/* Big-endian number of `bytes` octets at *at, which moves on. */
static int read_number(const struct guard *guard, size_t *at, unsigned bytes, uint32_t *ret)
{
    if (guard->size - *at < bytes)
        return GTM_ECORRUPT;
    uint32_t n = 0;
    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | guard->data[(*at)++];
    *ret = n;
    return GTM_OK;
}

static int read_pointer(const struct guard *guard, size_t *at, uint8_t control, size_t *ret_target)
{
    static const uint32_t bias[4] = {0, 2048, 526336, 0};
    unsigned kind = control >> 3 & 3;
    uint32_t n;
    int rc = read_number(guard, at, kind + 1, &n);
    if (rc)
        return rc;
    if (kind < 3)
        n += (uint32_t)(control & 7) << (8 * (kind + 1));
    *ret_target = (size_t)n + bias[kind];
    return *ret_target < guard->size ? GTM_OK : GTM_ECORRUPT;
}

static int read_size(const struct guard *guard, size_t *at, uint8_t control, size_t *ret_size)
{
    static const uint32_t bias[3] = {29, 285, 65821};
    unsigned size = control & 31;
    uint32_t more = 0;
    if (size >= 29) {
        int rc = read_number(guard, at, size - 28, &more);
        if (rc)
            return rc;
        more += bias[size - 29];
        size = 0;
    }
    *ret_size = size + more;
    return GTM_OK;
}

/* Checks the value at *at, which moves past it (for a pointer: past the pointer). The depth is
 * bounded, so is the recursion. */
static int check_value(const struct guard *guard, size_t *at, unsigned depth)
{
    if (*guard->budget == 0 || depth > VALUE_DEPTH_MAX)
        return GTM_ELIMIT;
    (*guard->budget)--;
    if (*at >= guard->size)
        return GTM_ECORRUPT;
    uint8_t control = guard->data[(*at)++];
    unsigned type = control >> 5;
    size_t size, target;
    if (type == MMDB_POINTER) {
        int rc = read_pointer(guard, at, control, &target);
        return rc ? rc : check_value(guard, &target, depth + 1);
    }
    if (type == MMDB_EXTENDED) {
        if (*at >= guard->size)
            return GTM_ECORRUPT;
        type = guard->data[(*at)++] + 7u;
        if (type <= MMDB_MAP || type > MMDB_FLOAT || type == MMDB_CONTAINER ||
            type == MMDB_END_MARKER)
            return GTM_ECORRUPT;
    }
    int rc = read_size(guard, at, control, &size);
    if (rc)
        return rc;
    if (type == MMDB_MAP || type == MMDB_ARRAY) {
        for (size_t parts = type == MMDB_MAP ? size * 2 : size; !rc && parts > 0; parts--)
            rc = check_value(guard, at, depth + 1);
        return rc;
    }
    if (type == MMDB_BOOLEAN)
        return GTM_OK; /* the size is the value */
    if (guard->size - *at < size)
        return GTM_ECORRUPT;
    *at += size;
    return GTM_OK;
}

int dns__mmdb_check_value(const uint8_t *data, size_t size, size_t offset, uint64_t *budget)
{
    struct guard guard = {.data = data, .size = size, .budget = budget};
    return check_value(&guard, &offset, 0);
}
