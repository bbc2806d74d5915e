/* SPDX-License-Identifier: Apache-2.0
 *
 * Matching of paths against patterns, segment by segment, before anything is decoded, so that an
 * encoded slash stays inside its segment. See api_route.h.
 */
#include "gtm/daemon/api_route.h"

#include <stdbool.h>
#include <string.h>

const char *gtm_api_method_word(enum gtm_api_method method)
{
    static const char *const words[GTM_API_METHOD_COUNT] = {"GET", "PUT", "POST", "DELETE"};
    return (unsigned)method < GTM_API_METHOD_COUNT ? words[method] : "?";
}

const char *gtm_api_role_word(enum gtm_api_role role)
{
    return gtm_user_role_word((enum gtm_user_role)role);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes raw[0..len) into the target's room. The room is as large as two whole targets, and
 * decoding never makes text longer, so only the limit on raw protects it. */
static int decode(struct gtm_api_target *t, const char *raw, size_t len, bool plus,
                  const char **ret_value, struct gtm_error *err)
{
    char *out = t->room + t->used;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)raw[i];
        if (c == '%') {
            int hi = -1, lo = -1;
            if (len - i >= 3) {
                hi = hex_digit(raw[i + 1]);
                lo = hex_digit(raw[i + 2]);
            }
            if (hi < 0 || lo < 0)
                return gtm_error_set(err, GTM_EINVAL, "bad %%-escape in the request's target");
            c = (unsigned char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f)
            return gtm_error_set(err, GTM_EINVAL, "control character in the request's target");
        out[n++] = (char)c;
    }
    out[n] = 0;
    t->used += n + 1;
    *ret_value = out;
    return 0;
}

/* The length of the segment at s, up to '/' or end. */
static size_t segment(const char *s, const char *end)
{
    const char *slash = memchr(s, '/', (size_t)(end - s));
    return (size_t)((slash ? slash : end) - s);
}

/* Fits path[0..len) the pattern? */
static bool fits(const char *pattern, const char *path, size_t len)
{
    const char *p = pattern, *pend = pattern + strlen(pattern), *s = path, *end = path + len;
    for (;;) {
        size_t pn = segment(p, pend), sn = segment(s, end);
        if (*p == '{') {
            if (sn == 0)
                return false;
        } else if (pn != sn || memcmp(p, s, pn) != 0) {
            return false;
        }
        p += pn;
        s += sn;
        if (p == pend || s == end)
            return p == pend && s == end;
        p++;
        s++;
    }
}

static int take_path(struct gtm_api_target *t, const char *pattern, const char *path, size_t len,
                     struct gtm_error *err)
{
    const char *p = pattern, *pend = pattern + strlen(pattern), *s = path, *end = path + len;
    while (p < pend && s < end) {
        size_t pn = segment(p, pend), sn = segment(s, end);
        if (*p == '{' && t->path.count < GTM_API_PARAMS_MAX) {
            struct gtm_api_param *param = &t->path.items[t->path.count++];
            param->name = p + 1;
            param->name_len = pn - 2;
            int rc = decode(t, s, sn, false, &param->value, err);
            if (rc)
                return rc;
        }
        p += pn + 1;
        s += sn + 1;
    }
    return 0;
}

static int take_query(struct gtm_api_target *t, const char *query, struct gtm_error *err)
{
    while (*query) {
        size_t n = strcspn(query, "&");
        const char *eq = memchr(query, '=', n);
        size_t name_len = eq ? (size_t)(eq - query) : n;
        if (n > 0) {
            if (t->query.count == GTM_API_PARAMS_MAX)
                return gtm_error_set(err, GTM_ELIMIT, "more than %d query parameters",
                                     GTM_API_PARAMS_MAX);
            struct gtm_api_param param = {0};
            int rc = decode(t, query, name_len, true, &param.name, err);
            if (!rc)
                rc = decode(t, eq ? eq + 1 : query + n, eq ? n - name_len - 1 : 0, true,
                            &param.value, err);
            if (rc)
                return rc;
            /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): decode set it */
            param.name_len = strlen(param.name);
            if (param.name_len == 0 || gtm_api_params_get(&t->query, param.name))
                return gtm_error_set(err, GTM_EINVAL, "empty or doubled query parameter '%s'",
                                     param.name);
            t->query.items[t->query.count++] = param;
        }
        query += n + (query[n] == '&');
    }
    return 0;
}

int gtm_api_match(const struct gtm_api_route *routes, size_t count, enum gtm_api_method method,
                  const char *raw, struct gtm_api_target *ret_target,
                  struct gtm_api_match *ret_match, struct gtm_error *err)
{
    ret_target->path.count = ret_target->query.count = ret_target->used = 0;
    *ret_match = (struct gtm_api_match){0};
    if (strlen(raw) > GTM_API_TARGET_MAX)
        return gtm_error_set(err, GTM_ELIMIT, "the request's target is longer than %d bytes",
                             GTM_API_TARGET_MAX);
    size_t len = strcspn(raw, "?#");
    for (size_t i = 0; i < count; i++) {
        if (!fits(routes[i].path, raw, len))
            continue;
        ret_match->allowed |= 1u << routes[i].method;
        if (routes[i].method == method && !ret_match->route)
            ret_match->route = &routes[i];
    }
    if (!ret_match->route)
        return 0;
    int rc = take_path(ret_target, ret_match->route->path, raw, len, err);
    if (!rc && raw[len] == '?') {
        size_t frag = strcspn(raw + len, "#");
        if (raw[len + frag] == '#')
            return gtm_error_set(err, GTM_EINVAL, "a fragment in the request's target");
        rc = take_query(ret_target, raw + len + 1, err);
    }
    return rc;
}

const char *gtm_api_params_get(const struct gtm_api_params *params, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < params->count; i++)
        if (params->items[i].name_len == len && !memcmp(params->items[i].name, name, len))
            return params->items[i].value;
    return NULL;
}

int gtm_api_list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, " ");
        if (n == len && !memcmp(p, word, n))
            return 1;
        p += n;
        p += strspn(p, " ");
    }
    return 0;
}

const char *gtm_api_query_unknown(const struct gtm_api_route *route,
                                  const struct gtm_api_params *query)
{
    for (size_t i = 0; i < query->count; i++) {
        const char *name = query->items[i].name;
        if (route->method != GTM_API_GET && !strcmp(name, "dryRun"))
            continue;
        if (!gtm_api_list_has(route->query, name))
            return name;
    }
    return NULL;
}
