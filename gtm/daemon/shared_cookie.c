/* SPDX-License-Identifier: Apache-2.0
 *
 * See shared_cookie.h. What is sealed: {"made":MS,"keys":[HEX,HEX]}, the newest first.
 */
#include "gtm/daemon/shared_cookie.h"

#include "dns/settings.h"
#include "gtm/base/json.h"
#include "gtm/base/log.h"
#include "gtm/base/loop.h"
#include "gtm/base/mem.h"
#include "gtm/base/rand.h"
#include "gtm/coord/secret.h"
#include "gtm/daemon/settings.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 1000u
#define KEPT    2u /* the one that makes, and the one before */
#define HEX     33u

/* What follows GTM_SECRET_PREFIX in GTM_SHARED_COOKIE_KEY. */
static const char secret_name[] = "dns-cookie";

struct gtm_shared_cookie {
    struct gtm_shared_cookie_opts opts;
    struct gtm_secret_key key;
    bool has_key, writing;
    struct gtm_timer *timer;
    int64_t revision; /* of the entry that was opened, or could not be */
    int64_t made_ms;
    uint8_t keys[KEPT][16];
    unsigned count;
    char problem[320];
    bool *alive; /* false once freed; freed by a commit under way */
};

struct pending {
    struct gtm_shared_cookie *cookie;
    bool *alive;
};

/* --- reading --- */

static void complain(struct gtm_shared_cookie *c, const char *text)
{
    if (strcmp(c->problem, text) != 0)
        gtm_log(GTM_LOG_ERROR, "cookie", "the nodes' shared secret is not used here",
                gtm_kv_str("error", text));
    snprintf(c->problem, sizeof(c->problem), "%s", text);
}

static bool parse_key(const char *hex, uint8_t out[16])
{
    size_t len = 0;
    return strlen(hex) == HEX - 1 && OPENSSL_hexstr2buf_ex(out, 16, &len, hex, '\0') == 1 &&
           len == 16;
}

static bool parse(struct gtm_shared_cookie *c, const char *data, size_t len)
{
    unsigned n = 0;
    struct gtm_json *root = gtm_json_parse(data, len, &(struct gtm_error){0});
    const struct gtm_json *list = gtm_json_get(root, "keys");
    for (const struct gtm_json *k = gtm_json_first(list); k && n < KEPT; k = gtm_json_next(k)) {
        const char *hex = gtm_json_as_str(k);
        if (!hex || !parse_key(hex, c->keys[n])) {
            n = 0;
            break;
        }
        n++;
    }
    c->made_ms = gtm_json_i64(root, "made", 0);
    c->count = n;
    gtm_json_free(root);
    if (n > 0)
        gtm_settings_share_cookies((const uint8_t(*)[16])c->keys, n);
    return n > 0;
}

static void take(struct gtm_shared_cookie *c, const struct gtm_store_entry *entry)
{
    struct gtm_error err = {0};
    char *data = NULL;
    size_t len = 0;
    if (entry->revision == c->revision)
        return;
    c->revision = entry->revision;
    c->count = 0;
    if (gtm_secret_open(&c->key, secret_name, entry->value, entry->value_len, &data, &len, &err) !=
        GTM_OK) {
        complain(c, err.text);
    } else if (!parse(c, data, len)) {
        complain(c, GTM_SHARED_COOKIE_KEY " holds no cookie secrets");
    } else {
        c->problem[0] = '\0';
    }
    if (data)
        OPENSSL_cleanse(data, len);
    gtm_free(data);
}

/* --- writing --- */

static void on_written(void *arg, const struct gtm_store_result *result)
{
    struct pending *pending = arg;
    if (*pending->alive) {
        pending->cookie->writing = false;
        if (result->code != GTM_OK && result->code != GTM_ECONFLICT)
            gtm_log_error(GTM_LOG_WARN, "cookie", "a new shared secret was not written",
                          result->err);
    } else {
        gtm_free(pending->alive);
    }
    gtm_free(pending);
}

