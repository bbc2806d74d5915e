/* SPDX-License-Identifier: Apache-2.0
 *
 * See verdict_doc.h.
 */
#include "gtm/model/verdict_doc.h"

#include "gtm/base/mem.h"
#include "gtm/model/doc_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_MAX UINT16_MAX

static const char *const quorum_words[] = {"agreed", "split", "stale"};
enum { QUORUM_WORDS = 3 };

static int compare_addresses(const void *a, const void *b)
{
    const struct gtm_verdict_address *x = *(const struct gtm_verdict_address *const *)a;
    const struct gtm_verdict_address *y = *(const struct gtm_verdict_address *const *)b;
    int by_name = strcmp(x->endpoint, y->endpoint);
    return by_name ? by_name : (int)x->family - (int)y->family;
}

/* Sheds, which have no policy, come first. */
static int compare_policies(const struct gtm_verdict_weight *x, const struct gtm_verdict_weight *y)
{
    if (!x->policy || !y->policy)
        return (x->policy != NULL) - (y->policy != NULL);
    return strcmp(x->policy, y->policy);
}

static int compare_weights(const void *a, const void *b)
{
    const struct gtm_verdict_weight *x = *(const struct gtm_verdict_weight *const *)a;
    const struct gtm_verdict_weight *y = *(const struct gtm_verdict_weight *const *)b;
    int by_policy = compare_policies(x, y);
    return by_policy ? by_policy : strcmp(x->name, y->name);
}

/* --- printing --- */

struct printing {
    const struct gtm_verdict_doc *doc;
    const struct gtm_verdict_address **addresses;
    const struct gtm_verdict_weight **weights;
    size_t sheds;
};

static void print_number(struct gtm_buf *buf, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    gtm_buf_adds(buf, text);
}

static void print_address(struct gtm_buf *buf, const struct gtm_verdict_address *a, bool texts)
{
    gtm_buf_addf(buf, "\"%s\":{\"h\":\"%s\"", gtm__doc_family(a->family),
                 gtm_health_word((enum gtm_health)a->health));
    gtm__doc_add_i64(buf, "s", a->since_ms);
    if (a->quorum > 0)
        gtm_buf_addf(buf, ",\"q\":\"%s\"", quorum_words[a->quorum]);
    if (a->share != GTM_SHARE_FULL)
        gtm__doc_add_i64(buf, "w", a->share);
    if (a->held)
        gtm_buf_adds(buf, ",\"held\":true");
    if (texts && a->cause && a->cause[0]) {
        gtm_buf_adds(buf, ",\"c\":");
        gtm__doc_quote(buf, a->cause, GTM_VERDICT_CAUSE);
    }
    for (unsigned i = 0; i < a->recovery_count; i++) {
        gtm_buf_adds(buf, i > 0 ? "," : ",\"r\":[");
        print_number(buf, a->recovery[i]);
    }
    gtm_buf_adds(buf, a->recovery_count > 0 ? "]}" : "}");
}

static void print_weight(struct gtm_buf *buf, const struct gtm_verdict_weight *weight)
{
    gtm__doc_quote(buf, weight->name, SIZE_MAX);
    gtm_buf_addf(buf, ":%" PRIu32, weight->value);
}

static void print_weights(struct gtm_buf *buf, const struct printing *p)
{
    for (size_t i = 0; i < p->sheds; i++) {
        gtm_buf_adds(buf, i > 0 ? "," : ",\"shed\":{");
        print_weight(buf, p->weights[i]);
    }
    gtm_buf_adds(buf, p->sheds > 0 ? "}" : "");
    for (size_t i = p->sheds; i < p->doc->weights_count; i++) {
        bool first = i == p->sheds;
        if (first || compare_policies(p->weights[i - 1], p->weights[i]) != 0) {
            gtm_buf_adds(buf, first ? ",\"balance\":{" : "},");
            gtm__doc_quote(buf, p->weights[i]->policy, SIZE_MAX);
            gtm_buf_adds(buf, ":{");
        } else {
            gtm_buf_addc(buf, ',');
        }
        print_weight(buf, p->weights[i]);
    }
    gtm_buf_adds(buf, p->doc->weights_count > p->sheds ? "}}" : "");
}

