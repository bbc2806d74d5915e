/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a certificate says that its holder is: a node, "gtm:node/REGION/NAME", or a person or script,
 * "gtm:user/ROLE/NAME". Pure; any thread.
 */
#ifndef GTM_MODEL_IDENTITY_H
#define GTM_MODEL_IDENTITY_H

#include "gtm/base/err.h"
#include "gtm/model/intent.h"

enum gtm_user_role {
    GTM_USER_VIEWER = 0,
    GTM_USER_OPERATOR,
    GTM_USER_ADMIN,
    GTM_USER_BREAKGLASS,
    GTM_USER_ROLE_COUNT
};
/* "viewer", "operator", "admin", "breakglass". Never NULL. */
const char *gtm_user_role_word(enum gtm_user_role role);

enum gtm_identity_kind { GTM_IDENTITY_NODE = 1, GTM_IDENTITY_USER };

struct gtm_identity {
    enum gtm_identity_kind kind;
    enum gtm_user_role role;       /* of a user; a node: viewer */
    char region[GTM_NAME_MAX + 1]; /* of a node; "" for a user */
    char name[GTM_NAME_MAX + 1];
};

/* Takes exactly the two forms above. REGION and a node's NAME are names as in the configuration; a
 * user's NAME has letters, digits and, inside, '-', '_', '.' and '@'. GTM_EPARSE: err says what is
 * wrong. */
int gtm_identity_parse(const char *uri, struct gtm_identity *ret,
                       struct gtm_error *err) GTM_MUST_CHECK;

#endif
