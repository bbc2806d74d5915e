/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of text: names, places, DNS names, HTTP parts, files. See schema_forms.h; addresses are in
 * schema_address.c, times in schema_time.c.
 */
#include "gtm/model/schema_forms.h"

#include "gtm/model/location.h"

#include <string.h>

#define DNS_NAME_MAX  253
#define DNS_LABEL_MAX 63

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool only(const char *text, const char *extra)
{
    for (; *text; text++) {
        if (!is_alpha(*text) && !is_digit(*text) && !strchr(extra, *text))
            return false;
    }
    return true;
}

/* --- names of objects --- */

static bool name_edge(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static int parse_name(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    size_t len = strlen(text);
    bool ok = len > 0 && name_edge(text[0]) && name_edge(text[len - 1]) && only(text, "-_.");
    for (size_t i = 0; i < len && ok; i++)
        ok = upper(text[i]) == text[i] ? !is_alpha(text[i]) : true;
    if (len > GTM_NAME_MAX)
        return gtm_error_set(err, GTM_EINVAL, "a name has at most %d characters", GTM_NAME_MAX);
    return ok ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_name = {
    .what = "a name of a-z, 0-9 and, inside, '-', '_' and '.'",
    .pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
    .heap = true,
    .parse = parse_name,
};

/* --- geography --- */

/* "EU-" before a country or "NA-" before "US-CA" may name the continent; it must be the right one.
 * Copies the country's two letters in upper case. */
static int country_code(const char *text, char ret_code[3], struct gtm_error *err)
{
    char code[3] = {upper(text[0]), text[0] ? upper(text[1]) : '\0', '\0'};
    const struct gtm_country *country = gtm_country_find(code);
    if (!country)
        return gtm_error_set(err, GTM_EINVAL,
                             "'%.10s' is not a country: use the two letters of ISO 3166, as in DE",
                             text);
    memcpy(ret_code, code, sizeof(code));
    return GTM_OK;
}

static int check_continent(const char *prefix, const char *country, struct gtm_error *err)
{
    const struct gtm_country *c = gtm_country_find(country);
    if (c && c->continent[0] == upper(prefix[0]) && c->continent[1] == upper(prefix[1]))
        return GTM_OK;
    return gtm_error_set(err, GTM_EINVAL, "%s (%s) is on the continent %s, not %.2s", country,
                         c ? c->name : "?", c ? c->continent : "?", prefix);
}

static int parse_country(const char *text, void *out, struct gtm_error *err)
{
    size_t len = strlen(text);
    bool prefixed = len == 5 && text[2] == '-';
    char code[3];
    if (len != 2 && !prefixed)
        return GTM_EINVAL;
    int rc = country_code(prefixed ? text + 3 : text, code, err);
    if (rc == GTM_OK && prefixed)
        rc = check_continent(text, code, err);
    if (rc == GTM_OK && out)
        memcpy(out, code, sizeof(code));
    return rc;
}

const struct gtm_form gtm_form_country = {
    .what = "a country code such as DE (or EU-DE)",
    .pattern = "^([A-Za-z]{2}-)?[A-Za-z]{2}$",
    .parse = parse_country,
};

static int parse_continent(const char *text, void *out, struct gtm_error *err)
{
    (void)err;
    if (strlen(text) != 2)
        return GTM_EINVAL;
    char code[3] = {upper(text[0]), upper(text[1]), '\0'};
    if (!gtm_continent_valid(code))
        return GTM_EINVAL;
    if (out)
        memcpy(out, code, sizeof(code));
    return GTM_OK;
}

const struct gtm_form gtm_form_continent = {
    .what = "one of the continents AF, AN, AS, EU, NA, OC, SA",
    .pattern = "^[A-Za-z]{2}$",
    .parse = parse_continent,
};

static int parse_subdivision(const char *text, void *out, struct gtm_error *err)
{
    const char *prefix = NULL;
    if (strlen(text) > 5 && text[2] == '-' && text[5] == '-') {
        prefix = text;
        text += 3;
    }
    size_t len = strlen(text);
    char code[8] = "", country[3];
    if (len < 4 || len > 6 || text[2] != '-' || !only(text + 3, ""))
        return GTM_EINVAL;
    int rc = country_code(text, country, err);
    if (rc == GTM_OK && prefix)
        rc = check_continent(prefix, country, err);
    if (rc != GTM_OK || !out)
        return rc;
    for (size_t i = 0; i < len; i++)
        code[i] = upper(text[i]);
    memcpy(out, code, sizeof(code));
    return GTM_OK;
}

const struct gtm_form gtm_form_subdivision = {
    .what = "a subdivision such as US-CA (or NA-US-CA)",
    .pattern = "^([A-Za-z]{2}-)?[A-Za-z]{2}-[A-Za-z0-9]{1,3}$",
    .parse = parse_subdivision,
};

/* --- DNS names --- */

/* Labels of letters, digits, '-' and '_' (RFC 1035 section 2.3.1, RFC 8552). */
static int check_labels(const char *text, struct gtm_error *err)
{
    if (strlen(text) > DNS_NAME_MAX)
        return gtm_error_set(err, GTM_EINVAL, "a DNS name has at most %d characters", DNS_NAME_MAX);
    while (*text) {
        size_t len = strcspn(text, ".");
        if (len == 0)
            return gtm_error_set(err, GTM_EINVAL, "a DNS name has no empty label ('..')");
        if (len > DNS_LABEL_MAX)
            return gtm_error_set(err, GTM_EINVAL, "the label '%.20s…' is longer than %d characters",
                                 text, DNS_LABEL_MAX);
        text += len;
        text += *text == '.';
    }
    return GTM_OK;
}

static int parse_zone(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    size_t len = strlen(text);
    if (len == 0 || !only(text, "-_.") || text[0] == '.')
        return GTM_EINVAL;
    if (len > DNS_NAME_MAX + 1u)
        return gtm_error_set(err, GTM_EINVAL, "a DNS name has at most %d characters", DNS_NAME_MAX);
    char copy[DNS_NAME_MAX + 2];
    memcpy(copy, text, len + 1);
    if (copy[len - 1] == '.') /* one final dot is fine */
        copy[len - 1] = '\0';
    if (copy[0] == '\0' || copy[strlen(copy) - 1] == '.')
        return GTM_EINVAL;
    return check_labels(copy, err);
}

const struct gtm_form gtm_form_zone = {
    .what = "a domain name such as example.com",
    .pattern = "^[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*\\.?$",
    .heap = true,
    .parse = parse_zone,
};

static int parse_owner(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    size_t len = strlen(text);
    if (strcmp(text, "@") == 0 || strcmp(text, "*") == 0)
        return GTM_OK;
    if (len > 0 && text[len - 1] == '.')
        return gtm_error_set(err, GTM_EINVAL,
                             "names are relative to their zone, without a final dot");
    if (text[0] == '*' && text[1] == '.')
        text += 2;
    if (text[0] == '\0' || text[0] == '.' || !only(text, "-_."))
        return GTM_EINVAL;
    return check_labels(text, err);
}

const struct gtm_form gtm_form_owner = {
    .what = "a name relative to the zone such as www, '@' or '*.shop'",
    .pattern = "^(@|\\*|(\\*\\.)?[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*)$",
    .heap = true,
    .parse = parse_owner,
};

static int parse_query_name(const char *text, void *out, struct gtm_error *err)
{
    return strcmp(text, ".") == 0 ? GTM_OK : parse_zone(text, out, err);
}

const struct gtm_form gtm_form_query_name = {
    .what = "a domain name such as www.example.com, or '.'",
    .pattern = "^(\\.|[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*\\.?)$",
    .heap = true,
    .parse = parse_query_name,
};

static int parse_alias(const char *text, void *out, struct gtm_error *err)
{
    size_t len = strlen(text);
    if (text[0] == '*')
        return gtm_error_set(err, GTM_EINVAL, "an alias is of one name, not of a wildcard");
    return len > 0 && text[len - 1] == '.' ? parse_zone(text, out, err)
                                           : parse_owner(text, out, err);
}

const struct gtm_form gtm_form_alias = {
    .what = "a name relative to the zone such as www or '@', or with a final dot",
    .pattern = "^(@|[A-Za-z0-9_-]{1,63}(\\.[A-Za-z0-9_-]{1,63})*\\.?)$",
    .heap = true,
    .parse = parse_alias,
};

static int parse_key_name(const char *text, void *out, struct gtm_error *err)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z')
            return GTM_EINVAL;
    }
    return len > 0 && text[len - 1] != '.' ? parse_zone(text, out, err) : GTM_EINVAL;
}