static void print_all(struct gtm_buf *buf, const void *arg, bool texts)
{
    const struct printing *p = arg;
    const struct gtm_verdict_doc *doc = p->doc;
    gtm_buf_addf(buf, "{\"v\":%d", GTM_VERDICT_FORMAT);
    gtm__doc_add_i64(buf, "rev", doc->rev);
    gtm__doc_add_i64(buf, "intent", doc->intent);
    gtm__doc_add_i64(buf, "at", doc->at_ms);
    gtm_buf_adds(buf, ",\"by\":");
    gtm__doc_quote(buf, doc->by, SIZE_MAX);
    gtm__doc_add_i64(buf, "fence", doc->fence);
    gtm_buf_adds(buf, doc->stale ? ",\"stale\":true,\"e\":{" : ",\"e\":{");
    for (size_t i = 0; i < doc->count; i++) {
        bool another =
            i > 0 && strcmp(p->addresses[i - 1]->endpoint, p->addresses[i]->endpoint) == 0;
        if (i > 0)
            gtm_buf_adds(buf, another ? "," : "},");
        if (!another) {
            gtm__doc_quote(buf, p->addresses[i]->endpoint, SIZE_MAX);
            gtm_buf_adds(buf, ":{");
        }
        print_address(buf, p->addresses[i], texts);
    }
    gtm_buf_adds(buf, doc->count > 0 ? "}}" : "}");
    print_weights(buf, p);
    for (unsigned f = 0, any = 0; f < GTM_FAMILY_COUNT; f++) {
        if (doc->panic[f])
            gtm_buf_addf(buf, "%s\"%s\":true", any++ ? "," : ",\"panic\":{", gtm__doc_family(f));
    }
    gtm_buf_adds(buf, doc->panic[GTM_FAMILY_V4] || doc->panic[GTM_FAMILY_V6] ? "}}" : "}");
}

static bool address_ok(const struct gtm_verdict_address *a)
{
    bool ok = gtm__doc_name_ok(a->endpoint) && a->family < GTM_FAMILY_COUNT &&
              a->health < GTM_HEALTH_COUNT && a->quorum < QUORUM_WORDS &&
              a->share <= GTM_SHARE_FULL && a->since_ms >= 0 &&
              a->recovery_count <= GTM_VERDICT_NUMBERS;
    for (unsigned i = 0; ok && i < a->recovery_count; i++)
        ok = isfinite(a->recovery[i]);
    return ok;
}

static bool weight_ok(const struct gtm_verdict_weight *w)
{
    if (w->policy && !gtm__doc_name_ok(w->policy))
        return false;
    return gtm__doc_name_ok(w->name) && w->value <= (w->policy ? WEIGHT_MAX : GTM_SHARE_FULL);
}

static bool printable(const struct gtm_verdict_doc *doc)
{
    bool ok = doc->rev >= 0 && doc->intent >= 0 && doc->at_ms >= 0 && doc->fence >= 0 &&
              gtm__doc_name_ok(doc->by);
    for (size_t i = 0; ok && i < doc->count; i++)
        ok = address_ok(&doc->addresses[i]);
    for (size_t i = 0; ok && i < doc->weights_count; i++)
        ok = weight_ok(&doc->weights[i]);
    return ok;
}

/* Sorts everything; GTM_EINVAL when something is there twice. */
static int prepare(struct printing *p)
{
    const struct gtm_verdict_doc *doc = p->doc;
    for (size_t i = 0; i < doc->count; i++)
        p->addresses[i] = &doc->addresses[i];
    for (size_t i = 0; i < doc->weights_count; i++) {
        p->weights[i] = &doc->weights[i];
        p->sheds += doc->weights[i].policy == NULL;
    }
    qsort(p->addresses, doc->count, sizeof(*p->addresses), compare_addresses);
    qsort(p->weights, doc->weights_count, sizeof(*p->weights), compare_weights);
    for (size_t i = 1; i < doc->count; i++) {
        if (compare_addresses(&p->addresses[i - 1], &p->addresses[i]) == 0)
            return GTM_EINVAL;
    }
    for (size_t i = 1; i < doc->weights_count; i++) {
        if (compare_weights(&p->weights[i - 1], &p->weights[i]) == 0)
            return GTM_EINVAL;
    }
    return GTM_OK;
}

int gtm_verdict_doc_print(const struct gtm_verdict_doc *doc, struct gtm_buf *ret)
{
    if (!printable(doc))
        return GTM_EINVAL;
    struct printing p = {.doc = doc};
    p.addresses = gtm_calloc(doc->count + 1, sizeof(*p.addresses));
    p.weights = gtm_calloc(doc->weights_count + 1, sizeof(*p.weights));
    int rc = p.addresses && p.weights ? prepare(&p) : GTM_ENOMEM;
    if (rc == GTM_OK)
        rc = gtm__doc_print(ret, GTM_VERDICT_BYTES_MAX, print_all, &p);
    gtm_free(p.addresses);
    gtm_free(p.weights);
    return rc;
}

