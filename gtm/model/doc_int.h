/* SPDX-License-Identifier: Apache-2.0
 *
 * What the codecs of documents in the store share (obs.c, verdict_doc.c): texts, numbers and
 * members with their bounds. Errors name the member. Pure; any thread.
 */
#ifndef GTM_MODEL_DOC_INT_H
#define GTM_MODEL_DOC_INT_H

#include "gtm/base/json.h"
#include "gtm/model/states.h"

/* Where the texts of a document go: none is longer than where it stood in it, quotes included. */
struct gtm__doc_texts {
    char *at, *end;
};

/* The bytes of s that fit into `room` with the NUL, without cutting a character. s may be NULL. */
size_t gtm__doc_fit(const char *s, size_t room);
/* Appends s as a JSON string, at most room - 1 bytes of it also when it is repaired. NULL = "". */
void gtm__doc_quote(struct gtm_buf *buf, const char *s, size_t room);
/* ,"key":value */
void gtm__doc_add_i64(struct gtm_buf *buf, const char *key, int64_t value);
/* A name of an object: UTF-8, 1 to GTM_NAME_MAX bytes. */
bool gtm__doc_name_ok(const char *name);
/* A family's key ("4" or "6") and back; -1 for others. */
const char *gtm__doc_family(unsigned family);
int gtm__doc_family_of(const char *key);

/* Appends what print writes: all of it, or, when that is more than max bytes, what it writes
 * without its texts. Nothing, and GTM_ELIMIT, when that is too long, too; GTM_ENOMEM. */
int gtm__doc_print(struct gtm_buf *buf, size_t max,
                   void (*print)(struct gtm_buf *buf, const void *arg, bool texts),
                   const void *arg);

/* Parses the text of a document of at most `max` bytes whose "v" is no higher than `format`. `what`
 * is for the errors. NULL: *ret_rc has the code. */
struct gtm_json *gtm__doc_parse(const char *text, size_t len, size_t max, int64_t format,
                                const char *what, int *ret_rc, struct gtm_error *err);
/* A copy in the document's texts, cut to room - 1 bytes. */
const char *gtm__doc_keep(struct gtm__doc_texts *texts, const char *s, size_t room);

/* Members that must be there: GTM_EPARSE. */
int gtm__doc_i64(const struct gtm_json *object, const char *key, int64_t *ret,
                 struct gtm_error *err);
int gtm__doc_name(const struct gtm_json *object, const char *key, char *out, size_t out_bytes,
                  struct gtm_error *err);
/* Members that may be absent (then *ret stays), but not of another type. */
int gtm__doc_bool(const struct gtm_json *object, const char *key, bool *ret, struct gtm_error *err);
/* An integer from 0 to max. */
int gtm__doc_uint(const struct gtm_json *value, const char *name, int64_t max, int64_t *ret,
                  struct gtm_error *err);
/* An object or an array, or none (then NULL and GTM_OK). */
int gtm__doc_member(const struct gtm_json *object, const char *key, enum gtm_json_type type,
                    const struct gtm_json **ret, struct gtm_error *err);

#endif