const struct gtm_form gtm_form_key_name = {
    .what = "a domain name in lower case, without a final dot",
    .pattern = "^[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,63})*$",
    .heap = true,
    .parse = parse_key_name,
};

/* --- record types --- */

static const struct {
    const char *word;
    uint16_t type;
    bool dynamic;
} types[] = {
    {"A", GTM_TYPE_A, true},
    {"AAAA", GTM_TYPE_AAAA, true},
    {"CNAME", GTM_TYPE_CNAME, true},
    {"SRV", GTM_TYPE_SRV, true},
    {"HTTPS", GTM_TYPE_HTTPS, true},
    {"SVCB", GTM_TYPE_SVCB, true},
    {"NS", 2, false},
    {"SOA", 6, false},
    {"PTR", 12, false},
    {"MX", 15, false},
    {"TXT", 16, false},
    {"NAPTR", 35, false},
    {"DNAME", 39, false},
    {"DS", 43, false},
    {"SSHFP", 44, false},
    {"DNSKEY", 48, false},
    {"TLSA", 52, false},
    {"CAA", 257, false},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

const char *gtm_type_format(uint16_t type, char out[16])
{
    snprintf(out, 16, "TYPE%u", type); /* RFC 3597 section 5 */
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i].type == type)
            snprintf(out, 16, "%s", types[i].word);
    }
    return out;
}

