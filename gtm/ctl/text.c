/* SPDX-License-Identifier: Apache-2.0
 *
 * Small pieces of text. See show.h.
 */
#include "gtm/base/utf8.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Unicode ---- */

struct range {
    uint32_t first, last;
};

/* Unicode 15: marks and joiners that take no column; East Asian wide and full width (UAX 11). */
static const struct range zero[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd},
                                    {0x064b, 0x065f}, {0x200b, 0x200d}, {0x20d0, 0x20f0},
                                    {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
static const struct range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
                                    {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
                                    {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe4f},
                                    {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                    {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
/* What steers a terminal or turns the reading direction. */
static const struct range steering[] = {{0x0000, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c},
                                        {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
                                        {0xfeff, 0xfeff}};
#define IN(table, c) in_ranges(table, sizeof(table) / sizeof((table)[0]), c)

static bool in_ranges(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* The code point at *text, which moves on; 0xfffd for a byte that starts none. */
static uint32_t next(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    size_t n = gtm_utf8_len(*text, strlen(*text) < 4 ? strlen(*text) : 4);
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};

    if (n == 0) {
        (*text)++;
        return 0xfffd;
    }
    uint32_t c = s[0] & lead[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3fu);
    *text += n;
    return c;
}

size_t ctl_width(const char *text)
{
    size_t columns = 0;

    while (*text != 0) {
        uint32_t c = next(&text);
        columns += IN(zero, c) ? 0 : IN(wide, c) ? 2 : 1;
    }
    return columns;
}

static void clean(struct gtm_buf *out, const char *text, bool lines)
{
    while (*text != 0) {
        const char *from = text;
        uint32_t c = next(&text);
        if ((IN(steering, c) && !(lines && c == '\n')) || (c == 0xfffd && text - from == 1))
            gtm_buf_addc(out, '?');
        else
            gtm_buf_add(out, from, (size_t)(text - from));
    }
}

void ctl_clean(struct gtm_buf *out, const char *text)
{
    clean(out, text, false);
}

void ctl_addf(struct gtm_buf *out, const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(out, text, true);
}

/* ---- times ---- */

const char *ctl_span(int64_t seconds, char out[CTL_AGE_BYTES])
{
    long long s = seconds < 0 ? 0 : (long long)seconds;

    if (s < 60)
        snprintf(out, CTL_AGE_BYTES, "%llds", s);
    else if (s < 3600)
        snprintf(out, CTL_AGE_BYTES, "%lldm%llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, CTL_AGE_BYTES, "%lldh%lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, CTL_AGE_BYTES, "%lldd%lldh", s / 86400, s / 3600 % 24);
    return out;
}

const char *ctl_age(const char *rfc3339, int64_t now_ms, char out[CTL_AGE_BYTES])
{
    struct tm tm = {0};

    if (rfc3339 == NULL || strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        return "-";
    return ctl_span(now_ms / 1000 - (int64_t)timegm(&tm), out);
}

const char *ctl_left(const char *rfc3339, int64_t now_ms, char out[CTL_AGE_BYTES])
{
    struct tm tm = {0};

    if (rfc3339 == NULL || strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        return "-";
    int64_t left = (int64_t)timegm(&tm) - now_ms / 1000;
    return left > 0 ? ctl_span(left, out) : "over";
}

/* ---- colours ---- */

const char *ctl_colour(const struct ctl *ctl, const char *word)
{
    static const struct {
        const char *word, *code;
    } colours[] = {{"up", "\033[32m"},       {"down", "\033[31m"},    {"critical", "\033[31m"},
                   {"degraded", "\033[33m"}, {"drain", "\033[33m"},   {"warning", "\033[33m"},
                   {"mixed", "\033[33m"},    {"error", "\033[31m"},   {"unknown", "\033[36m"},
                   {"note", "\033[36m"},     {"expired", "\033[31m"}, {"waiting", "\033[33m"}};

    for (size_t i = 0; ctl->colour && word != NULL && i < sizeof(colours) / sizeof(colours[0]); i++)
        if (strcmp(word, colours[i].word) == 0)
            return colours[i].code;
    return "";
}

void ctl_add_word(const struct ctl *ctl, struct gtm_buf *out, const char *word)
{
    const char *colour = ctl_colour(ctl, word);

    gtm_buf_adds(out, colour);
    ctl_clean(out, word);
    gtm_buf_adds(out, colour[0] != 0 ? "\033[0m" : "");
}

int ctl_put(struct gtm_buf *out)
{
    bool failed = out->failed;

    if (!failed && out->len > 0)
        fwrite(out->data, 1, out->len, stdout); /* main checks the stream */
    gtm_buf_fini(out);
    *out = (struct gtm_buf){0};
    if (failed)
        ctl_error("out of memory");
    return failed ? CTL_FAILED : CTL_OK;
}
