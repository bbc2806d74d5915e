/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole ranges in pages, and a full server, against a real etcd.
 */
#include "gtm/base/mem.h"
#include "gtm/etcdc/etcdc.h"

#include "tests/unit/gtm/etcdc/one_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS 600

static void fill(struct etcd_client *c)
{
    char key[32];
    static char value[4000];
    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < KEYS;) {
        struct etcdc_txn *txn = etcdc_txn_new();
        for (unsigned n = 0; n < 100; n++, i++) {
            snprintf(key, sizeof(key), "p/%04u", i);
            etcdc_txn_put(txn, false, etcdc_str(key), etcdc_bytes(value, sizeof(value)), 0, 0);
        }
        assert_int_equal(etcd_client_commit(c, txn, 0), ETCDC_OK);
    }
}

struct meddler { /* writes, and compacts, when a page has come */
    struct etcd_client *c;
    struct etcd_client writer;
    unsigned pages, restarts, times, compactions;
    size_t keys;
    char last[32];
    bool cancel, order_broken;
};

static void on_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    struct meddler *m = arg;
    m->pages++;
    if (restart) {
        m->restarts++;
        m->keys = 0;
        m->last[0] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)kvs[i].key.n, (const char *)kvs[i].key.p);
        m->order_broken |= strcmp(m->last, key) >= 0;
        memcpy(m->last, key, sizeof(key));
    }
    m->keys += count;
    if (m->cancel)
        etcdc_cancel(m->c->etcdc, m);
    if (m->times == 0)
        return;
    m->times--;
    /* A key before and one behind the place reached: neither belongs to this revision. */
    assert_int_equal(etcd_client_put(&m->writer, "p/0000x", "late"), ETCDC_OK);
    assert_int_equal(etcd_client_put(&m->writer, "p/9999", "late"), ETCDC_OK);
    int64_t now = m->writer.answer.header.revision;
    if (m->compactions == 0)
        return;
    m->compactions--;
    unsigned n = m->writer.done;
    assert_int_equal(etcdc_compact(m->writer.etcdc, now, etcd_client_done, &m->writer), ETCDC_OK);
    etcd_client_wait(&m->writer, &m->writer.done, n + 1);
    assert_int_equal(m->writer.answer.code, ETCDC_OK);
}

static void on_done(void *arg, const struct etcdc_answer *answer)
{
    struct meddler *m = arg;
    etcd_client_done(m->c, answer);
}

static void list(struct meddler *m)
{
    uint8_t end[8];
    unsigned before = m->c->done;
    assert_int_equal(etcdc_list(m->c->etcdc, etcdc_str("p/"),
                                etcdc_prefix_end(etcdc_str("p/"), end), 0, on_page, on_done, m),
                     ETCDC_OK);
    etcd_client_wait(m->c, &m->c->done, before + 1);
}

static void pages_at_one_revision(void **state)
{
    struct etcd_client c;
    struct meddler m = {.c = &c, .times = 1};
    open_client(&c);
    open_client(&m.writer);
    fill(&c);
    int64_t revision = c.answer.header.revision;
    list(&m);
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(c.answer.header.revision, revision);
    assert_int_equal(c.answer.parts_count, 0);
    assert_int_equal(m.keys, KEYS);
    assert_true(m.pages > 1);
    assert_int_equal(m.restarts, 0);
    assert_false(m.order_broken);

    struct meddler again = {.c = &c, .writer = m.writer, .times = 1, .compactions = 1};
    list(&again); /* compacted on the way: from the start, with what has come since */
    assert_int_equal(c.answer.code, ETCDC_OK);
    assert_int_equal(again.restarts, 1);
    assert_int_equal(again.keys, KEYS + 2);
    assert_false(again.order_broken);

    struct meddler always = {.c = &c, .writer = again.writer, .times = 1000, .compactions = 1000};
    list(&always); /* for ever: it gives up */
    assert_int_equal(c.answer.code, ETCDC_E_COMPACTED);
    assert_in_range(always.restarts, 2, 10);

    unsigned before = c.done;
    struct meddler ends = {.c = &c, .cancel = true};
    uint8_t end[8];
    assert_int_equal(etcdc_list(c.etcdc, etcdc_str("p/"), etcdc_prefix_end(etcdc_str("p/"), end), 0,
                                on_page, on_done, &ends),
                     ETCDC_OK);
    etcd_client_wait(&c, &ends.pages, 1);
    etcd_client_run(&c, 50);
    assert_int_equal(ends.pages, 1);
    assert_int_equal(c.done, before);
    etcd_client_close(&always.writer);
    etcd_client_close(&c);
}

static void nothing_and_much(void **state)
{
    struct etcd_client c;
    char key[32];
    open_client(&c);
    assert_int_equal(etcd_client_list(&c, "none/"), ETCDC_OK);
    assert_int_equal(c.listed, 0);
    assert_int_equal(c.pages, 0);
    assert_true(c.answer.header.revision > 0);
    char *value = gtm_calloc(1, ETCDC_VALUE_MAX);
    for (unsigned i = 0; i < 40; i++) { /* much for one answer */
        snprintf(key, sizeof(key), "m/%02u", i);
        unsigned n = c.done;
        assert_int_equal(etcdc_put(c.etcdc, etcdc_str(key), etcdc_bytes(value, ETCDC_VALUE_MAX), 0,
                                   0, etcd_client_done, &c),
                         ETCDC_OK);
        etcd_client_wait(&c, &c.done, n + 1);
        assert_int_equal(c.answer.code, ETCDC_OK);
    }
    gtm_free(value);
    assert_int_equal(etcd_client_list(&c, "m/"), ETCDC_OK);
    assert_int_equal(c.listed, 40);
    assert_true(c.pages >= 2);
    etcd_client_close(&c);
}

static void no_space(void **state)
{
    static const char *const args[] = {"--quota-backend-bytes", "4000000", NULL};
    if (!server)
        skip();
    struct etcd_server *small = etcd_server_new(&(struct etcd_server_want){.args = args});
    const char *urls[] = {etcd_server_url(small, 0), NULL};
    struct etcd_client c;
    etcd_client_open(&c, urls, NULL);
    char *value = gtm_calloc(1, 500001);
    memset(value, 'x', 500000);
    int code = ETCDC_OK;
    for (int i = 0; i < 30 && code == ETCDC_OK; i++)
        code = etcd_client_put(&c, "n", value);
    gtm_free(value);
    assert_int_equal(code, ETCDC_E_NO_SPACE);
    assert_int_equal(etcd_client_get(&c, "n", ETCDC_COUNT_ONLY), ETCDC_OK); /* reads go on */
    assert_int_equal(etcd_client_delete(&c, "n"), ETCDC_OK);                /* and deletes */
    assert_int_equal(etcd_client_status(&c, 0), ETCDC_OK);
    assert_string_equal(c.alarms, "NOSPACE");
    etcd_client_close(&c);
    etcd_server_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_at_one_revision),
        cmocka_unit_test(nothing_and_much),
        cmocka_unit_test(no_space),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
