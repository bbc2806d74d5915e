/* SPDX-License-Identifier: Apache-2.0 */
#include "gtm/base/mem.h"
#include "gtm/model/intent_diff.h"
#include "gtm/model/intent_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char base[] = "# ours\n"
                           "regions: [{name: us}, {name: eu}]\n"
                           "pools:\n"
                           "  - name: www   # the site\n"
                           "    failback: {hold: 30s}\n"
                           "    endpoints:\n"
                           "      - {name: a, region: us}\n"
                           "      - {name: b, region: eu}\n"
                           "  # about api\n"
                           "  - name: api\n"
                           "    endpoints: [{name: c, region: us}]\n"
                           "\n"
                           "  # about the last\n"
                           "  - name: last\n"
                           "    endpoints: []\n"
                           "health: {quorum: majority}\n"
                           "zones:\n"
                           "- name: example.com\n"
                           "  file: example.com.zone\n"
                           "  names:\n"
                           "  - {name: www, policy: p}\n"
                           "  - {name: x, policy: p}\n"
                           "- name: other.org\n"
                           "  file: o.zone\n";

static struct gtm_json *diff_files(const char *before, const char *after, const char *zone_before,
                                   const char *zone_after)
{
    struct gtm_intent_text a[2] = {{"cluster.yaml", before, before ? strlen(before) : 0},
                                   {"z", zone_before, zone_before ? strlen(zone_before) : 0}};
    struct gtm_intent_text b[2] = {{"cluster.yaml", after, strlen(after)},
                                   {"z", zone_after, zone_after ? strlen(zone_after) : 0}};
    struct gtm_diff_side from = {a, before ? 1 + (zone_before != NULL) : 0};
    struct gtm_diff_side to = {b, 1 + (zone_after != NULL)};
    struct gtm_error err = {0};
    struct gtm_json *diff = gtm_intent_diff(&from, &to, &err);
    assert_non_null(diff);
    return diff;
}

static void says(struct gtm_json *diff, const char *expected)
{
    struct gtm_buf out = {0};
    gtm_intent_diff_text(diff, &out);
    assert_string_equal(out.data, expected);
    gtm_buf_fini(&out);
    gtm_json_free(diff);
}

