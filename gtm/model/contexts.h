/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of gtmctl's contexts (~/.config/gtm/gtmctl.yaml): the nodes that a person asks over
 * mutual TLS, and with which certificate. Plain data; one owner.
 */
#ifndef GTM_MODEL_CONTEXTS_H
#define GTM_MODEL_CONTEXTS_H

#include "gtm/base/diag.h"

#include <stddef.h>

#define GTM_CONTEXTS_MAX 256

struct gtm_context {
    char *name;
    char *server; /* "HOST:PORT" */
    char *node;   /* the name that the server must have; NULL = any node */
    char *ca, *cert, *key;
};
struct gtm_contexts {
    char *current; /* NULL = none */
    struct gtm_context *list;
    size_t count;
};

/* NULL on any error; diags has all of them. Paths in it are from its own folder. */
struct gtm_contexts *gtm_contexts_load(const char *path, struct gtm_diags *diags);
void gtm_contexts_free(struct gtm_contexts *contexts); /* NULL is fine */
/* By name; NULL = there is none. */
const struct gtm_context *gtm_contexts_find(const struct gtm_contexts *contexts, const char *name);

#endif
