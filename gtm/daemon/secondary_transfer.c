/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread of one transfer: asks the primaries in order, proves that what came is a zone, and
 * replaces the copy. See secondary_int.h. Nothing of the daemon's is touched but the copy's file.
 */
#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/secondary_int.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void gtm__transfer_primary(struct gtm__transfer *t, const struct gtm_zone_peer *peer,
                           const struct dns_tsig_key *key)
{
    struct gtm__transfer_from *from = &t->primaries[t->count++];
    char address[INET6_ADDRSTRLEN] = "";
    if (peer->address.family == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(peer->port)};
        memcpy(&v4.sin_addr, peer->address.addr, 4);
        memcpy(&from->addr, &v4, sizeof(v4));
        from->addr_len = sizeof(v4);
        inet_ntop(AF_INET, &v4.sin_addr, address, sizeof(address));
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(peer->port)};
        memcpy(&v6.sin6_addr, peer->address.addr, 16);
        memcpy(&from->addr, &v6, sizeof(v6));
        from->addr_len = sizeof(v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, address, sizeof(address));
    }
    snprintf(from->text, sizeof(from->text), "%s port %u", address, peer->port);
    from->has_key = key != NULL;
    if (key)
        from->key = *key;
}

/* What came must load; dynamic names are not known here, so a clash with one is found later. */
static int check_text(const struct gtm__transfer *t, const struct dns_xfer_in_result *result,
                      struct gtm_error *err)
{
    struct dns_zone_spec spec = {.origin = t->name, .path = t->path};
    struct gtm_diags diags = {0};
    struct gtm_error first = {0};
    struct dns_zone *zone = dns_zone_load_text(&spec, result->text, result->text_len, &diags);
    gtm_diags_first(&diags, &first);
    gtm_diags_fini(&diags);
    if (!zone)
        return gtm_error_set(err, GTM_EPARSE, "what it sent is no zone: %s", first.text);
    dns_zone_unref(zone);
    return GTM_OK;
}

static int keep(const struct gtm__transfer *t, const struct dns_xfer_in_result *result,
                struct gtm_error *err)
{
    int rc = check_text(t, result, err);
    if (rc != GTM_OK)
        return rc;
    char *dir = gtm_fs_dirname(t->path);
    rc = dir ? gtm_fs_mkdirs(dir, 0750, err) : gtm_error_set(err, GTM_ENOMEM, "out of memory");
    gtm_free(dir);
    if (rc == GTM_OK)
        rc = gtm_fs_write_atomic(t->path, result->text, result->text_len, 0640, err);
    return rc;
}

/* Transfers the zone, as differences to `have` or (NULL) as a whole, and keeps what came. */
static int ask_for(struct gtm__transfer *t, const struct gtm__transfer_from *from,
                   const struct dns_zone *have, struct gtm_error *err)
{
    struct dns_xfer_in_job job = {.zone = t->zone,
                                  .have = have,
                                  .primary = from->addr,
                                  .primary_len = from->addr_len,
                                  .key = from->has_key ? &from->key : NULL,
                                  .cancel_fd = t->cancel_fd};
    int rc = dns_xfer_in_run(&job, &t->result, err);
    if (rc == GTM_OK && t->result.changed)
        rc = keep(t, &t->result, err);
    else if (rc == GTM_OK) /* the file's time is when it was confirmed */
        (void)!utimensat(AT_FDCWD, t->path, NULL, 0);
    gtm_free(t->result.text);
    t->result.text = NULL;
    return rc;
}

static int ask(struct gtm__transfer *t, const struct gtm__transfer_from *from)
{
    struct gtm_error err = {0};
    int rc = ask_for(t, from, t->have, &err);
    /* What differences made of our copy is no zone: the copy is not what the primary thinks. */
    if (rc == GTM_EPARSE && t->result.incremental)
        rc = ask_for(t, from, NULL, &err);
    if (rc != GTM_OK)
        gtm_error_set(&t->error, rc, "%s: %.400s", from->text, err.text);
    return rc;
}

static void *work(void *arg)
{
    struct gtm__transfer *t = arg;
    t->rc = GTM_EUNREACHABLE;
    for (size_t i = 0; i < t->count; i++) {
        t->rc = ask(t, &t->primaries[i]);
        if (t->rc == GTM_OK || t->rc == GTM_ESTATE)
            break;
    }
    /* When it cannot be brought back the zone is never refreshed again: that is worth waiting. */
    while (gtm_loop_post(t->loop, t->done, t) != GTM_OK)
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    return NULL;
}

bool gtm__transfer_start(struct gtm__transfer *t)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&t->thread, NULL, work, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->joined = rc != 0;
    return rc == 0;
}

void gtm__transfer_join(struct gtm__transfer *t)
{
    if (!t->joined)
        pthread_join(t->thread, NULL);
    t->joined = true;
}

void gtm__transfer_free(struct gtm__transfer *t)
{
    if (!t)
        return;
    dns_zone_unref(t->have);
    if (t->primaries)
        explicit_bzero(t->primaries, t->count * sizeof(*t->primaries));
    gtm_free(t->primaries);
    gtm_free(t->path);
    gtm_free(t->name);
    gtm_free(t);
}
