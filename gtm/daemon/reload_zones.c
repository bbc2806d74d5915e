/* SPDX-License-Identifier: Apache-2.0
 *
 * Zones whose texts change by themselves: which are due, loading just them, and what is wrong with
 * them. See reload.h.
 */
#include "gtm/base/fs.h"
#include "gtm/base/log.h"
#include "gtm/base/mem.h"
#include "gtm/daemon/reload_int.h"
#include "gtm/daemon/zonewatch.h"

#include "dns/zone.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define INCLUDE_DEPTH   8
#define INCLUDE_MAX     1000 /* files watched for one zone */
#define INCLUDE_TEXT    (64u << 20)
#define INCLUDE_KEYWORD "$INCLUDE"

/* --- notes --- */

static void set_note(char **note, int64_t *since, const char *text, int64_t now)
{
    if (!text) {
        gtm_free(*note);
        *note = NULL;
        return;
    }
    if (!*note)
        *since = now;
    char *copy = gtm_strdup(text);
    if (copy) {
        gtm_free(*note);
        *note = copy;
    }
}

static void free_notes(struct gtm_reload *reload)
{
    for (size_t z = 0; reload->zones && z < reload->zones_count; z++) {
        gtm_free(reload->zones[z].error);
        gtm_free(reload->zones[z].warning);
    }
    gtm_free(reload->zones);
    reload->zones = NULL;
    reload->zones_count = reload->zones_due = 0;
}

void gtm__zones_free(struct gtm_reload *reload)
{
    gtm_zonewatch_free(reload->zonewatch);
    free_notes(reload);
}

const char *gtm_reload_zone_error(const struct gtm_reload *reload, size_t zone, bool *ret_warning,
                                  int64_t *ret_since_ms)
{
    if (zone >= reload->zones_count)
        return NULL;
    const struct gtm__zone_note *note = &reload->zones[zone];
    *ret_warning = !note->error;
    *ret_since_ms = note->error ? note->error_ms : note->warning_ms;
    return note->error ? note->error : note->warning;
}

void gtm_reload_zone(struct gtm_reload *reload, size_t zone)
{
    if (zone < reload->zones_count && !reload->zones[zone].due) {
        reload->zones[zone].due = true;
        reload->zones_due++;
    }
    gtm__reload_next(reload);
}

/* --- the job --- */

bool gtm__zones_take(struct gtm_reload *reload, struct gtm__job *job)
{
    job->zones = gtm_calloc(reload->zones_due + 1, sizeof(*job->zones));
    job->zones_loaded = gtm_calloc(reload->zones_due + 1, sizeof(*job->zones_loaded));
    if (!job->zones || !job->zones_loaded || !job->previous)
        return false;
    for (size_t z = 0; z < reload->zones_count; z++) {
        if (!reload->zones[z].due)
            continue;
        reload->zones[z].due = false;
        job->zones[job->zones_count++] = z;
    }
    reload->zones_due = 0;
    return true;
}

void gtm__zones_work(struct gtm__job *job)
{
    if (!gtm_compiled_linked(job->previous)) {
        job->compiled = gtm_compile_zones(job->previous, job->zones, job->zones_count,
                                          job->zones_loaded, &job->diags);
        return;
    }
    char *copies = gtm_fs_join(job->data_dir, "zones");
    if (copies)
        job->compiled = gtm_compile_in(job->intent, job->geo ? job->geo->db : NULL, job->previous,
                                       copies, &job->diags);
    gtm_free(copies);
    for (size_t i = 0; i < job->zones_count; i++)
        job->zones_loaded[i] = job->compiled != NULL;
}

/* RFC 1982: is a after b? */
static bool serial_after(uint32_t a, uint32_t b)
{
    return a != b && a - b < 0x80000000u;
}

/* Secondaries go by the serial: what changed under the same one never reaches them. */
static void check_serial(struct gtm_reload *reload, size_t z, const struct dns_zone *was,
                         const struct dns_zone *now)
{
    const struct gtm_zone_conf *conf = &reload->d->intent->zones[z];
    struct gtm__zone_note *note = &reload->zones[z];
    char text[256];
    if (was == now || !was || conf->primaries_count)
        return;
    struct dns_zone_info before, after;
    dns_zone_info(was, &before);
    dns_zone_info(now, &after);
    bool wrong = (conf->secondaries_count || conf->transfer_count) &&
                 !serial_after(after.serial, before.serial);
    snprintf(
        text, sizeof(text),
        "the zone changed, but its serial went from %u to %u: secondaries will not transfer it",
        before.serial, after.serial);
    set_note(&note->warning, &note->warning_ms, wrong ? text : NULL, gtm_wall_ms(reload->d->clock));
    if (wrong)
        gtm_log(GTM_LOG_WARN, "zone", text, gtm_kv_str("zone", conf->name));
}

