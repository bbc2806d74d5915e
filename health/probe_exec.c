/* SPDX-License-Identifier: Apache-2.0
 *
 * The exec probe: a program of exec_dir; exit code 0 is a pass. The first line that it writes is
 * the evidence; with load pointers its standard output is the report.
 *
 * At most HEALTH_EXEC_RUNNING_MAX run at a time. Others wait in the order in which they came,
 * without their time-out running; one that waits too long is a failure of this host, as is a
 * program that may not be run. On cancel (the time-out too): the program's whole group is killed.
 * The engine's thread; exec.c has the one that starts and reaps. See probe.h.
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "health/exec.h"
#include "health/probe.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 120 /* kept of the first line */
#define ENV_COUNT  6

struct prober {
    struct health_io *io;
    const struct health_spec *spec;
    struct health_exec_command *command;
};

/* --- the command --- */

struct words {
    char address[INET6_ADDRSTRLEN], port[8];
    const char *endpoint, *pool;
};

static void words_of(const struct health_spec *spec, struct words *ret_words)
{
    const void *addr = &((const struct sockaddr_in *)&spec->addr)->sin_addr;
    if (spec->addr.ss_family == AF_INET6)
        addr = &((const struct sockaddr_in6 *)&spec->addr)->sin6_addr;
    inet_ntop(spec->addr.ss_family, addr, ret_words->address, sizeof(ret_words->address));
    snprintf(ret_words->port, sizeof(ret_words->port), "%u",
             (unsigned)ntohs(((const struct sockaddr_in *)&spec->addr)->sin_port));
    ret_words->endpoint = spec->endpoint ? spec->endpoint : "";
    ret_words->pool = spec->pool ? spec->pool : "";
}

/* A copy of `text` with the words in braces replaced; other braces stay. NULL when out of memory.
 */
static char *replace(const char *text, const struct words *w)
{
    const struct {
        const char *name, *value;
    } known[] = {{"{address}", w->address},
                 {"{port}", w->port},
                 {"{endpoint}", w->endpoint},
                 {"{pool}", w->pool}};
    struct gtm_buf buf = {0};
    while (*text) {
        size_t i = 0, n = sizeof(known) / sizeof(known[0]);
        while (i < n && strncmp(text, known[i].name, strlen(known[i].name)) != 0)
            i++;
        if (i < n) {
            gtm_buf_adds(&buf, known[i].value);
            text += strlen(known[i].name);
        } else {
            gtm_buf_addc(&buf, *text++);
        }
    }
    return gtm_buf_take(&buf);
}

static bool make_argv(struct health_exec_command *command, const struct health_spec *spec,
                      const struct words *w)
{
    command->argv = gtm_calloc(spec->args_count + 2, sizeof(char *));
    if (!command->argv || !(command->argv[0] = gtm_strdup(command->path)))
        return false;
    for (size_t i = 0; i < spec->args_count; i++)
        if (!(command->argv[i + 1] = replace(spec->args[i], w)))
            return false;
    return true;
}

static bool make_envp(struct health_exec_command *command, const struct health_spec *spec,
                      const struct words *w)
{
    char **env = command->envp = gtm_calloc(ENV_COUNT + 1, sizeof(char *));
    return env &&
           (env[0] = gtm_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
                                "/bin")) &&
           (env[1] = gtm_asprintf("GTM_ADDRESS=%s", w->address)) &&
           (env[2] = gtm_asprintf("GTM_PORT=%s", w->port)) &&
           (env[3] = gtm_asprintf("GTM_ENDPOINT=%s", w->endpoint)) &&
           (env[4] = gtm_asprintf("GTM_POOL=%s", w->pool)) &&
           (env[5] = gtm_asprintf("GTM_FAMILY=%d", spec->addr.ss_family == AF_INET ? 4 : 6));
}

static struct health_exec_command *command_new(const char *dir, const struct health_spec *spec)
{
    struct words w;
    struct health_exec_command *command = gtm_calloc(1, sizeof(*command));
    if (!command)
        return NULL;
    atomic_init(&command->refs, 1);
    words_of(spec, &w);
    command->dir = dir ? gtm_strdup(dir) : NULL;
    command->name = gtm_strdup(spec->program ? spec->program : "");
    command->path = gtm_asprintf("%s/%s", dir ? dir : "", spec->program ? spec->program : "");
    if ((!dir || command->dir) && command->name && command->path && make_argv(command, spec, &w) &&
        make_envp(command, spec, &w))
        return command;
    health__exec_command_unref(command);
    return NULL;
}

/* --- the end of a run --- */

/* The first line with something on it, cut; NULL when there is none. */
static const char *first_line(const char *text, char out[LINE_BYTES])
{
    text += strspn(text, " \t\r\n");
    size_t len = strcspn(text, "\r\n");
    if (len == 0)
        return NULL;
    snprintf(out, LINE_BYTES, "%.*s", (int)(len < LINE_BYTES ? len : LINE_BYTES), text);
    return out;
}

