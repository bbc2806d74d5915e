/* SPDX-License-Identifier: Apache-2.0
 *
 * See offline.h.
 */
#include "gtm/ctl/offline.h"

#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <stdio.h>

#define STDIN_MAX_BYTES (64u << 20)

int ctl_conclude(const struct ctl *ctl, const struct ctl_verdict *verdict, struct gtm_json *facts,
                 struct gtm_diags *diags)
{
    struct gtm_json *root = ctl_envelope(verdict->kind, NULL);
    struct gtm_buf out = {0};
    int rc = CTL_OK;

    gtm_json_add_bool(facts, "valid", verdict->ok);
    gtm_json_add_i64(facts, "errors", (int64_t)diags->errors);
    gtm_json_add_i64(facts, "warnings", (int64_t)diags->warnings);
    gtm_json_add(facts, "diagnostics", ctl_findings_json(diags));
    gtm_json_add(root, "item", facts);
    gtm_diags_print(diags, stderr);
    if (ctl_machine(ctl)) {
        rc = ctl_show_machine(ctl, root);
    } else if (verdict->ok) {
        ctl_addf(&out, "%s: ok%s", verdict->subject, verdict->more != NULL ? verdict->more : "");
        if (diags->warnings > 0)
            gtm_buf_addf(&out, ", %zu warning%s", diags->warnings, diags->warnings == 1 ? "" : "s");
        gtm_buf_addc(&out, '\n');
        rc = ctl_put(&out);
    }
    if (!verdict->ok)
        ctl_error("%s: %zu error%s", verdict->subject, diags->errors,
                  diags->errors == 1 ? "" : "s");
    gtm_diags_fini(diags);
    gtm_json_free(root);
    return rc == CTL_OK && verdict->ok ? CTL_OK : CTL_FAILED;
}

char *ctl_read_stdin(size_t *ret_len)
{
    struct gtm_buf buf = {0};
    char chunk[65536];
    size_t n;

    while (buf.len <= STDIN_MAX_BYTES && (n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
        gtm_buf_add(&buf, chunk, n);
    if (ferror(stdin) || buf.failed || buf.len > STDIN_MAX_BYTES) {
        ctl_error("standard input: %s", ferror(stdin) ? "cannot be read"
                                        : buf.failed  ? "out of memory"
                                                      : "larger than 64 MiB");
        gtm_buf_fini(&buf);
        return NULL;
    }
    *ret_len = buf.len;
    gtm_buf_adds(&buf, "");
    return gtm_buf_take(&buf);
}
