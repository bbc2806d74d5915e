/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML reader: libyaml's events become a tree in an arena. Faults of content are reported and
 * stepped over; faults of syntax end the parse, because libyaml cannot resume. See yaml.h.
 */
#include "gtm/model/yaml.h"

#include "gtm/base/map.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CHUNK_BYTES                                                                             \
    262144u               /* beyond malloc's mmap threshold, so that it goes back to the system \
                           */
#define FEW_KEYS      16u /* up to here duplicates are found by comparing all, beyond by sorting */
#define KEY_MAX_BYTES 1024u

struct chunk {
    struct chunk *next;
    size_t used, room;
    max_align_t data[];
};

struct gtm_yaml {
    struct chunk *chunks;
};

struct reader {
    struct gtm_yaml *yaml;
    yaml_parser_t parser;
    const char *file;
    struct gtm_diags *diags;
    const char *text;
    size_t len;
    unsigned nodes;
};

static void *arena_alloc(struct gtm_yaml *yaml, size_t bytes, size_t align)
{
    struct chunk *c = yaml->chunks;
    size_t at = c ? (c->used + align - 1) & ~(align - 1) : 0;
    if (!c || at + bytes > c->room) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        c = gtm_malloc(sizeof(*c) + room);
        if (!c)
            return NULL;
        c->next = yaml->chunks;
        c->room = room;
        yaml->chunks = c;
        at = 0;
    }
    c->used = at + bytes;
    return (char *)c->data + at;
}

void gtm_yaml_free(struct gtm_yaml *yaml)
{
    if (!yaml)
        return;
    while (yaml->chunks) {
        struct chunk *next = yaml->chunks->next;
        gtm_free(yaml->chunks);
        yaml->chunks = next;
    }
    gtm_free(yaml);
}

#define MARK_LINE(mark) ((unsigned)(mark).line + 1)
#define MARK_COL(mark)  ((unsigned)(mark).column + 1)

static void report(struct reader *r, yaml_mark_t mark, const char *text)
{
    gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, MARK_LINE(mark), MARK_COL(mark), "%s", text);
}

/* libyaml names only the byte of a character that YAML does not allow. */
static void report_character(struct reader *r)
{
    unsigned line = 1, col = 1;
    for (size_t i = 0; i < r->parser.problem_offset && i < r->len; i++) {
        unsigned char c = (unsigned char)r->text[i];
        if (c == '\n')
            line++;
        col = c == '\n' ? 1 : col + ((c & 0xc0) != 0x80);
    }
    gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, line, col, "%s", r->parser.problem);
}

/* The next event, or false after a syntax error (reported). */
static bool next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "cannot be parsed";
    if (p->error == YAML_MEMORY_ERROR)
        gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, 0, 0, "out of memory");
    else if (p->error == YAML_READER_ERROR)
        report_character(r);
    else if (p->context)
        gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, MARK_LINE(p->problem_mark),
                      MARK_COL(p->problem_mark), "%s %s (which starts at line %u)", problem,
                      p->context, MARK_LINE(p->context_mark));
    else
        report(r, p->problem_mark, problem);
    return false;
}

static void no_memory(struct reader *r)
{
    gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, 0, 0, "%s", gtm_err_text(GTM_ENOMEM));
}

static struct gtm_yaml_node *new_node(struct reader *r, enum gtm_yaml_kind kind, yaml_mark_t mark)
{
    if (++r->nodes > GTM_YAML_MAX_NODES) {
        gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, MARK_LINE(mark), MARK_COL(mark),
                      "more than %u values", GTM_YAML_MAX_NODES);
        return NULL;
    }
    struct gtm_yaml_node *node =
        arena_alloc(r->yaml, sizeof(*node), _Alignof(struct gtm_yaml_node));
    if (!node) {
        no_memory(r);
        return NULL;
    }
    *node = (struct gtm_yaml_node){.kind = kind, .line = MARK_LINE(mark), .col = MARK_COL(mark)};
    return node;
}

