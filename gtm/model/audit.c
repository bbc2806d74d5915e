/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h.
 *
 * A hash covers the entry's text as it was written, not its meaning: so any change of any byte is
 * seen, also in fields that this version does not know.
 */
#include "gtm/model/audit.h"

#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_HEAD ",\"hash\":\""
#define HASH_TAIL "\"}"
#define HASH_ALL  (sizeof(HASH_HEAD) - 1 + GTM_SHA256_HEX_BYTES - 1 + sizeof(HASH_TAIL) - 1)

void gtm_audit_key(int64_t seq, char out[GTM_AUDIT_KEY_BYTES])
{
    snprintf(out, GTM_AUDIT_KEY_BYTES, GTM_AUDIT_PREFIX "%012" PRId64, seq);
}

/* Adds a text; of a long one the beginning and, as "<key>_sha256", the hash of the whole. */
static void add_text(struct gtm_json *json, const char *key, const char *s)
{
    size_t len = s ? strlen(s) : 0, cut = 0;
    if (len <= GTM_AUDIT_TEXT_MAX) {
        gtm_json_add_str(json, key, s);
        return;
    }
    for (size_t step; cut < GTM_AUDIT_TEXT_MAX; cut += step) { /* not within a character */
        step = gtm_utf8_len(s + cut, len - cut);
        step = step ? step : 1;
        if (cut + step > GTM_AUDIT_TEXT_MAX)
            break;
    }
    char *part = gtm_strndup(s, cut), name[40], hash[GTM_SHA256_HEX_BYTES] = "";
    snprintf(name, sizeof(name), "%.20s_sha256", key);
    bool good = part && gtm_sha256_hex(s, len, hash);
    /* A child that is NULL makes the root incomplete: nothing is written without its hash. */
    if (!good)
        gtm_json_add(json, key, NULL);
    gtm_json_add_str(json, key, part);
    gtm_json_add_str(json, name, hash);
    gtm_free(part);
}

struct gtm_json *gtm_audit_entry_json(const struct gtm_audit_entry *entry)
{
    struct gtm_json *json = gtm_json_object();
    gtm_json_add_i64(json, "time", entry->time_ms);
    add_text(json, "who", entry->who ? entry->who : "local");
    add_text(json, "role", entry->role ? entry->role : "local");
    add_text(json, "node", entry->node ? entry->node : "local");
    add_text(json, "verb", entry->verb);
    add_text(json, "subject", entry->subject);
    add_text(json, "why", entry->why);
    add_text(json, "before", entry->before);
    add_text(json, "after", entry->after);
    return json;
}

char *gtm_audit_entry_print(const struct gtm_json *entry, struct gtm_audit_head *head)
{
    char *rest = gtm_json_print(entry, false);
    if (!rest)
        return NULL;
    struct gtm_buf buf = {0};
    gtm_buf_addf(&buf, "{\"v\":1,\"seq\":%" PRId64 ",\"prev\":\"%s\",%s", head->seq + 1, head->hash,
                 rest + 1);
    gtm_free(rest);
    char hash[GTM_SHA256_HEX_BYTES];
    if (buf.failed || !gtm_sha256_hex(buf.data, buf.len, hash)) {
        gtm_buf_fini(&buf);
        return NULL;
    }
    buf.len--; /* the last brace comes after the hash */
    gtm_buf_addf(&buf, HASH_HEAD "%s" HASH_TAIL, hash);
    head->seq++;
    memcpy(head->hash, hash, sizeof(hash));
    return gtm_buf_take(&buf);
}

char *gtm_audit_head_print(const struct gtm_audit_head *head)
{
    return gtm_asprintf("{\"v\":1,\"seq\":%" PRId64 ",\"hash\":\"%s\",\"first\":%" PRId64 "}",
                        head->seq, head->hash, head->first);
}

static bool is_hash(const char *s)
{
    return strlen(s) == GTM_SHA256_HEX_BYTES - 1 &&
           strspn(s, "0123456789abcdef") == GTM_SHA256_HEX_BYTES - 1;
}

static int parse(const char *key, const char *text, size_t len, struct gtm_json **ret_json,
                 struct gtm_error *err)
{
    struct gtm_error why = {0};
    *ret_json = gtm_json_parse(text, len, &why);
    if (!*ret_json)
        return gtm_error_set(err, why.code == GTM_ENOMEM ? GTM_ENOMEM : GTM_ECORRUPT,
                             "%.64s: not JSON: %.200s", key, why.text);
    int64_t v = gtm_json_i64(*ret_json, "v", 0);
    if (v == 1)
        return GTM_OK;
    gtm_json_free(*ret_json);
    *ret_json = NULL;
    if (v > 1)
        return gtm_error_set(err, GTM_EUNSUPPORTED, "%.64s: written by a newer version (v %lld)",
                             key, (long long)v);
    return gtm_error_set(err, GTM_ECORRUPT, "%.64s: has no \"v\"", key);
}

int gtm_audit_head_parse(const char *text, size_t len, struct gtm_audit_head *ret_head,
                         struct gtm_error *err)
{
    struct gtm_json *json;
    int rc = parse(GTM_AUDIT_HEAD, text, len, &json, err);
    if (rc != GTM_OK)
        return rc;
    const char *hash = gtm_json_str(json, "hash", "");
    *ret_head = (struct gtm_audit_head){.seq = gtm_json_i64(json, "seq", 0),
                                        .first = gtm_json_i64(json, "first", 0)};
    if (ret_head->first < 1 || ret_head->seq < ret_head->first || ret_head->seq == INT64_MAX ||
        !is_hash(hash))
        rc = gtm_error_set(err, GTM_ECORRUPT, "%s: not a head of the audit chain", GTM_AUDIT_HEAD);
    else
        snprintf(ret_head->hash, sizeof(ret_head->hash), "%s", hash);
    gtm_json_free(json);
    return rc;
}

