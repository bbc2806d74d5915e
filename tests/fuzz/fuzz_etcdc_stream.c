/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch's stream as a hostile server may send it. The first octet says how it is cut; whole and
 * cut must give the same events and the same end, and events must never go back.
 */
#include "gtm/etcdc/splitter.h"
#include "gtm/etcdc/watch_core.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct etcdc__splitter splitter;
    struct etcdc__core core;
    uint64_t sum; /* of everything that was given */
    int64_t revision;
    int code;
};

static void must(bool good)
{
    if (!good)
        abort();
}

static void mix(struct run *run, const void *p, size_t n)
{
    const uint8_t *octets = p;
    for (size_t i = 0; i < n; i++)
        run->sum = (run->sum ^ octets[i]) * UINT64_C(1099511628211);
}

static bool on_event(void *arg, const struct etcdc_event *event)
{
    struct run *run = arg;
    must(event->revision >= run->revision);
    must((event->kv != NULL) == (event->type == ETCDC_PUT || event->type == ETCDC_DELETE));
    run->revision = event->revision;
    mix(run, &event->type, sizeof(event->type));
    mix(run, &event->revision, sizeof(event->revision));
    if (event->kv) {
        must(event->kv->key.n > 0);
        mix(run, event->kv->key.p, event->kv->key.n);
        mix(run, event->kv->value.p, event->kv->value.n);
    }
    return true;
}

static bool on_object(void *arg, const char *text, size_t len)
{
    struct run *run = arg;
    struct etcdc__watch_message *m = etcdc__watch_parse(text, len, &run->code);
    if (m)
        run->code = etcdc__core_message(&run->core, m);
    return run->code == ETCDC_OK;
}

static void feed(struct run *run, const uint8_t *data, size_t size, size_t piece)
{
    *run = (struct run){.splitter = {.max_bytes = 4096},
                        .core = {.emit = on_event, .arg = run, .queue_bytes = 8192}};
    etcdc__core_init(&run->core, 0);
    etcdc__core_list_begin(&run->core);
    bool changed;
    struct etcdc_header header = {.revision = 1};
    must(etcdc__core_list_end(&run->core, &header, &changed) == ETCDC_OK);
    for (size_t at = 0; at < size && !run->code; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        char *exact = malloc(n); /* nothing behind it */
        must(exact != NULL);
        memcpy(exact, data + at, n);
        int code = etcdc__splitter_feed(&run->splitter, exact, n, on_object, run);
        if (code)
            run->code = code;
        free(exact);
    }
    etcdc__splitter_fini(&run->splitter);
    etcdc__core_fini(&run->core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct run whole, cut;
    feed(&whole, data + 1, size - 1, size);
    feed(&cut, data + 1, size - 1, data[0] % 61 + 1u);
    must(whole.code == cut.code && whole.sum == cut.sum && whole.revision == cut.revision);
    return 0;
}
