/* SPDX-License-Identifier: Apache-2.0
 *
 * An exported chain: whole it checks out; cut off, edited, in another order, with something put in
 * or left out it does not, and the line is named. (Chains in a store: coord/test_audit.c.)
 */
#include "gtm/base/buf.h"
#include "gtm/base/mem.h"
#include "gtm/model/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES 5
#define LINES   (ENTRIES + 1)

static char *lines[LINES]; /* the last is the head */

static int make(void **state)
{
    struct gtm_audit_head head = {.first = 1};
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        const struct gtm_audit_entry entry = {
            .time_ms = 1795276800123, .who = "uli", .verb = "pool drain", .subject = "pool/www"};
        struct gtm_json *json = gtm_audit_entry_json(&entry);
        lines[i] = gtm_audit_entry_print(json, &head);
        gtm_json_free(json);
    }
    lines[ENTRIES] = gtm_audit_head_print(&head);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    for (int i = 0; i < LINES; i++)
        gtm_free(lines[i]);
    return 0;
}

/* The code; err says what. order: indexes of lines, ended by -1. */
static int check(const int *order, struct gtm_audit_export *export, struct gtm_error *err)
{
    int rc = 0;
    *export = (struct gtm_audit_export){0};
    *err = (struct gtm_error){0};
    for (; *order >= 0 && rc == 0; order++)
        rc = gtm_audit_export_line(export, lines[*order], strlen(lines[*order]), err);
    return rc ? rc : gtm_audit_export_end(export, err);
}

static void is_broken(const int *order, unsigned line, const char *text)
{
    struct gtm_audit_export export;
    struct gtm_error err;
    assert_int_equal(check(order, &export, &err), GTM_ECORRUPT);
    assert_int_equal(err.line, line);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
}

#define LIST(...)       \
    (const int[])       \
    {                   \
        __VA_ARGS__, -1 \
    }
#define WHOLE LIST(0, 1, 2, 3, 4, 5)

static void a_whole_chain_is_sound(void **state)
{
    struct gtm_audit_export export;
    struct gtm_error err;
    assert_int_equal(check(WHOLE, &export, &err), 0);
    assert_int_equal(export.check.first, 1);
    assert_int_equal(export.check.next, ENTRIES + 1);
    assert_non_null(strstr(lines[ENTRIES], export.check.prev)); /* the head's hash */
    /* Old entries were pruned: the head says from where on. */
    char *head = lines[ENTRIES];
    lines[ENTRIES] =
        gtm_asprintf("{\"v\":1,\"seq\":5,\"hash\":\"%s\",\"first\":3}", export.check.prev);
    assert_int_equal(check(LIST(2, 3, 4, 5), &export, &err), 0);
    assert_int_equal(export.check.first, 3);
    assert_int_equal(check(WHOLE, &export, &err), 0); /* pruned while it was exported */
    is_broken(LIST(3, 4, 5), 3, "entries from 3 on are missing");
    gtm_free(lines[ENTRIES]);
    lines[ENTRIES] = head;
}

static void what_is_missing_is_seen(void **state)
{
    is_broken(LIST(-1), 0, "empty");
    is_broken(LIST(0, 1, 2, 3, 4), 0, "cut off behind entry 5");
    is_broken(LIST(0, 1), 0, "cut off behind entry 2");
    is_broken(LIST(0, 1, 2, 5), 4, "entries 4 to 5 are missing at the end");
    is_broken(LIST(1, 2, 3, 4, 5), 5, "entries from 1 on are missing");
    is_broken(LIST(0, 1, 3, 4, 5), 3, "entry 3 was expected here");
    is_broken(LIST(5), 1, "entries from 1 on are missing");
}

static void another_order_is_seen(void **state)
{
    is_broken(LIST(0, 2, 1, 3, 4, 5), 2, "entry 2 was expected here");
    is_broken(LIST(0, 1, 1, 2, 3, 4, 5), 3, "entry 3 was expected here");
    is_broken(LIST(0, 1, 2, 3, 4, 5, 5), 7, "behind the end");
    is_broken(LIST(0, 1, 2, 3, 4, 5, 0), 7, "behind the end");
}

/* Every byte of every line. */
static void no_byte_may_change(void **state)
{
    struct gtm_audit_export export;
    struct gtm_error err;
    for (int i = 0; i < LINES; i++)
        for (size_t at = 0; lines[i][at]; at++) {
            char was = lines[i][at];
            lines[i][at] = was == '1' ? '2' : '1';
            int rc = check(WHOLE, &export, &err);
            lines[i][at] = was;
            bool harmless = i == ENTRIES && rc == 0; /* "first" of a head, or a key it may have */
            if (!harmless)
                assert_true(rc == GTM_ECORRUPT || rc == GTM_EUNSUPPORTED);
            if (harmless)
                assert_true(strstr(lines[i], "\"first\"") <= lines[i] + at);
        }
}

static void odd_lines_are_told(void **state)
{
    struct gtm_audit_export export = {0};
    struct gtm_error err = {0};
    static const char *const odd[] = {"",
                                      "[]",
                                      "{}",
                                      "null",
                                      "{\"v\":1}",
                                      "x",
                                      "{\"first\":1}",
                                      "{\"v\":1,\"seq\":0,\"first\":0}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        export = (struct gtm_audit_export){0};
        assert_int_equal(gtm_audit_export_line(&export, odd[i], strlen(odd[i]), &err),
                         GTM_ECORRUPT);
        assert_int_equal(err.line, 1);
    }
    export = (struct gtm_audit_export){0};
    assert_int_equal(gtm_audit_export_line(&export, "{\"v\":2}", 7, &err), GTM_EUNSUPPORTED);
    char *with_nul = gtm_asprintf("%s_%s", lines[0], "x");
    with_nul[strlen(lines[0])] = 0;
    export = (struct gtm_audit_export){0};
    assert_int_equal(gtm_audit_export_line(&export, with_nul, strlen(lines[0]) + 2, &err),
                     GTM_ECORRUPT);
    gtm_free(with_nul);
    char *huge = gtm_malloc(GTM_AUDIT_LINE_MAX + 1);
    memset(huge, '[', GTM_AUDIT_LINE_MAX + 1);
    export = (struct gtm_audit_export){0};
    assert_int_equal(gtm_audit_export_line(&export, huge, GTM_AUDIT_LINE_MAX + 1, &err),
                     GTM_ECORRUPT);
    assert_non_null(strstr(err.text, "longer than an entry can be"));
    gtm_free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_chain_is_sound), cmocka_unit_test(what_is_missing_is_seen),
        cmocka_unit_test(another_order_is_seen),  cmocka_unit_test(no_byte_may_change),
        cmocka_unit_test(odd_lines_are_told),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
