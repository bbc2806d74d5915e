/* SPDX-License-Identifier: Apache-2.0
 *
 * gtmctl completion: shell functions made from the command table.
 */
#include "gtm/ctl/ctl.h"

#include <stdio.h>
#include <string.h>

/* Calls fn once for each noun, in the table's order. */
static void each_noun(void (*fn)(const char *noun, const char *summary))
{
    for (size_t i = 0; i < ctl_commands_count; i++) {
        size_t j = 0;
        while (strcmp(ctl_commands[j].noun, ctl_commands[i].noun) != 0)
            j++;
        if (j == i)
            fn(ctl_commands[i].noun, ctl_commands[i].summary);
    }
}

static void put_verbs(const char *noun)
{
    bool first = true;

    for (size_t i = 0; i < ctl_commands_count; i++)
        if (strcmp(ctl_commands[i].noun, noun) == 0 && ctl_commands[i].verb != NULL) {
            printf("%s%s", first ? "" : " ", ctl_commands[i].verb);
            first = false;
        }
}

static void put_options(void)
{
    unsigned bit;

    for (size_t i = 0; ctl_option_word(i, &bit) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", ctl_option_word(i, &bit));
}

static void put_noun(const char *noun, const char *summary)
{
    (void)summary;
    printf(" %s", noun);
}

static void put_bash_case(const char *noun, const char *summary)
{
    (void)summary;
    printf("        %s) words=\"", noun);
    put_verbs(noun);
    puts("\" ;;");
}

static void bash_body(void)
{
    puts("_gtmctl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=");
    printf("    if [[ $cur == -* ]]; then words=\"");
    put_options();
    puts("\"\n    elif [ \"$COMP_CWORD\" -eq 1 ]; then");
    printf("        words=\"");
    each_noun(put_noun);
    puts("\"\n    elif [ \"$COMP_CWORD\" -eq 2 ]; then\n        case ${COMP_WORDS[1]} in");
    each_noun(put_bash_case);
    puts("        esac\n    else\n        case ${COMP_WORDS[1]} in");
    puts("        endpoint) words=$(gtmctl endpoint list --no-headers 2>/dev/null | awk '{print "
         "$1\"/\"$2}') ;;");
    puts("        pool) words=$(gtmctl pool list --no-headers 2>/dev/null | awk '{print $1}') ;;");
    puts("        zone) words=$(gtmctl zone list --no-headers 2>/dev/null | awk '{print $1}') ;;");
    puts("        policy) words=$(gtmctl policy list --no-headers 2>/dev/null | awk '{print $1}') "
         ";;");
    puts("        region) words=$(gtmctl region list --no-headers 2>/dev/null | awk '{print $1}') "
         ";;");
    puts("        esac\n    fi");
    puts("    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
         "complete -o default -F _gtmctl gtmctl");
}

static void put_fish_noun(const char *noun, const char *summary)
{
    printf("complete -c gtmctl -f -n __fish_use_subcommand -a %s -d '%s'\n", noun, summary);
}

static void fish(void)
{
    unsigned bit;

    each_noun(put_fish_noun);
    for (size_t i = 0; i < ctl_commands_count; i++)
        if (ctl_commands[i].verb != NULL)
            printf("complete -c gtmctl -f -n '__fish_seen_subcommand_from %s' -a %s -d '%s'\n",
                   ctl_commands[i].noun, ctl_commands[i].verb, ctl_commands[i].summary);
    for (size_t i = 0; ctl_option_word(i, &bit) != NULL; i++)
        printf("complete -c gtmctl -l %s\n", ctl_option_word(i, &bit) + 2);
}

int ctl_completion(struct ctl *ctl)
{
    const char *shell = ctl->argv[0];

    if (strcmp(shell, "bash") == 0) {
        bash_body();
    } else if (strcmp(shell, "zsh") == 0) {
        puts("#compdef gtmctl\nautoload -U +X bashcompinit && bashcompinit");
        bash_body();
    } else if (strcmp(shell, "fish") == 0) {
        fish();
    } else {
        ctl_error("there is completion for bash, zsh and fish, not for '%s'", shell);
        return CTL_USAGE;
    }
    return CTL_OK;
}
