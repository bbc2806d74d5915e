/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing and checking snapshot texts. See snapshot.h; any thread.
 */
#include "gtm/coord/snapshot.h"

#include "gtm/base/json.h"
#include "gtm/base/mem.h"
#include "gtm/base/sha.h"
#include "gtm/coord/store.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FORMAT      1
#define HEADER_KEYS 4

/* The hash of the header's numbers and the lines after it. */
static bool hash_text(int64_t revision, int64_t keys, const char *data, size_t len,
                      char out[GTM_SHA256_HEX_BYTES])
{
    char head[80];
    int head_len = snprintf(head, sizeof(head), "%d %lld %lld\n", FORMAT, (long long)revision,
                            (long long)keys);
    return gtm_sha256_hex2(head, (size_t)head_len, data, len, out);
}

void coord__snapshot_add(struct gtm_buf *body, const struct coord__record *record)
{
    gtm_buf_adds(body, "{\"key\":");
    gtm_json_quote(body, record->key, strlen(record->key));
    gtm_buf_addf(body, ",\"revision\":%lld,\"value\":", (long long)record->revision);
    gtm_json_quote(body, record->value, record->value_len);
    gtm_buf_adds(body, "}\n");
}

char *coord__snapshot_finish(struct gtm_buf *body, int64_t revision, size_t keys, size_t *ret_len)
{
    char hash[GTM_SHA256_HEX_BYTES];
    struct gtm_buf all = {0};
    if (!body->failed &&
        hash_text(revision, (int64_t)keys, body->data ? body->data : "", body->len, hash)) {
        gtm_buf_addf(&all, "{\"format\":%d,\"revision\":%lld,\"keys\":%zu,\"sha256\":\"%s\"}\n",
                     FORMAT, (long long)revision, keys, hash);
        gtm_buf_add(&all, body->data ? body->data : "", body->len);
    } else {
        all.failed = true;
    }
    gtm_buf_fini(body);
    *ret_len = all.len;
    return gtm_buf_take(&all);
}

static int corrupt(struct gtm_error *err, unsigned line, const char *what)
{
    return gtm_error_at(err, GTM_ECORRUPT, NULL, line, line ? 1 : 0, "%s", what);
}

/* A line of the file as JSON: not being JSON is damage, but being out of memory is not. */
static int parse_line(const char *line, size_t len, unsigned number, struct gtm_json **ret_json,
                      struct gtm_error *err)
{
    struct gtm_error why = {0};
    *ret_json = gtm_json_parse(line, len, &why);
    if (*ret_json)
        return GTM_OK;
    int code = why.code == GTM_ENOMEM ? GTM_ENOMEM : GTM_ECORRUPT;
    return gtm_error_at(err, code, NULL, number, why.col, "%s", why.text);
}

struct header {
    int64_t revision;
    int64_t keys;
};

static int parse_header(const char *line, size_t len, const char *body, size_t body_len,
                        struct header *ret_header, struct gtm_error *err)
{
    struct gtm_json *json;
    int rc = parse_line(line, len, 1, &json, err);
    if (rc != GTM_OK)
        return rc;
    char hash[GTM_SHA256_HEX_BYTES];
    int64_t format = gtm_json_i64(json, "format", 0);
    *ret_header =
        (struct header){gtm_json_i64(json, "revision", -1), gtm_json_i64(json, "keys", -1)};
    if (format > FORMAT)
        rc = gtm_error_at(err, GTM_EUNSUPPORTED, NULL, 1, 1,
                          "written by a newer version (format %lld)", (long long)format);
    else if (format != FORMAT || ret_header->revision < 0 || ret_header->keys < 0 ||
             gtm_json_count(json) != HEADER_KEYS)
        rc = corrupt(err, 1, "the header is not a snapshot's");
    else if (!hash_text(ret_header->revision, ret_header->keys, body, body_len, hash))
        rc = gtm_error_set(err, GTM_ENOMEM, "cannot compute the checksum");
    else if (strcmp(gtm_json_str(json, "sha256", ""), hash) != 0)
        rc = corrupt(err, 0, "the checksum does not match: the file was cut or changed");
    gtm_json_free(json);
    return rc;
}

static int parse_record(const char *line, size_t len, unsigned number,
                        struct coord__record *ret_record, struct gtm_json **ret_json,
                        struct gtm_error *err)
{
    int rc = parse_line(line, len, number, ret_json, err);
    if (rc != GTM_OK)
        return rc;
    *ret_record = (struct coord__record){
        .key = gtm_json_str(*ret_json, "key", NULL),
        .value = gtm_json_str(*ret_json, "value", NULL),
        .revision = gtm_json_i64(*ret_json, "revision", 0),
    };
    if (!gtm_store_key_ok(ret_record->key) || !ret_record->value || ret_record->revision < 1)
        rc = corrupt(err, number, "not a record");
    else if ((ret_record->value_len = strlen(ret_record->value)) > GTM_STORE_VALUE_MAX)
        rc = corrupt(err, number, "value too large");
    return rc;
}

int coord__snapshot_parse(const char *text, size_t len,
                          int (*add)(void *ctx, const struct coord__record *record), void *ctx,
                          int64_t *ret_revision, struct gtm_error *err)
{
    const char *end = text + len, *line = memchr(text, '\n', len);
    if (!line)
        return corrupt(err, 1, len ? "no complete header line" : "the file is empty");
    line++;
    struct header header;
    int rc =
        parse_header(text, (size_t)(line - text) - 1, line, (size_t)(end - line), &header, err);
    int64_t keys = 0;
    for (unsigned number = 2; rc == GTM_OK && line < end; number++, keys++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct coord__record record = {0};
        struct gtm_json *json = NULL;
        rc = stop ? parse_record(line, (size_t)(stop - line), number, &record, &json, err)
                  : corrupt(err, number, "incomplete line");
        if (rc == GTM_OK && record.revision > header.revision)
            rc = corrupt(err, number, "a revision above the file's");
        if (rc == GTM_OK) {
            rc = add(ctx, &record);
            if (rc != GTM_OK)
                gtm_error_at(err, rc, NULL, number, 1, "%s",
                             rc == GTM_ECORRUPT ? "key seen twice, or too much data"
                                                : gtm_err_text(rc));
        }
        gtm_json_free(json);
        line = stop ? stop + 1 : end;
    }
    if (rc == GTM_OK && keys != header.keys)
        rc = corrupt(err, 1, "another number of keys than the header says");
    if (rc == GTM_OK)
        *ret_revision = header.revision;
    return rc;
}
