/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "tests/support/dns_ask.h"

#include "dns/rr.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t parse_address(const char *text, uint8_t addr[16])
{
    memset(addr, 0, 16);
    if (inet_pton(AF_INET, text, addr) == 1)
        return 4;
    assert_int_equal(inet_pton(AF_INET6, text, addr), 1);
    return 6;
}

static size_t put_ecs(const char *ecs, uint8_t *out)
{
    char text[64];
    uint8_t addr[16];

    snprintf(text, sizeof(text), "%s", ecs);
    char *slash = strchr(text, '/');
    assert_non_null(slash);
    *slash = 0;
    unsigned source = (unsigned)strtoul(slash + 1, NULL, 10), octets = (source + 7) / 8;
    uint8_t family = parse_address(text, addr);
    dns_put16(out, 8);
    dns_put16(out + 2, (uint16_t)(4 + octets));
    dns_put16(out + 4, family == 4 ? 1 : 2);
    out[6] = (uint8_t)source;
    out[7] = 0;
    memcpy(out + 8, addr, octets);
    return 8 + octets;
}

size_t ask_packet(const struct ask *ask, uint8_t out[512])
{
    static const uint8_t root[1] = {0};
    struct gtm_error err = {0};
    uint8_t name[DNS_NAME_MAX];
    size_t len = 12, n;
    bool edns = ask->edns || ask->ecs != NULL || ask->dnssec_ok;

    memset(out, 0, 512);
    memcpy(out, "\x12\x34\x01\x00\x00\x01", 6);
    out[11] = edns;
    assert_int_equal(dns_name_parse(ask->name, strlen(ask->name), root, name, &n, &err), 0);
    memcpy(out + len, name, n);
    len += n;
    dns_put16(out + len, ask->type);
    dns_put16(out + len + 2, DNS_CLASS_IN);
    len += 4;
    if (edns) {
        uint8_t *opt = out + len;
        size_t options = ask->ecs != NULL ? put_ecs(ask->ecs, opt + 11) : 0;
        dns_put16(opt + 1, DNS_TYPE_OPT);
        dns_put16(opt + 3, ask->payload != 0 ? ask->payload : DNS_UDP_PAYLOAD_MAX);
        opt[7] = ask->dnssec_ok ? 0x80 : 0;
        dns_put16(opt + 9, (uint16_t)options);
        len += 11 + options;
    }
    return len;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t show_section(char *out, size_t room, const ldns_rr_list *list)
{
    char *lines[2048];
    size_t n = 0, len = 0;

    for (size_t i = 0; list != NULL && i < ldns_rr_list_rr_count(list) && n < 2048; i++) {
        char *text = ldns_rr2str(ldns_rr_list_rr(list, i));
        assert_non_null(text);
        text[strcspn(text, "\n")] = 0;
        for (char *p = text; *p != 0; p++)
            if (*p == '\t')
                *p = ' ';
        char *in = strstr(text, " IN ");
        if (in != NULL)
            memmove(in, in + 3, strlen(in + 3) + 1);
        lines[n++] = text;
    }
    qsort(lines, n, sizeof(lines[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        int w = snprintf(out + len, room - len, "%s%s", i > 0 ? "; " : "", lines[i]);
        assert_true(w >= 0 && (size_t)w < room - len);
        len += (size_t)w;
        free(lines[i]);
    }
    return len;
}

/* What ldns leaves opaque in OPT: client subnet's scope and the extended error. */
static void show_opt(char *out, size_t room, const ldns_pkt *pkt)
{
    ldns_rdf *edns = ldns_pkt_edns_data(pkt);
    size_t used = (size_t)snprintf(out, room, " | opt");

    if (ldns_pkt_edns_do(pkt))
        used += (size_t)snprintf(out + used, room - used, " do");
    for (size_t i = 0; edns != NULL && i + 4 <= ldns_rdf_size(edns);) {
        const uint8_t *o = ldns_rdf_data(edns) + i;
        unsigned code = dns_get16(o), n = dns_get16(o + 2);
        assert_true(i + 4 + n <= ldns_rdf_size(edns));
        if (code == 8)
            used += (size_t)snprintf(out + used, room - used, " scope=%u", o[7]);
        else if (code == 15)
            used += (size_t)snprintf(out + used, room - used, " ede=%u%s%.*s", dns_get16(o + 4),
                                     n > 2 ? " " : "", (int)n - 2, (const char *)o + 6);
        else
            used += (size_t)snprintf(out + used, room - used, " option=%u", code);
        i += 4 + n;
    }
}

const char *ask_show(const uint8_t *packet, size_t len)
{
    static char out[1 << 20];
    ldns_pkt *pkt = NULL;
    size_t n;

    if (len == 0)
        return "silence";
    ldns_status status = ldns_wire2pkt(&pkt, packet, len);
    if (status != LDNS_STATUS_OK)
        fail_msg("ldns cannot read the answer: %s", ldns_get_errorstr_by_id(status));
    unsigned rcode = ldns_pkt_get_rcode(pkt) | (unsigned)ldns_pkt_edns_extended_rcode(pkt) << 4;
    ldns_lookup_table *word = ldns_lookup_by_id(ldns_rcodes, (int)(rcode & 15));
    n = (size_t)snprintf(out, sizeof(out), "%s%s%s |",
                         rcode == 16 ? "BADVERS" : (word != NULL ? word->name : "?"),
                         ldns_pkt_aa(pkt) ? " aa" : "", ldns_pkt_tc(pkt) ? " tc" : "");
    const ldns_rr_list *sections[3] = {ldns_pkt_answer(pkt), ldns_pkt_authority(pkt),
                                       ldns_pkt_additional(pkt)};
    for (int s = 0; s < 3; s++) {
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%s", s > 0 ? " |" : "");
        if (sections[s] != NULL && ldns_rr_list_rr_count(sections[s]) > 0) {
            out[n++] = ' ';
            n += show_section(out + n, sizeof(out) - n, sections[s]);
        }
    }
    if (ldns_pkt_edns(pkt))
        show_opt(out + n, sizeof(out) - n, pkt);
    ldns_pkt_free(pkt);
    return out;
}

const char *ask_view(const struct dns_view *view, const struct ask *ask)
{
    uint8_t query[512];
    static uint8_t out[DNS_MESSAGE_MAX];
    struct dns_answerer answerer;
    struct dns_client client = {.proto = ask->tcp ? DNS_PROTO_TCP : DNS_PROTO_UDP};
    static uint64_t seed;

    memset(out, 0xaa, sizeof(out));
    dns_answerer_init(&answerer, ++seed);
    client.family = parse_address(ask->client != NULL ? ask->client : "198.51.100.1", client.addr);
    size_t len = ask_packet(ask, query);
    size_t n = dns_answer(&answerer, view, &client, query, len, out, sizeof(out));
    return ask_show(out, n);
}

struct dns_view *ask_zone(const char *origin, const char *text)
{
    struct dns_zone_spec spec = {.origin = origin, .path = "test.zone"};
    struct gtm_diags diags = {0};
    struct gtm_error err = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, text, strlen(text), &diags);

    if (zone == NULL)
        gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
    assert_non_null(zone);
    struct dns_view_zone vz = {.zone = zone};
    struct dns_view *view = dns_view_new(&vz, 1, NULL, 1, &err);
    assert_non_null(view);
    dns_zone_unref(zone);
    return view;
}
