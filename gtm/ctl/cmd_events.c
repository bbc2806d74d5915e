/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl events: what happened. Following asks every half second from the last event seen, that one
 * included: when it is not there any more, gtmd was restarted and counts anew.
 */
#include "gtm/base/mem.h"
#include "gtm/ctl/client.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FOLLOW_NS 500000000L

static const struct ctl_column columns[] = {
    {"TIME", "time", CTL_COL_TEXT, false, false},
    {"EVENT", "type", CTL_COL_TEXT, false, false},
    {"SUBJECT", "subject", CTL_COL_TEXT, false, false},
    {"FROM", "from", CTL_COL_WORD, false, false},
    {"TO", "to", CTL_COL_WORD, false, false},
    {"CAUSE", "cause", CTL_COL_TEXT, false, false},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct last {
    int64_t id; /* 0: none seen */
    char time[40];
};

static int get_after(struct ctl *ctl, int64_t after, struct gtm_json **ret_root)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRId64, after);
    return ctl_get(ctl, ctl_path("/api/v1/events?after=%s", number), ret_root);
}

/* Copies the items behind the last one seen into a new list, at most the newest `limit` (0: all).
 */
static struct gtm_json *newer(const struct gtm_json *items, const struct last *last, uint64_t limit)
{
    struct gtm_json *list = gtm_json_array();
    size_t count = gtm_json_count(items), skip = limit > 0 && count > limit ? count - limit : 0;

    for (const struct gtm_json *e = gtm_json_first(items); e != NULL; e = gtm_json_next(e)) {
        if (skip > 0)
            skip--;
        else if (gtm_json_i64(e, "id", 0) > last->id)
            gtm_json_append(list, gtm_json_copy(e));
    }
    return list;
}

static void note_last(const struct gtm_json *items, struct last *last)
{
    for (const struct gtm_json *e = gtm_json_first(items); e != NULL; e = gtm_json_next(e)) {
        last->id = gtm_json_i64(e, "id", last->id);
        snprintf(last->time, sizeof(last->time), "%s", gtm_json_str(e, "time", ""));
    }
}

/* The reply to "after the one before the last" begins with the last, unless the ring went on. */
static bool was_restarted(const struct gtm_json *items, const struct last *last)
{
    const struct gtm_json *first = gtm_json_first(items);

    return first == NULL || (gtm_json_i64(first, "id", 0) == last->id &&
                             strcmp(gtm_json_str(first, "time", ""), last->time) != 0);
}

static int show_more(struct ctl *ctl, const struct gtm_json *list)
{
    struct gtm_buf out = {0};

    for (const struct gtm_json *e = gtm_json_first(list); e != NULL && ctl->output == CTL_JSON;
         e = gtm_json_next(e)) {
        char *line = gtm_json_print(e, false);
        out.failed |= line == NULL;
        gtm_buf_adds(&out, line != NULL ? line : "");
        gtm_buf_addc(&out, '\n');
        gtm_free(line);
    }
    if (ctl->output == CTL_YAML && gtm_json_count(list) > 0)
        ctl_yaml(&out, list, 0); /* elements of one long list */
    if (!ctl_machine(ctl) && gtm_json_count(list) > 0) {
        ctl_table(ctl, &out, list, columns, COLUMNS);
        ctl->no_headers = true; /* once is enough */
    }
    int rc = ctl_put(&out);
    return rc == CTL_OK && fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

static int follow(struct ctl *ctl, struct last *last)
{
    static const struct timespec pause = {.tv_nsec = FOLLOW_NS};
    uint64_t limit = ctl->limit;

    for (;;) {
        struct gtm_json *root = NULL;
        int rc = get_after(ctl, last->id > 0 ? last->id - 1 : 0, &root);
        const struct gtm_json *items = gtm_json_get(root, "items");
        bool again = rc == CTL_OK && last->id > 0 && was_restarted(items, last);
        if (again) {
            *last = (struct last){0};
        } else if (rc == CTL_OK) {
            struct gtm_json *list = newer(items, last, limit);
            note_last(items, last);
            rc = show_more(ctl, list);
            gtm_json_free(list);
            limit = 0; /* of those before the start */
        }
        gtm_json_free(root);
        if (rc != CTL_OK)
            return rc;
        if (!again)
            nanosleep(&pause, NULL);
    }
}

int ctl_events(struct ctl *ctl)
{
    struct gtm_json *all = NULL;
    struct last last = {0};

    if (ctl->follow)
        return follow(ctl, &last);
    int rc = get_after(ctl, 0, &all);
    if (rc == CTL_OK) {
        struct gtm_json *root = ctl_envelope("EventList", all);
        gtm_json_add(root, "items", newer(gtm_json_get(all, "items"), &last, ctl->limit));
        rc = ctl_show(ctl, root, columns, COLUMNS);
        gtm_json_free(root);
    }
    gtm_json_free(all);
    return rc;
}