/* --- parsing --- */

struct reading {
    struct gtm_verdict_doc *doc;
    struct gtm__doc_texts texts;
    struct gtm_error *err;
};

static int read_word(const struct gtm_json *object, const char *key, const char *fallback,
                     int (*parse)(const char *word), uint8_t *ret, struct gtm_error *err)
{
    const struct gtm_json *value = gtm_json_get(object, key);
    const char *word = value ? gtm_json_as_str(value) : fallback;
    int found = word ? parse(word) : -1;
    if (found < 0)
        return gtm_error_set(err, GTM_EPARSE, "\"%s\" is none of its words", key);
    *ret = (uint8_t)found;
    return GTM_OK;
}

static int quorum_parse(const char *word)
{
    for (int i = 0; i < QUORUM_WORDS; i++) {
        if (strcmp(quorum_words[i], word) == 0)
            return i;
    }
    return -1;
}

static int read_recovery(const struct gtm_json *in, struct gtm_verdict_address *a,
                         struct gtm_error *err)
{
    const struct gtm_json *list = NULL;
    int rc = gtm__doc_member(in, "r", GTM_JSON_ARRAY, &list, err);
    const struct gtm_json *item = rc == GTM_OK ? gtm_json_first(list) : NULL;
    for (; item; item = gtm_json_next(item)) {
        double value = gtm_json_as_num(item, NAN);
        if (a->recovery_count >= GTM_VERDICT_NUMBERS || !isfinite(value))
            return gtm_error_set(err, GTM_EPARSE, "\"r\" must hold up to %d numbers",
                                 GTM_VERDICT_NUMBERS);
        a->recovery[a->recovery_count++] = value;
    }
    return rc;
}

