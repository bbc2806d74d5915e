/* SPDX-License-Identifier: Apache-2.0
 *
 * See etcd_client.h.
 */
#include "tests/support/etcd_client.h"

#include "gtm/base/http.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_MS 20000

void etcd_client_open(struct etcd_client *c, const char *const *urls, const struct etcdc_opts *opts)
{
    struct gtm_error err = {0};
    struct etcdc_opts all = opts ? *opts : (struct etcdc_opts){0};
    memset(c, 0, sizeof(*c));
    c->loop = gtm_loop_new();
    assert_non_null(c->loop);
    all.loop = c->loop;
    all.endpoints = urls;
    while (urls[all.endpoints_count])
        all.endpoints_count++;
    c->etcdc = etcdc_new(&all, &err);
    if (!c->etcdc)
        fail_msg("%s", err.text);
}

static void forget(struct etcd_client *c)
{
    while (c->bytes_count > 0)
        gtm_free(c->bytes[--c->bytes_count]);
}

void etcd_client_close(struct etcd_client *c)
{
    etcdc_free(c->etcdc);
    gtm_loop_free(c->loop);
    forget(c);
    memset(c, 0, sizeof(*c));
}

static void too_long(void *arg)
{
    fail_msg("no answer within %d ms", WAIT_MS);
}

static void on_stop(void *arg)
{
    gtm_loop_stop(arg);
}

void etcd_client_run(struct etcd_client *c, unsigned ms)
{
    struct gtm_timer *timer = gtm_timer_new(c->loop, on_stop, c->loop);
    gtm_timer_start(timer, ms);
    gtm_loop_run(c->loop);
    gtm_timer_free(timer);
}

void etcd_client_wait(struct etcd_client *c, const unsigned *count, unsigned n)
{
    struct gtm_timer *guard = gtm_timer_new(c->loop, too_long, NULL);
    gtm_timer_start(guard, WAIT_MS);
    while (*count < n)
        etcd_client_run(c, 5);
    gtm_timer_free(guard);
}

static struct etcdc_buf keep(struct etcd_client *c, struct etcdc_buf buf)
{
    char *copy = gtm_malloc(buf.n + 1);
    assert_non_null(copy);
    if (buf.n)
        memcpy(copy, buf.p, buf.n);
    copy[buf.n] = 0;
    c->bytes[c->bytes_count++] = copy;
    return etcdc_bytes(copy, buf.n);
}

void etcd_client_done(void *arg, const struct etcdc_answer *answer)
{
    struct etcd_client *c = arg;
    forget(c);
    c->answer = *answer;
    snprintf(c->endpoint, sizeof(c->endpoint), "%s", answer->endpoint);
    snprintf(c->text, sizeof(c->text), "%s", answer->text);
    c->answer.endpoint = c->endpoint;
    c->answer.text = c->text;
    c->answer.parts = c->parts;
    for (size_t i = 0; i < answer->parts_count && i < 8; i++) {
        c->parts[i] = answer->parts[i];
        c->parts[i].kvs = c->kvs[i];
        for (size_t j = 0; j < answer->parts[i].kvs_count && j < ETCD_CLIENT_KVS; j++) {
            c->kvs[i][j] = answer->parts[i].kvs[j];
            c->kvs[i][j].key = keep(c, answer->parts[i].kvs[j].key);
            c->kvs[i][j].value = keep(c, answer->parts[i].kvs[j].value);
        }
    }
    c->done++;
}

static int finish(struct etcd_client *c, int started, unsigned before)
{
    if (started != ETCDC_OK)
        return started;
    assert_int_equal(c->done, before); /* never from inside */
    etcd_client_wait(c, &c->done, before + 1);
    assert_int_equal(c->done, before + 1);
    return c->answer.code;
}

int etcd_client_put(struct etcd_client *c, const char *key, const char *value)
{
    unsigned before = c->done;
    return finish(c,
                  etcdc_put(c->etcdc, etcdc_str(key), etcdc_str(value), 0, 0, etcd_client_done, c),
                  before);
}

int etcd_client_get(struct etcd_client *c, const char *key, unsigned flags)
{
    unsigned before = c->done;
    return finish(c,
                  etcdc_range(c->etcdc, etcdc_str(key), etcdc_bytes(NULL, 0), 0, 0, flags,
                              etcd_client_done, c),
                  before);
}

int etcd_client_delete(struct etcd_client *c, const char *key)
{
    unsigned before = c->done;
    return finish(
        c, etcdc_delete(c->etcdc, etcdc_str(key), etcdc_bytes(NULL, 0), 0, etcd_client_done, c),
        before);
}

int etcd_client_commit(struct etcd_client *c, struct etcdc_txn *txn, unsigned flags)
{
    unsigned before = c->done;
    return finish(c, etcdc_commit(c->etcdc, txn, flags, etcd_client_done, c), before);
}

static void on_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct etcd_client *c = arg;
    if (restart) {
        c->restarts++;
        c->listed = 0;
    }
    c->listed += count;
    c->pages++;
}

int etcd_client_list(struct etcd_client *c, const char *prefix)
{
    uint8_t end[ETCDC_KEY_MAX];
    unsigned before = c->done;
    c->pages = c->restarts = 0;
    c->listed = 0;
    return finish(c,
                  etcdc_list(c->etcdc, etcdc_str(prefix), etcdc_prefix_end(etcdc_str(prefix), end),
                             0, on_page, etcd_client_done, c),
                  before);
}

static void on_status(void *arg, const struct etcdc_status *status)
{
    struct etcd_client *c = arg;
    c->status = *status;
    snprintf(c->status_text, sizeof(c->status_text), "%s", status->text);
    snprintf(c->alarms, sizeof(c->alarms), "%s", status->alarms);
    c->status.text = c->status_text;
    c->status.alarms = c->alarms;
    c->done++;
}

int etcd_client_status(struct etcd_client *c, size_t endpoint)
{
    unsigned before = c->done;
    int code = etcdc_status(c->etcdc, endpoint, on_status, c);
    if (code != ETCDC_OK)
        return code;
    etcd_client_wait(c, &c->done, before + 1);
    return c->status.code;
}

struct posted {
    unsigned done;
    int status;
};

static void on_posted(void *arg, const struct gtm_http_result *result)
{
    struct posted *posted = arg;
    posted->done++;
    posted->status = result->status;
}

int etcd_client_post(struct etcd_client *c, const char *url, const char *body)
{
    struct posted posted = {0};
    struct gtm_error err = {0};
    struct gtm_http_opts opts = {.loop = c->loop};
    struct gtm_http *http = gtm_http_new(&opts, &err);
    assert_non_null(http);
    struct gtm_http_ask ask = {.method = "POST",
                               .url = url,
                               .body = body,
                               .body_len = strlen(body),
                               .timeout_ms = 10000,
                               .done = on_posted,
                               .arg = &posted};
    assert_int_equal(gtm_http_start(http, &ask, NULL), GTM_OK);
    etcd_client_wait(c, &posted.done, 1);
    gtm_http_free(http);
    return posted.status;
}
