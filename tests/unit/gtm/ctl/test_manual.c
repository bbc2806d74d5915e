/* SPDX-License-Identifier: Apache-2.0
 *
 * The manual says what the tables say: commands and options of gtmctl(1), keys of gtm.yaml(5). Each
 * page has blocks between "begin" and "end" marks that must be what the tables give; with
 * GTM_MANUAL_UPDATE=1 in the environment this test writes them.
 */
#include "gtm/base/buf.h"
#include "gtm/ctl/options.h"
#include "gtm/daemon/options.h"
#include "gtm/model/config_doc.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX (1u << 20)

static const char *page_path(const char *page, char out[512])
{
    const char *source = getenv("GTM_SOURCE");

    snprintf(out, 512, "%s/deploy/man/%s", source ? source : ".", page);
    return out;
}

static char *read_page(const char *page)
{
    char path[512];
    FILE *f = fopen(page_path(page, path), "rb");
    char *text = calloc(1, PAGE_MAX);

    if (f == NULL)
        fail_msg("%s cannot be opened", path);
    assert_non_null(text);
    assert_true(fread(text, 1, PAGE_MAX, f) < PAGE_MAX);
    fclose(f);
    return text;
}

static void write_page(const char *page, const char *head, size_t head_len, const char *block,
                       const char *tail)
{
    char path[512];
    FILE *f = fopen(page_path(page, path), "wb");

    assert_non_null(f);
    fwrite(head, 1, head_len, f);
    fputs(block, f);
    fputs(tail, f);
    assert_int_equal(fclose(f), 0);
}

/* The block of the page between its marks is `expected`. */
static void check_block(const char *page, const char *mark, struct gtm_buf *expected)
{
    char begin[64], end[64], *text = read_page(page);

    assert_false(expected->failed);
    snprintf(begin, sizeof(begin), ".\\\" %s: begin", mark);
    snprintf(end, sizeof(end), ".\\\" %s: end", mark);
    char *from = strstr(text, begin);
    assert_non_null(from);
    from = strchr(from, '\n') + 1;
    char *to = strstr(from, end);
    assert_non_null(to);
    if (getenv("GTM_MANUAL_UPDATE") != NULL)
        write_page(page, text, (size_t)(from - text), expected->data, to);
    else if ((size_t)(to - from) != expected->len || memcmp(from, expected->data, expected->len))
        fail_msg("deploy/man/%s: block '%s' is not what the tables say: run this test once with "
                 "GTM_MANUAL_UPDATE=1 in the environment and commit the page",
                 page, mark);
    free(text);
    gtm_buf_fini(expected);
}

/* A line of text: the first letter large, what roff would read as a request or escape protected. */
static void add_sentence(struct gtm_buf *out, const char *text, size_t len, bool capital)
{
    if (*text == '.' || *text == '\'')
        gtm_buf_adds(out, "\\&");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\')
            gtm_buf_adds(out, "\\e");
        else
            gtm_buf_addc(out, i == 0 && capital ? (char)toupper((unsigned char)text[i]) : text[i]);
        /* mdoc(7): a new sentence begins a new line. */
        if (text[i] == '.' && i + 2 < len && text[i + 1] == ' ' && isupper(text[i + 2])) {
            gtm_buf_addc(out, '\n');
            i++;
        }
    }
}

/* Lines of help: those four columns in are examples. */
static void add_help(struct gtm_buf *out, const char *help)
{
    while (help != NULL && *help != 0) {
        size_t indent = strspn(help, " "), len = strcspn(help, "\n");
        if (indent >= 4)
            gtm_buf_adds(out, ".Dl ");
        add_sentence(out, help + indent, len - indent, false);
        gtm_buf_addc(out, '\n');
        help += len + (help[len] == '\n');
    }
}

static void add_option_list(struct gtm_buf *out, unsigned bits)
{
    bool first = true;

    for (size_t i = 0; ctl_option_at(i) != NULL; i++) {
        const struct ctl_option_row *o = ctl_option_at(i);
        if (o->bit == 0 || o->bit == CTL_OPT_OUTPUT || (o->bit & bits) == 0)
            continue;
        gtm_buf_addf(out, "%s.Op Fl %s", first ? ".br\n" : "", o->word + 1);
        if (o->value != NULL)
            gtm_buf_addf(out, " Ar \"%s\"", o->value);
        gtm_buf_addc(out, '\n');
        first = false;
    }
}

static void test_commands(void **state)
{
    struct gtm_buf out = {0};

    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        gtm_buf_addf(&out, ".It Ic %s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
        if (c->args[0])
            gtm_buf_addf(&out, " Ar \"%s\"", c->args);
        gtm_buf_addc(&out, '\n');
        add_sentence(&out, c->summary, strlen(c->summary), true);
        gtm_buf_adds(&out, ".\n");
        add_help(&out, c->help);
        add_option_list(&out, c->options);
    }
    check_block("gtmctl.1", "commands", &out);
}

static void test_options(void **state)
{
    struct gtm_buf out = {0};

    for (size_t i = 0; ctl_option_at(i) != NULL; i++) {
        const struct ctl_option_row *o = ctl_option_at(i);
        gtm_buf_adds(&out, ".It ");
        if (o->letter)
            gtm_buf_addf(&out, "Fl %c , ", o->letter);
        gtm_buf_addf(&out, "Fl %s", o->word + 1);
        if (o->value != NULL)
            gtm_buf_addf(&out, " Ar \"%s\"", o->value);
        gtm_buf_addc(&out, '\n');
        add_sentence(&out, o->help, strlen(o->help), true);
        gtm_buf_adds(&out, ".\n");
    }
    check_block("gtmctl.1", "options", &out);
}

static void test_keys(void **state)
{
    struct gtm_buf node = {0}, intent = {0};

    gtm_node_doc(true, &node);
    check_block("gtm.yaml.5", "node", &node);
    gtm_intent_doc(true, &intent);
    check_block("gtm.yaml.5", "intent", &intent);
}

/* Every option that gtmd --help lists stands in gtmd(8). */
static void test_gtmd(void **state)
{
    char help[4096] = "", *page = read_page("gtmd.8");
    FILE *f = fmemopen(help, sizeof(help) - 1, "w");
    unsigned found = 0;

    assert_non_null(f);
    gtmd_options_help(f);
    fclose(f);
    for (const char *p = strstr(help, "  --"); p != NULL; p = strstr(p + 1, " --")) {
        char word[64];
        p += strspn(p, " ");
        snprintf(word, sizeof(word), "Fl -%.*s", (int)strspn(p + 2, "abcdefghijklmnopqrstuvwxyz-"),
                 p + 2);
        if (strcmp(word, "Fl -help") != 0 && strstr(page, word) == NULL)
            fail_msg("gtmd.8 does not have \"%s\"", word);
        found++;
    }
    assert_true(found >= 3);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_gtmd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