static const char *copy_text(struct reader *r, const void *text, size_t len)
{
    char *copy = arena_alloc(r->yaml, len + 1, 1);
    if (!copy) {
        no_memory(r);
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* Anchors and tags are refused wherever they stand. */
static void check_properties(struct reader *r, const yaml_event_t *event, const void *anchor,
                             const void *tag)
{
    if (anchor)
        report(r, event->start_mark, "anchors (&name) are not allowed: write the value out");
    if (tag)
        report(r, event->start_mark, "tags (!name) are not allowed");
}

static struct gtm_yaml_node *read_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    check_properties(r, event, event->data.scalar.anchor, event->data.scalar.tag);
    struct gtm_yaml_node *node = new_node(r, GTM_YAML_SCALAR, event->start_mark);
    if (!node)
        return NULL;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (memchr(value, '\0', len)) {
        report(r, event->start_mark, "a text with a NUL character in it is not allowed");
        node->kind = GTM_YAML_BAD;
        return node;
    }
    node->text = copy_text(r, value, len);
    node->len = len;
    return node->text ? node : NULL;
}

static struct gtm_yaml_node *read_node(struct reader *r, yaml_event_t *event, unsigned depth);

static struct gtm_yaml_node *read_list(struct reader *r, const yaml_event_t *start, unsigned depth)
{
    check_properties(r, start, start->data.sequence_start.anchor, start->data.sequence_start.tag);
    struct gtm_yaml_node *list = new_node(r, GTM_YAML_LIST, start->start_mark);
    struct gtm_yaml_node **tail = list ? &list->first : NULL;
    while (list) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return NULL;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        struct gtm_yaml_node *child = read_node(r, &event, depth + 1);
        yaml_event_delete(&event);
        if (!child)
            return NULL;
        child->index = (unsigned)list->count++;
        *tail = child;
        tail = &child->next;
    }
    return list;
}

struct key {
    const char *text; /* NULL when it was refused */
    unsigned line, col;
};

/* Reads a key whose event is at hand; false ends the parse. */
static bool read_key(struct reader *r, yaml_event_t *event, unsigned depth, struct key *ret_key)
{
    *ret_key =
        (struct key){.line = MARK_LINE(event->start_mark), .col = MARK_COL(event->start_mark)};
    if (event->type != YAML_SCALAR_EVENT) {
        report(r, event->start_mark, "a key must be a plain word");
        return read_node(r, event, depth + 1) != NULL;
    }
    check_properties(r, event, event->data.scalar.anchor, event->data.scalar.tag);
    const void *text = event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (len == 0 || len > KEY_MAX_BYTES || memchr(text, '\0', len)) {
        report(r, event->start_mark,
               len == 0 ? "a key is missing before ':'" : "a key must be a plain word");
        return true;
    }
    ret_key->text = copy_text(r, text, len);
    return ret_key->text != NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct gtm_yaml_node *x = *(struct gtm_yaml_node *const *)a;
    const struct gtm_yaml_node *y = *(struct gtm_yaml_node *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void report_duplicate(struct reader *r, const struct gtm_yaml_node *node, unsigned first)
{
    gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, node->key_line, node->key_col,
                  "duplicate key '%.100s' (first at line %u)", node->key, first);
    gtm_diags_set_width(r->diags, (unsigned)strlen(node->key));
}

/* Duplicates stay in the tree (gtm_yaml_get finds the first); the error alone refuses the file. */
static bool check_duplicates(struct reader *r, const struct gtm_yaml_node *map)
{
    if (map->count <= FEW_KEYS) {
        for (const struct gtm_yaml_node *n = map->first; n; n = n->next) {
            const struct gtm_yaml_node *m = map->first;
            while (m != n && strcmp(m->key, n->key) != 0)
                m = m->next;
            if (m != n)
                report_duplicate(r, n, m->key_line);
        }
        return true;
    }
    struct gtm_yaml_node **sorted = gtm_malloc(map->count * sizeof(struct gtm_yaml_node *));
    if (!sorted) {
        no_memory(r);
        return false;
    }
    size_t count = 0;
    for (struct gtm_yaml_node *n = map->first; n; n = n->next)
        sorted[count++] = n;
    qsort(sorted, count, sizeof(struct gtm_yaml_node *), by_key);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            report_duplicate(r, sorted[i], sorted[i - 1]->key_line);
    }
    gtm_free(sorted);
    return true;
}

