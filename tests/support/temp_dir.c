/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary folders of tests. See temp_dir.h.
 */
#include "tests/support/temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "/tmp/gtm-test-"

int test_temp_dir_make(const char *word, char out[TEST_TEMP_DIR_BYTES])
{
    snprintf(out, TEST_TEMP_DIR_BYTES, PREFIX "%.20s-XXXXXX", word);
    return mkdtemp(out) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int test_temp_dir_remove(const char *path)
{
    if (strncmp(path, PREFIX, strlen(PREFIX)) != 0 || strstr(path, ".."))
        return -1;
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
