/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells a zone's secondaries that it has changed (RFC 1996): when a view is installed in which its
 * serial is another one, and once after the start, when they may have missed something. Control
 * thread; see dns/notify.h for how.
 */
#ifndef GTM_DAEMON_NOTIFIER_H
#define GTM_DAEMON_NOTIFIER_H

#include <stdbool.h>
#include <stddef.h>

struct gtmd;
struct gtm_notifier;

struct gtm_notifier *gtm_notifier_new(struct gtmd *d); /* NULL: out of memory */
void gtm_notifier_free(struct gtm_notifier *notifier); /* NULL is fine */
/* Zones of the daemon's intent may have changed. */
void gtm_notifier_zones(struct gtm_notifier *notifier);
/* Tells the secondaries of the zone (an index of the intent, loaded) whether it changed or not.
 * False: there are none, or no memory or socket. */
bool gtm_notifier_tell(struct gtm_notifier *notifier, size_t zone);

#endif
