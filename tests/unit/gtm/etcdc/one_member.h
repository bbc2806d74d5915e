/* SPDX-License-Identifier: Apache-2.0
 *
 * One real etcd member for all tests of a program; without an etcd they are skipped.
 */
#ifndef TESTS_UNIT_ETCDC_ONE_MEMBER_H
#define TESTS_UNIT_ETCDC_ONE_MEMBER_H

#include "tests/support/etcd_client.h"
#include "tests/support/etcd_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct etcd_server *server;

static inline int set_up(void **state)
{
    if (etcd_server_have())
        server = etcd_server_new(NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    etcd_server_free(server);
    return 0;
}

static inline void open_client(struct etcd_client *c)
{
    if (!server)
        skip();
    const char *urls[] = {etcd_server_url(server, 0), NULL};
    etcd_client_open(c, urls, NULL);
}

#endif
