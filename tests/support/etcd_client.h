/* SPDX-License-Identifier: Apache-2.0
 *
 * etcdc, one call at a time: starts it, runs the loop until it is done, and keeps a copy of the
 * answer. Asserts on failure of the host and on calls that do not end within 20 s.
 */
#ifndef GTM_TESTS_SUPPORT_ETCD_CLIENT_H
#define GTM_TESTS_SUPPORT_ETCD_CLIENT_H

#include "gtm/etcdc/etcdc.h"

#define ETCD_CLIENT_KVS 64

struct etcd_client {
    struct gtm_loop *loop;
    struct etcdc *etcdc;
    unsigned done;              /* answers so far */
    struct etcdc_answer answer; /* parts: NULL; what they said is below */
    char endpoint[128], text[512];
    struct etcdc_part parts[8];
    struct etcdc_kv kvs[8][ETCD_CLIENT_KVS];
    char *bytes[8 * ETCD_CLIENT_KVS * 2];
    size_t bytes_count;
    int status_code;
    struct etcdc_status status;
    char status_text[512], alarms[64];
    unsigned pages, restarts;
    size_t listed;
};

/* urls: NULL-terminated. opts: the rest; NULL = defaults. */
void etcd_client_open(struct etcd_client *client, const char *const *urls,
                      const struct etcdc_opts *opts);
void etcd_client_close(struct etcd_client *client);
/* Runs the loop until `*count` is at least n, or fails the test. And for a while. */
void etcd_client_wait(struct etcd_client *client, const unsigned *count, unsigned n);
void etcd_client_run(struct etcd_client *client, unsigned ms);
/* A done for calls of one's own, with the client as arg. */
void etcd_client_done(void *arg, const struct etcdc_answer *answer);

/* The code; the answer is in client. */
int etcd_client_put(struct etcd_client *client, const char *key, const char *value);
int etcd_client_get(struct etcd_client *client, const char *key, unsigned flags);
int etcd_client_delete(struct etcd_client *client, const char *key);
int etcd_client_commit(struct etcd_client *client, struct etcdc_txn *txn, unsigned flags);
int etcd_client_list(struct etcd_client *client, const char *prefix);
int etcd_client_status(struct etcd_client *client, size_t endpoint);
/* A POST of the gateway's that etcdc has no call for (users, alarms); the status, 0 = none. */
int etcd_client_post(struct etcd_client *client, const char *url, const char *body);

#endif
