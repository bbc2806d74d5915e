/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the ends of JSON objects in a stream. See splitter.h.
 */
#include "gtm/etcdc/splitter.h"

#include "gtm/etcdc/etcdc.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Takes one character; true when it ends an object. */
static bool step(struct etcdc__splitter *s, char c)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
        return false;
    }
    if (c == '"')
        s->in_string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if (c == '}' || c == ']')
        return --s->depth == 0;
    return false;
}

/* The object's rest has come, `len` bytes at `data`: hands it over, without copying what lies in
 * one piece. */
static int hand_over(struct etcdc__splitter *s, const char *data, size_t len,
                     etcdc__object_fn *object, void *arg, bool *ret_go_on)
{
    if (s->buf.len == 0) {
        *ret_go_on = object(arg, data, len);
        return ETCDC_OK;
    }
    gtm_buf_add(&s->buf, data, len);
    if (s->buf.failed)
        return ETCDC_E_NOMEM;
    /* Taken out first: whoever gets it may free the splitter. */
    struct gtm_buf whole = s->buf;
    s->buf = (struct gtm_buf){0};
    *ret_go_on = object(arg, whole.data, whole.len);
    gtm_buf_fini(&whole);
    return ETCDC_OK;
}

int etcdc__splitter_feed(struct etcdc__splitter *splitter, const char *data, size_t len,
                         etcdc__object_fn *object, void *arg)
{
    size_t from = 0; /* of the object under way, in data */
    if (splitter->buf.failed)
        return ETCDC_E_NOMEM;
    for (size_t i = 0; i < len; i++) {
        if (splitter->depth == 0) {
            if (is_space(data[i]))
                continue;
            if (data[i] != '{')
                return ETCDC_E_PROTOCOL;
            from = i;
        }
        bool ends = step(splitter, data[i]);
        if (splitter->buf.len + (i + 1 - from) > splitter->max_bytes)
            return ETCDC_E_OVERFLOW;
        if (!ends)
            continue;
        bool go_on = true;
        int code = hand_over(splitter, data + from, i + 1 - from, object, arg, &go_on);
        if (code || !go_on)
            return code;
    }
    if (splitter->depth > 0)
        gtm_buf_add(&splitter->buf, data + from, len - from);
    return splitter->buf.failed ? ETCDC_E_NOMEM : ETCDC_OK;
}

void etcdc__splitter_fini(struct etcdc__splitter *splitter)
{
    gtm_buf_fini(&splitter->buf);
    *splitter = (struct etcdc__splitter){.max_bytes = splitter->max_bytes};
}
