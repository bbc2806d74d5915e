/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl zone: what is served, and checking a zone file without gtmd.
 */
#include "dns/zone.h"
#include "gtm/base/diag.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct ctl_column zones[] = {
    {"ZONE", "name", CTL_COL_TEXT, false, false},
    {"SERIAL", "serial", CTL_COL_TEXT, false, true},
    {"NAMES", "names", CTL_COL_TEXT, false, true},
    {"RECORDS", "records", CTL_COL_TEXT, false, true},
    {"DYNAMIC", "dynamics", CTL_COL_TEXT, false, true},
    {"MEMORY", "bytes", CTL_COL_BYTES, true, true},
    {"FILE", "file", CTL_COL_TEXT, false, false},
};
static const struct ctl_column records[] = {
    {"NAME", "name", CTL_COL_TEXT, false, false}, {"TTL", "ttl_seconds", CTL_COL_TEXT, false, true},
    {"TYPE", "type", CTL_COL_TEXT, false, false}, {"POLICY", "policy", CTL_COL_TEXT, false, false},
    {"DATA", "data", CTL_COL_TEXT, false, false},
};

int ctl_zone_list(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/zones"), zones,
                            sizeof(zones) / sizeof(zones[0]));
}

int ctl_zone_show(struct ctl *ctl)
{
    return ctl_get_and_show(ctl, ctl_path("/api/v1/zones/%s", ctl->argv[0]), NULL, 0);
}

int ctl_zone_records(struct ctl *ctl)
{
    struct gtm_json *root = NULL;
    char *path;

    if (ctl->name != NULL)
        path = ctl_path("/api/v1/zones/%s/records?limit=%s&name=%s", ctl->argv[0],
                        ctl->limit != NULL ? ctl->limit : "100", ctl->name);
    else
        path = ctl_path("/api/v1/zones/%s/records?limit=%s", ctl->argv[0],
                        ctl->limit != NULL ? ctl->limit : "100");
    int rc = ctl_request(ctl, "GET", path, NULL, NULL, &root);
    if (rc == 0)
        rc = ctl_show(ctl, root, records, sizeof(records) / sizeof(records[0]));
    if (rc == 0 && ctl->output <= CTL_WIDE &&
        gtm_json_type(gtm_json_get(root, "next")) == GTM_JSON_NUMBER)
        fprintf(stderr, "gtmctl: there are more records; --limit N shows more at a time\n");
    gtm_json_free(root);
    gtm_free(path);
    return rc;
}

/* db/example.com.zone → example.com */
static void origin_of(const char *path, char out[256])
{
    static const char *const ends[] = {".zone", ".db", ".txt"};
    const char *slash = strrchr(path, '/');

    snprintf(out, 256, "%s", slash != NULL ? slash + 1 : path);
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(out), e = strlen(ends[i]);
        if (n > e && strcmp(out + n - e, ends[i]) == 0)
            out[n - e] = 0;
    }
}

int ctl_zone_check(struct ctl *ctl)
{
    char origin[256];
    struct gtm_diags diags = {0};
    struct dns_zone_info info;

    origin_of(ctl->argv[0], origin);
    struct dns_zone_spec spec = {.origin = ctl->origin != NULL ? ctl->origin : origin,
                                 .path = ctl->argv[0]};
    struct dns_zone *zone = dns_zone_load(&spec, &diags);
    gtm_diags_print(&diags, stderr);
    if (zone != NULL) {
        dns_zone_info(zone, &info);
        printf("%s: ok, serial %" PRIu32 ", %zu records, %zu names%s\n", spec.origin, info.serial,
               info.records, info.names, diags.warnings > 0 ? ", with warnings" : "");
    } else {
        ctl_error("%s: %zu error%s", spec.origin, diags.errors, diags.errors == 1 ? "" : "s");
    }
    dns_zone_unref(zone);
    gtm_diags_fini(&diags);
    return zone != NULL ? CTL_OK : CTL_FAILED;
}
