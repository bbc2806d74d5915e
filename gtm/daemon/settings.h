/* SPDX-License-Identifier: Apache-2.0
 *
 * From node file and intent to what the DNS server needs beside zones: how it answers
 * (dns/settings.h), the TSIG keys, and for each zone the name servers it deals with. Secrets are
 * read from their files here. Immutable once made, counted; read on any thread.
 *
 * Failure modes: a secret that cannot be read or is malformed is a finding that names its file; the
 * settings before stay in force. Secrets never appear in findings.
 */
#ifndef GTM_DAEMON_SETTINGS_H
#define GTM_DAEMON_SETTINGS_H

#include "dns/settings.h"
#include "dns/view.h"
#include "gtm/base/diag.h"
#include "gtm/model/intent.h"
#include "gtm/model/node.h"

#include <stddef.h>

struct gtm_settings {
    int refs;
    struct dns_settings *dns;
    struct dns_zone_peers **peers; /* by index of the intent's zones; NULL = none */
    size_t zones_count;
    int64_t tls_expires_ms; /* of the certificate for DNS over TLS, Unix time; 0 = none */
};

/* Reads the files that node and intent name (either may have none). NULL when anything is wrong:
 * diags has all findings. One reference. Blocks for the disk: worker threads, or the start. */
struct gtm_settings *gtm_settings_load(const struct gtm_node *node, const struct gtm_intent *intent,
                                       struct gtm_diags *diags);
/* The secrets that the nodes share (shared_cookie.h), for settings that are made from here on: used
 * where the node file names none of its own. The first makes cookies; count 0: random ones again.
 * Any thread. */
void gtm_settings_share_cookies(const uint8_t keys[][16], unsigned count);
/* Atomic counting, any thread. */
struct gtm_settings *gtm_settings_ref(struct gtm_settings *settings);
void gtm_settings_unref(struct gtm_settings *settings); /* NULL is fine */
/* The key of the intent's keys[index] as the settings hold it, or NULL. */
const struct dns_tsig_key *gtm_settings_key(const struct gtm_settings *settings, size_t index);

#endif
