/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole files: data/{intent,node}_good are accepted; data/{intent,node}_bad give exactly the
 * findings of the .expect file beside them (line:col: severity: text), all at once; every
 * allocation that can fail does, once; what is shown of an intent is an intent again.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent.h"
#include "gtm/model/intent_later.h"
#include "gtm/model/node.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct file {
    char path[512];
    char *text;
    size_t len;
    bool node;
};

static const char *data_dir(char out[256], const char *folder)
{
    const char *source = getenv("GTM_SOURCE");
    snprintf(out, 256, "%s/tests/unit/gtm/model/data/%s", source ? source : ".", folder);
    return out;
}

static char *slurp(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s cannot be opened", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    *ret_len = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".yaml") == 0;
}

/* Calls fn for each .yaml file of a data folder; a folder without any is a failure. */
static void each_file(const char *folder, void (*fn)(const struct file *file))
{
    char dir[256];
    struct dirent **names = NULL;
    int n = scandir(data_dir(dir, folder), &names, is_yaml, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        struct file file = {.node = strncmp(folder, "node", 4) == 0};
        snprintf(file.path, sizeof(file.path), "%s/%s", dir, names[i]->d_name);
        file.text = slurp(file.path, &file.len);
        fn(&file);
        free(file.text);
        free(names[i]);
    }
    free(names);
}

/* True when the file was accepted. */
static bool parse(const struct file *file, struct gtm_diags *diags)
{
    if (file->node) {
        struct gtm_node *node = gtm_node_parse(file->path, file->text, file->len, diags);
        gtm_node_free(node);
        return node != NULL;
    }
    struct gtm_intent *intent = gtm_intent_parse(file->path, file->text, file->len, diags);
    gtm_intent_unref(intent);
    return intent != NULL;
}

static void is_accepted(const struct file *file)
{
    struct gtm_diags diags = {0};
    bool ok = parse(file, &diags);
    if (!ok || diags.errors)
        gtm_diags_print(&diags, stderr);
    assert_true(ok);
    assert_int_equal(diags.errors, 0);
    gtm_diags_fini(&diags);
}

static void test_good_files(void **state)
{
    each_file("intent_good", is_accepted);
    each_file("node_good", is_accepted);
}

static void test_shipped_examples(void **state)
{
    static const char *const names[] = {"cluster.yaml", "node.yaml"};
    for (int i = 0; i < 2; i++) {
        const char *source = getenv("GTM_SOURCE");
        struct file file = {.node = i == 1};
        snprintf(file.path, sizeof(file.path), "%s/deploy/examples/%s", source ? source : ".",
                 names[i]);
        file.text = slurp(file.path, &file.len);
        is_accepted(&file);
        free(file.text);
    }
}

static void gives_its_findings(const struct file *file)
{
    static const char *const words[] = {"error", "warning", "note"};
    struct gtm_diags diags = {0};
    char expect_path[520], *found = calloc(1, 1 << 20);
    size_t len, used = 0;
    assert_non_null(found);
    assert_false(parse(file, &diags));
    snprintf(expect_path, sizeof(expect_path), "%.*s.expect", (int)strlen(file->path) - 5,
             file->path);
    char *expect = slurp(expect_path, &len);
    for (size_t i = 0; i < diags.count; i++) {
        const struct gtm_diag *d = &diags.items[i];
        assert_string_equal(d->file, file->path);
        used += (size_t)snprintf(found + used, (1 << 20) - used, "%u:%u: %s: %s\n", d->line, d->col,
                                 words[d->severity], d->text);
    }
    if (strcmp(found, expect) != 0)
        fail_msg("%s: found\n%s\nexpected\n%s", file->path, found, expect);
    free(expect);
    free(found);
    gtm_diags_fini(&diags);
}

static void test_bad_files(void **state)
{
    each_file("intent_bad", gives_its_findings);
    each_file("node_bad", gives_its_findings);
}

/* A failed allocation refuses a good file with an error, or costs no more than a finding's text. */
static void survives_no_memory(const struct file *file)
{
    struct gtm_diags diags = {0};
    uint64_t before = gtm_mem_count();
    bool ok = parse(file, &diags);
    uint64_t count = gtm_mem_count() - before;
    size_t warnings = diags.warnings;
    gtm_diags_fini(&diags);
    uint64_t step = count / 250 + 1;
    assert_true(count > 0);
    for (uint64_t n = 1; n <= count; n += step) {
        gtm_mem_fail_at(n, n % 2 == 0);
        bool now = parse(file, &diags);
        gtm_mem_fail_at(0, 0);
        if (now && (!ok || diags.errors > 0 || diags.warnings != warnings))
            fail_msg("%s: allocation %llu failed unnoticed", file->path, (unsigned long long)n);
        if (!now && diags.errors == 0)
            fail_msg("%s: allocation %llu failed without a finding", file->path,
                     (unsigned long long)n);
        gtm_diags_fini(&diags);
    }
}

