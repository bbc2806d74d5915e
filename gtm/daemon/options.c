/* SPDX-License-Identifier: Apache-2.0
 *
 * See options.h.
 */
#include "gtm/daemon/options.h"

#include <getopt.h>

#define DEFAULT_CONFIG "/etc/gtm/node.yaml"

void gtmd_options_help(FILE *out)
{
    fputs(
        "Usage: gtmd [--config FILE] [--check | --replace]\n"
        "Answers DNS for the zones of FILE's cluster_file and checks the health of its "
        "endpoints.\n"
        "\n"
        "  -c, --config FILE  the node file (default " DEFAULT_CONFIG ")\n"
        "      --check        read and compile everything, say what is wrong, do not serve\n"
        "      --replace      take over from the gtmd that runs on the same data_dir, without "
        "losing a query; it\n"
        "                     goes on when this one cannot serve (nobody runs there: just start)\n"
        "      --version      print the version\n"
        "  -h, --help         print this\n"
        "\n"
        "Signals: SIGHUP reloads, SIGUSR2 starts a successor with --replace, SIGTERM and SIGINT "
        "stop.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n",
        out);
}

int gtmd_options_parse(int argc, char **argv, struct gtmd_options *ret_options, FILE *err)
{
    enum { OPT_CHECK = 256, OPT_VERSION, OPT_REPLACE };
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"check", no_argument, NULL, OPT_CHECK},
                                          {"replace", no_argument, NULL, OPT_REPLACE},
                                          {"version", no_argument, NULL, OPT_VERSION},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *ret_options = (struct gtmd_options){.config = DEFAULT_CONFIG};
    optind = 0; /* start over: tests parse more than once */
    opterr = 0;
    int c;
    while ((c = getopt_long(argc, argv, ":c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            ret_options->config = optarg;
            break;
        case OPT_CHECK:
            ret_options->action = GTMD_ACTION_CHECK;
            break;
        case OPT_REPLACE:
            ret_options->replace = true;
            break;
        case OPT_VERSION:
            ret_options->action = GTMD_ACTION_VERSION;
            return 0;
        case 'h':
            ret_options->action = GTMD_ACTION_HELP;
            return 0;
        case ':':
            fprintf(err, "gtmd: %s needs a value (see --help)\n", argv[optind - 1]);
            return -1;
        default:
            fprintf(err, "gtmd: unknown option %s (see --help)\n", argv[optind - 1]);
            return -1;
        }
    }
    if (optind < argc) {
        fprintf(err, "gtmd: unexpected argument '%s' (see --help)\n", argv[optind]);
        return -1;
    }
    return 0;
}