static int read_address(struct reading *r, const struct gtm_json *in, const char *endpoint,
                        int family)
{
    struct gtm_verdict_address *a = &r->doc->addresses[r->doc->count++];
    const struct gtm_json *cause = gtm_json_get(in, "c"), *share = gtm_json_get(in, "w");
    int64_t n = GTM_SHARE_FULL;
    *a = (struct gtm_verdict_address){
        .endpoint = endpoint, .family = (uint8_t)family, .share = GTM_SHARE_FULL, .cause = ""};
    if (gtm_json_type(in) != GTM_JSON_OBJECT || (cause && !gtm_json_as_str(cause)))
        return gtm_error_set(r->err, GTM_EPARSE, "an address must be an object, its \"c\" a text");
    if (cause)
        a->cause = gtm__doc_keep(&r->texts, gtm_json_as_str(cause), GTM_VERDICT_CAUSE);
    int rc = read_word(in, "h", NULL, gtm_health_parse, &a->health, r->err);
    if (rc == GTM_OK)
        rc = read_word(in, "q", quorum_words[0], quorum_parse, &a->quorum, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(in, "s", &a->since_ms, r->err);
    if (rc == GTM_OK && share)
        rc = gtm__doc_uint(share, "w", GTM_SHARE_FULL, &n, r->err);
    a->share = (unsigned)n;
    if (rc == GTM_OK)
        rc = gtm__doc_bool(in, "held", &a->held, r->err);
    return rc == GTM_OK ? read_recovery(in, a, r->err) : rc;
}

/* Each member of an object of objects, with its name, which is kept. */
static int each_named(struct reading *r, const struct gtm_json *root, const char *key,
                      int (*each)(struct reading *r, const struct gtm_json *in, const char *name))
{
    const struct gtm_json *objects = NULL;
    int rc = gtm__doc_member(root, key, GTM_JSON_OBJECT, &objects, r->err);
    const struct gtm_json *in = rc == GTM_OK ? gtm_json_first(objects) : NULL;
    for (; in && rc == GTM_OK; in = gtm_json_next(in)) {
        const char *name = gtm_json_key(in);
        if (!gtm__doc_name_ok(name) || gtm_json_type(in) != GTM_JSON_OBJECT)
            return gtm_error_set(r->err, GTM_EPARSE, "\"%s\" must hold names with objects", key);
        rc = each(r, in, gtm__doc_keep(&r->texts, name, GTM_NAME_MAX + 1));
    }
    return rc;
}

static int read_endpoint(struct reading *r, const struct gtm_json *in, const char *name)
{
    int rc = GTM_OK;
    const struct gtm_json *address = gtm_json_first(in);
    for (; address && rc == GTM_OK; address = gtm_json_next(address)) {
        int family = gtm__doc_family_of(gtm_json_key(address));
        if (family >= 0)
            rc = read_address(r, address, name, family);
    }
    return rc;
}

static int read_weights(struct reading *r, const struct gtm_json *in, const char *policy)
{
    int rc = GTM_OK;
    const struct gtm_json *item = gtm_json_first(in);
    for (; item && rc == GTM_OK; item = gtm_json_next(item)) {
        const char *name = gtm_json_key(item);
        int64_t value = 0;
        if (!gtm__doc_name_ok(name))
            return gtm_error_set(r->err, GTM_EPARSE, "a weight without a name");
        rc = gtm__doc_uint(item, name, policy ? WEIGHT_MAX : GTM_SHARE_FULL, &value, r->err);
        r->doc->weights[r->doc->weights_count++] =
            (struct gtm_verdict_weight){.policy = policy,
                                        .name = gtm__doc_keep(&r->texts, name, GTM_NAME_MAX + 1),
                                        .value = (uint32_t)value};
    }
    return rc;
}

static int read_head(struct reading *r, const struct gtm_json *root)
{
    struct gtm_verdict_doc *doc = r->doc;
    const struct gtm_json *panic = NULL;
    int rc = gtm__doc_i64(root, "rev", &doc->rev, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(root, "intent", &doc->intent, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(root, "at", &doc->at_ms, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_i64(root, "fence", &doc->fence, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_name(root, "by", doc->by, sizeof(doc->by), r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_bool(root, "stale", &doc->stale, r->err);
    if (rc == GTM_OK)
        rc = gtm__doc_member(root, "panic", GTM_JSON_OBJECT, &panic, r->err);
    for (unsigned f = 0; f < GTM_FAMILY_COUNT && rc == GTM_OK && panic; f++)
        rc = gtm__doc_bool(panic, gtm__doc_family(f), &doc->panic[f], r->err);
    return rc;
}

/* How many members the members of an object have together. */
static size_t below(const struct gtm_json *object)
{
    size_t count = 0;
    for (const struct gtm_json *in = gtm_json_first(object); in; in = gtm_json_next(in))
        count += gtm_json_count(in);
    return count;
}

static int read_all(struct reading *r, const struct gtm_json *root, size_t len)
{
    struct gtm_verdict_doc *doc = r->doc;
    const struct gtm_json *shed = NULL;
    int rc = read_head(r, root);
    if (rc == GTM_OK)
        rc = gtm__doc_member(root, "shed", GTM_JSON_OBJECT, &shed, r->err);
    if (rc != GTM_OK)
        return rc;
    size_t weights = gtm_json_count(shed) + below(gtm_json_get(root, "balance"));
    doc->own = gtm_malloc(len + 1);
    doc->addresses = gtm_calloc(below(gtm_json_get(root, "e")) + 1, sizeof(*doc->addresses));
    doc->weights = gtm_calloc(weights + 1, sizeof(*doc->weights));
    if (!doc->own || !doc->addresses || !doc->weights)
        return gtm_error_set(r->err, GTM_ENOMEM, "out of memory");
    r->texts = (struct gtm__doc_texts){.at = doc->own, .end = (char *)doc->own + len + 1};
    rc = each_named(r, root, "e", read_endpoint);
    if (rc == GTM_OK && shed)
        rc = read_weights(r, shed, NULL);
    return rc == GTM_OK ? each_named(r, root, "balance", read_weights) : rc;
}

int gtm_verdict_doc_parse(const char *text, size_t len, struct gtm_verdict_doc *ret_doc,
                          struct gtm_error *err)
{
    int rc = GTM_OK;
    *ret_doc = (struct gtm_verdict_doc){0};
    struct gtm_json *root =
        gtm__doc_parse(text, len, GTM_VERDICT_BYTES_MAX, GTM_VERDICT_FORMAT, "a verdict", &rc, err);
    if (!root)
        return rc;
    struct reading reading = {.doc = ret_doc, .err = err};
    rc = read_all(&reading, root, len);
    gtm_json_free(root);
    if (rc != GTM_OK)
        gtm_verdict_doc_fini(ret_doc);
    return rc;
}

void gtm_verdict_doc_fini(struct gtm_verdict_doc *doc)
{
    gtm_free(doc->addresses);
    gtm_free(doc->weights);
    gtm_free(doc->own);
    *doc = (struct gtm_verdict_doc){0};
}