static void test_no_memory(void **state)
{
    each_file("intent_good", survives_no_memory);
    each_file("node_good", survives_no_memory);
    each_file("intent_bad", survives_no_memory);
    each_file("node_bad", survives_no_memory);
}

/* JSON is YAML: what is shown parses to the same again, and changes nothing when shown again. */
static void shown_is_an_intent(const struct file *file)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent =
        gtm_intent_parse("/etc/gtm/cluster.yaml", file->text, file->len, &diags);
    assert_non_null(intent);
    struct gtm_json *json = gtm_intent_to_json(intent);
    char *text = gtm_json_print(json, true);
    assert_non_null(text);
    struct gtm_intent *again =
        gtm_intent_parse("/etc/gtm/cluster.yaml", text, strlen(text), &diags);
    if (!again)
        gtm_diags_print(&diags, stderr);
    assert_non_null(again);
    struct gtm_json *json_again = gtm_intent_to_json(again);
    char *text_again = gtm_json_print(json_again, true);
    assert_string_equal(text, text_again);
    assert_int_equal(intent->inactive_count, again->inactive_count);
    gtm_free(text);
    gtm_free(text_again);
    gtm_json_free(json);
    gtm_json_free(json_again);
    gtm_intent_unref(intent);
    gtm_intent_unref(again);
    gtm_diags_fini(&diags);
}

static void test_shown_again(void **state)
{
    each_file("intent_good", shown_is_an_intent);
}

/* Without memory nothing is shown, rather than a part. */
static void is_shown_whole_or_not(const struct file *file)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent = gtm_intent_parse("/x/c.yaml", file->text, file->len, &diags);
    assert_non_null(intent);
    uint64_t before = gtm_mem_count();
    struct gtm_json *json = gtm_intent_to_json(intent);
    char *whole = gtm_json_print(json, false);
    uint64_t count = gtm_mem_count() - before;
    gtm_json_free(json);
    assert_non_null(whole);
    for (uint64_t n = 1; n <= count; n += count / 200 + 1) {
        gtm_mem_fail_at(n, 0);
        json = gtm_intent_to_json(intent);
        char *text = gtm_json_print(json, false);
        gtm_mem_fail_at(0, 0);
        if (text)
            assert_string_equal(text, whole);
        gtm_free(text);
        gtm_json_free(json);
    }
    gtm_free(whole);
    gtm_intent_unref(intent);
    gtm_diags_fini(&diags);
}

static void test_shown_without_memory(void **state)
{
    each_file("intent_good", is_shown_whole_or_not);
}

static void add_scale_text(struct gtm_buf *buf, unsigned pools, unsigned names)
{
    gtm_buf_adds(buf, "regions:\n");
    for (unsigned i = 0; i < 10; i++)
        gtm_buf_addf(buf, "  - {name: r%u, location: [%u, %u]}\n", i, i, i);
    gtm_buf_adds(buf, "monitors:\n  - {name: web, kind: http}\npools:\n");
    for (unsigned i = 0; i < pools; i++)
        gtm_buf_addf(
            buf,
            "  - {name: p%u, monitors: [web], endpoints: [{name: a, region: r%u, "
            "addresses: [10.%u.%u.1]}, {name: b, region: r%u, addresses: [10.%u.%u.2]}]}\n",
            i, i % 10, i / 250, i % 250, (i + 1) % 10, i / 250, i % 250);
    gtm_buf_adds(buf, "policies:\n");
    for (unsigned i = 0; i < pools; i++)
        gtm_buf_addf(buf, "  - {name: q%u, pool: p%u, steer: nearest}\n", i, i);
    gtm_buf_adds(buf, "zones:\n  - name: example.com\n    file: z\n    names:\n");
    for (unsigned i = 0; i < names; i++)
        gtm_buf_addf(buf, "      - {name: n%u, types: [A, AAAA], policy: q%u}\n", i, i % pools);
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Ten times the objects must not cost much more than ten times the time: the shape is tested, not
 * the machine. */
static void test_scale(void **state)
{
    double took[2];
    for (int round = 0; round < 2; round++) {
        unsigned pools = round ? 10000 : 1000, names = pools * 10;
        struct gtm_buf buf = {0};
        struct gtm_diags diags = {0};
        add_scale_text(&buf, pools, names);
        double start = cpu_s();
        struct gtm_intent *intent = gtm_intent_parse("big.yaml", buf.data, buf.len, &diags);
        took[round] = cpu_s() - start;
        assert_non_null(intent);
        assert_int_equal(intent->zones[0].names_count, names);
        assert_int_equal(intent->zones[0].names[names - 1].policy, (names - 1) % pools);
        assert_int_equal(gtm_intent_pool(intent, "p999"), 999);
        gtm_intent_unref(intent);
        gtm_diags_fini(&diags);
        gtm_buf_fini(&buf);
    }
    printf("10,000 pools and 100,000 names: %.2f s of CPU\n", took[1]);
    assert_true(took[1] < took[0] * 40 + 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_shown_again),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_shipped_examples),
        cmocka_unit_test(test_shown_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
