/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl explain: what a client gets and why, as gtmd's own answer path and policies say it.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

static void show_client(const struct gtm_json *item)
{
    const struct gtm_json *client = gtm_json_get(item, "client");
    const char *country = gtm_json_str(client, "country", NULL);

    printf("client  %s", gtm_json_str(client, "subnet", "?"));
    if (country == NULL)
        printf("  (geography does not know it)");
    else
        printf("  %s %s", gtm_json_str(client, "continent", "?"), country);
    if (gtm_json_str(client, "subdivision", NULL) != NULL)
        printf("-%s", gtm_json_str(client, "subdivision", ""));
    if (gtm_json_type(gtm_json_get(client, "asn")) == GTM_JSON_NUMBER)
        printf("  AS%lld", (long long)gtm_json_i64(client, "asn", 0));
    putchar('\n');
}

static void show_answer(const struct gtm_json *item)
{
    const struct gtm_json *answer = gtm_json_get(item, "answer");
    const struct gtm_json *records = gtm_json_get(answer, "records");

    printf("answer  %s", gtm_json_str(answer, "rcode", "?"));
    for (const struct gtm_json *r = gtm_json_first(records); r != NULL; r = gtm_json_next(r))
        printf("%s %s %s TTL %lld", r == gtm_json_first(records) ? " " : ",",
               gtm_json_str(r, "type", "?"), gtm_json_str(r, "data", "?"),
               (long long)gtm_json_i64(r, "ttl_seconds", 0));
    if (gtm_json_count(records) == 0)
        printf("  no records");
    printf("  scope /%lld  rev %lld%s\n", (long long)gtm_json_i64(answer, "scope", 0),
           (long long)gtm_json_i64(item, "revision", 0),
           gtm_json_bool(item, "fail_open", false) ? "  FAIL-OPEN" : "");
}

static void show_options(const struct gtm_json *item)
{
    const struct gtm_json *options = gtm_json_get(item, "options");

    if (gtm_json_count(options) < 2)
        return;
    puts("shares");
    for (const struct gtm_json *o = gtm_json_first(options); o != NULL; o = gtm_json_next(o)) {
        printf("  %5.1f %%  ", gtm_json_num(o, "share", 0) * 100);
        const struct gtm_json *endpoints = gtm_json_get(o, "endpoints");
        for (const struct gtm_json *e = gtm_json_first(endpoints); e != NULL; e = gtm_json_next(e))
            printf("%s%s/%s (%s)", e == gtm_json_first(endpoints) ? "" : ", ",
                   gtm_json_str(e, "pool", "?"), gtm_json_str(e, "endpoint", "?"),
                   gtm_json_str(e, "address", "?"));
        putchar('\n');
    }
}

int ctl_explain(struct ctl *ctl)
{
    struct gtm_json *root = NULL;

    if (ctl->client == NULL) {
        ctl_error("whose question? for example: --client 203.0.113.0/24");
        return CTL_USAGE;
    }
    char *path = ctl_path("/api/v1/explain?name=%s&type=%s&client=%s", ctl->argv[0],
                          ctl->argc > 1 ? ctl->argv[1] : "A", ctl->client);
    int rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);
    gtm_free(path);
    if (rc == 0 && !ctl_show_machine(ctl, root)) {
        const struct gtm_json *item = gtm_json_get(root, "item");
        printf("%s %s\n", gtm_json_str(item, "name", "?"), gtm_json_str(item, "type", "?"));
        show_client(item);
        const struct gtm_json *steps = gtm_json_get(item, "steps");
        for (const struct gtm_json *s = gtm_json_first(steps); s != NULL; s = gtm_json_next(s))
            printf("  - %s\n", gtm_json_as_str(s));
        show_options(item);
        show_answer(item);
    }
    gtm_json_free(root);
    return rc;
}
