/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame around both configuration files: read, parse the YAML, build, sort the findings, keep
 * or free. Internal to the model. One call belongs to one thread and may block on the disk.
 */
#ifndef GTM_MODEL_CONFIG_FILE_H
#define GTM_MODEL_CONFIG_FILE_H

#include "gtm/base/diag.h"
#include "gtm/model/schema.h"

#include <stddef.h>

struct gtm_config_text {
    const char *text;
    size_t len;
    const struct gtm_yaml_node *root;
};
struct gtm_config_kind {
    size_t bytes_max; /* of a file */
    /* Builds from a text that is YAML and not empty, reporting into p; NULL without memory, with
     * p->nomem set. */
    void *(*build)(struct gtm_parse *p, const struct gtm_config_text *text);
    void (*discard)(void *built); /* takes NULL too */
    const char *local_dir;        /* goes to struct gtm_parse */
};

/* What was built, or NULL when there is any error; diags then holds all of them, by their place. */
void *gtm_config_parse(const struct gtm_config_kind *kind, const char *path, const char *text,
                       size_t len, struct gtm_diags *diags);
/* The same from a file. */
void *gtm_config_load(const struct gtm_config_kind *kind, const char *path,
                      struct gtm_diags *diags);

/* Makes a path that was written relative to `dir` usable from anywhere; NULL paths stay. */
void gtm_config_resolve(struct gtm_parse *p, const char *dir, char **path);

#endif
