/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of the intent's folder (gtm/daemon/intent_disk*.c) share and nobody else includes.
 */
#ifndef GTM_DAEMON_INTENT_DISK_INT_H
#define GTM_DAEMON_INTENT_DISK_INT_H

#include <stdint.h>

#define INTENT__REV      "rev-"
#define INTENT__TRY      "try-"
#define INTENT__CURRENT  "current"
#define INTENT__MANIFEST "manifest.json"

/* The revision that a folder's name ("rev-0000000007") stands for; 0: none. */
int64_t intent__rev_of(const char *name);
/* Removes a folder and all in it, following no links; what cannot be removed stays. */
void intent__remove_tree(const char *path);

#endif
