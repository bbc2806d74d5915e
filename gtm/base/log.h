/* SPDX-License-Identifier: Apache-2.0
 *
 * One event, one line: JSON to standard error (text when it is a terminal). The facades and the
 * daemon log; leaf units return errors. Thread-safe; a line is one write(2). Never called on the
 * query path.
 *
 *     gtm_log(GTM_LOG_INFO, "dns", "zone loaded", gtm_kv_str("zone", name), gtm_kv_int("records",
 * n));
 */
#ifndef GTM_BASE_LOG_H
#define GTM_BASE_LOG_H

#include "gtm/base/err.h"

#include <stdint.h>

enum gtm_log_level {
    GTM_LOG_ERROR = 0,
    GTM_LOG_WARN,
    GTM_LOG_INFO,
    GTM_LOG_DEBUG,
    GTM_LOG_LEVEL_COUNT
};

struct gtm_log_kv {
    const char *key; /* NULL ends the list */
    enum { GTM_KV_STR, GTM_KV_INT, GTM_KV_NUM, GTM_KV_BOOL } type;
    union {
        const char *str;
        int64_t i;
        double num;
    } v;
};
#define gtm_kv_str(k, s)  ((struct gtm_log_kv){.key = (k), .type = GTM_KV_STR, .v.str = (s)})
#define gtm_kv_int(k, n)  ((struct gtm_log_kv){.key = (k), .type = GTM_KV_INT, .v.i = (int64_t)(n)})
#define gtm_kv_num(k, n)  ((struct gtm_log_kv){.key = (k), .type = GTM_KV_NUM, .v.num = (n)})
#define gtm_kv_bool(k, b) ((struct gtm_log_kv){.key = (k), .type = GTM_KV_BOOL, .v.i = !!(b)})

#define gtm_log(level, subsystem, msg, ...) \
    gtm_log_write((level), (subsystem), (msg), (const struct gtm_log_kv[]){__VA_ARGS__, {0}})
#define gtm_log0(level, subsystem, msg) \
    gtm_log_write((level), (subsystem), (msg), (const struct gtm_log_kv[]){{0}})

void gtm_log_write(enum gtm_log_level level, const char *subsystem, const char *msg,
                   const struct gtm_log_kv *kvs);
/* Logs err with its place as keys code, at, error. */
void gtm_log_error(enum gtm_log_level level, const char *subsystem, const char *msg,
                   const struct gtm_error *err);

void gtm_log_set_level(enum gtm_log_level level);
/* "error", "warn", "info", "debug" → level, or -1. */
int gtm_log_level_parse(const char *word);
/* Adds node=NAME to every line. Copies. */
void gtm_log_set_node(const char *node);
/* Tests: lines go to sink instead of standard error; NULL restores. */
void gtm_log_set_sink(void (*sink)(void *ctx, const char *line), void *ctx);

/* Rate limit for noise from the network: returns nonzero when this event may be logged now (at most
 * `per_minute` a minute), and puts the number held back since the last one into *ret_suppressed.
 * Zero-initialise. */
struct gtm_log_limit {
    uint64_t window_start_ms;
    unsigned in_window;
    uint64_t suppressed;
};
int gtm_log_allow(struct gtm_log_limit *limit, uint64_t now_ms, unsigned per_minute,
                  uint64_t *ret_suppressed);

#endif
