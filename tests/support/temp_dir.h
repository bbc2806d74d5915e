/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of its own for a test, and its removal with all that is in it. Any thread.
 */
#ifndef GTM_TESTS_SUPPORT_TEMP_DIR_H
#define GTM_TESTS_SUPPORT_TEMP_DIR_H

#define TEST_TEMP_DIR_BYTES 64

/* Makes /tmp/gtm-test-<word>-XXXXXX and writes its name to out; 0 or -1. */
int test_temp_dir_make(const char *word, char out[TEST_TEMP_DIR_BYTES]);

/* Removes path and everything below it, without following links; 0 or -1. Refuses what
 * test_temp_dir_make cannot have made. */
int test_temp_dir_remove(const char *path);

#endif
