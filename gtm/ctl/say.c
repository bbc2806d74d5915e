/* SPDX-License-Identifier: Apache-2.0
 *
 * See say.h.
 */
#include "gtm/ctl/say.h"

#include "gtm/ctl/show.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void say(const char *before, const char *fmt, va_list ap)
{
    struct gtm_buf text = {0};
    char plain[2048];

    vsnprintf(plain, sizeof(plain), fmt, ap);
    ctl_clean(&text, plain);
    fprintf(stderr, "%s%s\n", before, text.data != NULL ? text.data : "");
    gtm_buf_fini(&text);
}

void ctl_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("gtmctl: ", fmt, ap);
    va_end(ap);
}

void ctl_hint(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("  ", fmt, ap);
    va_end(ap);
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
    va_list ap;

    if (!ctl->verbose)
        return;
    va_start(ap, fmt);
    say("gtmctl: ", fmt, ap);
    va_end(ap);
}

int ctl_confirm(const struct ctl *ctl)
{
    char line[16];

    if (ctl->yes)
        return CTL_OK;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        ctl_error("nothing was changed: this needs --yes when there is no terminal to ask on");
        return CTL_USAGE;
    }
    fputs("Go on? [y/N] ", stderr);
    fflush(stderr);
    if (fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y'))
        return CTL_OK;
    ctl_error("nothing was changed");
    return CTL_FAILED;
}

static const char *const severities[] = {"error", "warning", "note"};

void ctl_tell_findings(const struct gtm_json *list)
{
    struct gtm_diags diags = {0};

    for (const struct gtm_json *f = gtm_json_first(list); f != NULL; f = gtm_json_next(f)) {
        const char *word = gtm_json_str(f, "severity", "error");
        enum gtm_severity severity = GTM_SEV_ERROR;
        struct gtm_buf text = {0};
        for (unsigned i = 0; i < 3; i++)
            if (strcmp(word, severities[i]) == 0)
                severity = (enum gtm_severity)i;
        const char *message = gtm_json_as_str(f);
        ctl_clean(&text, message != NULL ? message : gtm_json_str(f, "message", "?"));
        gtm_diags_add(&diags, severity, gtm_json_str(f, "file", ""),
                      (unsigned)gtm_json_i64(f, "line", 0), (unsigned)gtm_json_i64(f, "column", 0),
                      "%s", text.data != NULL ? text.data : "?");
        gtm_diags_set_width(&diags, (unsigned)gtm_json_i64(f, "width", 0));
        gtm_buf_fini(&text);
    }
    gtm_diags_print(&diags, stderr);
    gtm_diags_fini(&diags);
}

struct gtm_json *ctl_findings_json(const struct gtm_diags *diags)
{
    struct gtm_json *list = gtm_json_array();

    for (size_t i = 0; i < diags->count; i++) {
        const struct gtm_diag *d = &diags->items[i];
        struct gtm_json *one = gtm_json_append_object(list);
        gtm_json_add_str(one, "severity", severities[d->severity]);
        gtm_json_add_str(one, "file", d->file != NULL ? d->file : "");
        gtm_json_add_i64(one, "line", d->line);
        gtm_json_add_i64(one, "column", d->col);
        gtm_json_add_i64(one, "width", d->width);
        gtm_json_add_str(one, "message", d->text != NULL ? d->text : "");
    }
    return list;
}

void ctl_tell_rules(const struct gtm_json *list)
{
    for (const struct gtm_json *r = gtm_json_first(list); r != NULL; r = gtm_json_next(r))
        if (strcmp(gtm_json_str(r, "state", "ok"), "ok") != 0)
            ctl_hint("rule %s: %s: %s", gtm_json_str(r, "name", "?"), gtm_json_str(r, "state", "?"),
                     gtm_json_str(r, "text", ""));
}
