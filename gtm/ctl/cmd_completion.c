/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl completion: shell functions made from the tables of commands and options. Names of
 * objects are asked of gtmd when the key is pressed.
 */
#include "gtm/ctl/options.h"
#include "gtm/ctl/say.h"
#include "gtm/ctl/show.h"

#include <string.h>

/* The i-th command is the first of its noun. */
static bool is_first(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(ctl_commands[j].noun, ctl_commands[i].noun) == 0)
            return false;
    return true;
}

static void add_nouns(struct gtm_buf *out)
{
    for (size_t i = 0; i < ctl_commands_count; i++)
        if (is_first(i))
            gtm_buf_addf(out, "%s%s", i > 0 ? " " : "", ctl_commands[i].noun);
}

static void add_verbs(struct gtm_buf *out, const char *noun)
{
    bool first = true;

    for (size_t i = 0; i < ctl_commands_count; i++)
        if (strcmp(ctl_commands[i].noun, noun) == 0 && ctl_commands[i].verb != NULL) {
            gtm_buf_addf(out, "%s%s", first ? "" : " ", ctl_commands[i].verb);
            first = false;
        }
}

static void add_options(struct gtm_buf *out, unsigned bits)
{
    bool first = true;

    for (size_t i = 0; ctl_option_at(i) != NULL; i++)
        if (ctl_option_at(i)->bit == 0 || (ctl_option_at(i)->bit & bits) != 0) {
            gtm_buf_addf(out, "%s%s", first ? "" : " ", ctl_option_at(i)->word);
            first = false;
        }
}

/* ---- bash, and zsh through its bashcompinit ---- */

/* What follows noun and verb, by the word that the table uses for it. */
static const struct {
    const char *args, *words;
} names[] = {
    {"POOL/ENDPOINT", "$(_gtmctl_names endpoint '{print $1\"/\"$2}')"},
    {"POOL[/ENDPOINT]", "$(_gtmctl_names pool '{print $1}') "
                        "$(_gtmctl_names endpoint '{print $1\"/\"$2}')"},
    {"POOL/ENDPOINT[/MONITOR]", "$(_gtmctl_names endpoint '{print $1\"/\"$2}')"},
    {"POOL", "$(_gtmctl_names pool '{print $1}')"},
    {"[POOL]", "$(_gtmctl_names pool '{print $1}')"},
    {"ZONE", "$(_gtmctl_names zone '{print $1}')"},
    {"POLICY", "$(_gtmctl_names policy '{print $1}')"},
    {"REGION", "$(_gtmctl_names region '{print $1}')"},
    {"[intent|node]", "intent node"},
    {"bash|zsh|fish", "bash zsh fish"},
    {"KIND NAME", CTL_KINDS},
    {"KIND [NAME]", CTL_KINDS},
};

static void add_bash_command(struct gtm_buf *out, const struct ctl_command *c)
{
    gtm_buf_addf(out, "    '%s %s') options='", c->noun, c->verb != NULL ? c->verb : "");
    add_options(out, c->options);
    gtm_buf_addc(out, '\'');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i].args, c->args) == 0)
            gtm_buf_addf(out, "; [[ $cur == -* ]] || words=\"%s\"", names[i].words);
    if (strcmp(c->noun, "help") == 0) {
        gtm_buf_adds(out, "; words='");
        add_nouns(out);
        gtm_buf_addc(out, '\'');
    }
    gtm_buf_adds(out, " ;;\n");
}

static void add_bash(struct gtm_buf *out)
{
    gtm_buf_adds(out, "_gtmctl_names() { gtmctl \"$1\" list --no-headers --timeout 2 2>/dev/null | "
                      "awk \"$2\"; }\n"
                      "_gtmctl() {\n"
                      "  local cur=${COMP_WORDS[COMP_CWORD]} noun= verb= words= options= word i\n"
                      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                      "    word=${COMP_WORDS[i]}\n"
                      "    [[ $word == -* ]] && continue\n"
                      "    if [[ -z $noun ]]; then noun=$word; elif [[ -z $verb ]]; then "
                      "verb=$word; fi\n"
                      "  done\n"
                      "  case $noun in\n    '') words='");
    add_nouns(out);
    gtm_buf_adds(out, "'; options='");
    add_options(out, 0);
    gtm_buf_adds(out, "' ;;\n");
    for (size_t i = 0; i < ctl_commands_count; i++)
        if (is_first(i) && ctl_commands[i].verb != NULL) {
            gtm_buf_addf(out, "    %s) [[ -n $verb ]] || words='", ctl_commands[i].noun);
            add_verbs(out, ctl_commands[i].noun);
            gtm_buf_adds(out, "' ;;\n");
        } else if (is_first(i)) {
            gtm_buf_addf(out, "    %s) verb= ;;\n", ctl_commands[i].noun);
        }
    gtm_buf_adds(out, "  esac\n  case \"$noun $verb\" in\n");
    for (size_t i = 0; i < ctl_commands_count; i++)
        add_bash_command(out, &ctl_commands[i]);
    gtm_buf_adds(out, "  esac\n"
                      "  [[ $cur == -* ]] && words=$options\n"
                      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                      "}\n"
                      "complete -o default -F _gtmctl gtmctl\n");
}

/* ---- fish ---- */

/* In single quotes: the quote and the backslash take a backslash. */
static void add_fish_text(struct gtm_buf *out, const char *text)
{
    gtm_buf_addc(out, '\'');
    for (; *text != 0; text++) {
        if (*text == '\'' || *text == '\\')
            gtm_buf_addc(out, '\\');
        gtm_buf_addc(out, *text);
    }
    gtm_buf_addc(out, '\'');
}

static void add_fish(struct gtm_buf *out)
{
    for (size_t i = 0; i < ctl_commands_count; i++) {
        const struct ctl_command *c = &ctl_commands[i];
        if (is_first(i)) {
            gtm_buf_addf(out, "complete -c gtmctl -f -n __fish_use_subcommand -a %s -d ", c->noun);
            add_fish_text(out, c->verb == NULL ? c->summary : c->noun);
            gtm_buf_addc(out, '\n');
        }
        if (c->verb == NULL)
            continue;
        gtm_buf_addf(out, "complete -c gtmctl -f -n '__fish_seen_subcommand_from %s' -a %s -d ",
                     c->noun, c->verb);
        add_fish_text(out, c->summary);
        gtm_buf_addc(out, '\n');
    }
    for (size_t i = 0; ctl_option_at(i) != NULL; i++) {
        const struct ctl_option_row *o = ctl_option_at(i);
        gtm_buf_addf(out, "complete -c gtmctl -l %s%s", o->word + 2,
                     o->value != NULL && o->value[0] != '[' ? " -r" : "");
        if (o->letter != 0)
            gtm_buf_addf(out, " -s %c", o->letter);
        gtm_buf_adds(out, " -d ");
        add_fish_text(out, o->help);
        gtm_buf_addc(out, '\n');
    }
}

int ctl_completion(struct ctl *ctl)
{
    const char *shell = ctl->argv[0];
    struct gtm_buf out = {0};

    if (strcmp(shell, "fish") == 0) {
        add_fish(&out);
    } else if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0) {
        if (shell[0] == 'z')
            gtm_buf_adds(&out, "#compdef gtmctl\nautoload -U +X bashcompinit && bashcompinit\n");
        add_bash(&out);
    } else {
        ctl_error("there is completion for bash, zsh and fish, not for '%s'", shell);
        return CTL_USAGE;
    }
    return ctl_put(&out);
}
