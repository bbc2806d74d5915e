/* SPDX-License-Identifier: Apache-2.0
 *
 * How the commands that check files without gtmd end. One thread.
 */
#ifndef GTM_CTL_OFFLINE_H
#define GTM_CTL_OFFLINE_H

#include "gtm/base/diag.h"
#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"

struct ctl_verdict {
    const char *kind;    /* of the envelope: "Validation" */
    const char *subject; /* "cluster.yaml" */
    bool ok;
    const char *more; /* ", serial 5, …" behind "ok", or NULL */
};

/* Prints the findings on standard error and the verdict on standard output: one line, or an
 * envelope with the facts (taken) and the findings. Frees what diags holds. CTL_OK or CTL_FAILED.
 */
int ctl_conclude(const struct ctl *ctl, const struct ctl_verdict *verdict, struct gtm_json *facts,
                 struct gtm_diags *diags);

/* Standard input, at most 64 MiB, as a new text (gtm_free); NULL after having said why not. */
char *ctl_read_stdin(size_t *ret_len);

#endif