/* The entry's own hash over its own text. */
static int check_hash(const char *key, const char *text, size_t len,
                      char ret_hash[GTM_SHA256_HEX_BYTES], struct gtm_error *err)
{
    const char *at = text + (len > HASH_ALL ? len - HASH_ALL : 0);
    const char *hex = at + sizeof(HASH_HEAD) - 1;
    char hash[GTM_SHA256_HEX_BYTES];
    if (len <= HASH_ALL || memcmp(at, HASH_HEAD, sizeof(HASH_HEAD) - 1) != 0 ||
        memcmp(text + len - 2, HASH_TAIL, 2) != 0)
        return gtm_error_set(err, GTM_ECORRUPT, "%.64s: does not end with its hash", key);
    if (!gtm_sha256_hex2(text, len - HASH_ALL, "}", 1, hash))
        return gtm_error_set(err, GTM_ENOMEM, "%s", gtm_err_text(GTM_ENOMEM));
    if (memcmp(hex, hash, sizeof(hash) - 1) != 0)
        return gtm_error_set(err, GTM_ECORRUPT, "%.64s: was changed: its hash does not match", key);
    memcpy(ret_hash, hash, sizeof(hash));
    return GTM_OK;
}

int gtm_audit_verify(struct gtm_audit_check *check, const char *key, const char *text, size_t len,
                     struct gtm_error *err)
{
    struct gtm_json *json;
    char hash[GTM_SHA256_HEX_BYTES], want[GTM_AUDIT_KEY_BYTES];
    int rc = parse(key ? key : "an entry", text, len, &json, err);
    if (rc != GTM_OK)
        return rc;
    int64_t seq = gtm_json_i64(json, "seq", 0);
    const char *prev = gtm_json_str(json, "prev", "?");
    gtm_audit_key(seq, want);
    key = key ? key : want;
    rc = check_hash(key, text, len, hash, err);
    if (rc == GTM_OK && (seq < 1 || seq == INT64_MAX || strcmp(key, want) != 0))
        rc = gtm_error_set(err, GTM_ECORRUPT, "%.64s: holds entry %lld", key, (long long)seq);
    if (rc == GTM_OK && check->next && seq != check->next)
        rc = gtm_error_set(err, GTM_ECORRUPT, "%.64s: entry %lld was expected here", key,
                           (long long)check->next);
    if (rc == GTM_OK && (check->prev[0] ? strcmp(prev, check->prev) != 0
                         : seq == 1     ? prev[0] != '\0'
                                        : !is_hash(prev)))
        rc = gtm_error_set(err, GTM_ECORRUPT, "%.64s: does not follow the entry before it", key);
    gtm_json_free(json);
    if (rc != GTM_OK)
        return rc;
    check->first = check->first ? check->first : seq;
    check->next = seq + 1;
    memcpy(check->prev, hash, sizeof(hash));
    return GTM_OK;
}

int gtm_audit_verify_head(const struct gtm_audit_check *check, const char *text, size_t len,
                          struct gtm_error *err)
{
    struct gtm_audit_head head;
    if (!text && check->first)
        return gtm_error_set(err, GTM_ECORRUPT, GTM_AUDIT_HEAD " is gone, but there are entries");
    if (!text)
        return GTM_OK;
    int rc = gtm_audit_head_parse(text, len, &head, err);
    if (rc != GTM_OK)
        return rc;
    if (!check->first || check->first > head.first)
        return gtm_error_set(err, GTM_ECORRUPT, "entries from %lld on are missing",
                             (long long)head.first);
    if (check->next <= head.seq)
        return gtm_error_set(err, GTM_ECORRUPT, "entries %lld to %lld are missing at the end",
                             (long long)check->next, (long long)head.seq);
    if (check->next != head.seq + 1 || strcmp(check->prev, head.hash) != 0)
        return gtm_error_set(err, GTM_ECORRUPT, "the newest entry is not the head's (%lld)",
                             (long long)head.seq);
    return GTM_OK;
}

/* --- an exported chain --- */

/* Only entries follow another one. */
static bool is_head(const char *text, size_t len)
{
    struct gtm_json *json = gtm_json_parse(text, len, NULL);
    bool head = json && !gtm_json_get(json, "prev") && gtm_json_get(json, "first");
    gtm_json_free(json);
    return head;
}

int gtm_audit_export_line(struct gtm_audit_export *export, const char *text, size_t len,
                          struct gtm_error *err)
{
    int rc = GTM_OK;
    export->line++;
    if (export->ended)
        rc = gtm_error_set(err, GTM_ECORRUPT, "something stands behind the end of the chain");
    else if (len > GTM_AUDIT_LINE_MAX)
        rc = gtm_error_set(err, GTM_ECORRUPT, "longer than an entry can be (%u KiB)",
                           GTM_AUDIT_LINE_MAX >> 10);
    else if (is_head(text, len)) {
        rc = gtm_audit_verify_head(&export->check, text, len, err);
        export->ended = rc == GTM_OK;
    } else {
        rc = gtm_audit_verify(&export->check, NULL, text, len, err);
    }
    if (rc != GTM_OK)
        err->line = (unsigned)export->line;
    return rc;
}

int gtm_audit_export_end(const struct gtm_audit_export *export, struct gtm_error *err)
{
    if (export->line == 0)
        return gtm_error_set(err, GTM_ECORRUPT, "empty: this is no exported audit chain");
    if (!export->ended)
        return gtm_error_set(
            err, GTM_ECORRUPT,
            "cut off behind entry %lld: its last line, the chain's head, is missing",
            (long long)(export->check.next ? export->check.next - 1 : 0));
    return GTM_OK;
}
