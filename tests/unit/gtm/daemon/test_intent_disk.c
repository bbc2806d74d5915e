/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks on a node's disk: what an apply under way has put there stays while another revision comes
 * into force; what is old and in no revision goes.
 */
#include "gtm/daemon/intent_disk.h"

#include "gtm/base/fs.h"
#include "gtm/base/mem.h"
#include "gtm/model/manifest.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

static char dir[TEST_TEMP_DIR_BYTES];

static struct gtm_blob_ref put(const char *text)
{
    struct gtm_error err = {0};
    struct gtm_blob_ref blob = {.bytes = (uint32_t)strlen(text)};
    assert_true(gtm_sha256_hex(text, strlen(text), blob.sha256));
    assert_int_equal(gtm_intent_disk_put(dir, &blob, text, &err), 0);
    return blob;
}

static void revision(int64_t rev, const char *text)
{
    struct gtm_error err = {0};
    struct gtm_manifest *m = gtm_manifest_new();
    char *folder = NULL;
    put(text);
    assert_int_equal(gtm_manifest_add(m, GTM_MANIFEST_MAIN, text, strlen(text), &err), 0);
    m->rev = rev;
    assert_int_equal(gtm_intent_disk_write(dir, m, false, &folder, &err), 0);
    assert_int_equal(gtm_intent_disk_set_current(dir, rev, &err), 0);
    gtm_free(folder);
    gtm_manifest_free(m);
}

static void age(const struct gtm_blob_ref *blob)
{
    char path[TEST_TEMP_DIR_BYTES + 100];
    struct timespec old = {.tv_sec = time(NULL) - 7200}, times[2] = {old, old};
    snprintf(path, sizeof(path), "%s/intent/blobs/%s", dir, blob->sha256);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void what_is_being_applied_stays(void **state)
{
    (void)state;
    assert_int_equal(test_temp_dir_make("disk", dir), 0);
    struct gtm_blob_ref young = put("young"), old = put("old"), again = put("again"),
                        found = put("found"), used = put("one");
    age(&old);
    age(&again);
    age(&found);
    age(&used);
    put("again");                                  /* it is there, and yet it is put */
    assert_true(gtm_intent_disk_has(dir, &found)); /* somebody counts on it */
    revision(1, "one");
    age(&used);
    revision(2, "two");
    assert_true(gtm_intent_disk_has(dir, &young));
    assert_true(gtm_intent_disk_has(dir, &again));
    assert_true(gtm_intent_disk_has(dir, &found));
    assert_true(gtm_intent_disk_has(dir, &used)); /* of the revision before */
    assert_false(gtm_intent_disk_has(dir, &old));
    age(&young);
    revision(3, "three");
    assert_false(gtm_intent_disk_has(dir, &young));
    assert_int_equal(test_temp_dir_remove(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_being_applied_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
