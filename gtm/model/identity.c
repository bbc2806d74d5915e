/* SPDX-License-Identifier: Apache-2.0
 *
 * See identity.h.
 */
#include "gtm/model/identity.h"

#include "gtm/model/schema_forms.h"

#include <stdbool.h>
#include <string.h>

static const char *const role_words[GTM_USER_ROLE_COUNT] = {"viewer", "operator", "admin",
                                                            "breakglass"};

const char *gtm_user_role_word(enum gtm_user_role role)
{
    return role < GTM_USER_ROLE_COUNT ? role_words[role] : "viewer";
}

/* A part up to the end character; false: empty, too long, or no end. */
static bool take_part(const char **at, char end, char out[GTM_NAME_MAX + 1])
{
    const char *stop = strchr(*at, end);
    size_t len = stop ? (size_t)(stop - *at) : 0;
    if (len == 0 || len > GTM_NAME_MAX)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at = stop + (end != '\0');
    return true;
}

static bool node_name_ok(const char *name)
{
    return gtm_form_name.parse(name, NULL, &(struct gtm_error){0}) == GTM_OK;
}

static bool user_name_ok(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i], low = (char)(c | 32);
        bool plain = (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
        if (!plain && (!strchr("-_.@", c) || i == 0 || i + 1 == len))
            return false;
    }
    return true;
}

static bool take_node(const char *at, struct gtm_identity *ret)
{
    ret->kind = GTM_IDENTITY_NODE;
    return take_part(&at, '/', ret->region) && take_part(&at, '\0', ret->name) &&
           node_name_ok(ret->region) && node_name_ok(ret->name);
}

static bool take_user(const char *at, struct gtm_identity *ret)
{
    char role[GTM_NAME_MAX + 1];
    ret->kind = GTM_IDENTITY_USER;
    if (!take_part(&at, '/', role) || !take_part(&at, '\0', ret->name) || !user_name_ok(ret->name))
        return false;
    for (unsigned r = 0; r < GTM_USER_ROLE_COUNT; r++) {
        if (strcmp(role, role_words[r]) != 0)
            continue;
        ret->role = (enum gtm_user_role)r;
        return true;
    }
    return false;
}

int gtm_identity_parse(const char *uri, struct gtm_identity *ret, struct gtm_error *err)
{
    static const char node[] = "gtm:node/", user[] = "gtm:user/";
    *ret = (struct gtm_identity){0};
    if (strncmp(uri, node, sizeof(node) - 1) == 0   ? take_node(uri + sizeof(node) - 1, ret)
        : strncmp(uri, user, sizeof(user) - 1) == 0 ? take_user(uri + sizeof(user) - 1, ret)
                                                    : false)
        return GTM_OK;
    *ret = (struct gtm_identity){0};
    return gtm_error_set(err, GTM_EPARSE,
                         "'%.120s' is no identity: it is gtm:node/REGION/NAME or "
                         "gtm:user/viewer|operator|admin|breakglass/NAME",
                         uri);
}
