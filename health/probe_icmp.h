/* SPDX-License-Identifier: Apache-2.0
 *
 * The sockets that all icmp probes of an engine share. Internal to health; the engine's thread.
 */
#ifndef GTM_HEALTH_PROBE_ICMP_H
#define GTM_HEALTH_PROBE_ICMP_H

struct health_icmp;

/* Closes them; no probe runs any more. NULL is fine. */
void health__icmp_free(struct health_icmp *icmp);

#endif
