/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of text that are addresses, networks or places to listen. See schema_forms.h.
 */
#include "gtm/model/schema_forms.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static unsigned full_prefix(const struct gtm_network *n)
{
    return n->family == 4 ? 32 : 128;
}

static bool read_address(const char *text, struct gtm_network *ret)
{
    *ret = (struct gtm_network){0};
    if (inet_pton(AF_INET, text, ret->addr) == 1)
        ret->family = 4;
    else if (inet_pton(AF_INET6, text, ret->addr) == 1)
        ret->family = 6;
    else
        return false;
    ret->prefix_len = (uint8_t)full_prefix(ret);
    return true;
}

const char *gtm_network_format(const struct gtm_network *network, char out[64])
{
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(network->family == 4 ? AF_INET : AF_INET6, network->addr, text, sizeof(text));
    if (network->prefix_len == full_prefix(network))
        snprintf(out, 64, "%s", text);
    else
        snprintf(out, 64, "%s/%u", text, network->prefix_len);
    return out;
}

static int parse_address(const char *text, void *out, struct gtm_error *err)
{
    (void)err;
    struct gtm_network address;
    if (!read_address(text, &address))
        return GTM_EINVAL;
    if (out)
        memcpy(out, &address, sizeof(address));
    return GTM_OK;
}

const struct gtm_form gtm_form_address = {
    .what = "an IPv4 or IPv6 address",
    .pattern = "^[0-9A-Fa-f:.]{2,45}$",
    .parse = parse_address,
};

/* Clears the bits beyond the prefix; true when any was set. */
static bool mask(struct gtm_network *n)
{
    bool changed = false;
    for (unsigned i = 0; i < full_prefix(n) / 8; i++) {
        unsigned keep = n->prefix_len <= i * 8 ? 0 : n->prefix_len - i * 8;
        uint8_t bits = keep >= 8 ? 0xff : (uint8_t)(0xff00u >> keep);
        changed |= (n->addr[i] & (uint8_t)~bits) != 0;
        n->addr[i] &= bits;
    }
    return changed;
}

static int parse_network(const char *text, void *out, struct gtm_error *err)
{
    char address[64], right[64];
    struct gtm_network n;
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof(address))
        return GTM_EINVAL;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!read_address(address, &n))
        return GTM_EINVAL;
    if (slash) {
        size_t digits = strspn(slash + 1, "0123456789");
        unsigned long prefix = strtoul(slash + 1, NULL, 10);
        if (digits == 0 || digits > 3 || slash[1 + digits] || (digits > 1 && slash[1] == '0'))
            return GTM_EINVAL;
        if (prefix > full_prefix(&n))
            return gtm_error_set(err, GTM_EINVAL, "%s: the prefix of an IPv%u network is 0 to %u",
                                 text, n.family, full_prefix(&n));
        n.prefix_len = (uint8_t)prefix;
    }
    if (mask(&n))
        return gtm_error_set(err, GTM_EINVAL,
                             "%s has bits set beyond its prefix: the network is %s", text,
                             gtm_network_format(&n, right));
    if (out)
        memcpy(out, &n, sizeof(n));
    return GTM_OK;
}

const struct gtm_form gtm_form_network = {
    .what = "a network such as 198.51.100.0/24 or 2001:db8::/32",
    .pattern = "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$",
    .parse = parse_network,
};

/* --- listening --- */

static const struct gtm_field listen_fields[] = {
    {.key = "address",
     .doc = "the IPv4 or IPv6 address to listen on; 0.0.0.0 and :: mean all",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_listen_raw, address),
     .form = &gtm_form_address},
    {.key = "port",
     .doc = "the port to listen on",
     .type = GTM_T_UINT,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_listen_raw, port),
     .min = 1,
     .max = 65535},
};
const struct gtm_table gtm_listen_table = {.title = "listen address", GTM_FIELDS(listen_fields)};

