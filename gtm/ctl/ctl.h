/* SPDX-License-Identifier: Apache-2.0
 *
 * What every command of gtmctl shares: exit codes and the options given. One thread. Standard
 * output carries data only; notes, questions and warnings go to standard error.
 */
#ifndef GTM_CTL_CTL_H
#define GTM_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes that scripts may rely on (gtmctl(1), EXIT STATUS). */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_NOT_FOUND = 4,
    CTL_BLOCKED = 5,
    CTL_CONFLICT = 6,
    CTL_RUNNING = 7,
    CTL_DIFFERENCES = 8,
    CTL_DEGRADED = 9,
    CTL_DENIED = 10
};

enum ctl_output { CTL_TABLE = 0, CTL_WIDE, CTL_JSON, CTL_YAML };

#define CTL_ARGS_MAX       8
#define CTL_DEFAULT_SOCKET "/run/gtm/gtmd.sock"

struct ctl_client;
struct gtm_contexts;
struct ctl_command;

/* One run of the program. Texts are borrowed from the command line. */
struct ctl {
    const struct ctl_command *command;
    int argc; /* arguments behind noun and verb */
    const char *argv[CTL_ARGS_MAX];

    const char *socket;            /* where gtmd listens, or NULL: then server is set (where.h) */
    const char *config;            /* node file that names the socket, or NULL */
    const char *server;            /* HOST:PORT over mutual TLS, or NULL */
    const char *ca, *cert, *key;   /* files for it */
    const char *node;              /* the name that the server must have; NULL = any node */
    const char *context;           /* named on the command line, or NULL */
    struct gtm_contexts *contexts; /* where they came from, or NULL */
    char *socket_own;              /* the socket's path when it came from the node file */
    struct ctl_client *client;     /* made by the first request */

    enum ctl_output output;
    bool output_given, no_headers, no_colour, colour;
    bool allow_mass_delete;
    const char *dir;  /* where files are written to */
    uint64_t to, rev; /* revisions of the intent; 0 = not given */
    bool yes, dry_run, wait, verbose, exit_code, follow, up, down, clear;
    const char *reason, *client_address, *file, *origin, *pool, *name, *text, *load, *connections;
    const char *rules, *steps, *from;
    uint64_t pause_ms, batch;
    uint64_t timeout_ms, watch_ms, for_ms, over_ms,
        limit; /* 0: watch once, no end, no limit given */
};

/* Frees what belongs to the run; fine when parsing failed. */
void ctl_fini(struct ctl *ctl);

#endif
