/* SPDX-License-Identifier: Apache-2.0
 *
 * See clocks.h.
 */
#include "policies/clocks.h"

#include <stdlib.h>

static size_t agree(const int64_t *clocks_ms, size_t count, int64_t with_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += llabs(clocks_ms[i] - with_ms) < POLICY_CLOCK_OFF_MS;
    return n;
}

int64_t policy_clock_off_ms(const int64_t *clocks_ms, size_t count, int64_t here_ms)
{
    if (count == 0)
        return 0;
    /* The median; of two the one that is nearer to ours. */
    int64_t low = clocks_ms[(count - 1) / 2], high = clocks_ms[count / 2];
    int64_t most = llabs(low - here_ms) < llabs(high - here_ms) ? low : high;
    if (llabs(most - here_ms) < POLICY_CLOCK_OFF_MS)
        return 0;
    return agree(clocks_ms, count, most) > agree(clocks_ms, count, here_ms) + 1 ? most - here_ms
                                                                                : 0;
}
