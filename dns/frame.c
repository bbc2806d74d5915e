/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages out of a byte stream. See frame.h; one thread at a time.
 */
#include "dns/frame.h"

#include "dns/rr.h"
#include "gtm/base/mem.h"

#include <stdbool.h>
#include <string.h>

/* The buffer of the message just given goes back when it is large: an idle client holds little. */
#define KEEP_BYTES 4096u

static void start_over(struct dns_frame *frame)
{
    frame->head_len = 0;
    frame->part_len = 0;
    if (frame->part_cap > KEEP_BYTES) {
        gtm_free(frame->part);
        frame->part = NULL;
        frame->part_cap = 0;
    }
}

static int keep(struct dns_frame *frame, const uint8_t *data, size_t len)
{
    void *part = frame->part;
    int rc = gtm_grow(&part, &frame->part_cap, frame->part_len + len, 1);
    frame->part = part;
    if (rc != GTM_OK)
        return rc;
    memcpy(frame->part + frame->part_len, data, len);
    frame->part_len += len;
    return GTM_OK;
}

int dns_frame_next(struct dns_frame *frame, const uint8_t **data, size_t *len,
                   const uint8_t **ret_msg, size_t *ret_msg_len)
{
    if (frame->head_len == 2 && frame->part_len == dns_get16(frame->head))
        start_over(frame); /* that message was given by the last call */
    for (; frame->head_len < 2; frame->head_len++) {
        if (*len == 0)
            return 0;
        frame->head[frame->head_len] = *(*data)++;
        (*len)--;
    }
    size_t want = dns_get16(frame->head);
    if (want < DNS_FRAME_MIN)
        return GTM_EPARSE;
    size_t need = want - frame->part_len;
    size_t take = *len < need ? *len : need;
    if (take == 0)
        return 0;
    const uint8_t *msg = *data;
    bool whole = take == want; /* the usual case: no copy */
    if (!whole) {
        int rc = keep(frame, *data, take);
        if (rc != GTM_OK)
            return rc;
        msg = frame->part;
    }
    *data += take;
    *len -= take;
    if (take < need)
        return 0;
    if (whole)
        frame->head_len = 0;
    *ret_msg = msg;
    *ret_msg_len = want;
    return 1;
}

void dns_frame_fini(struct dns_frame *frame)
{
    gtm_free(frame->part);
    *frame = (struct dns_frame){0};
}
