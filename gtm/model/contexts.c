/* SPDX-License-Identifier: Apache-2.0
 *
 * See contexts.h.
 */
#include "gtm/model/contexts.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/model/config_file.h"
#include "gtm/model/schema_forms.h"

#include <string.h>

#define CONTEXTS_BYTES_MAX (1u << 20)

#define CONTEXT_TEXT(name, f, member, text_form, about)            \
    {                                                              \
        .key = name, .doc = about, .type = GTM_T_FORM, .flags = f, \
        GTM_AT(struct gtm_context, member), .form = &text_form     \
    }

static const struct gtm_field context_fields[] = {
    CONTEXT_TEXT("name", GTM_F_REQUIRED, name, gtm_form_name, "what --context calls it"),
    CONTEXT_TEXT("server", GTM_F_REQUIRED, server, gtm_form_host_port, "where the node listens"),
    CONTEXT_TEXT("node", 0, node, gtm_form_name, "the name that the node must have"),
    CONTEXT_TEXT("ca", GTM_F_REQUIRED, ca, gtm_form_path, "the certificates that are trusted"),
    CONTEXT_TEXT("cert", GTM_F_REQUIRED, cert, gtm_form_path, "the own certificate"),
    CONTEXT_TEXT("key", GTM_F_REQUIRED, key, gtm_form_path, "its key"),
};
static const struct gtm_table context_table = {.title = "context", GTM_FIELDS(context_fields)};
static const struct gtm_field context_item = {
    .type = GTM_T_OBJECT, .size = sizeof(struct gtm_context), .table = &context_table};

static const struct gtm_field file_fields[] = {
    {.key = "current",
     .doc = "the context that is used without --context",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_contexts, current),
     .form = &gtm_form_name},
    {.key = "contexts",
     .doc = "the nodes that can be asked",
     .type = GTM_T_LIST,
     .flags = GTM_F_REQUIRED,
     GTM_LIST_AT(struct gtm_contexts, list, count),
     .item = &context_item,
     .max = GTM_CONTEXTS_MAX},
};
static const struct gtm_table file_table = {.title = "contexts file", GTM_FIELDS(file_fields)};

static void check(struct gtm_parse *p, const struct gtm_yaml_node *root,
                  const struct gtm_contexts *contexts)
{
    const struct gtm_yaml_node *n = gtm_yaml_get(root, "contexts");
    n = n && n->kind == GTM_YAML_LIST ? n->first : NULL;
    for (size_t i = 0; n && i < contexts->count; i++, n = n->next) {
        const char *name = contexts->list[i].name;
        if (name && gtm_contexts_find(contexts, name) != &contexts->list[i])
            gtm_parse_error_at(p, (struct gtm_srcpos){n->line, n->col},
                               "context '%s' is defined twice", name);
    }
    const struct gtm_yaml_node *current = gtm_yaml_get(root, "current");
    if (contexts->current && !gtm_contexts_find(contexts, contexts->current))
        gtm_parse_error(p, current, "there is no context '%s'", contexts->current);
}

static void resolve(struct gtm_parse *p, struct gtm_contexts *contexts)
{
    char *dir = gtm_fs_dirname(p->file);
    p->nomem |= !dir;
    for (size_t i = 0; dir && i < contexts->count; i++) {
        struct gtm_context *context = &contexts->list[i];
        gtm_config_resolve(p, dir, &context->ca);
        gtm_config_resolve(p, dir, &context->cert);
        gtm_config_resolve(p, dir, &context->key);
    }
    gtm_free(dir);
}

static void *build(struct gtm_parse *p, const struct gtm_config_text *text)
{
    struct gtm_contexts *contexts = gtm_calloc(1, sizeof(*contexts));
    if (!contexts) {
        p->nomem = true;
        return NULL;
    }
    gtm_schema_parse(p, &file_table, text->root, contexts, NULL);
    if (!p->nomem)
        resolve(p, contexts);
    if (!p->nomem)
        check(p, text->root, contexts);
    return contexts;
}

static void discard(void *contexts)
{
    gtm_contexts_free(contexts);
}

void gtm_contexts_free(struct gtm_contexts *contexts)
{
    if (!contexts)
        return;
    gtm_schema_fini(&file_table, contexts);
    gtm_free(contexts);
}

struct gtm_contexts *gtm_contexts_load(const char *path, struct gtm_diags *diags)
{
    static const struct gtm_config_kind kind = {
        .bytes_max = CONTEXTS_BYTES_MAX, .build = build, .discard = discard};
    return gtm_config_load(&kind, path, diags);
}

const struct gtm_context *gtm_contexts_find(const struct gtm_contexts *contexts, const char *name)
{
    for (size_t i = 0; i < contexts->count; i++)
        if (contexts->list[i].name && strcmp(contexts->list[i].name, name) == 0)
            return &contexts->list[i];
    return NULL;
}
