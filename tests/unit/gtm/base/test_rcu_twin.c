/* SPDX-License-Identifier: Apache-2.0
 *
 * The tests of test_rcu.c against the C11 twin, in every build.
 */
#ifndef GTM_RCU_C11
#define GTM_RCU_C11 1
#include "gtm/base/rcu.c" /* NOLINT: the library holds it only in ThreadSanitizer builds */
#endif

#include "tests/unit/gtm/base/test_rcu.c" /* NOLINT */
