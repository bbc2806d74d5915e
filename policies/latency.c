/* SPDX-License-Identifier: Apache-2.0
 *
 * See latency.h. Lines become cells, sorted by network; the cells of a network are then sorted by
 * time, and networks with the same order and length are given the same label.
 */
#include "policies/latency.h"

#include "gtm/base/mem.h"
#include "gtm/model/schema_forms.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cell {
    struct gtm_network network;
    uint16_t region;
    float ms;
    uint32_t line;
};

struct row {
    struct gtm_network network;
    uint32_t label;
    uint32_t first, count; /* of cells */
    struct policy_regions order;
};

struct policy_latency {
    struct cell *cells; /* sorted by network, then by time */
    size_t cells_count, cells_cap;
    struct row *rows; /* sorted as the cells are: family, address, length */
    size_t rows_count;
    struct policy_regions *orders; /* by label */
    uint32_t labels;
    uint64_t hash;
};

struct parse {
    const struct gtm_intent *intent;
    struct policy_regionset here; /* where the policy's pool has endpoints */
    const char *file;
    struct gtm_diags *diags;
    struct policy_latency *table;
    unsigned line;
    bool failed;
};

static void GTM_PRINTF(4, 5)
    report(struct parse *p, enum gtm_severity severity, size_t col, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    gtm_diags_add(p->diags, severity, p->file, p->line, (unsigned)col + 1, "%s", text);
    p->failed |= severity == GTM_SEV_ERROR;
}

/* ---- words of a line ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == '\r';
}

/* Cuts the line into at most four words in place; returns how many. */
static unsigned cut(char *line, char *words[4])
{
    unsigned count = 0;
    char *comment = strchr(line, '#');
    if (comment)
        *comment = '\0';
    for (char *at = line; *at && count < 4;) {
        while (*at && is_blank(*at))
            *at++ = '\0';
        if (!*at)
            break;
        words[count++] = at;
        while (*at && !is_blank(*at))
            at++;
    }
    return count;
}

static bool read_ms(const char *word, float *ret)
{
    char *end = NULL;
    if (!isdigit((unsigned char)word[0]) && word[0] != '.')
        return false; /* no signs, no "inf", no "nan" */
    if (word[0] == '0' && (word[1] == 'x' || word[1] == 'X'))
        return false;
    double ms = strtod(word, &end);
    *ret = (float)ms;
    return *end == '\0' && ms >= 0 && ms <= POLICY_LATENCY_MS_MAX;
}

static void read_line(struct parse *p, char *line)
{
    struct policy_latency *t = p->table;
    struct cell cell;
    struct gtm_error err = {0};
    char *words[4];
    unsigned count = cut(line, words);
    if (count == 0 || (p->line == 1 && strcasecmp(words[0], "network") == 0))
        return;
    if (count != 3) {
        report(p, GTM_SEV_ERROR, (size_t)(words[count > 3 ? 3 : 0] - line),
               "a line is: network, region, milliseconds");
        return;
    }
    memset(&cell, 0, sizeof(cell));
    cell.line = p->line;
    if (gtm_form_network.parse(words[0], &cell.network, &err) != GTM_OK) {
        report(p, GTM_SEV_ERROR, (size_t)(words[0] - line), "%s%s%s", err.code ? err.text : "\"",
               err.code ? "" : words[0], err.code ? "" : "\" is no network");
        return;
    }
    if (!read_ms(words[2], &cell.ms)) {
        report(p, GTM_SEV_ERROR, (size_t)(words[2] - line),
               "\"%s\" is no time in milliseconds from 0 to %.0f", words[2], POLICY_LATENCY_MS_MAX);
        return;
    }
    int region = gtm_intent_region(p->intent, words[1]);
    if (region < 0) {
        report(p, GTM_SEV_WARNING, (size_t)(words[1] - line),
               "there is no region \"%s\": the line is ignored", words[1]);
        return;
    }
    if (!policy_regionset_has(&p->here, (unsigned)region))
        return;
    cell.region = (uint16_t)region;
    void *cells = t->cells;
    int rc = gtm_grow(&cells, &t->cells_cap, t->cells_count + 1, sizeof(*t->cells));
    t->cells = cells;
    if (rc == GTM_OK)
        t->cells[t->cells_count++] = cell;
    else
        report(p, GTM_SEV_ERROR, 0, "no memory for a table of latencies");
}

