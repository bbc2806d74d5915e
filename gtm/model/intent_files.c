/* SPDX-License-Identifier: Apache-2.0
 *
 * See intent_files.h.
 */
#include "gtm/model/intent_files.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"
#include "gtm/model/yaml.h"

#include <string.h>
#include <strings.h>

void gtm_file_names_fini(struct gtm_file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        gtm_free(names->names[i]);
    gtm_free(names->names);
    gtm_free(names->zone);
    gtm_map_free(names->seen, NULL);
    *names = (struct gtm_file_names){0};
}

static int keep(struct gtm_file_names *names, char *name, bool zone)
{
    void *list = names->names, *zones = names->zone;
    int rc = gtm_grow(&list, &names->cap, names->count + 1, sizeof(*names->names));
    names->names = list;
    if (rc == GTM_OK)
        rc = gtm_grow(&zones, &names->zone_cap, names->count + 1, sizeof(*names->zone));
    names->zone = zones;
    if (rc == GTM_OK)
        rc = gtm_map_put(names->seen, name, names, NULL);
    if (rc != GTM_OK)
        return rc;
    names->names[names->count] = name;
    names->zone[names->count++] = zone;
    return GTM_OK;
}

/* dir is the folder of the includer with its "/", or "". */
static int add(struct gtm_file_names *names, const char *dir, int dir_len, const char *path,
               int path_len, bool zone, struct gtm_error *err)
{
    if (path_len > 0 && path[0] == '/') {
        names->local++;
        return GTM_OK;
    }
    while (path_len > 2 && path[0] == '.' && path[1] == '/') {
        path += 2;
        path_len -= 2;
    }
    if (!names->seen)
        names->seen = gtm_map_new();
    char *name = gtm_asprintf("%.*s%.*s", dir_len, dir, path_len, path);
    if (!name || !names->seen) {
        gtm_free(name);
        return gtm_error_set(err, GTM_ENOMEM, "out of memory");
    }
    int rc = GTM_OK;
    if (!gtm_manifest_name_ok(name) || strcmp(name, GTM_MANIFEST_MAIN) == 0)
        rc = gtm_error_set(err, GTM_EINVAL,
                           "'%.200s' cannot travel: only files below the folder of cluster.yaml "
                           "can; an absolute path names a file that every node has by itself",
                           name);
    else if (!gtm_map_get(names->seen, name)) {
        rc = keep(names, name, zone);
        name = rc == GTM_OK ? NULL : name;
    }
    gtm_free(name);
    return rc == GTM_ENOMEM ? gtm_error_set(err, rc, "out of memory") : rc;
}

/* The text of a member, or of a member of a member. */
static int add_member(struct gtm_file_names *names, const struct gtm_yaml_node *object,
                      const char *key, const char *sub, struct gtm_error *err)
{
    const struct gtm_yaml_node *node = gtm_yaml_get(object, key);
    if (node && sub)
        node = gtm_yaml_get(node, sub);
    if (!node || node->kind != GTM_YAML_SCALAR || node->len == 0 || node->len > 4096)
        return GTM_OK;
    return add(names, "", 0, node->text, (int)node->len, strcmp(key, "file") == 0, err);
}

int gtm_file_names_main(struct gtm_file_names *names, const char *text, size_t len,
                        struct gtm_error *err)
{
    static const char *const where[][3] = {
        {"zones", "file", NULL}, {"policies", "latency", "table"}, {"fleets", "prices", "file"}};
    struct gtm_diags ignored = {0};
    const struct gtm_yaml_node *root = NULL;
    struct gtm_yaml *yaml = gtm_yaml_parse(GTM_MANIFEST_MAIN, text, len, &ignored, &root);
    int rc = GTM_OK;
    for (size_t i = 0; yaml && i < sizeof(where) / sizeof(where[0]); i++) {
        const struct gtm_yaml_node *list = gtm_yaml_get(root, where[i][0]);
        const struct gtm_yaml_node *n = list && list->kind == GTM_YAML_LIST ? list->first : NULL;
        for (; n && rc == GTM_OK; n = n->next)
            rc = add_member(names, n, where[i][1], where[i][2], err);
    }
    gtm_yaml_free(yaml);
    gtm_diags_fini(&ignored);
    return rc;
}

int gtm_file_names_zone(struct gtm_file_names *names, const char *name, const char *text,
                        size_t len, struct gtm_error *err)
{
    static const char word[] = "$INCLUDE";
    const char *slash = strrchr(name, '/'), *end = text + len;
    int dir_len = slash ? (int)(slash - name) + 1 : 0, rc = GTM_OK;
    for (const char *line = text; rc == GTM_OK && line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        if ((size_t)(next - line) > sizeof(word) &&
            strncasecmp(line, word, sizeof(word) - 1) == 0) {
            const char *p = line + sizeof(word) - 1;
            while (p < next && (*p == ' ' || *p == '\t'))
                p++;
            bool quoted = p < next && *p == '"';
            p += quoted;
            const char *q = p;
            while (q < next && (quoted ? *q != '"' : !strchr(" \t\r\n;", *q)) && *q)
                q++;
            if (q > p && q - p < 4096)
                rc = add(names, name, dir_len, p, (int)(q - p), true, err);
        }
        line = next;
    }
    return rc;
}
