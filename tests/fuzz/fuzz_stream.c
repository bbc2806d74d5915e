/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages out of a byte stream cut into segments. Input: a count, that many segment lengths, then
 * the stream. The messages must be those that a reader of the whole stream sees, whatever the cuts.
 */
#include "dns/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the next message must be. */
struct expect {
    const uint8_t *stream;
    size_t len, at;
};

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

/* What the whole stream says comes next: 1 = a message, 0 = cut off, -1 = too short a one. */
static int next_expected(struct expect *e, const uint8_t **ret_msg, size_t *ret_len)
{
    if (e->len - e->at < 2)
        return 0;
    size_t want = (size_t)e->stream[e->at] << 8 | e->stream[e->at + 1];
    if (want < DNS_FRAME_MIN)
        return -1;
    if (e->len - e->at - 2 < want)
        return 0;
    *ret_msg = e->stream + e->at + 2;
    *ret_len = want;
    e->at += 2 + want;
    return 1;
}

/* Feeds one segment; false after an error, which must be due. */
static int feed(struct dns_frame *frame, struct expect *e, const uint8_t *segment, size_t len)
{
    const uint8_t *msg = NULL, *want = NULL;
    size_t msg_len = 0, want_len = 0;
    int rc;
    while ((rc = dns_frame_next(frame, &segment, &len, &msg, &msg_len)) > 0) {
        if (next_expected(e, &want, &want_len) != 1 || want_len != msg_len ||
            memcmp(want, msg, msg_len) != 0)
            die("a message that is not there");
        if (frame->part_cap > 2 * 65536)
            die("holds more than a message");
    }
    if (rc < 0 && next_expected(e, &want, &want_len) != -1)
        die("an error where there is none");
    if (rc == 0 && len != 0)
        die("octets left over");
    return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t cuts = data[0] < size ? data[0] : size - 1;
    const uint8_t *lengths = data + 1;
    struct expect e = {.stream = data + 1 + cuts, .len = size - 1 - cuts};
    struct dns_frame frame = {0};
    size_t at = 0;
    int alive = 1;
    for (size_t i = 0; alive && at < e.len; i++) {
        size_t len = i < cuts ? lengths[i] : e.len - at;
        if (len > e.len - at)
            len = e.len - at;
        uint8_t *segment = malloc(len + 1);
        if (!segment)
            break;
        memcpy(segment, e.stream + at, len);
        uint8_t *exact = len > 0 ? realloc(segment, len) : segment;
        alive = feed(&frame, &e, exact, len);
        free(exact); /* the frame must not look at it again */
        at += len;
    }
    const uint8_t *msg;
    size_t len;
    if (alive && at == e.len && next_expected(&e, &msg, &len) != 0)
        die("a message was missed");
    dns_frame_fini(&frame);
    return 0;
}
