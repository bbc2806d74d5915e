/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines that were added or removed, for files of a million records: lines are compared by a 64-bit
 * hash, sorted, so that it costs 16 bytes a line. See intent_diff_int.h.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_diff.h"
#include "gtm/model/intent_diff_int.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct line {
    uint64_t hash;
    uint32_t at, len;
};
struct lines {
    struct line *items;
    size_t count;
};

static uint64_t hash_of(const char *text, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

static int by_hash(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int by_place(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static size_t count_lines(const struct gtm_intent_text *file)
{
    size_t count = 1;
    for (size_t i = 0; i < file->len; i++)
        count += file->text[i] == '\n';
    return count;
}

/* 0 or GTM_ENOMEM. */
static int split(const struct gtm_intent_text *file, struct lines *ret)
{
    if (!file || file->len == 0)
        return GTM_OK;
    ret->items = gtm_calloc(count_lines(file), sizeof(*ret->items));
    if (!ret->items)
        return GTM_ENOMEM;
    for (size_t at = 0; at < file->len;) {
        const char *end = memchr(file->text + at, '\n', file->len - at);
        size_t next = end ? (size_t)(end - file->text) + 1 : file->len, len = next - at;
        const char *text = file->text + at;
        while (len && strchr(" \t\r\n", text[len - 1]))
            len--;
        size_t blank = len ? strspn(text, " \t") : 0;
        if (len && text[blank] != ';' && text[blank] != '#')
            ret->items[ret->count++] = (struct line){hash_of(text, len), (uint32_t)at,
                                                     (uint32_t)(len < UINT32_MAX ? len : 0)};
        at = next;
    }
    qsort(ret->items, ret->count, sizeof(*ret->items), by_hash);
    return GTM_OK;
}

/* Keeps in `lines` those that `other` has not as often; both sorted. Returns how many. */
static size_t unmatched(const struct lines *lines, const struct lines *other, struct line *out)
{
    size_t k = 0, n = 0;
    for (size_t i = 0; i < lines->count; i++) {
        while (k < other->count && other->items[k].hash < lines->items[i].hash)
            k++;
        if (k < other->count && other->items[k].hash == lines->items[i].hash)
            k++;
        else
            out[n++] = lines->items[i];
    }
    return n;
}

static void add_sample(struct gtm_json *file, const char *key, const char *text, struct line *lines,
                       size_t count)
{
    struct gtm_json *list = gtm_json_add_array(file, key);
    qsort(lines, count, sizeof(*lines), by_place);
    for (size_t i = 0; i < count && i < GTM_DIFF_LINES_MAX; i++) {
        size_t len = lines[i].len < GTM_DIFF_VALUE_MAX ? lines[i].len : GTM_DIFF_VALUE_MAX;
        char *copy = gtm_strndup(text + lines[i].at, len);
        gtm_json_append_str(list, copy);
        gtm_free(copy);
    }
}

void gtm__diff_lines(struct gtm_json *files, const char *name, const struct gtm_intent_text *before,
                     const struct gtm_intent_text *after)
{
    struct lines then = {0}, now = {0};
    struct gtm_json *file = gtm_json_append_object(files);
    gtm_json_add_str(file, "name", name);
    gtm_json_add_str(file, "change", !before ? "added" : !after ? "removed" : "changed");
    int rc = split(before, &then);
    if (rc == GTM_OK)
        rc = split(after, &now);
    struct line *gone = rc == GTM_OK ? gtm_calloc(then.count + 1, sizeof(*gone)) : NULL;
    struct line *come = rc == GTM_OK ? gtm_calloc(now.count + 1, sizeof(*come)) : NULL;
    if (gone && come) {
        size_t removed = unmatched(&then, &now, gone), added = unmatched(&now, &then, come);
        gtm_json_add_i64(file, "added", (int64_t)added);
        gtm_json_add_i64(file, "removed", (int64_t)removed);
        gtm_json_add_i64(file, "before", (int64_t)then.count);
        add_sample(file, "lines_added", after ? after->text : "", come, added);
        add_sample(file, "lines_removed", before ? before->text : "", gone, removed);
    } else {
        gtm_json_add(file, "added", NULL); /* out of memory: the whole is incomplete */
    }
    gtm_free(gone);
    gtm_free(come);
    gtm_free(then.items);
    gtm_free(now.items);
}
