/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration by tables: one declarative table per kind of object says which keys it has, what
 * they hold, their bounds, defaults and one line of documentation. The same table parses YAML into
 * C structs (all faults of a file at once), is exported as JSON Schema, writes the reference and
 * frees what was parsed. It knows no kind of gtm by itself. One parse belongs to one thread; tables
 * are constant.
 */
#ifndef GTM_MODEL_SCHEMA_H
#define GTM_MODEL_SCHEMA_H

#include "gtm/base/buf.h"
#include "gtm/base/diag.h"
#include "gtm/base/json.h"
#include "gtm/model/intent.h"
#include "gtm/model/yaml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GTM_SCHEMA_FIELDS_MAX 64   /* of one table */
#define GTM_SCHEMA_TEXT_MAX   1024 /* characters of a string whose field gives no maximum */

enum gtm_field_type {
    GTM_T_STRING = 0, /* char *; min..max characters */
    GTM_T_BOOL,       /* bool */
    GTM_T_UINT,       /* unsigned of `size` bytes; min..max; words[i], if any, stands for i */
    GTM_T_NUMBER,     /* double; min..max */
    GTM_T_RATIO,      /* double; 0.3 or "30%"; min..max */
    GTM_T_DURATION,   /* unsigned of `size` bytes in ms (GTM_F_SECONDS: whole s); min..max in ms */
    GTM_T_ENUM,       /* enum; one of words */
    GTM_T_FORM,       /* text with a form of its own */
    GTM_T_REF,        /* unsigned: the index of the named object of kind `ref` */
    GTM_T_SECRET,     /* char *: the path of {file: PATH} */
    GTM_T_LISTEN,     /* struct gtm_listen: "host:port" or {address, port} */
    GTM_T_POINT,      /* two doubles: [latitude, longitude] */
    GTM_T_OBJECT,     /* a struct described by `table` */
    GTM_T_LIST,       /* pointer + count of `item`; min..max elements */
    GTM_T_MAP         /* free keys (or names of kind `ref`) with values `item`; never stored in C */
};

#define GTM_F_REQUIRED 1u   /* must be given */
#define GTM_F_SINGLE   2u   /* a list that may be written as its only element */
#define GTM_F_SECONDS  4u   /* a duration in whole seconds */
#define GTM_F_NAMED    8u   /* a list whose elements' `name`s differ; registered under `ref` */
#define GTM_F_DEFAULTS 16u  /* an object that is filled with its defaults when it is absent */
#define GTM_F_KEEP     32u  /* also kept as JSON in gtm_parse.keep */
#define GTM_F_UNIQUE   128u /* a list whose scalars differ */
#define GTM_F_PARAM    64u  /* "$name" may stand for the value */

/* What names can refer to. */
enum gtm_ref_kind {
    GTM_REF_NONE = 0,
    GTM_REF_REGION,
    GTM_REF_MONITOR,
    GTM_REF_POOL,
    GTM_REF_POLICY,
    GTM_REF_ZONE,
    GTM_REF_GROUP,
    GTM_REF_RULE,
    GTM_REF_PLAN,
    GTM_REF_DRILL,
    GTM_REF_SIGNAL,
    GTM_REF_CALENDAR,
    GTM_REF_FLEET,
    GTM_REF_KEY,
    GTM_REF_ENDPOINT, /* "pool/endpoint"; stored into the struct gtm_target around the index */
    GTM_REF_KIND_COUNT
};

/* A form of text. parse checks, and writes `size` bytes to out unless out is NULL; 0 or a GTM_E*
 * code with err->text completed to "… wants <what>" or saying more. Heap forms are kept as they
 * were written: parse gets no out. */
struct gtm_form {
    const char *what;    /* "a country code such as DE" */
    const char *pattern; /* for the JSON Schema; never refuses what parse takes */
    bool heap;
    int (*parse)(const char *text, void *out, struct gtm_error *err);
};

struct gtm_table;
struct gtm_field {
    const char *key, *doc;
    enum gtm_field_type type;
    unsigned flags;
    size_t offset, size; /* size 0 = checked, not stored; lists: of one element */
    size_t count_offset; /* lists: of the size_t */
    size_t has_offset;   /* of a bool that says "was given", 0 = none */
    double min, max;
    const char *def; /* as it would be written */
    const char *const *words;
    unsigned words_count;
    const struct gtm_table *table;
    const struct gtm_field *item;
    const struct gtm_form *form;
    enum gtm_ref_kind ref;
};

/* offset and size of a member, for the initialiser of a field. */
#define GTM_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* The same for a list: pointer member, count member. */
#define GTM_LIST_AT(type, member, count_member)                             \
    .offset = offsetof(type, member), .size = sizeof(*((type *)0)->member), \
    .count_offset = offsetof(type, count_member)
/* An object whose fields lie in the struct around it. */
#define GTM_INLINE      .offset = 0, .size = 1
#define GTM_WORDS(arr)  .words = (arr), .words_count = sizeof(arr) / sizeof((arr)[0])
#define GTM_FIELDS(arr) .fields = (arr), .fields_count = sizeof(arr) / sizeof((arr)[0])

