/* SPDX-License-Identifier: Apache-2.0
 *
 * Notes, questions and small pieces of text.
 */
#include "gtm/ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void ctl_error(const char *fmt, ...)
{
    va_list ap;

    fputs("gtmctl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
    va_list ap;

    if (!ctl->verbose)
        return;
    fputs("gtmctl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool ctl_confirm(const struct ctl *ctl, const char *question)
{
    char line[16];

    if (ctl->yes)
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        ctl_error("%s This needs --yes when there is nobody to ask.", question);
        return false;
    }
    fprintf(stderr, "%s Go on? [y/N] ", question);
    fflush(stderr);
    return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

const char *ctl_age(const char *rfc3339, char out[32])
{
    struct tm tm = {0};

    if (rfc3339 == NULL || strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        return "-";
    long long s = (long long)time(NULL) - (long long)timegm(&tm);
    if (s < 0)
        s = 0;
    if (s < 60)
        snprintf(out, 32, "%llds", s);
    else if (s < 3600)
        snprintf(out, 32, "%lldm%llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 32, "%lldh%lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%lldd%lldh", s / 86400, s / 3600 % 24);
    return out;
}

const char *ctl_colour(const struct ctl *ctl, const char *word)
{
    static const struct {
        const char *word, *code;
    } colours[] = {{"up", "\033[32m"},       {"down", "\033[31m"},  {"critical", "\033[31m"},
                   {"degraded", "\033[33m"}, {"drain", "\033[33m"}, {"warning", "\033[33m"},
                   {"unknown", "\033[36m"},  {"note", "\033[36m"}};

    for (size_t i = 0; ctl->colour && word != NULL && i < sizeof(colours) / sizeof(colours[0]); i++)
        if (strcmp(word, colours[i].word) == 0)
            return colours[i].code;
    return "";
}

const char *ctl_colour_end(const struct ctl *ctl)
{
    return ctl->colour ? "\033[0m" : "";
}
