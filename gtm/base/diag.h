/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded list of findings about operator input (YAML, zone files), so that all errors of a file
 * are reported at once. Not thread-safe; one list belongs to one parse.
 */
#ifndef GTM_BASE_DIAG_H
#define GTM_BASE_DIAG_H

#include "gtm/base/err.h"

#include <stddef.h>
#include <stdio.h>

#define GTM_DIAG_MAX 200 /* findings kept; further ones are only counted */

enum gtm_severity { GTM_SEV_ERROR = 0, GTM_SEV_WARNING, GTM_SEV_NOTE };

struct gtm_diag {
    enum gtm_severity severity;
    char *file; /* owned by the list; "" when unknown */
    unsigned line, col;
    unsigned width; /* columns to underline, 0 = unknown */
    char *text;     /* owned by the list */
};

/* Zero-initialise, then gtm_diags_fini. */
struct gtm_diags {
    struct gtm_diag *items;
    size_t count, cap;
    size_t errors, warnings; /* all seen, also those beyond GTM_DIAG_MAX */
};

/* Adds a finding; an allocation failure still counts it. Borrows file. */
void gtm_diags_add(struct gtm_diags *diags, enum gtm_severity severity, const char *file,
                   unsigned line, unsigned col, const char *fmt, ...) GTM_PRINTF(6, 7);

/* Underlines `width` columns of the finding added last. */
void gtm_diags_set_width(struct gtm_diags *diags, unsigned width);

/* Prints each as `file:line:col: error: text`; when the file can be read, also its line and a
 * `^~~~` mark under the place. */
void gtm_diags_print(const struct gtm_diags *diags, FILE *out);

/* Copies the first error into err (code GTM_EPARSE) with " (and N more)" when there are several. */
void gtm_diags_first(const struct gtm_diags *diags, struct gtm_error *err);

void gtm_diags_fini(struct gtm_diags *diags);

#endif
