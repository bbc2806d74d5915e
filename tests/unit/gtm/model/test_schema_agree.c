/* SPDX-License-Identifier: Apache-2.0
 *
 * Parser and exported JSON Schema agree: schema_agree.py (beside this file) validates good, bad and
 * mutated documents by an independent implementation of JSON Schema and asks this program, over a
 * pipe, what the parser says.
 *
 *     test_schema_agree                 runs the script
 *     test_schema_agree schema KIND     writes the schema
 *     test_schema_agree parse KIND      documents on stdin, each after a line with its length;
 *                                       answers a line with the number of findings, then these
 */
#include "gtm/base/mem.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOCUMENT_MAX_BYTES (1u << 20)

static int write_schema(const char *kind)
{
    struct gtm_json *schema = strcmp(kind, "node") == 0 ? gtm_node_schema() : gtm_intent_schema();
    char *text = gtm_json_print(schema, true);
    if (!text)
        return 1;
    puts(text);
    gtm_free(text);
    gtm_json_free(schema);
    return 0;
}

static void parse_one(const char *kind, const char *text, size_t len)
{
    struct gtm_diags diags = {0};
    if (strcmp(kind, "node") == 0)
        gtm_node_free(gtm_node_parse("/x/node.yaml", text, len, &diags));
    else
        gtm_intent_unref(gtm_intent_parse("/x/cluster.yaml", text, len, &diags));
    size_t errors = 0;
    for (size_t i = 0; i < diags.count; i++)
        errors += diags.items[i].severity == GTM_SEV_ERROR;
    printf("%zu\n", errors);
    for (size_t i = 0; i < diags.count; i++) {
        if (diags.items[i].severity == GTM_SEV_ERROR)
            printf("%s\n", diags.items[i].text);
    }
    fflush(stdout);
    gtm_diags_fini(&diags);
}

static int parse_all(const char *kind)
{
    char line[32], *text = malloc(DOCUMENT_MAX_BYTES);
    while (text && fgets(line, sizeof(line), stdin)) {
        size_t len = strtoul(line, NULL, 10);
        if (len == 0 || len > DOCUMENT_MAX_BYTES || fread(text, 1, len, stdin) != len)
            break;
        parse_one(kind, text, len);
    }
    free(text);
    return text ? 0 : 1;
}

static int run_script(const char *self)
{
    const char *source = getenv("GTM_SOURCE");
    char script[512];
    snprintf(script, sizeof(script), "%s/tests/unit/gtm/model/schema_agree.py",
             source ? source : ".");
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/python3", "python3", script, self, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "schema") == 0)
        return write_schema(argv[2]);
    if (argc == 3 && strcmp(argv[1], "parse") == 0)
        return parse_all(argv[2]);
    return run_script(argv[0]);
}
