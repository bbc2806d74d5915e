/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines. A line is built in a fixed buffer on the stack, so that "out of memory" can still be
 * logged, and fits into one write(2); what does not fit is cut and marked. See log.h; any thread.
 */
#include "gtm/base/log.h"

#include "gtm/base/clock.h"
#include "gtm/base/utf8.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES    4096 /* PIPE_BUF: lines of several threads do not mix in a pipe either */
#define TAIL_BYTES    32   /* kept free for the mark of a cut line and its end */
#define VALUE_BYTES   1024 /* of one string value */
#define STUCK_WAIT_MS 20

struct line {
    char data[LINE_BYTES];
    size_t len;
    bool cut;
};

static const char *const level_words[GTM_LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};
static atomic_int max_level = GTM_LOG_INFO;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static char node_name[256];
static void (*log_sink)(void *ctx, const char *line);
static void *log_sink_ctx;
static unsigned long long dropped_lines; /* since standard error was last writable */

static void put(struct line *l, const char *s, size_t n)
{
    if (l->cut || n > LINE_BYTES - TAIL_BYTES - l->len) {
        l->cut = true;
        return;
    }
    memcpy(l->data + l->len, s, n);
    l->len += n;
}

static void puts_(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* One character of a JSON string; always whole, so that a cut value stays valid. */
static void put_char(struct line *l, const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];
    char esc[8];
    if (n == 0) {
        puts_(l, "\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
        put(l, (char[]){'\\', (char)c}, 2);
    } else if (c == '\n') {
        puts_(l, "\\n");
    } else if (c == '\t') {
        puts_(l, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        snprintf(esc, sizeof(esc), "\\u%04x", c);
        puts_(l, esc);
    } else {
        put(l, s, n);
    }
}

static void put_quoted(struct line *l, const char *s)
{
    if (!s) {
        puts_(l, "null");
        return;
    }
    size_t mark = l->len, total = strlen(s), i = 0;
    put(l, "\"", 1);
    while (i < total && i < VALUE_BYTES && !l->cut) {
        size_t n = gtm_utf8_len(s + i, total - i);
        put_char(l, s + i, n);
        i += n ? n : 1;
    }
    if (i < total)
        puts_(l, "…");
    put(l, "\"", 1);
    if (l->cut)
        l->len = mark; /* never half a value */
}

static bool is_bare(const char *s)
{
    if (!s || !*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || *s == '"' || *s == '=' ||
            *s == '\\')
            return false;
    return true;
}

static void put_value(struct line *l, const struct gtm_log_kv *kv, bool json)
{
    char num[40];
    switch (kv->type) {
    case GTM_KV_STR:
        if (!json && is_bare(kv->v.str) && strlen(kv->v.str) <= VALUE_BYTES)
            puts_(l, kv->v.str);
        else
            put_quoted(l, kv->v.str);
        return;
    case GTM_KV_INT:
        snprintf(num, sizeof(num), "%lld", (long long)kv->v.i);
        break;
    case GTM_KV_NUM:
        snprintf(num, sizeof(num), isfinite(kv->v.num) ? "%.10g" : "null", kv->v.num);
        break;
    case GTM_KV_BOOL:
        snprintf(num, sizeof(num), "%s", kv->v.i ? "true" : "false");
        break;
    default:
        snprintf(num, sizeof(num), "null");
        break;
    }
    puts_(l, num);
}

static void put_pair(struct line *l, const struct gtm_log_kv *kv, bool json)
{
    size_t mark = l->len;
    if (json) {
        puts_(l, ",");
        put_quoted(l, kv->key);
        puts_(l, ":");
    } else {
        puts_(l, " ");
        puts_(l, kv->key);
        puts_(l, "=");
    }
    put_value(l, kv, json);
    if (l->cut)
        l->len = mark;
}

static void build(struct line *l, bool json, enum gtm_log_level level, const char *subsystem,
                  const char *msg, const struct gtm_log_kv *kvs)
{
    char when[GTM_TIME_TEXT_BYTES], head[256];
    gtm_time_format(gtm_wall_ms(gtm_clock_system()), when);
    if (json) {
        snprintf(head, sizeof(head), "{\"time\":\"%s\",\"level\":\"%s\"", when, level_words[level]);
        puts_(l, head);
        if (node_name[0])
            put_pair(l, &gtm_kv_str("node", node_name), true);
        put_pair(l, &gtm_kv_str("subsystem", subsystem), true);
        put_pair(l, &gtm_kv_str("msg", msg), true);
    } else {
        snprintf(head, sizeof(head), "%s %-5s %.64s: ", when, level_words[level], subsystem);
        puts_(l, head);
        for (size_t i = 0, n = strlen(msg), step; i < n; i += step ? step : 1) {
            step = gtm_utf8_len(msg + i, n - i);
            put_char(l, msg + i, step);
        }
        if (node_name[0])
            put_pair(l, &gtm_kv_str("node", node_name), false);
    }
    for (; kvs && kvs->key; kvs++)
        put_pair(l, kvs, json);
    static const char *const tails[2][2] = {{"\n", " (cut)\n"}, {"}\n", ",\"cut\":true}\n"}};
    const char *tail = tails[json][l->cut];
    memcpy(l->data + l->len, tail, strlen(tail) + 1);
    l->len += strlen(tail);
}

/* A reader that is gone or too slow costs lines, never the daemon: a pipe that polls writable takes
 * PIPE_BUF bytes at once. After one line was given up, the next ones do not wait at all. */
static void write_line(const struct line *l)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready = poll(&pfd, 1, dropped_lines ? 0 : STUCK_WAIT_MS);
    if (ready == 0) {
        dropped_lines++;
        return;
    }
    ssize_t put_bytes;
    if (dropped_lines) {
        char note[160], when[GTM_TIME_TEXT_BYTES];
        int n = snprintf(note, sizeof(note),
                         "{\"time\":\"%s\",\"level\":\"warn\",\"subsystem\":\"log\","
                         "\"msg\":\"lines dropped\",\"count\":%llu}\n",
                         gtm_time_format(gtm_wall_ms(gtm_clock_system()), when), dropped_lines);
        dropped_lines = 0;
        put_bytes = write(STDERR_FILENO, note, (size_t)n);
        if (put_bytes < 0 || poll(&pfd, 1, 0) == 0) {
            dropped_lines = 1;
            return;
        }
    }
    do
        put_bytes = write(STDERR_FILENO, l->data, l->len);
    while (put_bytes < 0 && errno == EINTR);
}

void gtm_log_write(enum gtm_log_level level, const char *subsystem, const char *msg,
                   const struct gtm_log_kv *kvs)
{
    if ((unsigned)level >= GTM_LOG_LEVEL_COUNT || (int)level > atomic_load(&max_level))
        return;
    int saved = errno;
    struct line l;
    l.len = 0;
    l.cut = false;
    pthread_mutex_lock(&log_mutex);
    build(&l, log_sink || !isatty(STDERR_FILENO), level, subsystem, msg, kvs);
    if (log_sink) {
        l.data[l.len - 1] = '\0';
        log_sink(log_sink_ctx, l.data);
    } else {
        write_line(&l);
    }
    pthread_mutex_unlock(&log_mutex);
    errno = saved;
}

void gtm_log_error(enum gtm_log_level level, const char *subsystem, const char *msg,
                   const struct gtm_error *err)
{
    char at[GTM_ERROR_FILE_BYTES + 32];
    if (err->file[0] && err->line)
        snprintf(at, sizeof(at), "%s:%u:%u", err->file, err->line, err->col);
    else if (err->line)
        snprintf(at, sizeof(at), "%u:%u", err->line, err->col);
    else
        snprintf(at, sizeof(at), "%s", err->file);
    const char *text = err->text[0] ? err->text : gtm_err_text(err->code);
    gtm_log(level, subsystem, msg, gtm_kv_str("code", gtm_err_word(err->code)),
            gtm_kv_str("at", at), gtm_kv_str("error", text));
}

void gtm_log_set_level(enum gtm_log_level level)
{
    atomic_store(&max_level, (int)level);
}

int gtm_log_level_parse(const char *word)
{
    for (int i = 0; i < GTM_LOG_LEVEL_COUNT; i++)
        if (strcmp(word, level_words[i]) == 0)
            return i;
    return -1;
}

void gtm_log_set_node(const char *node)
{
    pthread_mutex_lock(&log_mutex);
    snprintf(node_name, sizeof(node_name), "%s", node ? node : "");
    pthread_mutex_unlock(&log_mutex);
}

void gtm_log_set_sink(void (*sink)(void *ctx, const char *line), void *ctx)
{
    pthread_mutex_lock(&log_mutex);
    log_sink = sink;
    log_sink_ctx = ctx;
    pthread_mutex_unlock(&log_mutex);
}

int gtm_log_allow(struct gtm_log_limit *limit, uint64_t now_ms, unsigned per_minute,
                  uint64_t *ret_suppressed)
{
    if (limit->window_start_ms == 0 || now_ms - limit->window_start_ms >= 60000) {
        limit->window_start_ms = now_ms ? now_ms : 1;
        limit->in_window = 0;
    }
    if (limit->in_window >= per_minute) {
        limit->suppressed++;
        return 0;
    }
    limit->in_window++;
    if (ret_suppressed)
        *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return 1;
}
