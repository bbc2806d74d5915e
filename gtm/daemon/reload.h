/* SPDX-License-Identifier: Apache-2.0
 *
 * From files to answers: reads the node file, the intent and the geography, compiles them on a
 * helper thread, and installs the result whole or not at all. The start uses it too. One runs at a
 * time; requests that come meanwhile share the next. Databases and zone files are watched: a
 * changed file is loaded by itself, a zone file without anything else. The control thread only.
 *
 * Failure modes: a wrong file keeps everything as it is; all findings are kept for `problems`. A
 * geography database that is missing or broken keeps the last good one; with none, every client is
 * at the unknown place, and the policies' default order decides.
 */
#ifndef GTM_DAEMON_RELOAD_H
#define GTM_DAEMON_RELOAD_H

#include "gtm/base/diag.h"
#include "gtm/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct gtmd;
struct gtm_reload;

struct gtm_reload_result {
    int code;                      /* 0 = installed (or would be), GTM_EPARSE = findings, … */
    bool changed;                  /* the intent differs from the one before */
    const struct gtm_diags *diags; /* all findings */
    const char *sha256;            /* of the intent read; "" when it could not be */
};
typedef void (*gtm_reload_done_fn)(void *arg, const struct gtm_reload_result *result);

/* What the last attempts came to. */
struct gtm_reload_status {
    bool config_ok;         /* the last reload of the configuration went well */
    int64_t config_ok_ms;   /* Unix time of the last that did */
    int64_t config_fail_ms; /* since when not */
    char config_error[512]; /* its first finding */
    bool geo_ok;            /* the databases as they are now are in force */
    int64_t geo_fail_ms;
    char geo_error[512];
    bool running;
};

struct gtm_reload *gtm_reload_new(struct gtmd *d); /* NULL: out of memory */
void gtm_reload_free(struct gtm_reload *reload);   /* NULL is fine */
/* A job is on a helper thread. */
bool gtm_reload_running(const struct gtm_reload *reload);

/* The start: compiles d->intent with the geography. When it fails the daemon stops with
 * GTMD_USAGE; when it is in force gtmd_serve is called. */
void gtm_reload_first(struct gtm_reload *reload);
/* The start of a process that replaces another: does the work of gtm_reload_first at once, waiting
 * for it; gtm_reload_first then only puts it in force. False: it cannot work, and the findings are
 * on standard error. */
bool gtm_reload_prepare(struct gtm_reload *reload);
/* The text of the intent's zone has changed: loads just that zone, soon. What is wrong with it is
 * kept for `problems`, and the old zone stays. */
void gtm_reload_zone(struct gtm_reload *reload, size_t zone);
/* What is wrong with the text of the zone as it is now, or what is doubtful (*ret_warning); NULL =
 * nothing. since: Unix time. */
const char *gtm_reload_zone_error(const struct gtm_reload *reload, size_t zone, bool *ret_warning,
                                  int64_t *ret_since_ms);
/* Reads everything again; dry = only checks. done (may be NULL) is called once, later. GTM_ELIMIT
 * when too many wait, GTM_ENOMEM. */
int gtm_reload_request(struct gtm_reload *reload, bool dry, gtm_reload_done_fn done,
                       void *arg) GTM_MUST_CHECK;
/* The same with the intent of this path (copied) instead of the one in force: a revision that came
 * from the cluster, or a proposal (dry). */
int gtm_reload_intent(struct gtm_reload *reload, const char *path, bool dry,
                      gtm_reload_done_fn done, void *arg) GTM_MUST_CHECK;
/* Serving again after a hand-over that failed: begins what came meanwhile. */
void gtm_reload_resume(struct gtm_reload *reload);
/* Compiles what is in force again: for what the compile reads besides the configuration, the pushed
 * tables of latencies. done and errors as in gtm_reload_request. */
int gtm_reload_again(struct gtm_reload *reload, gtm_reload_done_fn done, void *arg) GTM_MUST_CHECK;
const struct gtm_reload_status *gtm_reload_status(const struct gtm_reload *reload);

#endif
