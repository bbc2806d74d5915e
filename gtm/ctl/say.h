/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes to standard error: errors, hints, notes, questions, findings. One thread. Text of
 * others is cleaned of what could steer a terminal.
 */
#ifndef GTM_CTL_SAY_H
#define GTM_CTL_SAY_H

#include "gtm/base/diag.h"
#include "gtm/base/json.h"
#include "gtm/ctl/ctl.h"

/* "gtmctl: …". */
void ctl_error(const char *fmt, ...) GTM_PRINTF(1, 2);
/* Two columns in, under an error. */
void ctl_hint(const char *fmt, ...) GTM_PRINTF(1, 2);
/* With -v only. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) GTM_PRINTF(2, 3);
/* Asks "Go on?" on the terminal after what was said; 0 = yes. With --yes nothing is asked. Without
 * a terminal: says that --yes is needed, CTL_USAGE. A no is CTL_FAILED. */
int ctl_confirm(const struct ctl *ctl);
/* The API's findings (file, line, column, …), with source lines where the file can be read. */
void ctl_tell_findings(const struct gtm_json *list);
/* What rules say that are not ok, a line each. */
void ctl_tell_rules(const struct gtm_json *list);
/* The same list as the API has it, from findings made here. Returns a new array. */
struct gtm_json *ctl_findings_json(const struct gtm_diags *diags);

#endif
