/* SPDX-License-Identifier: Apache-2.0
 *
 * Domain names between text and wire, and their comparison. See name.h; pure, any thread.
 */
#include "dns/name.h"

#include <string.h>

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* A name under construction; `label` is where the length of the open label will go. */
struct writer {
    uint8_t *out;
    size_t len; /* the open label's length octet included */
    size_t label;
};

static int put_octet(struct writer *w, uint8_t c, struct gtm_error *err)
{
    if (w->len - w->label > DNS_LABEL_MAX)
        return gtm_error_set(err, GTM_EPARSE, "a label has more than %d octets", DNS_LABEL_MAX);
    if (w->len >= DNS_NAME_MAX - 1) /* the root label must still fit */
        return gtm_error_set(err, GTM_EPARSE, "name has more than %d octets", DNS_NAME_MAX);
    w->out[w->len++] = c;
    return GTM_OK;
}

static int end_label(struct writer *w, struct gtm_error *err)
{
    size_t octets = w->len - w->label - 1;
    if (octets == 0)
        return gtm_error_set(err, GTM_EPARSE, "name has an empty label");
    w->out[w->label] = (uint8_t)octets;
    w->label = w->len;
    if (w->len >= DNS_NAME_MAX)
        return gtm_error_set(err, GTM_EPARSE, "name has more than %d octets", DNS_NAME_MAX);
    w->out[w->len++] = 0;
    return GTM_OK;
}

/* The octet of an escape; text points behind the backslash. Returns the characters used, 0 = bad.
 */
static size_t unescape(const char *text, size_t len, uint8_t *ret)
{
    if (len == 0)
        return 0;
    if (text[0] < '0' || text[0] > '9') {
        *ret = (uint8_t)text[0];
        return 1;
    }
    unsigned value = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= len || text[i] < '0' || text[i] > '9')
            return 0;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value > 255)
        return 0;
    *ret = (uint8_t)value;
    return 3;
}

static int append_origin(struct writer *w, const uint8_t *origin, struct gtm_error *err)
{
    size_t octets = origin ? dns_name_len(origin) : 1;
    if (w->label + octets > DNS_NAME_MAX)
        return gtm_error_set(err, GTM_EPARSE, "name has more than %d octets with its origin",
                             DNS_NAME_MAX);
    if (origin)
        memcpy(w->out + w->label, origin, octets);
    else
        w->out[w->label] = 0;
    w->len = w->label + octets;
    return GTM_OK;
}

int dns_name_parse(const char *text, size_t text_len, const uint8_t *origin,
                   uint8_t out[DNS_NAME_MAX], size_t *ret_len, struct gtm_error *err)
{
    uint8_t buf[DNS_NAME_MAX];
    struct writer w = {.out = buf, .len = 1, .label = 0};
    int rc = GTM_OK;
    if (text_len == 0)
        return gtm_error_set(err, GTM_EPARSE, "name is empty");
    bool dot_last = text_len == 1 && text[0] == '.';
    if (dot_last)
        buf[0] = 0;
    bool at = text_len == 1 && text[0] == '@';
    for (size_t i = dot_last || at ? text_len : 0; i < text_len;) {
        uint8_t c = (uint8_t)text[i++];
        dot_last = c == '.';
        if (dot_last) {
            if ((rc = end_label(&w, err)) != GTM_OK)
                return rc;
            continue;
        }
        if (c == '\\') {
            size_t used = unescape(text + i, text_len - i, &c);
            if (used == 0)
                return gtm_error_set(err, GTM_EPARSE,
                                     "bad escape: expected \\X or \\DDD with DDD up to 255");
            i += used;
        } else if (c <= ' ' || c == 0x7f) {
            return gtm_error_set(err, GTM_EPARSE, "octet %u in a name must be written as \\%03u", c,
                                 c);
        }
        if ((rc = put_octet(&w, c, err)) != GTM_OK)
            return rc;
    }
    if (!dot_last) {
        if (!at && (rc = end_label(&w, err)) != GTM_OK)
            return rc;
        if ((rc = append_origin(&w, origin, err)) != GTM_OK)
            return rc;
    }
    memcpy(out, buf, w.len);
    *ret_len = w.len;
    return GTM_OK;
}

const char *dns_name_text(const uint8_t *name, char out[DNS_NAME_TEXT_MAX])
{
    size_t n = 0;
    for (const uint8_t *label = name; *label; label += *label + 1) {
        for (unsigned i = 1; i <= *label; i++) {
            uint8_t c = label[i];
            if (c <= ' ' || c >= 0x7f) {
                out[n++] = '\\';
                out[n++] = (char)('0' + c / 100);
                out[n++] = (char)('0' + c / 10 % 10);
                out[n++] = (char)('0' + c % 10);
                continue;
            }
            if (strchr(".\\\"();@$", c))
                out[n++] = '\\';
            out[n++] = (char)c;
        }
        out[n++] = '.';
    }
    if (n == 0)
        out[n++] = '.';
    out[n] = '\0';
    return out;
}

size_t dns_name_len(const uint8_t *name)
{
    const uint8_t *p = name;
    while (*p)
        p += *p + 1;
    return (size_t)(p - name) + 1;
}

size_t dns_name_check(const uint8_t *data, size_t len)
{
    size_t limit = len < DNS_NAME_MAX ? len : DNS_NAME_MAX;
    for (size_t i = 0; i < limit; i += (size_t)data[i] + 1) {
        if (data[i] == 0)
            return i + 1;
        if (data[i] > DNS_LABEL_MAX)
            return 0;
    }
    return 0;
}

unsigned dns_name_labels(const uint8_t *name)
{
    unsigned n = 0;
    for (; *name; name += *name + 1)
        n++;
    return n;
}

size_t dns_name_lower(const uint8_t *src, uint8_t *dst)
{
    /* Length octets are at most 63, below 'A': the whole name can be lowered octet by octet. */
    size_t len = dns_name_len(src);
    for (size_t i = 0; i < len; i++)
        dst[i] = lower(src[i]);
    return len;
}

bool dns_name_equal(const uint8_t *a, const uint8_t *b)
{
    size_t len = dns_name_len(a);
    /* Stops at the first difference, so b is never read past its end: its root label would differ
     * from a's length octet there. */
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool dns_name_under(const uint8_t *name, const uint8_t *ancestor)
{
    unsigned have = dns_name_labels(name), want = dns_name_labels(ancestor);
    if (have < want)
        return false;
    for (; have > want; have--)
        name += *name + 1;
    return dns_name_equal(name, ancestor);
}

static int compare_labels(const uint8_t *a, const uint8_t *b)
{
    unsigned common = *a < *b ? *a : *b;
    for (unsigned i = 1; i <= common; i++) {
        int diff = (int)lower(a[i]) - (int)lower(b[i]);
        if (diff)
            return diff;
    }
    return (int)*a - (int)*b;
}

int dns_name_compare(const uint8_t *a, const uint8_t *b)
{
    const uint8_t *a_labels[DNS_LABELS_MAX], *b_labels[DNS_LABELS_MAX];
    unsigned na = 0, nb = 0;
    for (; *a && na < DNS_LABELS_MAX; a += *a + 1)
        a_labels[na++] = a;
    for (; *b && nb < DNS_LABELS_MAX; b += *b + 1)
        b_labels[nb++] = b;
    while (na > 0 && nb > 0) {
        int diff = compare_labels(a_labels[--na], b_labels[--nb]);
        if (diff)
            return diff;
    }
    return (int)na - (int)nb;
}