static char *evidence(const struct health_exec_run *run, bool report)
{
    char line[LINE_BYTES];
    const char *said = first_line(run->err, line);
    if (!said && !(report && run->status == 0))
        said = first_line(run->out, line);
    if (run->status == 0)
        return said ? gtm_strdup(said) : gtm_strdup("exit 0");
    if (run->status < 0)
        return gtm_asprintf("ended by signal %d%s%s", -run->status, said ? ": " : "",
                            said ? said : "");
    return gtm_asprintf("exit %d%s%s", run->status, said ? ": " : "", said ? said : "");
}

static void judge(const struct health_exec_run *run, const struct health_spec *spec,
                  struct health_outcome *outcome)
{
    if (run->refused[0]) {
        outcome->result = HEALTH_RESULT_LOCAL;
        outcome->text = gtm_asprintf("not checked: %s", run->refused);
        return;
    }
    outcome->phase = run->out_len > 0 ? HEALTH_PHASE_BODY : HEALTH_PHASE_ANSWER;
    outcome->result = run->status == 0 ? HEALTH_RESULT_OK : HEALTH_RESULT_ANSWER;
    outcome->text = evidence(run, spec->wants_load);
    if (!spec->wants_load || run->status != 0)
        return;
    outcome->body = gtm_memdup(run->out, run->out_len + 1);
    outcome->body_len = outcome->body ? (uint32_t)run->out_len : 0;
}

/* --- the queue --- */

/* For the metrics. */
static void note_counts(struct health_io *io)
{
    const struct health_exec_queue *queue = health__exec_queue(io->exec);
    atomic_store(&io->exec_running, queue->running);
    atomic_store(&io->exec_waiting, queue->waiting);
}

static void queue_remove(struct health_exec_queue *queue, struct health_exec_run *run)
{
    for (struct health_exec_run **at = &queue->first; *at; at = &(*at)->next) {
        if (*at != run)
            continue;
        *at = run->next;
        if (!*at)
            queue->end = at;
        queue->waiting--;
        return;
    }
}

static void begin_next(struct health_io *io)
{
    struct health_exec_queue *queue = health__exec_queue(io->exec);
    while (queue->first && queue->running < HEALTH_EXEC_RUNNING_MAX) {
        struct health_exec_run *run = queue->first;
        struct health_probe *probe = run->owner;
        queue_remove(queue, run);
        queue->running++;
        health__exec_run_start(io->exec, run);
        if (probe->waiting) {
            probe->waiting = false;
            io->on_begun(io->ctx, probe);
        }
    }
    note_counts(io);
}

static void on_done(struct health_io *io, struct health_exec_run *run)
{
    struct health_probe *probe = run->owner; /* NULL: cancelled */
    health__exec_queue(io->exec)->running--;
    if (probe) {
        struct health_outcome outcome = {0};
        const struct prober *p = run->prober;
        judge(run, p->spec, &outcome);
        probe->run = NULL;
        health__probe_complete(probe, &outcome);
    }
    gtm_free(run);
    begin_next(io);
}

/* --- the kind --- */

static void exec_close(void *ctx)
{
    struct prober *p = ctx;
    if (!p)
        return;
    health__exec_command_unref(p->command);
    gtm_free(p);
}

static void *exec_open(struct health_io *io, const struct health_spec *spec)
{
    struct prober *p = gtm_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->io = io;
    p->spec = spec;
    p->command = command_new(io->exec_dir, spec);
    if (!io->exec)
        io->exec = health__exec_new(io, on_done);
    if (!p->command || !io->exec) {
        exec_close(p);
        return NULL;
    }
    return p;
}

static void exec_start(void *ctx, struct health_probe *probe, bool fresh)
{
    (void)fresh; /* always */
    struct prober *p = ctx;
    struct health_exec_queue *queue = health__exec_queue(p->io->exec);
    struct health_exec_run *run = gtm_calloc(1, sizeof(*run));
    if (!run) {
        struct health_outcome outcome = {.result = HEALTH_RESULT_LOCAL};
        health__probe_complete(probe, &outcome);
        return;
    }
    run->command = p->command;
    atomic_fetch_add(&p->command->refs, 1);
    run->owner = probe;
    probe->run = run;
    run->prober = p;
    *queue->end = run;
    queue->end = &run->next;
    queue->waiting++;
    begin_next(p->io);
    probe->waiting = queue->first != NULL; /* it is the last of those that wait */
}

static enum health_phase exec_cancel(void *ctx, struct health_probe *probe)
{
    struct prober *p = ctx;
    struct health_exec_run *run = probe->run;
    bool waiting = probe->waiting;
    struct health_exec_queue *queue = health__exec_queue(p->io->exec);
    probe->run = NULL;
    probe->waiting = false;
    run->owner = NULL;
    if (!waiting) {
        health__exec_run_kill(p->io->exec, run);
        return HEALTH_PHASE_ANSWER;
    }
    queue_remove(queue, run);
    health__exec_command_unref(run->command);
    gtm_free(run);
    note_counts(p->io);
    return HEALTH_PHASE_CONNECT;
}

const struct health_probe_ops health_probe_exec = {
    .open = exec_open, .close = exec_close, .start = exec_start, .cancel = exec_cancel};
