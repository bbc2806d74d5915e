/* SPDX-License-Identifier: Apache-2.0
 *
 * See where.h.
 */
#include "gtm/ctl/where.h"

#include "gtm/base/diag.h"
#include "gtm/base/mem.h"
#include "gtm/ctl/commands.h"
#include "gtm/ctl/say.h"
#include "gtm/model/contexts.h"
#include "gtm/model/node.h"
#include "gtm/model/schema_forms.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXTS_FILE "gtm/gtmctl.yaml"

/* --server with its files, or none of them. */
static int check_server(const struct ctl *ctl)
{
    if (ctl->server == NULL) {
        if (ctl->ca == NULL && ctl->cert == NULL && ctl->key == NULL && ctl->node == NULL)
            return CTL_OK;
        ctl_error("--ca, --cert, --key and --node go with --server");
        return CTL_USAGE;
    }
    if (!gtm_host_port_ok(ctl->server)) {
        ctl_error("--server wants HOST:PORT or [ADDRESS]:PORT, not '%s'", ctl->server);
        return CTL_USAGE;
    }
    if (ctl->ca == NULL || ctl->cert == NULL || ctl->key == NULL) {
        ctl_error("--server speaks mutual TLS: it needs --ca, --cert and --key");
        return CTL_USAGE;
    }
    if (ctl->socket != NULL || ctl->context != NULL) {
        ctl_error("--server, --socket and --context: give one of them");
        return CTL_USAGE;
    }
    return CTL_OK;
}

static int socket_of_node_file(struct ctl *ctl)
{
    struct gtm_diags diags = {0};
    struct gtm_node *node = gtm_node_load(ctl->config, &diags);

    if (node == NULL) {
        gtm_diags_print(&diags, stderr);
        ctl_error("%s does not say where gtmd listens", ctl->config);
    } else {
        ctl->socket = ctl->socket_own = gtm_strdup(node->api_socket);
    }
    gtm_node_free(node);
    gtm_diags_fini(&diags);
    return ctl->socket_own != NULL ? CTL_OK : CTL_FAILED;
}

static char *contexts_path(void)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (base != NULL && base[0] == '/')
        return gtm_asprintf("%s/" CONTEXTS_FILE, base);
    return gtm_asprintf("%s/.config/" CONTEXTS_FILE, home != NULL ? home : "");
}

static int use_context(struct ctl *ctl, const char *path)
{
    const char *name = ctl->context != NULL ? ctl->context : ctl->contexts->current;
    const struct gtm_context *context = name ? gtm_contexts_find(ctl->contexts, name) : NULL;

    if (name == NULL)
        return CTL_OK;
    if (context == NULL) {
        ctl_error("there is no context '%s' in %s", name, path);
        return CTL_USAGE;
    }
    ctl->server = context->server;
    ctl->ca = context->ca;
    ctl->cert = context->cert;
    ctl->key = context->key;
    ctl->node = context->node;
    return CTL_OK;
}

/* --context, or the file's current one; without either everything stays. */
static int find_context(struct ctl *ctl)
{
    struct gtm_diags diags = {0};
    char *path = contexts_path();
    int rc = CTL_OK;

    if (path == NULL || (ctl->context == NULL && access(path, F_OK) != 0)) {
        gtm_free(path);
        return CTL_OK;
    }
    ctl->contexts = gtm_contexts_load(path, &diags);
    gtm_diags_print(&diags, stderr);
    if (ctl->contexts != NULL)
        rc = use_context(ctl, path);
    else
        rc = CTL_USAGE;
    gtm_diags_fini(&diags);
    gtm_free(path);
    return rc;
}

int ctl_find_gtmd(struct ctl *ctl)
{
    const char *env = getenv("GTM_SOCKET");
    int rc = check_server(ctl);

    if (rc != CTL_OK || ctl->server != NULL || ctl->socket != NULL)
        return rc;
    if (ctl->config != NULL && ctl->command->run != ctl_config_check)
        return socket_of_node_file(ctl);
    if (ctl->context == NULL && env != NULL && env[0] != 0) {
        ctl->socket = env;
        return CTL_OK;
    }
    rc = find_context(ctl);
    if (rc == CTL_OK && ctl->server == NULL)
        ctl->socket = CTL_DEFAULT_SOCKET;
    return rc;
}