void gtm_listen_make(const struct gtm_listen_raw *raw, struct gtm_listen *ret_listen)
{
    char address[64];
    *ret_listen = (struct gtm_listen){0};
    gtm_network_format(&raw->address, address);
    if (raw->address.family == 4) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(raw->port)};
        memcpy(&sin.sin_addr, raw->address.addr, 4);
        memcpy(&ret_listen->addr, &sin, sizeof(sin));
        ret_listen->addr_len = sizeof(sin);
        snprintf(ret_listen->text, sizeof(ret_listen->text), "%.15s:%u", address, raw->port);
    } else {
        struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(raw->port)};
        memcpy(&sin6.sin6_addr, raw->address.addr, 16);
        memcpy(&ret_listen->addr, &sin6, sizeof(sin6));
        ret_listen->addr_len = sizeof(sin6);
        snprintf(ret_listen->text, sizeof(ret_listen->text), "[%.45s]:%u", address, raw->port);
    }
}

int gtm_listen_parse(const char *text, struct gtm_listen *ret_listen, struct gtm_error *err)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    struct gtm_listen_raw raw;
    char address[64];
    if (!colon || len == 0 || len >= sizeof(address))
        return gtm_error_set(err, GTM_EINVAL, "'%.60s' has no port", text);
    bool bracketed = text[0] == '[' && colon[-1] == ']' && len > 2;
    memcpy(address, text + bracketed, len - 2 * bracketed);
    address[len - 2 * bracketed] = '\0';
    size_t digits = strspn(colon + 1, "0123456789");
    unsigned long port = strtoul(colon + 1, NULL, 10);
    if (digits == 0 || digits > 5 || colon[1 + digits] || port == 0 || port > 65535)
        return gtm_error_set(err, GTM_EINVAL, "the port in '%.60s' is not in 1 to 65535", text);
    if (!read_address(address, &raw.address))
        return gtm_error_set(err, GTM_EINVAL, "'%s' is not an address (names are not looked up)",
                             address);
    if (bracketed != (raw.address.family == 6))
        return gtm_error_set(err, GTM_EINVAL, "IPv6 addresses, and only they, stand in brackets");
    raw.port = (uint16_t)port;
    gtm_listen_make(&raw, ret_listen);
    return GTM_OK;
}

/* --- connecting --- */

static bool host_ok(const char *host, size_t len)
{
    struct gtm_network address;
    char text[INET6_ADDRSTRLEN];
    if (len == 0 || len > 253)
        return false;
    if (host[0] == '[') {
        if (len < 4 || host[len - 1] != ']' || len - 2 >= sizeof(text))
            return false;
        memcpy(text, host + 1, len - 2);
        text[len - 2] = '\0';
        return read_address(text, &address) && address.family == 6;
    }
    for (size_t i = 0; i < len; i++) {
        char c = host[i], low = (char)(c | 32);
        bool inside = (c == '-' || c == '.') && i > 0 && i + 1 < len;
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && !inside)
            return false;
    }
    return true;
}

bool gtm_host_port_ok(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (digits == 0 || digits > 5 || colon[1 + digits] || !host_ok(text, (size_t)(colon - text)))
        return false;
    unsigned long port = strtoul(colon + 1, NULL, 10);
    return port > 0 && port <= 65535;
}

static int parse_host_port(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    return gtm_host_port_ok(text) ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_host_port = {
    .what = "HOST:PORT, such as gtm1.example.com:8443 or [2001:db8::1]:8443",
    .pattern = "^[\\[\\]A-Za-z0-9.:-]{1,255}:[0-9]{1,5}$",
    .heap = true,
    .parse = parse_host_port,
};

/* --- secrets --- */

static const struct gtm_field secret_fields[] = {
    {.key = "file",
     .doc = "the file that holds the secret; its last newline does not count",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     .offset = 0,
     .size = sizeof(char *),
     .form = &gtm_form_path},
};
const struct gtm_table gtm_secret_table = {.title = "secret", GTM_FIELDS(secret_fields)};
