/* SPDX-License-Identifier: Apache-2.0
 *
 * Feeds a corpus to a fuzz target without libFuzzer, so that every compiler and sanitizer replays
 * what fuzzing found: the empty input, then each file whole, then cut at up to 64 places (a cut
 * input is the commonest bad one). Inputs lie in blocks of their exact size, so that
 * AddressSanitizer sees the first byte read too far.
 *
 *     replay_x DIR|FILE...    exit 1 if an argument holds no input at all: a corpus that vanished
 * must be noticed
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLAY_MAX_BYTES     (4u << 20)
#define REPLAY_CUTS          64
#define REPLAY_CUT_MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Targets that prepare something once define it, as they do for libFuzzer. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned long replay_inputs;

static void replay_bytes(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    if (size)
        memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    replay_inputs++;
}

static int replay_file(const char *path)
{
    static uint8_t buf[REPLAY_MAX_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return -1;
    }
    size_t size = fread(buf, 1, sizeof(buf), f);
    int bad = ferror(f) || fgetc(f) != EOF;
    fclose(f);
    if (bad) {
        fprintf(stderr, "%s: cannot be read, or larger than %u bytes\n", path, REPLAY_MAX_BYTES);
        return -1;
    }
    replay_bytes(buf, size);
    if (size > REPLAY_CUT_MAX_BYTES)
        return 0;
    size_t step = size / REPLAY_CUTS + 1;
    for (size_t cut = step; cut < size; cut += step)
        replay_bytes(buf, cut);
    return 0;
}

static int replay_dir(const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, alphasort);
    int files = 0, bad = n < 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        int len = snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        struct stat st;
        if (names[i]->d_name[0] != '.' && len > 0 && (size_t)len < sizeof(file) &&
            stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            bad |= replay_file(file) != 0;
            files++;
        }
        free(names[i]);
    }
    free(names);
    if (!files)
        fprintf(stderr, "%s: no corpus there\n", path);
    return bad || !files ? -1 : files;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR|FILE...\n", argv[0]);
        return 2;
    }
    int files = 0, bad = 0;
    replay_bytes(NULL, 0);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        int is_dir = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        int n = is_dir ? replay_dir(argv[i]) : (replay_file(argv[i]) == 0 ? 1 : -1);
        if (n < 0)
            bad = 1;
        else
            files += n;
    }
    printf("%d files, %lu inputs\n", files, replay_inputs);
    return bad;
}
