/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts and words of error codes and the formatting of struct gtm_error. See err.h; any thread.
 */
#include "gtm/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *gtm_err_text(int code)
{
    switch (code) {
    case GTM_OK:
        return "success";
#define GTM_ERR_TEXT(name, value, text) \
    case name:                          \
        return text;
        GTM_ERR_LIST(GTM_ERR_TEXT)
#undef GTM_ERR_TEXT
    default:
        return "unknown error";
    }
}

/* The words are written out because clients depend on them: renaming a code must not rename its
 * word. */
static const char *word_of(enum gtm_err code)
{
    switch (code) {
    case GTM_OK:
        return "ok";
    case GTM_ENOMEM:
        return "nomem";
    case GTM_EINVAL:
        return "inval";
    case GTM_ENOTFOUND:
        return "notfound";
    case GTM_EEXIST:
        return "exist";
    case GTM_EIO:
        return "io";
    case GTM_EPARSE:
        return "parse";
    case GTM_ERANGE:
        return "range";
    case GTM_ELIMIT:
        return "limit";
    case GTM_ETIMEOUT:
        return "timeout";
    case GTM_ECONFLICT:
        return "conflict";
    case GTM_EBLOCKED:
        return "blocked";
    case GTM_EDENIED:
        return "denied";
    case GTM_EUNREACHABLE:
        return "unreachable";
    case GTM_ESTATE:
        return "state";
    case GTM_EUNSUPPORTED:
        return "unsupported";
    case GTM_ECORRUPT:
        return "corrupt";
    case GTM_ENOSPACE:
        return "nospace";
    }
    return "unknown";
}

const char *gtm_err_word(int code)
{
    return word_of((enum gtm_err)code);
}

int gtm_err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return GTM_OK;
    case ENOMEM:
        return GTM_ENOMEM;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return GTM_EINVAL;
    case ENOENT:
        return GTM_ENOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return GTM_EEXIST;
    case ERANGE:
    case EOVERFLOW:
        return GTM_ERANGE;
    case EMFILE:
    case ENFILE:
    case E2BIG:
    case EFBIG:
        return GTM_ELIMIT;
    case ETIMEDOUT:
        return GTM_ETIMEOUT;
    case EACCES:
    case EPERM:
    case EROFS:
        return GTM_EDENIED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ECONNRESET:
        return GTM_EUNREACHABLE;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return GTM_EUNSUPPORTED;
    case ENOSPC:
    case EDQUOT:
        return GTM_ENOSPACE;
    default:
        return GTM_EIO;
    }
}

/* Cuts like snprintf, but never inside a UTF-8 sequence: these texts end up in JSON. */
static void trim_partial_utf8(char *s, size_t room, int wanted)
{
    if (wanted < 0 || (size_t)wanted < room)
        return;
    size_t end = strlen(s), start = end;
    while (start > 0 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)s[start - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (end - (start - 1) < need)
        s[start - 1] = '\0';
}

static void put_text(struct gtm_error *err, const char *fmt, va_list args)
{
    int wanted = vsnprintf(err->text, sizeof(err->text), fmt, args);
    trim_partial_utf8(err->text, sizeof(err->text), wanted);
}

int gtm_error_set(struct gtm_error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, fmt);
    put_text(err, fmt, args);
    va_end(args);
    err->code = code;
    err->line = err->col = 0;
    err->file[0] = '\0';
    return code;
}

int gtm_error_at(struct gtm_error *err, int code, const char *file, unsigned line, unsigned col,
                 const char *fmt, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, fmt);
    put_text(err, fmt, args);
    va_end(args);
    err->code = code;
    err->line = line;
    err->col = col;
    int wanted = snprintf(err->file, sizeof(err->file), "%s", file ? file : "");
    trim_partial_utf8(err->file, sizeof(err->file), wanted);
    return code;
}

void gtm_error_wrap(struct gtm_error *err, const char *fmt, ...)
{
    if (!err)
        return;
    char old[GTM_ERROR_TEXT_BYTES];
    memcpy(old, err->text, sizeof(old));
    va_list args;
    va_start(args, fmt);
    put_text(err, fmt, args);
    va_end(args);
    size_t len = strlen(err->text);
    int wanted = snprintf(err->text + len, sizeof(err->text) - len, ": %s", old);
    trim_partial_utf8(err->text, sizeof(err->text) - len, wanted);
}

const char *gtm_error_format(const struct gtm_error *err, char *out, size_t out_bytes)
{
    const char *text = err->text[0] ? err->text : gtm_err_text(err->code);
    int wanted;
    if (err->file[0] && err->line && err->col)
        wanted = snprintf(out, out_bytes, "%s:%u:%u: %s", err->file, err->line, err->col, text);
    else if (err->file[0] && err->line)
        wanted = snprintf(out, out_bytes, "%s:%u: %s", err->file, err->line, text);
    else if (err->file[0])
        wanted = snprintf(out, out_bytes, "%s: %s", err->file, text);
    else if (err->line && err->col)
        wanted = snprintf(out, out_bytes, "%u:%u: %s", err->line, err->col, text);
    else if (err->line)
        wanted = snprintf(out, out_bytes, "line %u: %s", err->line, text);
    else
        wanted = snprintf(out, out_bytes, "%s", text);
    if (out_bytes > 0)
        trim_partial_utf8(out, out_bytes, wanted);
    return out;
}
