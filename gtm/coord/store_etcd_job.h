/* SPDX-License-Identifier: Apache-2.0
 *
 * A long piece of work over the whole prefix: saving, restoring, or an operator's word whose store
 * this is. Between store_etcd_snapshot.c and store_etcd_restore.c; the loop's thread, but for what
 * a helper thread does with a job that nobody else touches meanwhile.
 */
#ifndef GTM_COORD_STORE_ETCD_JOB_H
#define GTM_COORD_STORE_ETCD_JOB_H

#include "gtm/base/buf.h"
#include "gtm/coord/store_etcd_int.h"

struct etcd__snapshot {
    struct etcd__snapshot *next;
    struct etcd__store *store; /* NULL: the store was closed, done has been told */
    char *path, *owner, *reason;
    gtm_store_done_fn *done;
    void *arg;
    bool at_work; /* a helper thread has it */
    struct gtm_error err;
    int64_t revision;

    struct gtm_buf body; /* save: the lines so far */
    size_t keys, skipped;

    struct gtm_timer *timer; /* restore: before the next try */
    unsigned tries;
    struct coord__item **records; /* of the file, in order of keys */
    size_t records_count, records_cap, at;
    char **doomed; /* full keys in etcd that are not in the file */
    size_t doomed_count, doomed_cap, doomed_at;
    struct gtm_map *leased;           /* keys in etcd that stay as they are */
    size_t step_doomed, step_records; /* in the transaction under way */
    int64_t file_epoch, epoch, id_revision;
    char *id_text;
    void (*after_id)(struct etcd__snapshot *job);
};

/* NULL: out of memory, or too many. */
struct etcd__snapshot *etcd__job_new(struct etcd__store *store, const char *path, const char *owner,
                                     const char *reason, gtm_store_done_fn *done, void *arg);
void etcd__job_free(struct etcd__snapshot *job);
/* Tells how it ended (job->err, job->revision) and frees. */
void etcd__job_end(struct etcd__snapshot *job);
/* Ends it with an etcdc failure. */
void etcd__job_fail(struct etcd__snapshot *job, int code, const char *text);

#endif
