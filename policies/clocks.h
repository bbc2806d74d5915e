/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose time of day is right? A node goes by its own clock unless more nodes agree on another time
 * than agree with it: one wrong clock alone, or one of two, moves nobody. Pure.
 */
#ifndef POLICIES_CLOCKS_H
#define POLICIES_CLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define POLICY_CLOCK_OFF_MS 5000 /* clocks that differ by less agree */

/* By how much the time of day that most nodes have is ahead of `here_ms` (< 0: behind). clocks_ms:
 * the others', in rising order, as they would read now or on any scale that here_ms is on, too.
 * 0: no more of the others agree on another time than agree on this one, this node counted. */
int64_t policy_clock_off_ms(const int64_t *clocks_ms, size_t count, int64_t here_ms);

#endif