/* One member whose key event is at hand; *ret_child is NULL when the key was refused. */
static bool read_member(struct reader *r, yaml_event_t *key_event, unsigned depth,
                        struct gtm_yaml_node **ret_child)
{
    struct key key;
    *ret_child = NULL;
    if (!read_key(r, key_event, depth, &key))
        return false;
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    struct gtm_yaml_node *child = read_node(r, &event, depth + 1);
    yaml_event_delete(&event);
    if (!child)
        return false;
    if (!key.text)
        return true;
    child->key = key.text;
    child->key_line = key.line;
    child->key_col = key.col;
    *ret_child = child;
    return true;
}

static struct gtm_yaml_node *read_map(struct reader *r, const yaml_event_t *start, unsigned depth)
{
    check_properties(r, start, start->data.mapping_start.anchor, start->data.mapping_start.tag);
    struct gtm_yaml_node *map = new_node(r, GTM_YAML_MAP, start->start_mark);
    struct gtm_yaml_node **tail = map ? &map->first : NULL;
    while (map) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return NULL;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return check_duplicates(r, map) ? map : NULL;
        }
        struct gtm_yaml_node *child;
        bool ok = read_member(r, &event, depth, &child);
        yaml_event_delete(&event);
        if (!ok)
            return NULL;
        if (child) {
            child->index = (unsigned)map->count++;
            *tail = child;
            tail = &child->next;
        }
    }
    return NULL;
}

/* The node whose first event is at hand; NULL ends the parse (reported). The recursion is bounded
 * by GTM_YAML_MAX_DEPTH. */
static struct gtm_yaml_node *read_node(struct reader *r, yaml_event_t *event, unsigned depth)
{
    if (depth > GTM_YAML_MAX_DEPTH) {
        gtm_diags_add(r->diags, GTM_SEV_ERROR, r->file, MARK_LINE(event->start_mark),
                      MARK_COL(event->start_mark), "nested deeper than %d levels",
                      GTM_YAML_MAX_DEPTH);
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return read_list(r, event, depth);
    case YAML_MAPPING_START_EVENT:
        return read_map(r, event, depth);
    case YAML_ALIAS_EVENT:
        report(r, event->start_mark, "aliases (*name) are not allowed: write the value out");
        return new_node(r, GTM_YAML_BAD, event->start_mark);
    default:
        report(r, event->start_mark, "unexpected YAML event");
        return NULL;
    }
}

static void check_directives(struct reader *r, const yaml_event_t *event)
{
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end)
        report(r, event->start_mark, "%TAG directives are not allowed");
}

/* The whole stream; false when there is no usable tree. */
static bool read_stream(struct reader *r, const struct gtm_yaml_node **ret_root)
{
    unsigned documents = 0;
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        yaml_event_type_t type = event.type;
        bool ok = true;
        if (type == YAML_DOCUMENT_START_EVENT) {
            check_directives(r, &event);
            if (++documents > 1)
                report(r, event.start_mark, "a second document ('---') is not allowed");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
                   type != YAML_STREAM_END_EVENT) {
            *ret_root = read_node(r, &event, 1);
            ok = *ret_root != NULL;
        }
        yaml_event_delete(&event);
        if (!ok)
            return false;
        if (type == YAML_STREAM_END_EVENT || documents > 1)
            return true;
    }
}

