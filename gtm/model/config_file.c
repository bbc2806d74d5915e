/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame around both configuration files. See config_file.h.
 */
#include "gtm/model/config_file.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"

void *gtm_config_parse(const struct gtm_config_kind *kind, const char *path, const char *text,
                       size_t len, struct gtm_diags *diags)
{
    struct gtm_config_text whole = {.text = text, .len = len};
    size_t first = diags->count, errors = diags->errors;
    struct gtm_parse p = {.file = path, .diags = diags, .local_dir = kind->local_dir};
    struct gtm_yaml *yaml = gtm_yaml_parse(path, text, len, diags, &whole.root);
    void *built = NULL;
    if (yaml && whole.root)
        built = kind->build(&p, &whole);
    else if (yaml)
        gtm_diags_add(diags, GTM_SEV_ERROR, path, 1, 1, "the file is empty");
    if (p.nomem)
        gtm_diags_add(diags, GTM_SEV_ERROR, path, 0, 0, "%s", gtm_err_text(GTM_ENOMEM));
    gtm_parse_fini(&p);
    gtm_yaml_free(yaml);
    gtm_parse_sort(diags, first);
    if (diags->errors == errors)
        return built;
    kind->discard(built);
    return NULL;
}

void *gtm_config_load(const struct gtm_config_kind *kind, const char *path, struct gtm_diags *diags)
{
    struct gtm_error err = {0};
    char *text;
    size_t len;
    if (gtm_fs_read(path, kind->bytes_max, &text, &len, &err) != GTM_OK) {
        gtm_diags_add(diags, GTM_SEV_ERROR, path, 0, 0, "%s", err.text);
        return NULL;
    }
    void *built = gtm_config_parse(kind, path, text, len, diags);
    gtm_free(text);
    return built;
}

void gtm_config_resolve(struct gtm_parse *p, const char *dir, char **path)
{
    if (!*path || p->nomem)
        return;
    char *resolved = gtm_fs_join(dir, *path);
    p->nomem |= resolved == NULL;
    if (resolved) {
        gtm_free(*path);
        *path = resolved;
    }
}