/* The first finding about the zone in its own words; with several zones those of its file. */
static void note_failure(struct gtm_reload *reload, const struct gtm__job *job, size_t z)
{
    const struct gtm_zone_conf *conf = &reload->d->intent->zones[z];
    char *path = gtm_compiled_zone_path(job->previous, z);
    const struct gtm_diag *found = NULL;
    char text[1024];
    for (size_t i = 0; path && i < job->diags.count && !found; i++)
        if (job->diags.items[i].severity == GTM_SEV_ERROR &&
            (!strcmp(job->diags.items[i].file, path) || strstr(job->diags.items[i].text, path)))
            found = &job->diags.items[i];
    for (size_t i = 0; i < job->diags.count && !found; i++)
        if (job->diags.items[i].severity == GTM_SEV_ERROR)
            found = &job->diags.items[i];
    if (found)
        snprintf(text, sizeof(text), "%s:%u:%u: %s", found->file, found->line, found->col,
                 found->text);
    else
        snprintf(text, sizeof(text), "out of memory");
    set_note(&reload->zones[z].error, &reload->zones[z].error_ms, text,
             gtm_wall_ms(reload->d->clock));
    gtm_log(GTM_LOG_ERROR, "zone", "the changed zone is wrong; the old one stays",
            gtm_kv_str("zone", conf->name), gtm_kv_str("error", text));
    gtm_events_add(reload->d->events, &(struct gtm_event){.type = GTM_EVENT_CONFIG_RELOAD_FAILED,
                                                          .level = GTM_LOG_ERROR,
                                                          .subject = conf->name,
                                                          .cause = text});
    gtm_free(path);
}

/* Whether something else was published since the job began, which it does not know of. */
static bool outdated(const struct gtm__job *job)
{
    return job->previous != job->reload->d->compiled;
}

static int put_in_force(struct gtm__job *job, struct gtm_error *err)
{
    struct gtmd *d = job->reload->d;
    if (!gtm_compiled_linked(job->previous))
        return gtm_publisher_zones(d->publisher, job->compiled, err);
    const struct gtm_facts *facts = gtm_state_facts(d->state);
    return gtm_publisher_install(d->publisher, job->compiled, facts->states, err);
}

/* --- what is watched --- */

static void add_includes(struct gtm_zonewatch *watch, const char *path, size_t zone, unsigned depth,
                         unsigned *count);

/* One line of a file: `$INCLUDE name …`. */
static void add_include(struct gtm_zonewatch *watch, const char *file, const char *line, size_t len,
                        size_t zone, unsigned depth, unsigned *count)
{
    const size_t skip = sizeof(INCLUDE_KEYWORD) - 1;
    if (len <= skip || strncasecmp(line, INCLUDE_KEYWORD, skip) != 0 || (*count)++ >= INCLUDE_MAX)
        return;
    size_t at = skip + strspn(line + skip, " \t\"");
    size_t end = at + strcspn(line + at, " \t\r\n\";");
    char *name = at < len ? gtm_strndup(line + at, (end < len ? end : len) - at) : NULL;
    char *dir = gtm_fs_dirname(file), *path = name && dir ? gtm_fs_join(dir, name) : NULL;
    if (path && name[0]) {
        (void)gtm_zonewatch_add(watch, path, zone);
        add_includes(watch, path, zone, depth + 1, count);
    }
    gtm_free(path);
    gtm_free(dir);
    gtm_free(name);
}

static void add_includes(struct gtm_zonewatch *watch, const char *path, size_t zone, unsigned depth,
                         unsigned *count)
{
    char *text = NULL;
    size_t len = 0;
    if (depth > INCLUDE_DEPTH || gtm_fs_read(path, INCLUDE_TEXT, &text, &len, NULL) != GTM_OK)
        return;
    for (const char *line = text, *end = text + len; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((stop ? stop : end) - line);
        add_include(watch, path, line, n, zone, depth, count);
        line += n + 1;
    }
    gtm_free(text);
}

