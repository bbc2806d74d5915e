/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of routes and how a request finds its row: methods, path patterns like
 * "/api/v1/pools/{pool}", path and query parameters. It knows no sockets and no handlers' insides;
 * later parts only add rows. Pure, thread-safe; the parameters of a request belong to it.
 */
#ifndef GTM_DAEMON_API_ROUTE_H
#define GTM_DAEMON_API_ROUTE_H

#include "gtm/base/err.h"
#include "gtm/model/identity.h"

#include <stddef.h>

#define GTM_API_PARAMS_MAX  16   /* of a path and of a query */
#define GTM_API_TARGET_MAX  8192 /* bytes of path and query as they came */
#define GTM_API_VALUES_ROOM (GTM_API_TARGET_MAX + 2)

enum gtm_api_method {
    GTM_API_GET = 0,
    GTM_API_PUT,
    GTM_API_POST,
    GTM_API_DELETE,
    GTM_API_METHOD_COUNT
};
/* "GET", "PUT", … Never NULL. */
const char *gtm_api_method_word(enum gtm_api_method method);

enum gtm_api_role {
    GTM_API_VIEWER = GTM_USER_VIEWER,
    GTM_API_OPERATOR = GTM_USER_OPERATOR,
    GTM_API_ADMIN = GTM_USER_ADMIN,
    GTM_API_BREAKGLASS = GTM_USER_BREAKGLASS, /* past the rules of safety */
    GTM_API_ROLE_COUNT = GTM_USER_ROLE_COUNT
};
/* "viewer", "operator", "admin", "breakglass". Never NULL. */
const char *gtm_api_role_word(enum gtm_api_role role);

struct gtm_api_req;
struct gtm_api_route {
    enum gtm_api_method method;
    const char *path; /* pattern: literal segments and {parameters}, each a whole segment */
    void (*handler)(struct gtm_api_req *req); /* answers exactly once, now or later */
    enum gtm_api_role role;
    const char *query;   /* parameters that it takes, separated by spaces; NULL = none */
    const char *summary; /* one sentence for the list of routes */
};

/* Values decoded; they point into the room given to the parse. */
struct gtm_api_param {
    const char *name; /* of a path parameter: the pattern's text, not NUL-terminated: name_len */
    size_t name_len;
    const char *value; /* NUL-terminated */
};
struct gtm_api_params {
    struct gtm_api_param items[GTM_API_PARAMS_MAX];
    size_t count;
};

/* A request's target taken apart. About 16 KiB: part of the request, not of a stack. */
struct gtm_api_target {
    struct gtm_api_params path, query;
    size_t used;
    char room[2 * GTM_API_VALUES_ROOM];
};

/* What gtm_api_match found. */
struct gtm_api_match {
    const struct gtm_api_route *route; /* NULL: no such path, or not with this method */
    unsigned allowed;                  /* bits of enum gtm_api_method that the path has; 0 = none */
};

/* Splits `raw` ("/a/b?x=y") and finds its row. Path parameters and query are decoded (RFC 3986 2.1;
 * "+" in a query is a space) into ret_target. The first row whose pattern fits wins; a row with
 * literals stands before one with a parameter in the same place. Returns 0 also when nothing was
 * found; GTM_EINVAL (bad escape, NUL, control character, empty or doubled query parameter),
 * GTM_ELIMIT (too long, too many), err says what. */
int gtm_api_match(const struct gtm_api_route *routes, size_t count, enum gtm_api_method method,
                  const char *raw, struct gtm_api_target *ret_target,
                  struct gtm_api_match *ret_match, struct gtm_error *err) GTM_MUST_CHECK;

/* The value of a parameter, or NULL. */
const char *gtm_api_params_get(const struct gtm_api_params *params, const char *name);

/* The name of the first query parameter that the route does not take, or NULL. Mutations take
 * dryRun without listing it. */
const char *gtm_api_query_unknown(const struct gtm_api_route *route,
                                  const struct gtm_api_params *query);

/* Does the space-separated list hold the word? list may be NULL. */
int gtm_api_list_has(const char *list, const char *word);

#endif
