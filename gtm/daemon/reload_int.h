/* SPDX-License-Identifier: Apache-2.0
 *
 * What the units of reloading (gtm/daemon/reload*.c) share and nobody else includes.
 */
#ifndef GTM_DAEMON_RELOAD_INT_H
#define GTM_DAEMON_RELOAD_INT_H

#include "gtm/daemon/daemon.h"
#include "gtm/daemon/reload.h"

struct gtm__waiter {
    struct gtm__waiter *next;
    bool dry, again;
    char *path; /* of the intent; NULL: the usual one */
    gtm_reload_done_fn done;
    void *arg;
};

enum gtm__job_kind {
    GTM__JOB_FIRST = 0, /* the start */
    GTM__JOB_CONFIG,    /* node file, intent and what they name */
    GTM__JOB_AGAIN,     /* the same once more: another pushed table */
    GTM__JOB_GEO,       /* a changed database */
    GTM__JOB_ZONES      /* changed zone files */
};

/* All fields are the job's own while it is worked on. */
struct gtm__job {
    struct gtm_reload *reload;
    bool first, config, again, dry;
    char *node_path, *data_dir;
    const char *intent_path;   /* the first waiter's: to read instead of the usual, or NULL */
    struct gtm_node *node;     /* read again, or NULL */
    struct gtm_intent *intent; /* read again, or a reference on the present one */
    struct gtm_settings *settings;
    struct gtm_api_tls *api_tls; /* or NULL */
    char **paths;                /* databases when the node file is not read again */
    size_t paths_count;
    struct gtm_geo *geo; /* a reference on the present one, then what the compile used */
    bool geo_new, geo_failed;
    struct gtm_error geo_error;
    struct gtm_geo_print print; /* of the files that this job saw */
    struct gtm_compiled *previous, *compiled;
    size_t *zones; /* GTM__JOB_ZONES: indexes of the intent's zones, ascending */
    bool *zones_loaded;
    size_t zones_count;
    struct gtm_diags diags;
    struct gtm__waiter *waiters;
};

/* What is wrong with a zone's file, by index of the intent's zones. */
struct gtm__zone_note {
    bool due; /* its file changed */
    char *error, *warning;
    int64_t error_ms, warning_ms;
};

struct gtm_zonewatch;

struct gtm_reload {
    struct gtmd *d;
    struct gtm_timer *watch;
    struct gtm_reload_status status;
    bool geo_due;              /* a changed database was seen */
    struct gtm_geo_print seen; /* of the last load, also a failed one */
    struct gtm_geo_print pending;
    struct gtm__waiter *waiting;
    unsigned waiting_count;
    struct gtm__zone_note *zones; /* of the intent in force */
    size_t zones_count, zones_due;
    struct gtm_zonewatch *zonewatch; /* NULL: no inotify */
    struct gtm__job *prepared;       /* worked on before gtm_reload_first, or NULL */
};

/* reload_job.c */
struct gtm__job *gtm__job_new(struct gtm_reload *reload, enum gtm__job_kind kind);
void gtm__job_free(struct gtm__job *job); /* NULL is fine */
void gtm__job_work(void *job);            /* helper thread */
/* What the node file may not change without a restart. */
void gtm__job_check_node(struct gtm__job *job, const struct gtm_node *now);
void gtm__job_note_geo(struct gtm__job *job);
void gtm__job_note_config(struct gtm__job *job, int code);
/* Puts what the job made in force: all of it or nothing. */
int gtm__job_install(struct gtm__job *job);

/* reload_zones.c */
/* Moves the zones that are due into the job; false: out of memory. */
bool gtm__zones_take(struct gtm_reload *reload, struct gtm__job *job);
/* Helper thread: loads them. */
void gtm__zones_work(struct gtm__job *job);
/* Puts the loaded ones in force and notes what is wrong with the others. */
void gtm__zones_done(struct gtm__job *job);
/* Another intent or compile is in force: forgets notes, compares serials with those before, and
 * watches the files it names. */
void gtm__zones_follow(struct gtm_reload *reload, const struct gtm_compiled *before);
void gtm__zones_free(struct gtm_reload *reload);
/* reload.c: starts what is due, if nothing runs. */
void gtm__reload_next(struct gtm_reload *reload);

#endif
