/* SPDX-License-Identifier: Apache-2.0
 *
 * etcdc in a program: writes a key, lists a prefix, then follows it until it is interrupted.
 *
 *     follow http://127.0.0.1:2379 app/ app/greeting hello
 *
 * Built with the tests as example_etcdc_follow. Elsewhere: link gtm_etcdc and gtm_base.
 */
#include "gtm/base/loop.h"
#include "gtm/etcdc/etcdc.h"

#include <signal.h>
#include <stdio.h>

struct program {
    struct gtm_loop *loop;
    struct etcdc *etcdc;
    struct etcdc_watch *watch;
    const char *prefix;
    uint8_t end[ETCDC_KEY_MAX];
    int status;
};

static void on_signal(void *arg, int signum)
{
    (void)signum;
    gtm_loop_stop(((struct program *)arg)->loop);
}

static void end(struct program *p, const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    p->status = 1;
    gtm_loop_stop(p->loop);
}

static void show(const char *what, const struct etcdc_kv *kv)
{
    printf("%s %.*s = %.*s (revision %lld)\n", what, (int)kv->key.n, (const char *)kv->key.p,
           (int)kv->value.n, (const char *)kv->value.p, (long long)kv->mod_revision);
    fflush(stdout);
}

/* A watch never ends by itself: it finds another member, and lists again where it must. */
static void on_event(void *arg, const struct etcdc_event *event)
{
    (void)arg;
    if (event->type == ETCDC_PUT || event->type == ETCDC_DELETE)
        show(event->type == ETCDC_PUT ? "put" : "delete", event->kv);
    else if (event->type == ETCDC_STALE || event->type == ETCDC_FAILED)
        fprintf(stderr, "what is shown may be old: %s\n", event->text ? event->text : "");
}

static void on_page(void *arg, const struct etcdc_kv *kvs, size_t count, bool restart)
{
    (void)arg;
    if (restart)
        printf("the list begins again\n");
    for (size_t i = 0; i < count; i++)
        show("has", &kvs[i]);
}

static void on_listed(void *arg, const struct etcdc_answer *answer)
{
    struct program *p = arg;
    if (answer->code != ETCDC_OK) {
        end(p, "list", answer->text);
        return;
    }
    struct etcdc_buf prefix = etcdc_str(p->prefix);
    struct etcdc_watch_opts opts = {
        .key = prefix, .end = etcdc_prefix_end(prefix, p->end), .after = answer->header.revision};
    p->watch = etcdc_watch(p->etcdc, &opts, on_event, p);
    if (!p->watch)
        end(p, "watch", "out of memory");
}

static void list(struct program *p)
{
    struct etcdc_buf prefix = etcdc_str(p->prefix);
    int code =
        etcdc_list(p->etcdc, prefix, etcdc_prefix_end(prefix, p->end), 0, on_page, on_listed, p);
    if (code != ETCDC_OK)
        end(p, "list", etcdc_text(code));
}

static void on_put(void *arg, const struct etcdc_answer *answer)
{
    struct program *p = arg;
    if (etcdc_class(answer->code) == ETCDC_AMBIGUOUS)
        fprintf(stderr, "it may have been written; the list will tell\n");
    else if (answer->code != ETCDC_OK)
        end(p, "put", answer->text);
    if (p->status == 0)
        list(p);
}

int main(int argc, char **argv)
{
    struct gtm_error err = {0};
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: follow URL PREFIX [KEY VALUE]\n");
        return 2;
    }
    struct program p = {.loop = gtm_loop_new(), .prefix = argv[2]};
    struct etcdc_opts opts = {
        .loop = p.loop, .endpoints = (const char *const *)&argv[1], .endpoints_count = 1};
    if (!p.loop || gtm_loop_signal(p.loop, SIGINT, on_signal, &p) != GTM_OK ||
        gtm_loop_signal(p.loop, SIGTERM, on_signal, &p) != GTM_OK)
        return 1;
    p.etcdc = etcdc_new(&opts, &err);
    if (!p.etcdc) {
        fprintf(stderr, "%s\n", err.text);
        gtm_loop_free(p.loop);
        return 1;
    }
    int code = ETCDC_OK;
    if (argc == 5)
        code = etcdc_put(p.etcdc, etcdc_str(argv[3]), etcdc_str(argv[4]), 0, 0, on_put, &p);
    else
        list(&p);
    if (code != ETCDC_OK)
        end(&p, "put", etcdc_text(code));
    gtm_loop_run(p.loop);
    etcdc_watch_close(p.watch);
    etcdc_free(p.etcdc);
    gtm_loop_free(p.loop);
    return p.status;
}
