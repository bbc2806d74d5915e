/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers and errors of an etcd, of every kind of call: whatever comes is taken or refused with a
 * code of ours, and what was taken holds what it promises. The first byte chooses the kind, the
 * second the HTTP status.
 */
#include "gtm/etcdc/call_int.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(bool good)
{
    if (!good)
        abort();
}

static void check_error(const char *body, size_t len, const struct gtm_json *json, int status)
{
    char text[ETCDC__TEXT_BYTES];
    memset(text, 'x', sizeof(text));
    int code = etcdc__error_of_body(body, len, status, text);
    must(memchr(text, 0, sizeof(text)) != NULL);
    must(code <= 0 && strcmp(etcdc_word(code), "unknown") != 0);
    must(code != ETCDC_OK || status == 200); /* a bad status is never good news */
    for (const char *p = text; *p; p++)
        must(*p >= ' ' && *p <= '~');
    (void)etcdc__surely_refused(code, text);
    if (gtm_json_type(json) == GTM_JSON_OBJECT) { /* both ways to the same */
        char again[ETCDC__TEXT_BYTES];
        must(etcdc__error_of(json, status, again) == code && strcmp(text, again) == 0);
    }
}

static void check_kvs(const struct etcdc_part *part, const struct etcdc__arena *arena)
{
    must(part->kvs || part->kvs_count == 0);
    for (size_t i = 0; i < part->kvs_count; i++) {
        const struct etcdc_buf both[2] = {part->kvs[i].key, part->kvs[i].value};
        must(part->kvs[i].key.n > 0);
        for (int k = 0; k < 2; k++)
            must(both[k].n == 0 ||
                 ((const uint8_t *)both[k].p >= arena->data &&
                  (const uint8_t *)both[k].p + both[k].n <= arena->data + arena->used));
    }
}

static void check_answer(enum etcdc__kind kind, const struct gtm_json *json, size_t len)
{
    struct etcdc__decoded got;
    int code = etcdc__decode(kind, json, len, &got);
    must(code == ETCDC_OK || code == ETCDC_E_PROTOCOL || code == ETCDC_E_NOMEM ||
         (code == ETCDC_E_LEASE_NOT_FOUND && kind == ETCDC__LEASE_KEEP_ALIVE));
    if (code == ETCDC_OK) {
        must(got.arena.used <= got.arena.cap && got.arena.cap == len);
        for (size_t i = 0; i < got.answer.parts_count; i++)
            check_kvs(&got.answer.parts[i], &got.arena);
        must(kind != ETCDC__LEASE_KEEP_ALIVE || got.answer.ttl_s > 0);
    }
    etcdc__decoded_fini(&got);
}

/* What we write, we read: octets of any kind through base64, numbers as text. */
static void check_round(const uint8_t *data, size_t len)
{
    struct gtm_buf out = {0};
    struct etcdc__arena arena;
    struct etcdc_buf back;
    int64_t number = 0, read;
    memcpy(&number, data, len < 8 ? len : 8);
    gtm_buf_addc(&out, '{');
    etcdc__put_bytes(&out, "key", etcdc_bytes(data, len));
    etcdc__put_i64(&out, "limit", number);
    etcdc__put_bool(&out, "more", number & 1);
    gtm_buf_addc(&out, '}');
    struct gtm_json *json = gtm_json_parse(out.data, out.len, NULL);
    must(json && etcdc__arena_init(&arena, out.len) == ETCDC_OK);
    must(etcdc__get_bytes(json, "key", &arena, &back) && back.n == len);
    must(len == 0 || memcmp(back.p, data, len) == 0);
    must(etcdc__get_i64(json, "limit", &read) && read == number);
    must(gtm_json_bool(json, "more", false) == (number & 1));
    etcdc__arena_fini(&arena);
    gtm_json_free(json);
    gtm_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 400, 401, 404, 429, 500, 503, 504};
    if (size < 2)
        return 0;
    const char *body = (const char *)data + 2;
    size_t len = size - 2;
    struct gtm_json *json = gtm_json_parse(body, len, NULL);
    check_error(body, len, json, statuses[data[1] % 8]);
    if (json)
        check_answer((enum etcdc__kind)(data[0] % ETCDC__STREAM), json, len);
    gtm_json_free(json);
    check_round(data, size);
    return 0;
}