struct gtm_parse;
struct gtm_table {
    const char *title; /* "pool", for messages */
    const struct gtm_field *fields;
    unsigned fields_count;
    size_t pos_offset;         /* of a struct gtm_srcpos, 0 = none */
    const char *const *one_of; /* exactly one of these keys, NULL-terminated; or NULL */
    /* Further checks of one object, called when it has no fault so far. obj may be NULL. */
    void (*check)(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj);
};

struct gtm_registry {
    struct gtm_map *index;  /* name → index + 1; NULL while empty */
    struct gtm_srcpos *pos; /* of each name, by index */
    size_t count;
};

#define GTM_UNRESOLVED 0xffffffffu /* an index whose name was not found (already reported) */

struct gtm_pending_ref {
    enum gtm_ref_kind kind;
    unsigned *out; /* or NULL */
    bool by_key;
    const struct gtm_yaml_node *node;
    const char *holder_title, *holder_name; /* who refers; name may be NULL */
};

/* One parse. Zero-initialise, set file and diags (and keep), then gtm_parse_fini. */
struct gtm_parse {
    const char *file;
    struct gtm_diags *diags;
    const char *local_dir; /* what files that stay on this node (secrets, certificates) are relative
                              to; NULL: the folder of `file`, like all others */
    struct gtm_json *keep; /* an object that receives GTM_F_KEEP members; borrowed, or NULL */
    size_t skipped;        /* values the reader refused */
    bool nomem;            /* sticky; the caller reports it once */
    const char *holder_title, *holder_name;
    const struct gtm_pool *pools; /* for GTM_REF_ENDPOINT, once they are parsed */
    struct gtm_pending_ref *refs;
    size_t refs_count, refs_cap;
    struct gtm_registry registries[GTM_REF_KIND_COUNT];
};
void gtm_parse_fini(struct gtm_parse *p);

/* Parses a map into base (zero-initialised; may be NULL) and out (a JSON object, or NULL).
 * Pointers inside base stay where they are until gtm_schema_fini, which references rely on. */
void gtm_schema_parse(struct gtm_parse *p, const struct gtm_table *table,
                      const struct gtm_yaml_node *node, void *base, struct gtm_json *out);
/* Fills in all references, reporting those to nothing. Call once, after everything was parsed. */
void gtm_schema_resolve(struct gtm_parse *p);
/* Frees what parsing stored in base, not base itself. */
void gtm_schema_fini(const struct gtm_table *table, void *base);

/* The JSON Schema of a table as an object of its own; NULL without memory. */
struct gtm_json *gtm_schema_export(const struct gtm_table *table, const char *title);
/* The reference of a table's keys, nested ones included. */
enum gtm_doc_format { GTM_DOC_TEXT = 0, GTM_DOC_ROFF };
void gtm_schema_doc(const struct gtm_table *table, enum gtm_doc_format format, struct gtm_buf *out);

/* --- for checks --- */
void gtm_parse_error(struct gtm_parse *p, const struct gtm_yaml_node *node, const char *fmt, ...)
    GTM_PRINTF(3, 4);
void gtm_parse_error_at(struct gtm_parse *p, struct gtm_srcpos pos, const char *fmt, ...)
    GTM_PRINTF(3, 4);
void gtm_parse_warn_at(struct gtm_parse *p, struct gtm_srcpos pos, const char *fmt, ...)
    GTM_PRINTF(3, 4);
/* At the key of a member. */
void gtm_parse_key_error(struct gtm_parse *p, const struct gtm_yaml_node *member, const char *fmt,
                         ...) GTM_PRINTF(3, 4);
/* The text of a scalar member, or fallback. */
const char *gtm_parse_text(const struct gtm_yaml_node *map, const char *key, const char *fallback);
/* Sorts the findings from the first-th on by their place. */
void gtm_parse_sort(struct gtm_diags *diags, size_t first);
/* Index of a registered name, or -1. */
int gtm_registry_find(const struct gtm_registry *registry, const char *name);

/* --- the parts of the engine --- */
/* Where a parsed value goes: memory, and a member or element of a JSON value. Each may be NULL. */
struct gtm_dest {
    void *at;
    struct gtm_json *json;
    const char *key; /* NULL = append to the array json */
};
/* A scalar, or a type that is written in a way of its own (secret, listen, point). */
void gtm_schema_scalar(struct gtm_parse *p, const struct gtm_field *field, const char *label,
                       const struct gtm_yaml_node *node, struct gtm_dest dest);
/* A reference by a scalar's text, or (by_key) by a member's key; *out, when given, is filled later.
 */
void gtm_schema_add_ref(struct gtm_parse *p, enum gtm_ref_kind kind,
                        const struct gtm_yaml_node *node, bool by_key, unsigned *out);
/* Checks that the names of a list's elements differ; keeps them when kind is not GTM_REF_NONE. */
void gtm_schema_register(struct gtm_parse *p, enum gtm_ref_kind kind,
                         const struct gtm_yaml_node *list, const char *title);
/* Reports scalars of a list that occur twice. */
void gtm_schema_check_unique(struct gtm_parse *p, const char *label,
                             const struct gtm_yaml_node *list);
/* "80", "0.5": a number without trailing zeros; returns out. */
const char *gtm_schema_number(double value, char out[32]);

#endif
