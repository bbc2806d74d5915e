/* SPDX-License-Identifier: Apache-2.0
 *
 * Where gtmctl asks: a unix socket, or a node over mutual TLS. Reads the environment (GTM_SOCKET,
 * XDG_CONFIG_HOME, HOME), node files and the file of contexts. One thread.
 */
#ifndef GTM_CTL_WHERE_H
#define GTM_CTL_WHERE_H

#include "gtm/ctl/ctl.h"

/* Fills in ctl->socket, or server, ca, cert, key and node: what the command line says (--server;
 * --socket; --config; --context), else GTM_SOCKET, else the current context, else the usual socket.
 * CTL_OK, or an exit code after having said what is wrong. */
int ctl_find_gtmd(struct ctl *ctl);

#endif