static uint16_t type_of(const char *text, bool dynamic)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(text, types[i].word) == 0 && (types[i].dynamic || !dynamic))
            return types[i].type;
    }
    return 0;
}

static int put_type(uint16_t type, void *out)
{
    if (out && type)
        memcpy(out, &type, sizeof(type));
    return type ? GTM_OK : GTM_EINVAL;
}

static int parse_type(const char *text, void *out, struct gtm_error *err)
{
    (void)err;
    return put_type(type_of(text, true), out);
}

const struct gtm_form gtm_form_type = {
    .what = "A, AAAA, CNAME, SRV, HTTPS or SVCB",
    .pattern = "^(A|AAAA|CNAME|SRV|HTTPS|SVCB)$",
    .parse = parse_type,
};

static int parse_query_type(const char *text, void *out, struct gtm_error *err)
{
    (void)err;
    unsigned number = 0;
    if (strncmp(text, "TYPE", 4) != 0)
        return put_type(type_of(text, false), out);
    if (!is_digit(text[4]) || strlen(text) > 9)
        return GTM_EINVAL;
    for (text += 4; is_digit(*text); text++)
        number = number * 10 + (unsigned)(*text - '0');
    return *text || number > 65535 ? GTM_EINVAL : put_type((uint16_t)number, out);
}

const struct gtm_form gtm_form_query_type = {
    .what = "a record type such as A, TXT or TYPE65280",
    .pattern = "^[A-Z]+[0-9]*$",
    .parse = parse_query_type,
};

/* --- HTTP --- */

static bool printable(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

static int parse_host(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    return text[0] && strlen(text) <= DNS_NAME_MAX + 6 && only(text, "-_.:[]") ? GTM_OK
                                                                               : GTM_EINVAL;
}

const struct gtm_form gtm_form_host = {
    .what = "a host name such as www.example.com",
    .pattern = "^[\\[\\]A-Za-z0-9_.:-]{1,259}$",
    .heap = true,
    .parse = parse_host,
};

static int parse_http_path(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    return text[0] == '/' && strlen(text) <= 2048 && printable(text) && !strchr(text, '#')
               ? GTM_OK
               : GTM_EINVAL;
}

const struct gtm_form gtm_form_http_path = {
    .what = "a path such as /healthz?full=1, without blanks and '#'",
    .pattern = "^/[!-\"$-~]{0,2047}$",
    .heap = true,
    .parse = parse_http_path,
};

static int parse_url(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    size_t scheme = strncmp(text, "http://", 7) == 0    ? 7
                    : strncmp(text, "https://", 8) == 0 ? 8
                                                        : 0;
    bool host = scheme && text[scheme] && text[scheme] != '/';
    return host && strlen(text) <= 2048 && printable(text) ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_url = {
    .what = "an address that starts with http:// or https://",
    .pattern = "^https?://[!-.0-~][!-~]*$",
    .heap = true,
    .parse = parse_url,
};

static int parse_pointer(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    if (text[0] != '/' || strlen(text) > 512)
        return GTM_EINVAL;
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || (*c == '~' && c[1] != '0' && c[1] != '1'))
            return GTM_EINVAL;
    }
    return GTM_OK;
}

const struct gtm_form gtm_form_pointer = {
    .what = "a JSON pointer such as /load or /pools/0/open ('~1' stands for '/', '~0' for '~')",
    .pattern = "^/([^~\\u0000-\\u001f]|~[01])*$",
    .heap = true,
    .parse = parse_pointer,
};

/* --- files --- */

static int parse_path(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    if (strlen(text) > 1024)
        return gtm_error_set(err, GTM_EINVAL, "a path has at most 1024 bytes");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return GTM_EINVAL;
    }
    return text[0] ? GTM_OK : GTM_EINVAL;
}

const struct gtm_form gtm_form_path = {
    .what = "the path of a file or folder",
    .pattern = "^[^\\u0000-\\u001f]+$",
    .heap = true,
    .parse = parse_path,
};

static int parse_program(const char *text, void *out, struct gtm_error *err)
{
    (void)out;
    (void)err;
    return text[0] && text[0] != '.' && strlen(text) <= 255 && only(text, "-_.") ? GTM_OK
                                                                                 : GTM_EINVAL;
}

const struct gtm_form gtm_form_program = {
    .what = "the name of a program in exec_dir, without folders",
    .pattern = "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}$",
    .heap = true,
    .parse = parse_program,
};
