/* SPDX-License-Identifier: Apache-2.0
 *
 * Heartbeats. A target of kind push is not probed: each heartbeat is a result, and so is a silence.
 * Nothing is held against it until it was silent for interval × fall, which is then `fall` failures
 * at once; every further interval of silence is one more. See engine.h; the engine's thread.
 */
#include "gtm/base/mem.h"
#include "health/engine.h"

static uint64_t interval_ns(const struct health_item *item)
{
    return item->spec->rules.interval_ms * 1000000ull;
}

static void wait_for_beat(struct health_item *item, uint64_t now_ns)
{
    item->beat_ns = now_ns;
    item->silent_ns = now_ns + interval_ns(item) * item->spec->rules.fall;
    health_queue_set(&item->engine->queue, &item->node, item->silent_ns);
}

void health__push_begin(struct health_item *item, uint64_t now_ns)
{
    wait_for_beat(item, now_ns);
}

static void count(struct health_item *item, struct health_outcome *outcome, unsigned times)
{
    const struct health_rules *rules = &item->spec->rules;
    bool ok = outcome->result == HEALTH_RESULT_OK;
    bool changed = false;
    for (unsigned i = 0; i < times; i++)
        changed |= health_damping_count(&item->schedule.damping, ok, rules->fall, rules->rise);
    health__item_publish(item, outcome);
    if (changed)
        health__item_align(item);
}

static char *silence_text(uint64_t silent_ns)
{
    unsigned long long ms = silent_ns / 1000000u;
    return ms < 1000 ? gtm_asprintf("no heartbeat for %llu ms", ms)
                     : gtm_asprintf("no heartbeat for %llu s", ms / 1000);
}

void health__push_run(struct health_item *item, uint64_t now_ns)
{
    if (now_ns >= item->silent_ns) {
        bool first = item->silent_ns == item->beat_ns + interval_ns(item) * item->spec->rules.fall;
        uint64_t missed = (now_ns - item->silent_ns) / interval_ns(item) + 1;
        struct health_outcome outcome = {.result = HEALTH_RESULT_SILENT};
        outcome.text = silence_text(now_ns - item->beat_ns);
        item->silent_ns += missed * interval_ns(item);
        count(item, &outcome, first ? item->spec->rules.fall : 1);
    }
    health_queue_set(&item->engine->queue, &item->node, item->silent_ns);
}

void health__push_beat(struct health_item *item, const struct health_command *command,
                       uint64_t now_ns)
{
    struct health_outcome outcome = {.result =
                                         command->well ? HEALTH_RESULT_OK : HEALTH_RESULT_ANSWER};
    const char *text = command->well ? "heartbeat" : "reported down";
    outcome.text = gtm_strdup(command->text[0] ? command->text : text);
    wait_for_beat(item, now_ns);
    count(item, &outcome, 1);
    if (command->load.wall_ms != 0)
        health__item_load(item, &command->load);
}
