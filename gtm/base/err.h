/* SPDX-License-Identifier: Apache-2.0
 *
 * Error codes with a text and a place. Functions return 0 or a negative GTM_E* code; those that
 * meet outside input (files, packets, configuration) also fill a caller's struct gtm_error. Pure,
 * thread-safe, no allocation.
 */
#ifndef GTM_BASE_ERR_H
#define GTM_BASE_ERR_H

#include <stddef.h>

#define GTM_MUST_CHECK        __attribute__((warn_unused_result))
#define GTM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define GTM_ERR_LIST(X)                                       \
    X(GTM_ENOMEM, -1001, "out of memory")                     \
    X(GTM_EINVAL, -1002, "invalid argument or value")         \
    X(GTM_ENOTFOUND, -1003, "not found")                      \
    X(GTM_EEXIST, -1004, "already exists")                    \
    X(GTM_EIO, -1005, "input/output error")                   \
    X(GTM_EPARSE, -1006, "cannot be parsed")                  \
    X(GTM_ERANGE, -1007, "out of range")                      \
    X(GTM_ELIMIT, -1008, "limit exceeded")                    \
    X(GTM_ETIMEOUT, -1009, "timed out")                       \
    X(GTM_ECONFLICT, -1010, "conflict with a newer revision") \
    X(GTM_EBLOCKED, -1011, "blocked by a rule")               \
    X(GTM_EDENIED, -1012, "not allowed")                      \
    X(GTM_EUNREACHABLE, -1013, "cannot be reached")           \
    X(GTM_ESTATE, -1014, "not possible in this state")        \
    X(GTM_EUNSUPPORTED, -1015, "not supported")               \
    X(GTM_ECORRUPT, -1016, "damaged data")                    \
    X(GTM_ENOSPACE, -1017, "no space left on the device")

enum gtm_err {
    GTM_OK = 0,
#define GTM_ERR_ENUM(name, value, text) name = value,
    GTM_ERR_LIST(GTM_ERR_ENUM)
#undef GTM_ERR_ENUM
};

#define GTM_ERROR_TEXT_BYTES 512
#define GTM_ERROR_FILE_BYTES 256

/* A failure with its place. Zero-initialise before use; line and col are 1-based, 0 = unknown. */
struct gtm_error {
    int code;
    unsigned line, col;
    char file[GTM_ERROR_FILE_BYTES];
    char text[GTM_ERROR_TEXT_BYTES];
};

/* The fixed text of a code ("out of memory"); never NULL, "unknown error" for others. */
const char *gtm_err_text(int code);

/* The code's stable lower-case word for the API and logs ("nomem", "notfound"). Never NULL. */
const char *gtm_err_word(int code);

/* Maps an errno value to a GTM_E* code (ENOSPC → GTM_ENOSPACE, ENOENT → GTM_ENOTFOUND, …). */
int gtm_err_from_errno(int errnum);

/* Fills err (may be NULL) without a place; returns code, so that `return gtm_error_set(...)` works.
 * Text longer than the field is cut. */
int gtm_error_set(struct gtm_error *err, int code, const char *fmt, ...) GTM_PRINTF(3, 4);

/* The same with a place; file may be NULL. */
int gtm_error_at(struct gtm_error *err, int code, const char *file, unsigned line, unsigned col,
                 const char *fmt, ...) GTM_PRINTF(6, 7);

/* Puts `context: ` before the text, keeping code and place. */
void gtm_error_wrap(struct gtm_error *err, const char *fmt, ...) GTM_PRINTF(2, 3);

/* Writes "file:line:col: text" (as much as is known) to out; returns out. */
const char *gtm_error_format(const struct gtm_error *err, char *out, size_t out_bytes);

#endif