static void read_text(struct parse *p, const char *text, size_t len)
{
    char line[POLICY_LATENCY_LINE_MAX + 1];
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t size = end ? (size_t)(end - text) - at : len - at;
        if (++p->line > POLICY_LATENCY_LINES_MAX) {
            report(p, GTM_SEV_ERROR, 0, "more than %d lines", POLICY_LATENCY_LINES_MAX);
            return;
        }
        if (size > POLICY_LATENCY_LINE_MAX) {
            report(p, GTM_SEV_ERROR, 0, "a line of more than %d octets", POLICY_LATENCY_LINE_MAX);
        } else if (memchr(text + at, '\0', size)) {
            report(p, GTM_SEV_ERROR, 0, "a zero octet: this is no text");
            return;
        } else {
            memcpy(line, text + at, size);
            line[size] = '\0';
            read_line(p, line);
        }
        at += size + 1;
    }
}

/* ---- rows and labels ---- */

static int compare_networks(const struct gtm_network *a, const struct gtm_network *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int order = memcmp(a->addr, b->addr, sizeof(a->addr));
    return order ? order : (a->prefix_len > b->prefix_len) - (a->prefix_len < b->prefix_len);
}

/* Network, region, and the later line first. */
static int by_region(const void *a, const void *b)
{
    const struct cell *x = a, *y = b;
    int order = compare_networks(&x->network, &y->network);
    if (order == 0)
        order = (x->region > y->region) - (x->region < y->region);
    return order ? order : (x->line < y->line) - (x->line > y->line);
}

/* Network, time; equal times by declaration. */
static int by_time(const void *a, const void *b)
{
    const struct cell *x = a, *y = b;
    int order = compare_networks(&x->network, &y->network);
    if (order == 0)
        order = (x->ms > y->ms) - (x->ms < y->ms);
    return order ? order : (x->region > y->region) - (x->region < y->region);
}

static void drop_repeated(struct parse *p)
{
    struct policy_latency *t = p->table;
    struct cell *cells = t->cells;
    size_t kept = 0;
    for (size_t i = 0; cells && i < t->cells_count; i++) {
        const struct cell *last = kept ? &cells[kept - 1] : NULL;
        if (last && last->region == cells[i].region &&
            compare_networks(&last->network, &cells[i].network) == 0) {
            p->line = last->line;
            report(p, GTM_SEV_WARNING, 0, "this network and region stand in line %u already",
                   (unsigned)cells[i].line);
            continue;
        }
        cells[kept++] = cells[i];
    }
    t->cells_count = kept;
}

static int by_label(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    int order = (x->network.prefix_len > y->network.prefix_len) -
                (x->network.prefix_len < y->network.prefix_len);
    return order ? order : memcmp(&x->order, &y->order, sizeof(x->order));
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

static int rows_build(struct policy_latency *t)
{
    const struct cell *cells = t->cells;
    t->rows = gtm_calloc(t->cells_count, sizeof(*t->rows));
    if (!t->rows)
        return GTM_ENOMEM;
    for (size_t i = 0; cells && i < t->cells_count; i++) {
        struct row *row = t->rows_count ? &t->rows[t->rows_count - 1] : NULL;
        if (!row || compare_networks(&row->network, &cells[i].network) != 0) {
            row = &t->rows[t->rows_count++];
            *row = (struct row){.network = cells[i].network, .first = (uint32_t)i};
        }
        row->count++;
        if (row->order.count < POLICY_REGIONS_MAX)
            row->order.region[row->order.count++] = cells[i].region;
    }
    return GTM_OK;
}

static int labels_build(struct policy_latency *t)
{
    struct row **sorted = gtm_calloc(t->rows_count, sizeof(struct row *));
    t->orders = gtm_calloc(t->rows_count, sizeof(*t->orders));
    if (!sorted || !t->orders) {
        gtm_free(sorted);
        return GTM_ENOMEM;
    }
    for (size_t i = 0; i < t->rows_count; i++)
        sorted[i] = &t->rows[i];
    if (t->rows_count > 1)
        qsort(sorted, t->rows_count, sizeof(*sorted), by_label);
    for (size_t i = 0; i < t->rows_count; i++) {
        if (i == 0 || by_label(&sorted[i - 1], &sorted[i]) != 0)
            t->orders[t->labels++] = sorted[i]->order;
        sorted[i]->label = t->labels - 1;
    }
    gtm_free(sorted);
    t->hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < t->rows_count; i++) {
        t->hash = hash_bytes(t->hash, &t->rows[i].network, sizeof(t->rows[i].network));
        t->hash = hash_bytes(t->hash, &t->rows[i].order, sizeof(t->rows[i].order));
    }
    return GTM_OK;
}

