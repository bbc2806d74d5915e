/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as an intent and as a node file: accepted or refused with a finding, never both or
 * neither; what is accepted can be shown, and what is shown is accepted again.
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void show_again(const struct gtm_intent *intent)
{
    struct gtm_diags diags = {0};
    struct gtm_json *json = gtm_intent_to_json(intent);
    char *text = gtm_json_print(json, false);
    must(text != NULL, "an accepted intent cannot be shown");
    struct gtm_intent *again = gtm_intent_parse("/x/shown.json", text, strlen(text), &diags);
    if (!again)
        gtm_diags_print(&diags, stderr);
    must(again != NULL, "what is shown of an intent is refused");
    gtm_intent_unref(again);
    gtm_diags_fini(&diags);
    gtm_free(text);
    gtm_json_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gtm_diags diags = {0};
    struct gtm_intent *intent =
        gtm_intent_parse("/x/cluster.yaml", (const char *)data, size, &diags);
    must((intent != NULL) == (diags.errors == 0), "intent: accepted and findings disagree");
    if (intent)
        show_again(intent);
    gtm_intent_unref(intent);
    gtm_diags_fini(&diags);
    struct gtm_node *node = gtm_node_parse("/x/node.yaml", (const char *)data, size, &diags);
    must((node != NULL) == (diags.errors == 0), "node: accepted and findings disagree");
    gtm_node_free(node);
    gtm_diags_fini(&diags);
    return 0;
}