/* base with one text replaced by another. */
static char *with(const char *from, const char *to)
{
    const char *at = strstr(base, from);
    assert_non_null(at);
    char *text = gtm_asprintf("%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    assert_non_null(text);
    return text;
}

static void changed(const char *from, const char *to, const char *expected)
{
    char *text = with(from, to);
    says(diff_files(base, text, NULL, NULL), expected);
    gtm_free(text);
}

static void objects_fields_and_files(void **state)
{
    says(diff_files(base, base, NULL, NULL), "no differences\n");
    changed("# ours", "# theirs", "only comments, layout or the order of objects differ\n");
    changed("hold: 30s", "hold: 1m",
            "~ pools www\n    failback/hold: 30s → 1m\n"
            "pools: 0 added, 1 changed, 0 removed\n");
    changed("hold: 30s", "hold: 30s, ramp: 5m",
            "~ pools www\n    failback/ramp: (none) → 5m\n"
            "pools: 0 added, 1 changed, 0 removed\n");
    changed("{name: b, region: eu}", "{name: b, region: us}",
            "~ pools www\n    endpoints/b/region: eu → us\n"
            "pools: 0 added, 1 changed, 0 removed\n");
    changed("      - {name: a, region: us}\n", "",
            "~ pools www\n    endpoints/a: {name: a, region: us} → (none)\n"
            "pools: 0 added, 1 changed, 0 removed\n");
    changed("quorum: majority", "quorum: all",
            "~ health\n    quorum: majority → all\n"
            "health: 0 added, 1 changed, 0 removed\n");
    changed("  - {name: x, policy: p}\n", "",
            "- names example.com/x\nnames: 0 added, 0 changed, 1 removed\n");
    changed("- name: other.org\n  file: o.zone\n", "- name: new.org\n  file: o.zone\n",
            "+ zones new.org\n- zones other.org\nzones: 1 added, 0 changed, 1 removed\n");
    changed("file: o.zone", "file: p.zone",
            "~ zones other.org\n    file: o.zone → p.zone\n"
            "zones: 0 added, 1 changed, 0 removed\n");
}

static void order_counts_only_in_lists(void **state)
{
    changed("{name: a, region: us}", "{region: us, name: a}",
            "only comments, layout or the order of objects differ\n");
    changed("[{name: us}, {name: eu}]", "[{name: eu}, {name: us}]",
            "only comments, layout or the order of objects differ\n");
    changed("      - {name: a, region: us}\n      - {name: b, region: eu}\n",
            "      - {name: b, region: eu}\n      - {name: a, region: us}\n",
            "~ pools www\n    endpoints: [{name: a, region: us}, {name: b, region: eu}] → "
            "[{name: b, region: eu}, {name: a, region: us}]\n"
            "pools: 0 added, 1 changed, 0 removed\n");
}

static void lines_of_files(void **state)
{
    says(diff_files(base, base, "a A 1\nb A 2\nb A 2\n; old\n", "b A 2\r\nc A 3\na A 1 \n; new\n"),
         "~ file z: 1 lines added, 1 removed\n    - b A 2\n    + c A 3\n");
    says(diff_files(base, base, NULL, "a\n"), "+ file z: 1 lines added, 0 removed\n    + a\n");
    says(diff_files(base, base, "a\n", NULL), "- file z: 0 lines added, 1 removed\n    - a\n");
    says(diff_files(base, base, "  a\n", "a\n"),
         "~ file z: 1 lines added, 1 removed\n    -   a\n    + a\n");
}

static void long_things_are_cut(void **state)
{
    char value[600];
    memset(value, 'x', sizeof(value));
    value[599] = 0;
    memcpy(value + 199, "é", 2); /* the bound falls into it */
    char *text = gtm_asprintf("health: {quorum: %s}\n", value);
    struct gtm_json *diff = diff_files("health: {quorum: all}\n", text, NULL, NULL);
    const char *after = gtm_json_as_str(gtm_json_pointer(diff, "/objects/0/fields/0/after"));
    assert_non_null(after);
    assert_int_equal(strlen(after), 199 + strlen("…"));
    gtm_json_free(diff);
    gtm_free(text);
}

static size_t mass_of(unsigned pools, unsigned removed, bool names)
{
    struct gtm_buf a = {0}, b = {0};
    const char *head = names ? "zones:\n- name: z\n  names:\n" : "pools:\n";
    gtm_buf_adds(&a, head);
    gtm_buf_adds(&b, head);
    for (unsigned i = 0; i < pools; i++) {
        gtm_buf_addf(&a, "  - {name: p%u}\n", i);
        if (i >= removed)
            gtm_buf_addf(&b, "  - {name: p%u}\n", i);
    }
    struct gtm_json *diff = diff_files(a.data, b.data, NULL, NULL);
    struct gtm_json *mass = gtm_intent_diff_mass(diff);
    size_t count = gtm_json_count(mass);
    assert_int_equal(gtm_intent_diff_hurts(diff), removed > 0);
    gtm_json_free(mass);
    gtm_json_free(diff);
    gtm_buf_fini(&a);
    gtm_buf_fini(&b);
    return count;
}

static void mass_deletes(void **state)
{
    assert_int_equal(mass_of(3, 1, false), 0);
    assert_int_equal(mass_of(10, 3, false), 0);
    assert_int_equal(mass_of(10, 4, false), 1);
    assert_int_equal(mass_of(1, 1, false), 1);
    assert_int_equal(mass_of(100, 10, false), 0);
    assert_int_equal(mass_of(100, 11, false), 1);
    assert_int_equal(mass_of(100, 30, true), 0);
    assert_int_equal(mass_of(100, 31, true), 1);
    struct gtm_json *diff = diff_files(base, base, "a\nb\nc\n", "a\n");
    struct gtm_json *mass = gtm_intent_diff_mass(diff);
    assert_string_equal(gtm_json_as_str(gtm_json_first(mass)), "2 of 3 lines of z");
    gtm_json_free(mass);
    gtm_json_free(diff);
}

static void the_first_one_only_adds(void **state)
{
    struct gtm_json *diff = diff_files(NULL, base, NULL, "a\n");
    assert_false(gtm_intent_diff_hurts(diff));
    assert_true(gtm_json_bool(diff, "changed", false));
    gtm_json_free(diff);
    struct gtm_json *summary = gtm_intent_summary(base, strlen(base));
    assert_int_equal(gtm_json_i64(summary, "pools", 0), 3);
    assert_int_equal(gtm_json_i64(summary, "names", 0), 2);
    gtm_json_free(summary);
}

/* --- taking one out --- */

static void removed(const char *text, const char *kind, const char *name, const char *expected)
{
    struct gtm_error err = {0};
    char *got = NULL;
    size_t len = 0;
    int rc = gtm_intent_remove(text, strlen(text), kind, name, &got, &len, &err);
    if (rc)
        fail_msg("%s %s: %s", kind, name, err.text);
    assert_string_equal(got, expected);
    assert_int_equal(len, strlen(expected));
    gtm_free(got);
}

static void gone(const char *kind, const char *name, const char *text)
{
    char *expected = with(text, "");
    removed(base, kind, name, expected);
    gtm_free(expected);
}

static void blocks_are_taken_out(void **state)
{
    gone("pools", "www",
         "  - name: www   # the site\n    failback: {hold: 30s}\n    endpoints:\n"
         "      - {name: a, region: us}\n      - {name: b, region: eu}\n");
    gone("pools", "api", "  - name: api\n    endpoints: [{name: c, region: us}]\n");
    gone("pools", "last", "  - name: last\n    endpoints: []\n");
    gone("health", "health", "health: {quorum: majority}\n");
    gone("names", "example.com/www", "  - {name: www, policy: p}\n");
    gone("zones", "other.org", "- name: other.org\n  file: o.zone\n");
    gone("zones", "example.com",
         "- name: example.com\n  file: example.com.zone\n  names:\n  - {name: www, policy: p}\n"
         "  - {name: x, policy: p}\n");
    removed("keys:\n- name: only\n  x: |\n    # text\n    more\nb: 1\n", "keys", "only", "b: 1\n");
}

static void what_is_unclear_is_refused(void **state)
{
    static const struct {
        const char *text, *kind, *name;
        int code;
    } rows[] = {
        {"regions: [{name: us}, {name: eu}]\n", "regions", "eu", GTM_EUNSUPPORTED},
        {"pools:\n  - name: a\n", "pools", "b", GTM_ENOTFOUND},
        {"pools:\n  - name: a\n", "nothing", "b", GTM_ENOTFOUND},
        {"keys:\n- name: x\n- # no\n  name: y\n", "keys", "y", GTM_EUNSUPPORTED},
        {"pools: [", "pools", "b", GTM_EPARSE},
        {"{pools: [{name: a}, {name: b}]}", "pools", "b", GTM_EUNSUPPORTED},
        {"zones: [{name: z, names: [{name: a}, {name: b}]}]\n", "names", "z/a", GTM_EUNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gtm_error err = {0};
        char *got = NULL;
        size_t len = 0;
        assert_int_equal(gtm_intent_remove(rows[i].text, strlen(rows[i].text), rows[i].kind,
                                           rows[i].name, &got, &len, &err),
                         rows[i].code);
        assert_null(got);
        assert_true(err.text[0] != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_fields_and_files),
        cmocka_unit_test(order_counts_only_in_lists),
        cmocka_unit_test(lines_of_files),
        cmocka_unit_test(long_things_are_cut),
        cmocka_unit_test(mass_deletes),
        cmocka_unit_test(the_first_one_only_adds),
        cmocka_unit_test(blocks_are_taken_out),
        cmocka_unit_test(what_is_unclear_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
