/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers to a transfer: input is one octet of flags (1 = IXFR), then messages with two octets of
 * length each, as TCP carries them; the id of each is made right. Whatever comes, the set stays
 * within its bounds; a zone that is called whole is text that is read back, or refused with a
 * finding.
 */
#include "dns/rr.h"
#include "dns/xfer_in.h"
#include "gtm/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID          0x1234
#define RECORDS_MAX 200

static const char have_text[] =
    "@ 60 SOA ns. host. 5 60 60 60 60\n@ 60 NS ns.other.\na 60 A 1.2.3.4\n"
    "b 60 TXT \"x\"\n*.w 60 MX 1 a\n";

static struct dns_zone *load(const char *text, size_t len)
{
    struct dns_zone_spec spec = {.origin = "example.", .path = "fuzz.zone"};
    struct gtm_diags diags = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, text, len, &diags);
    if (!zone && !diags.errors)
        abort();
    gtm_diags_fini(&diags);
    return zone;
}

static void check_text(const struct dns_xfer_in *x)
{
    char *text = NULL;
    size_t len = 0;
    struct gtm_error err = {0};
    if (dns_xfer_in_records(x) > RECORDS_MAX + 1)
        abort();
    if (dns_xfer_in_text(x, &text, &len, &err) != GTM_OK)
        abort();
    struct dns_zone *zone = load(text, len);
    if (zone) {
        struct dns_zone_info info;
        dns_zone_info(zone, &info);
        if (info.serial != dns_xfer_in_serial(x))
            abort();
    }
    dns_zone_unref(zone);
    gtm_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zone[] = "\7example";
    static struct dns_zone *have;
    uint8_t request[512];
    if (!have && !(have = load(have_text, sizeof(have_text) - 1)))
        abort();
    if (size < 1) {
        return 0;
    }
    struct dns_xfer_in *x = dns_xfer_in_new(&(struct dns_xfer_in_opts){
        .zone = zone, .ixfr = data[0] & 1, .have = have, .max_records = RECORDS_MAX});
    if (!x || dns_xfer_in_request(x, ID, request, sizeof(request)) == 0)
        abort();
    int rc = DNS_XFER_IN_MORE;
    for (size_t at = 1; rc == DNS_XFER_IN_MORE && size - at >= 2;) {
        size_t len = dns_get16(data + at);
        at += 2;
        len = len < size - at ? len : size - at;
        uint8_t *exact = len ? malloc(len) : NULL; /* for the sanitizer: its end is the message's */
        struct gtm_error err = {0};
        if (!exact)
            break;
        memcpy(exact, data + at, len);
        if (len >= 2)
            dns_put16(exact, ID);
        rc = dns_xfer_in_feed(x, exact, len, &err);
        if (rc < 0 && !err.text[0])
            abort();
        free(exact);
        at += len;
    }
    if (rc == DNS_XFER_IN_DONE)
        check_text(x);
    dns_xfer_in_free(x);
    return 0;
}