static void on_changed(void *arg, size_t zone)
{
    gtm_reload_zone(arg, zone);
}

static void follow_files(struct gtm_reload *reload)
{
    const struct gtmd *d = reload->d;
    if (!reload->zonewatch)
        reload->zonewatch = gtm_zonewatch_new(d->loop, on_changed, reload);
    if (!reload->zonewatch)
        return;
    gtm_zonewatch_begin(reload->zonewatch);
    for (size_t z = 0; z < d->intent->zones_count; z++) {
        const char *file = d->intent->zones[z].file;
        unsigned count = 0;
        if (!file)
            continue; /* a copy: whoever writes it says so */
        (void)gtm_zonewatch_add(reload->zonewatch, file, z);
        if (gtm_compiled_includes(d->compiled, z))
            add_includes(reload->zonewatch, file, z, 1, &count);
    }
    gtm_zonewatch_commit(reload->zonewatch);
}

/* The list of files is read again only when it may be another one. */
static bool includes_differ(const struct gtm__job *job, const struct gtm_compiled *before)
{
    for (size_t i = 0; i < job->zones_count; i++)
        if (job->zones_loaded[i] && (gtm_compiled_includes(before, job->zones[i]) ||
                                     gtm_compiled_includes(job->compiled, job->zones[i])))
            return true;
    return false;
}

void gtm__zones_done(struct gtm__job *job)
{
    struct gtm_reload *reload = job->reload;
    struct gtmd *d = reload->d;
    struct gtm_error err = {0};
    bool any = false;
    if (outdated(job)) {
        for (size_t i = 0; i < job->zones_count; i++)
            if (job->zones[i] < reload->zones_count)
                gtm_reload_zone(reload, job->zones[i]);
        return;
    }
    for (size_t i = 0; i < job->zones_count; i++)
        any |= job->zones_loaded[i] && gtm_compiled_zone(job->compiled, job->zones[i]) !=
                                           gtm_compiled_zone(d->compiled, job->zones[i]);
    int rc = any ? put_in_force(job, &err) : GTM_OK;
    if (rc != GTM_OK) {
        gtm_diags_add(&job->diags, GTM_SEV_ERROR, d->intent->path, 0, 0, "%s", err.text);
        memset(job->zones_loaded, 0, job->zones_count * sizeof(*job->zones_loaded));
        any = false;
    }
    struct gtm_compiled *before = d->compiled;
    if (any)
        d->compiled = gtm_compiled_ref(job->compiled);
    for (size_t i = 0; i < job->zones_count; i++) {
        size_t z = job->zones[i];
        if (!job->zones_loaded[i]) {
            note_failure(reload, job, z);
            continue;
        }
        set_note(&reload->zones[z].error, &reload->zones[z].error_ms, NULL, 0);
        check_serial(reload, z, gtm_compiled_zone(job->previous, z),
                     gtm_compiled_zone(d->compiled, z));
        gtm_log(GTM_LOG_INFO, "zone", "loaded", gtm_kv_str("zone", d->intent->zones[z].name));
    }
    if (!any)
        return;
    if (includes_differ(job, before))
        follow_files(reload);
    gtm_compiled_unref(before);
    gtmd_zones(d);
}

void gtm__zones_follow(struct gtm_reload *reload, const struct gtm_compiled *before)
{
    const struct gtmd *d = reload->d;
    bool same = before && gtm_compiled_intent(before) == d->intent;
    if (!reload->zones || !same) {
        bool due = reload->zones_due > 0; /* which, by another count: any may be */
        free_notes(reload);
        reload->zones = gtm_calloc(d->intent->zones_count + 1, sizeof(*reload->zones));
        reload->zones_count = reload->zones ? d->intent->zones_count : 0;
        for (size_t z = 0; due && z < reload->zones_count; z++, reload->zones_due++)
            reload->zones[z].due = true;
    }
    for (size_t z = 0; before && z < reload->zones_count; z++) {
        int at = gtm_intent_zone(gtm_compiled_intent(before), d->intent->zones[z].name);
        if (at >= 0)
            check_serial(reload, z, gtm_compiled_zone(before, (size_t)at),
                         gtm_compiled_zone(d->compiled, z));
    }
    follow_files(reload);
}
