/* SPDX-License-Identifier: Apache-2.0
 *
 * Safety rules: their table, what each kind needs, and those that hold when a file has none. What
 * they mean is policies/rules.h.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#include <string.h>

#define MINUTE 60000.0
#define DAY    86400000.0

const char *const gtm_rule_kind_words[GTM_RULE_KIND_COUNT] = {
    "answers_left", "regions_out", "capacity_left", "gate", "cooldown",
};
const char *const gtm_switch_words[2] = {"off", "on"};
static const char *const when_words[] = {"always", "planned"};

static const struct gtm_field rule_fields[] = {
    {.key = "name",
     .doc = "the rule's name, which an override names",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_rule, name),
     .form = &gtm_form_name},
    {.key = "kind",
     .doc = "what is asserted of what an order leaves behind",
     .type = GTM_T_ENUM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_rule, kind),
     GTM_WORDS(gtm_rule_kind_words)},
    {.key = "min",
     .doc = "answers_left: so many serving endpoints for every answer; capacity_left: room for so "
            "many times the present users of every pool",
     .type = GTM_T_NUMBER,
     GTM_AT(struct gtm_rule, min),
     .max = 1e9},
    {.key = "max",
     .doc = "regions_out: no more regions than this without users, by order or by verdict",
     .type = GTM_T_NUMBER,
     GTM_AT(struct gtm_rule, max),
     .max = 1e9},
    {.key = "when",
     .doc = "planned: only warns when the region that the order is about is down anyway",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_rule, when),
     GTM_WORDS(when_words),
     .def = "always"},
    {.key = "switch",
     .doc = "gate: the switch that is looked at (gtmctl rule switch); one never set is off",
     .type = GTM_T_FORM,
     GTM_AT(struct gtm_rule, switch_name),
     .form = &gtm_form_name},
    {.key = "allow",
     .doc = "gate: the position that lets orders pass",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_rule, allow),
     GTM_WORDS(gtm_switch_words)},
    {.key = "time",
     .doc = "cooldown: so long after an order moved the users of a region, those of another one "
            "stay where they are",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_rule, time_ms),
     .min = 1000,
     .max = 30 * DAY},
};
const struct gtm_table gtm_rule_table = {.title = "rule",
                                         GTM_FIELDS(rule_fields),
                                         .pos_offset = offsetof(struct gtm_rule, pos),
                                         .check = gtm_check_rule};

void gtm_check_rule(struct gtm_parse *p, const struct gtm_yaml_node *node, void *obj)
{
    (void)obj;
    static const char *const needs[GTM_RULE_KIND_COUNT][2] = {
        [GTM_RULE_ANSWERS_LEFT] = {"min"},  [GTM_RULE_REGIONS_OUT] = {"max"},
        [GTM_RULE_CAPACITY_LEFT] = {"min"}, [GTM_RULE_GATE] = {"switch", "allow"},
        [GTM_RULE_COOLDOWN] = {"time"},
    };
    static const char *const all[] = {"min", "max", "switch", "allow", "time"};
    const char *kind = gtm_parse_text(node, "kind", ""), *name = gtm_parse_text(node, "name", "");
    size_t k = 0;
    while (k + 1 < GTM_RULE_KIND_COUNT && strcmp(kind, gtm_rule_kind_words[k]) != 0)
        k++;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool fits =
            strcmp(all[i], needs[k][0]) == 0 || (needs[k][1] && strcmp(all[i], needs[k][1]) == 0);
        const struct gtm_yaml_node *member = gtm_yaml_get(node, all[i]);
        if (fits && !member)
            gtm_parse_error_at(p, (struct gtm_srcpos){node->line, node->col},
                               "rule '%s': the kind %s needs '%s'", name, kind, all[i]);
        else if (!fits && member)
            gtm_parse_key_error(p, member, "rule '%s': the key '%s' does not fit the kind %s", name,
                                all[i], kind);
    }
}

static const struct gtm_rule defaults[] = {
    {.name = (char *)"never-empty", .kind = GTM_RULE_ANSWERS_LEFT, .min = 1},
    {.name = (char *)"one-at-a-time", .kind = GTM_RULE_REGIONS_OUT, .max = 1},
    {.name = (char *)"room", .kind = GTM_RULE_CAPACITY_LEFT, .min = 1, .when = GTM_RULE_PLANNED},
    {.name = (char *)"freeze",
     .kind = GTM_RULE_GATE,
     .switch_name = (char *)"change-freeze",
     .allow = GTM_SWITCH_OFF},
    {.name = (char *)"settle",
     .kind = GTM_RULE_COOLDOWN,
     .time_ms = (uint64_t)MINUTE,
     .when = GTM_RULE_PLANNED},
};

const struct gtm_rule *gtm_intent_rules(const struct gtm_intent *intent, size_t *ret_count)
{
    *ret_count = intent->rules_count ? intent->rules_count : sizeof(defaults) / sizeof(defaults[0]);
    return intent->rules_count ? intent->rules : defaults;
}
