/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading records of a message with their names uncompressed. See xfer_in_int.h. Names in the rdata
 * of the types of RFC 1035 may be compressed, and of some later ones they are by old servers (RFC
 * 3597 4); of all others rdata is taken as it is.
 */
#include "dns/rr.h"
#include "dns/xfer_in_int.h"

#include <string.h>

size_t dns__xwire_name(const uint8_t *msg, size_t len, size_t at, uint8_t out[DNS_NAME_MAX],
                       size_t *ret_len)
{
    size_t n = 0, taken = 0, begin = at, limit = at;
    bool jumped = false;
    for (;;) {
        if (at >= len)
            return 0;
        uint8_t c = msg[at];
        if (c >= 0xc0) {
            if (at + 1 >= len)
                return 0;
            size_t to = (size_t)(c & 0x3f) << 8 | msg[at + 1];
            if (!jumped)
                taken = at + 2 - begin;
            jumped = true;
            if (to >= limit) /* each pointer goes further back: so there is no loop */
                return 0;
            at = limit = to;
            continue;
        }
        if (c > DNS_LABEL_MAX || at + 1u + c > len || n + 1u + c > DNS_NAME_MAX)
            return 0;
        memcpy(out + n, msg + at, 1u + c);
        n += 1u + c;
        at += 1u + c;
        if (c == 0)
            break;
        if (n >= DNS_NAME_MAX)
            return 0;
    }
    *ret_len = n;
    return jumped ? taken : at - begin;
}

/* Octets before the names, the names, and whether anything follows. */
struct layout {
    uint16_t type;
    uint8_t prefix, names;
    bool rest;
};
static const struct layout layouts[] = {
    {DNS_TYPE_NS, 0, 1, false},    {3, 0, 1, false} /* MD */,     {4, 0, 1, false} /* MF */,
    {DNS_TYPE_CNAME, 0, 1, false}, {DNS_TYPE_SOA, 0, 2, true},    {7, 0, 1, false} /* MB */,
    {8, 0, 1, false} /* MG */,     {9, 0, 1, false} /* MR */,     {DNS_TYPE_PTR, 0, 1, false},
    {14, 0, 2, false} /* MINFO */, {DNS_TYPE_MX, 2, 1, false},    {17, 0, 2, false} /* RP */,
    {18, 2, 1, false} /* AFSDB */, {21, 2, 1, false} /* RT */,    {24, 18, 1, true} /* SIG */,
    {26, 2, 2, false} /* PX */,    {30, 0, 1, true} /* NXT */,    {DNS_TYPE_SRV, 6, 1, false},
    {36, 2, 1, false} /* KX */,    {DNS_TYPE_DNAME, 0, 1, false},
};

static const struct layout *layout_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
        if (layouts[i].type == type)
            return &layouts[i];
    return NULL;
}

/* NAPTR: four octets, three strings, a name. The octets before the name; 0 = malformed. */
static size_t naptr_prefix(const uint8_t *rdata, size_t len)
{
    size_t at = 4;
    for (int i = 0; i < 3; i++) {
        if (at >= len)
            return 0;
        at += 1u + rdata[at];
    }
    return at < len ? at : 0;
}

static bool read_rdata(const uint8_t *msg, size_t at, size_t end, struct dns__xwire *ret)
{
    struct layout naptr = {35, 0, 1, false};
    const struct layout *layout = ret->type == 35 ? &naptr : layout_of(ret->type);
    size_t n = layout ? layout->prefix : end - at;
    if (ret->type == 35 && (n = naptr_prefix(msg + at, end - at)) == 0)
        return false;
    if (n > end - at)
        return false;
    memcpy(ret->rdata, msg + at, n);
    at += n;
    for (int i = 0; layout && i < layout->names; i++) {
        size_t len = 0;
        /* Room: a prefix of at most 4 + 3 × 256 octets and two names. A name ends inside the rdata,
         * its compressed rest may be anywhere before. */
        size_t taken = dns__xwire_name(msg, end, at, ret->rdata + n, &len);
        if (taken == 0)
            return false;
        n += len;
        at += taken;
    }
    size_t rest = end - at;
    if (rest > 0 && (!layout || !layout->rest || n + rest > sizeof(ret->rdata)))
        return false;
    memcpy(ret->rdata + n, msg + at, rest);
    ret->rdlen = (uint16_t)(n + rest);
    return ret->type != DNS_TYPE_SOA || rest == 20;
}

bool dns__xwire_read(const uint8_t *msg, size_t len, size_t *at, struct dns__xwire *ret)
{
    size_t owner_len = 0, taken = dns__xwire_name(msg, len, *at, ret->owner, &owner_len);
    size_t p = *at + taken;
    if (taken == 0 || len - p < 10)
        return false;
    ret->type = dns_get16(msg + p);
    ret->class = dns_get16(msg + p + 2);
    ret->ttl = dns_get32(msg + p + 4);
    size_t rdlen = dns_get16(msg + p + 8);
    p += 10;
    if (len - p < rdlen || !read_rdata(msg, p, p + rdlen, ret))
        return false;
    *at = p + rdlen;
    return true;
}