static void append_key(struct gtm_json *list, const uint8_t key[16])
{
    char hex[HEX] = "";
    for (size_t i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    gtm_json_append_str(list, hex);
    OPENSSL_cleanse(hex, sizeof(hex));
}

/* The sealed text of a new secret before the present one. */
static char *make_text(const struct gtm_shared_cookie *c, int64_t now_ms)
{
    uint8_t fresh[16];
    struct gtm_error err = {0};
    if (gtm_rand_secure(fresh, sizeof(fresh)) != GTM_OK)
        return NULL;
    struct gtm_json *root = gtm_json_object();
    gtm_json_add_i64(root, "made", now_ms);
    struct gtm_json *list = gtm_json_add_array(root, "keys");
    append_key(list, fresh);
    for (unsigned i = 0; i < c->count && i + 1 < KEPT; i++)
        append_key(list, c->keys[i]);
    char *plain = gtm_json_print(root, false), *text = NULL;
    gtm_json_free(root);
    if (plain) {
        text = gtm_secret_seal(&c->key, secret_name, plain, strlen(plain), &err);
        OPENSSL_cleanse(plain, strlen(plain));
        gtm_free(plain);
    }
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return text;
}

static void write_new(struct gtm_shared_cookie *c, int64_t expect)
{
    struct gtm_store_change changes[2] = {
        {.kind = GTM_STORE_PUT, .key = GTM_SHARED_COOKIE_KEY, .expect = expect}};
    if (c->writing || c->opts.guard(c->opts.arg, &changes[1]) != GTM_OK)
        return; /* another node leads */
    char *text = make_text(c, gtm_wall_ms(c->opts.clock));
    struct pending *pending = gtm_calloc(1, sizeof(*pending));
    if (text && pending) {
        *pending = (struct pending){c, c->alive};
        changes[0].value = text;
        changes[0].value_len = strlen(text);
        c->writing = gtm_store_commit(c->opts.store, changes, 2, on_written, pending) == GTM_OK;
    }
    if (!c->writing) /* tried again at the next look */
        gtm_free(pending);
    gtm_free(text);
}

static void on_look(void *arg)
{
    struct gtm_shared_cookie *c = arg;
    struct gtm_store_entry entry;
    struct gtm_store_status status;
    gtm_store_status(c->opts.store, &status);
    if (gtm_store_get(c->opts.store, GTM_SHARED_COOKIE_KEY, &entry) == GTM_OK) {
        take(c, &entry);
        if (c->count > 0)
            c->opts.apply(c->opts.arg, (const uint8_t(*)[16])c->keys, c->count);
        int64_t age_ms = gtm_wall_ms(c->opts.clock) - c->made_ms;
        if (c->count > 0 && age_ms >= GTM_SHARED_COOKIE_WEEK_MS)
            write_new(c, c->revision);
    } else if (status.ok) {
        c->count = 0;
        write_new(c, GTM_STORE_ABSENT);
    }
    gtm_timer_start(c->timer, LOOK_MS);
}

/* --- life --- */

struct gtm_shared_cookie *gtm_shared_cookie_new(const struct gtm_shared_cookie_opts *opts)
{
    struct gtm_error err = {0};
    struct gtm_shared_cookie *c = gtm_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->opts = *opts;
    c->alive = gtm_calloc(1, sizeof(*c->alive));
    c->timer = gtm_timer_new(opts->loop, on_look, c);
    if (!c->alive || !c->timer) {
        gtm_shared_cookie_free(c);
        return NULL;
    }
    *c->alive = true;
    c->has_key = gtm_secret_key_load(opts->key_path, &c->key, &err) == GTM_OK;
    if (c->has_key)
        gtm_timer_start(c->timer, 1);
    else
        complain(c, err.text);
    return c;
}

void gtm_shared_cookie_free(struct gtm_shared_cookie *c)
{
    if (!c)
        return;
    gtm_timer_free(c->timer);
    if (c->alive)
        *c->alive = false;
    if (!c->writing)
        gtm_free(c->alive);
    gtm_secret_key_clear(&c->key);
    OPENSSL_cleanse(c->keys, sizeof(c->keys));
    gtm_free(c);
}

const char *gtm_shared_cookie_problem(const struct gtm_shared_cookie *c)
{
    return c && c->problem[0] ? c->problem : NULL;
}
