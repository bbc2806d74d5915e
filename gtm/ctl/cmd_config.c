/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl config, validate: files, mostly without gtmd.
 */
#include "dns/zone.h"
#include "gtm/base/diag.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

#include <stdio.h>
#include <string.h>

#define STDIN_MAX_BYTES (64u << 20)

int ctl_config_show(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    int rc = ctl_request(ctl, "GET", "/api/v1/config", NULL, NULL, &root);

    if (rc == 0 && !ctl_show_machine(ctl, root)) { /* a file has no table: YAML is its table */
        struct gtm_buf out = {0};
        ctl_yaml(&out, gtm_json_get(root, "item"), 0);
        fputs(out.data != NULL ? out.data : "", stdout);
        gtm_buf_fini(&out);
    }
    gtm_json_free(root);
    return rc;
}

int ctl_config_schema(struct ctl *ctl)
{
    const char *kind = ctl->argc > 0 ? ctl->argv[0] : "intent";

    if (strcmp(kind, "intent") != 0 && strcmp(kind, "node") != 0) {
        ctl_error("there are schemas of: intent, node");
        return CTL_USAGE;
    }
    struct gtm_json *schema = kind[0] == 'i' ? gtm_intent_schema() : gtm_node_schema();
    char *text = gtm_json_print(schema, true);
    gtm_json_free(schema);
    if (text == NULL) {
        ctl_error("out of memory");
        return CTL_FAILED;
    }
    puts(text);
    gtm_free(text);
    return CTL_OK;
}

static int conclude(const char *path, bool ok, struct gtm_diags *diags)
{
    gtm_diags_print(diags, stderr);
    if (ok)
        printf("%s: ok%s\n", path, diags->warnings > 0 ? ", with warnings" : "");
    else
        ctl_error("%s: %zu error%s", path, diags->errors, diags->errors == 1 ? "" : "s");
    gtm_diags_fini(diags);
    return ok ? CTL_OK : CTL_FAILED;
}

int ctl_config_check(struct ctl *ctl)
{
    struct gtm_diags diags = {0};
    struct gtm_node *node = gtm_node_load(ctl->argv[0], &diags);
    bool ok = node != NULL;

    gtm_node_free(node);
    return conclude(ctl->argv[0], ok, &diags);
}

/* A zone of the intent with its dynamic names, compiled as gtmd would. */
static bool check_zone(const struct gtm_intent *intent, const struct gtm_zone_conf *z,
                       struct gtm_diags *diags)
{
    struct dns_zone_dynamic *names = gtm_calloc(z->names_count + 1, sizeof(*names));

    if (names == NULL) {
        gtm_diags_add(diags, GTM_SEV_ERROR, intent->path, 0, 0, "out of memory");
        return false;
    }
    for (size_t i = 0; i < z->names_count; i++)
        names[i] = (struct dns_zone_dynamic){.name = z->names[i].name,
                                             .types = z->names[i].types,
                                             .types_count = z->names[i].types_count,
                                             .slot = 0,
                                             .file = intent->path,
                                             .line = z->names[i].pos.line,
                                             .col = z->names[i].pos.col};
    struct dns_zone_spec spec = {.origin = z->name,
                                 .path = z->file,
                                 .dynamics = names,
                                 .dynamics_count = z->names_count,
                                 .slot_count = 1};
    struct dns_zone *zone = dns_zone_load(&spec, diags);
    gtm_free(names);
    dns_zone_unref(zone);
    return zone != NULL;
}

static char *read_stdin(size_t *ret_len)
{
    struct gtm_buf buf = {0};
    char chunk[65536];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0 && buf.len < STDIN_MAX_BYTES)
        gtm_buf_add(&buf, chunk, n);
    *ret_len = buf.len;
    gtm_buf_adds(&buf, "");
    return gtm_buf_take(&buf);
}

int ctl_validate(struct ctl *ctl)
{
    const char *path = ctl->argc > 0 ? ctl->argv[0] : ctl->file;
    struct gtm_diags diags = {0};
    struct gtm_intent *intent;

    if (path == NULL) {
        ctl_error("which file? for example: gtmctl validate cluster.yaml");
        return CTL_USAGE;
    }
    if (strcmp(path, "-") == 0) {
        size_t len;
        char *text = read_stdin(&len);
        path = "standard input";
        intent = text != NULL ? gtm_intent_parse(path, text, len, &diags) : NULL;
        gtm_free(text);
    } else {
        intent = gtm_intent_load(path, &diags);
    }
    bool ok = intent != NULL;
    for (size_t i = 0; intent != NULL && i < intent->zones_count; i++)
        ok = check_zone(intent, &intent->zones[i], &diags) && ok;
    for (size_t i = 0; intent != NULL && i < intent->inactive_count; i++)
        fprintf(stderr, "%s:%u:%u: note: %s '%s' is accepted but not active yet\n", path,
                intent->inactive[i].pos.line, intent->inactive[i].pos.col, intent->inactive[i].kind,
                intent->inactive[i].name);
    gtm_intent_unref(intent);
    return conclude(path, ok, &diags);
}
