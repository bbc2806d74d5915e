/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl explain: what a client gets and why, as gtmd's own answer path and policies say it.
 */
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <string.h>

static void add_client(struct gtm_buf *out, const struct gtm_json *item)
{
    const struct gtm_json *client = gtm_json_get(item, "client");
    const char *country = gtm_json_str(client, "country", NULL);
    const char *subdivision = gtm_json_str(client, "subdivision", NULL);

    ctl_addf(out, "client  %s", gtm_json_str(client, "subnet", "?"));
    if (country == NULL)
        gtm_buf_adds(out, ": no country known");
    else
        ctl_addf(out, ": %s %s", gtm_json_str(client, "continent", "-"), country);
    if (subdivision != NULL)
        ctl_addf(out, " %s", subdivision);
    if (gtm_json_type(gtm_json_get(client, "asn")) == GTM_JSON_NUMBER)
        gtm_buf_addf(out, " AS%" PRId64, gtm_json_i64(client, "asn", 0));
    gtm_buf_addc(out, '\n');
}

static void add_policy(struct gtm_buf *out, const struct gtm_json *item)
{
    const char *zone = gtm_json_str(item, "zone", NULL), *mode = gtm_json_str(item, "mode", NULL);
    const char *policy = gtm_json_str(item, "policy", NULL);

    if (zone != NULL)
        ctl_addf(out, "zone    %s\n", zone);
    if (policy != NULL)
        ctl_addf(out, "policy  %s (%s)%s%s\n", policy, gtm_json_str(item, "steer", "?"),
                 mode != NULL ? ", mode " : "", mode != NULL ? mode : "");
}

static void add_steps(struct gtm_buf *out, const struct gtm_json *item)
{
    const struct gtm_json *steps = gtm_json_get(item, "steps");
    unsigned n = 0;

    for (const struct gtm_json *s = gtm_json_first(steps); s != NULL; s = gtm_json_next(s))
        ctl_addf(out, "  %2u. %s\n", ++n, gtm_json_as_str(s) != NULL ? gtm_json_as_str(s) : "?");
}

static void add_shares(struct gtm_buf *out, const struct gtm_json *item)
{
    const struct gtm_json *options = gtm_json_get(item, "options");

    if (gtm_json_count(options) < 2)
        return;
    gtm_buf_adds(out, "shares\n");
    for (const struct gtm_json *o = gtm_json_first(options); o != NULL; o = gtm_json_next(o)) {
        gtm_buf_addf(out, "  %5.1f %%  ", gtm_json_num(o, "share", 0) * 100);
        const struct gtm_json *endpoints = gtm_json_get(o, "endpoints");
        for (const struct gtm_json *e = gtm_json_first(endpoints); e != NULL; e = gtm_json_next(e))
            ctl_addf(out, "%s%s/%s (%s)", e == gtm_json_first(endpoints) ? "" : ", ",
                     gtm_json_str(e, "pool", "?"), gtm_json_str(e, "endpoint", "?"),
                     gtm_json_str(e, "address", "?"));
        gtm_buf_addc(out, '\n');
    }
}

static void add_answer(struct gtm_buf *out, const struct gtm_json *item)
{
    const struct gtm_json *answer = gtm_json_get(item, "answer");
    const struct gtm_json *records = gtm_json_get(answer, "records");
    const struct gtm_json *error = gtm_json_get(answer, "extended_error");

    ctl_addf(out, "answer  %s", gtm_json_str(answer, "rcode", "?"));
    if (gtm_json_get(answer, "scope") != NULL)
        gtm_buf_addf(out, "  scope /%" PRId64, gtm_json_i64(answer, "scope", 0));
    gtm_buf_addf(out, "  rev %" PRId64 "%s\n", gtm_json_i64(item, "revision", 0),
                 gtm_json_bool(item, "fail_open", false) ? "  FAIL-OPEN" : "");
    for (const struct gtm_json *r = gtm_json_first(records); r != NULL; r = gtm_json_next(r))
        ctl_addf(out, "  %s %" PRId64 " %s %s\n", gtm_json_str(r, "name", ""),
                 gtm_json_i64(r, "ttl_seconds", 0), gtm_json_str(r, "type", "?"),
                 gtm_json_str(r, "data", "?"));
    if (gtm_json_count(records) == 0)
        gtm_buf_adds(out, "  no records\n");
    if (error != NULL)
        ctl_addf(out, "  extended error %" PRId64 " %s\n", gtm_json_i64(error, "code", 0),
                 gtm_json_str(error, "text", ""));
}

int ctl_explain(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    struct gtm_buf out = {0};

    if (ctl->client_address == NULL) {
        ctl_error("whose question is it? for example: --client 203.0.113.0/24");
        return CTL_USAGE;
    }
    char *path = ctl_path("/api/v1/explain?name=%s&type=%s&client=%s", ctl->argv[0],
                          ctl->argc > 1 ? ctl->argv[1] : "A", ctl->client_address);
    int rc = ctl_get(ctl, path, &root);
    if (rc == CTL_OK && ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (rc == CTL_OK) {
        const struct gtm_json *item = gtm_json_get(root, "item");
        ctl_addf(&out, "%s %s\n", gtm_json_str(item, "name", "?"), gtm_json_str(item, "type", "?"));
        add_client(&out, item);
        add_policy(&out, item);
        add_steps(&out, item);
        add_shares(&out, item);
        add_answer(&out, item);
        rc = ctl_put(&out);
    }
    gtm_json_free(root);
    return rc;
}