struct policy_latency *policy_latency_parse(const struct gtm_intent *intent, unsigned policy,
                                            const char *file, const char *text, size_t len,
                                            struct gtm_diags *diags)
{
    struct parse p = {.intent = intent, .file = file, .diags = diags};
    const struct gtm_pool *pool = &intent->pools[intent->policies[policy].pool];
    for (size_t e = 0; e < pool->endpoints_count; e++)
        p.here.bits[pool->endpoints[e].region / 64] |= UINT64_C(1)
                                                       << (pool->endpoints[e].region % 64);
    p.table = gtm_calloc(1, sizeof(*p.table));
    if (!p.table) {
        report(&p, GTM_SEV_ERROR, 0, "no memory for a table of latencies");
        return NULL;
    }
    if (len > POLICY_LATENCY_BYTES_MAX)
        report(&p, GTM_SEV_ERROR, 0, "more than %u octets", POLICY_LATENCY_BYTES_MAX);
    else
        read_text(&p, text, len);
    struct policy_latency *t = p.table;
    if (!p.failed && t->cells && t->cells_count > 1) {
        qsort(t->cells, t->cells_count, sizeof(*t->cells), by_region);
        drop_repeated(&p);
        qsort(t->cells, t->cells_count, sizeof(*t->cells), by_time);
    }
    if (!p.failed && (rows_build(t) != GTM_OK || labels_build(t) != GTM_OK))
        report(&p, GTM_SEV_ERROR, 0, "no memory for a table of latencies");
    if (p.failed) {
        policy_latency_free(t);
        return NULL;
    }
    return t;
}

void policy_latency_free(struct policy_latency *table)
{
    if (!table)
        return;
    gtm_free(table->cells);
    gtm_free(table->rows);
    gtm_free(table->orders);
    gtm_free(table);
}

uint64_t policy_latency_hash(const struct policy_latency *table)
{
    return table->hash;
}

size_t policy_latency_networks(const struct policy_latency *table)
{
    return table->rows_count;
}

void policy_latency_network(const struct policy_latency *table, size_t i, struct gtm_network *ret,
                            uint32_t *ret_label)
{
    *ret = table->rows[i].network;
    *ret_label = table->rows[i].label;
}

uint32_t policy_latency_labels(const struct policy_latency *table)
{
    return table->labels;
}

const struct policy_regions *policy_latency_order(const struct policy_latency *table,
                                                  uint32_t label)
{
    return label < table->labels ? &table->orders[label] : NULL;
}

int64_t policy_latency_find(const struct policy_latency *table, uint8_t family,
                            const uint8_t addr[16], unsigned prefix_len)
{
    struct gtm_network want = {.family = family};
    unsigned most = family == 4 ? 32 : 128;
    for (int len = (int)(prefix_len < most ? prefix_len : most); len >= 0; len--) {
        memset(want.addr, 0, sizeof(want.addr));
        memcpy(want.addr, addr, (size_t)(len + 7) / 8);
        if (len % 8)
            want.addr[len / 8] &= (uint8_t)(0xff00u >> (len % 8));
        want.prefix_len = (uint8_t)len;
        size_t low = 0, high = table->rows_count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            int order = compare_networks(&table->rows[middle].network, &want);
            if (order == 0)
                return (int64_t)middle;
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return -1;
}

bool policy_latency_time(const struct policy_latency *table, size_t i, unsigned k,
                         unsigned *ret_region, double *ret_ms)
{
    if (i >= table->rows_count || k >= table->rows[i].count)
        return false;
    const struct cell *cell = &table->cells[table->rows[i].first + k];
    *ret_region = cell->region;
    *ret_ms = (double)cell->ms;
    return true;
}