/* The place of the first byte that is not UTF-8; false when all is well. */
static bool find_bad_utf8(const char *text, size_t len, unsigned *ret_line, unsigned *ret_col)
{
    unsigned line = 1, col = 1;
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t step = c < 0x80 ? 1 : gtm_utf8_len(text + i, len - i);
        if (step == 0) {
            *ret_line = line;
            *ret_col = col;
            return true;
        }
        line += c == '\n';
        col = c == '\n' ? 1 : col + 1;
        i += step;
    }
    return false;
}

static bool check_bytes(const char *file, const char *text, size_t len, struct gtm_diags *diags)
{
    unsigned line, col;
    if (len > GTM_YAML_MAX_BYTES) {
        gtm_diags_add(diags, GTM_SEV_ERROR, file, 0, 0, "larger than %u MiB",
                      GTM_YAML_MAX_BYTES >> 20);
        return false;
    }
    if (find_bad_utf8(text, len, &line, &col)) {
        gtm_diags_add(diags, GTM_SEV_ERROR, file, line, col, "not valid UTF-8");
        return false;
    }
    return true;
}

struct gtm_yaml *gtm_yaml_parse(const char *file, const char *text, size_t len,
                                struct gtm_diags *diags, const struct gtm_yaml_node **ret_root)
{
    *ret_root = NULL;
    if (!check_bytes(file, text, len, diags))
        return NULL;
    struct reader r = {.file = file, .diags = diags, .text = text, .len = len};
    r.yaml = gtm_calloc(1, sizeof(*r.yaml));
    if (!r.yaml || !yaml_parser_initialize(&r.parser)) {
        no_memory(&r);
        gtm_free(r.yaml);
        return NULL;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    bool ok = read_stream(&r, ret_root);
    yaml_parser_delete(&r.parser);
    if (!ok) {
        *ret_root = NULL;
        gtm_yaml_free(r.yaml);
        return NULL;
    }
    return r.yaml;
}

const struct gtm_yaml_node *gtm_yaml_get(const struct gtm_yaml_node *node, const char *key)
{
    if (!node || node->kind != GTM_YAML_MAP)
        return NULL;
    for (const struct gtm_yaml_node *n = node->first; n; n = n->next) {
        if (strcmp(n->key, key) == 0)
            return n;
    }
    return NULL;
}

static bool is_plain(const struct gtm_yaml_node *node)
{
    return node && node->kind == GTM_YAML_SCALAR && !node->quoted;
}

static bool is_word(const struct gtm_yaml_node *node, const char *const words[], size_t count)
{
    for (size_t i = 0; is_plain(node) && i < count; i++) {
        if (strcmp(node->text, words[i]) == 0)
            return true;
    }
    return false;
}

bool gtm_yaml_is_null(const struct gtm_yaml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return is_word(node, words, sizeof(words) / sizeof(words[0]));
}

bool gtm_yaml_is_bool(const struct gtm_yaml_node *node)
{
    static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    return is_word(node, words, sizeof(words) / sizeof(words[0]));
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* YAML 1.2 section 10.3.2: decimal, 0o octal, 0x hexadecimal, floats, .inf and .nan. */
bool gtm_yaml_is_number(const struct gtm_yaml_node *node)
{
    static const char *const special[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    if (!is_plain(node) || node->len == 0)
        return false;
    const char *s = node->text;
    if (s[0] == '0' && s[1] == 'o')
        return s[2] && s[2 + strspn(s + 2, "01234567")] == '\0';
    if (s[0] == '0' && s[1] == 'x')
        return s[2] && s[2 + strspn(s + 2, "0123456789abcdefABCDEF")] == '\0';
    s += s[0] == '+' || s[0] == '-';
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        if (strcmp(s, special[i]) == 0)
            return true;
    }
    size_t whole = digits(s), fraction = 0;
    s += whole;
    if (*s == '.') {
        fraction = digits(s + 1);
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        if (digits(s) == 0)
            return false;
        s += digits(s);
    }
    return *s == '\0';
}
