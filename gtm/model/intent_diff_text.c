/* SPDX-License-Identifier: Apache-2.0
 *
 * What is made of a comparison: text for people, and the question whether it deletes too much. See
 * intent_diff.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_diff.h"

#include <inttypes.h>
#include <string.h>

#define MASS_PERCENT 30
#define MASS_COUNT   10

bool gtm_intent_diff_hurts(const struct gtm_json *diff)
{
    const struct gtm_json *one;
    for (one = gtm_json_first(gtm_json_get(diff, "kinds")); one; one = gtm_json_next(one))
        if (gtm_json_i64(one, "changed", 0) || gtm_json_i64(one, "removed", 0))
            return true;
    for (one = gtm_json_first(gtm_json_get(diff, "files")); one; one = gtm_json_next(one))
        if (gtm_json_i64(one, "removed", 0) ||
            strcmp(gtm_json_str(one, "change", ""), "added") != 0)
            return true;
    return false;
}

static bool is_mass(int64_t removed, int64_t before, bool many)
{
    if (!many && removed > MASS_COUNT)
        return true;
    return removed * 100 > before * MASS_PERCENT && (removed > 1 || removed == before);
}

static void add_mass(struct gtm_json *list, const struct gtm_json *one, const char *what, bool many)
{
    int64_t removed = gtm_json_i64(one, "removed", 0), before = gtm_json_i64(one, "before", 0);
    if (removed == 0 || !is_mass(removed, before, many))
        return;
    char *text = gtm_asprintf("%" PRId64 " of %" PRId64 " %s", removed, before, what);
    gtm_json_append_str(list, text);
    gtm_free(text);
}

struct gtm_json *gtm_intent_diff_mass(const struct gtm_json *diff)
{
    struct gtm_json *list = gtm_json_array();
    const struct gtm_json *one;
    for (one = gtm_json_first(gtm_json_get(diff, "kinds")); one; one = gtm_json_next(one)) {
        const char *kind = gtm_json_str(one, "kind", "");
        add_mass(list, one, kind, strcmp(kind, "names") == 0);
    }
    for (one = gtm_json_first(gtm_json_get(diff, "files")); one; one = gtm_json_next(one)) {
        char *what = gtm_asprintf("lines of %s", gtm_json_str(one, "name", ""));
        if (strcmp(gtm_json_str(one, "change", ""), "changed") == 0)
            add_mass(list, one, what ? what : "lines", true);
        gtm_free(what);
    }
    return list;
}

/* --- text --- */

static char sign_of(const char *change)
{
    return *change == 'a' ? '+' : *change == 'r' ? '-' : '~';
}

static void add_object(struct gtm_buf *out, const struct gtm_json *object)
{
    const char *kind = gtm_json_str(object, "kind", "?"), *name = gtm_json_str(object, "name", "?");
    bool section = strcmp(kind, name) == 0;
    gtm_buf_addf(out, "%c %s%s%s\n", sign_of(gtm_json_str(object, "change", "?")), kind,
                 section ? "" : " ", section ? "" : name);
    for (const struct gtm_json *f = gtm_json_first(gtm_json_get(object, "fields")); f;
         f = gtm_json_next(f))
        gtm_buf_addf(out, "    %s: %s → %s\n", gtm_json_str(f, "path", "?"),
                     gtm_json_str(f, "before", "(none)"), gtm_json_str(f, "after", "(none)"));
    int64_t more = gtm_json_i64(object, "fields_more", 0);
    if (more)
        gtm_buf_addf(out, "    … and %" PRId64 " more\n", more);
}

static void add_lines(struct gtm_buf *out, const struct gtm_json *file, const char *key, char sign,
                      int64_t count)
{
    int64_t shown = 0;
    for (const struct gtm_json *l = gtm_json_first(gtm_json_get(file, key)); l;
         l = gtm_json_next(l), shown++)
        gtm_buf_addf(out, "    %c %s\n", sign, gtm_json_as_str(l) ? gtm_json_as_str(l) : "");
    if (count > shown)
        gtm_buf_addf(out, "    %c … and %" PRId64 " more\n", sign, count - shown);
}

static void add_file(struct gtm_buf *out, const struct gtm_json *file)
{
    int64_t added = gtm_json_i64(file, "added", 0), removed = gtm_json_i64(file, "removed", 0);
    gtm_buf_addf(out, "%c file %s: %" PRId64 " lines added, %" PRId64 " removed\n",
                 sign_of(gtm_json_str(file, "change", "?")), gtm_json_str(file, "name", "?"), added,
                 removed);
    add_lines(out, file, "lines_removed", '-', removed);
    add_lines(out, file, "lines_added", '+', added);
}

void gtm_intent_diff_text(const struct gtm_json *diff, struct gtm_buf *out)
{
    const struct gtm_json *one;
    size_t start = out->len;
    for (one = gtm_json_first(gtm_json_get(diff, "objects")); one; one = gtm_json_next(one))
        add_object(out, one);
    int64_t more = gtm_json_i64(diff, "objects_more", 0);
    if (more)
        gtm_buf_addf(out, "… and %" PRId64 " more objects\n", more);
    for (one = gtm_json_first(gtm_json_get(diff, "files")); one; one = gtm_json_next(one))
        add_file(out, one);
    for (one = gtm_json_first(gtm_json_get(diff, "kinds")); one; one = gtm_json_next(one))
        gtm_buf_addf(out, "%s: %" PRId64 " added, %" PRId64 " changed, %" PRId64 " removed\n",
                     gtm_json_str(one, "kind", "?"), gtm_json_i64(one, "added", 0),
                     gtm_json_i64(one, "changed", 0), gtm_json_i64(one, "removed", 0));
    if (out->len == start)
        gtm_buf_adds(out, gtm_json_bool(diff, "changed", false)
                              ? "only comments, layout or the order of objects differ\n"
                              : "no differences\n");
}
