/* SPDX-License-Identifier: Apache-2.0
 *
 * Zone text: the parser, and (when it finds a bounded number of records) the whole compiler. What
 * the parser accepts must be well-formed, inside its limits, and mean the same when it is written
 * down in the generic form of RFC 3597 and read again.
 */
#include "dns/zone.h"
#include "dns/zonefile.h"
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MAX 500 /* $GENERATE makes many of little; fuzzing wants speed */

static const uint8_t origin[] = "\7example\3com";

static void die(const char *what, const struct dns_record *r)
{
    fprintf(stderr, "%s: type %u rdlen %u\n", what, r->type, r->rdlen);
    abort();
}

static int same(void *ctx, const struct dns_record *r)
{
    const struct dns_record *want = ctx;
    if (r->type != want->type || r->ttl != want->ttl || r->rdlen != want->rdlen ||
        memcmp(r->rdata, want->rdata, r->rdlen) != 0 ||
        memcmp(r->owner, want->owner, dns_name_len(want->owner)) != 0)
        die("another record comes back", want);
    return 1;
}

static void check_generic(const struct dns_record *r)
{
    struct gtm_buf text = {0};
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.origin = origin};
    char owner[DNS_NAME_TEXT_MAX];
    gtm_buf_addf(&text, "%s %u TYPE%u \\# %u ", dns_name_text(r->owner, owner), r->ttl, r->type,
                 r->rdlen);
    for (unsigned i = 0; i < r->rdlen && i < 30000; i++)
        gtm_buf_addf(&text, "%02x", r->rdata[i]);
    struct dns_record copy = *r;
    if (r->rdlen <= 30000 &&
        dns_zonefile_parse(&opts, text.data, text.len, same, &copy, &diags) != 1)
        die(diags.count ? diags.items[0].text : "generic form is refused", r);
    gtm_diags_fini(&diags);
    gtm_buf_fini(&text);
}

static int check_record(void *ctx, const struct dns_record *r)
{
    unsigned *seen = ctx;
    if (dns_name_check(r->owner, DNS_NAME_MAX) == 0 || r->ttl > DNS_TTL_MAX || r->type == 0 ||
        r->line == 0 || r->col == 0)
        die("malformed record", r);
    if (*seen < 20)
        check_generic(r);
    return ++*seen > RECORDS_MAX ? 2 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gtm_diags diags = {0};
    struct dns_zonefile_opts opts = {.origin = origin, .default_ttl = size & 1 ? 60 : 0};
    unsigned seen = 0;
    char *text = malloc(size + 1); /* its own block; never NULL, which would mean a file */
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    char *exact = size > 0 ? realloc(text, size) : text;
    int rc = dns_zonefile_parse(&opts, exact, size, check_record, &seen, &diags);
    if ((rc == GTM_EPARSE) != (diags.errors > 0) && rc != 2) {
        fprintf(stderr, "code %d with %zu errors\n", rc, diags.errors);
        abort();
    }
    gtm_diags_fini(&diags);
    if (seen <= RECORDS_MAX) {
        struct dns_zone_spec spec = {.origin = "example.com"};
        dns_zone_unref(dns_zone_load_text(&spec, exact, size, &diags));
        gtm_diags_fini(&diags);
    }
    free(exact);
    return 0;
}
