/* SPDX-License-Identifier: Apache-2.0
 *
 * The service manager's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET.
 * Without that variable nothing happens. The control thread only.
 */
#ifndef GTM_DAEMON_SDNOTIFY_H
#define GTM_DAEMON_SDNOTIFY_H

#include <stdint.h>

/* Sends lines like "READY=1\nSTATUS=serving". A manager that does not take it is not our trouble.
 */
void gtm_sdnotify(const char *text);
/* "RELOADING=1" with MONOTONIC_USEC as Type=notify-reload wants it. */
void gtm_sdnotify_reloading(void);
/* How often WATCHDOG=1 is to be sent: half of $WATCHDOG_USEC, in milliseconds; 0 = never, also when
 * $WATCHDOG_PID names another process. */
uint64_t gtm_sdnotify_watchdog_ms(void);

#endif
