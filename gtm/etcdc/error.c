/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of etcdc's codes. See etcdc.h.
 */
#include "gtm/etcdc/etcdc.h"

#include <string.h>

static const struct {
    const char *word, *text;
    enum etcdc_class class;
} codes[] = {
    [-ETCDC_OK] = {"ok", "ok", ETCDC_RETRY_SAFE},
    [-ETCDC_E_ARG] = {"arg", "a wrong argument", ETCDC_PERMANENT},
    [-ETCDC_E_NOMEM] = {"nomem", "out of memory", ETCDC_RETRY_SAFE},
    [-ETCDC_E_CLOSED] = {"closed", "the client is closed", ETCDC_PERMANENT},
    [-ETCDC_E_TIMEOUT] = {"timeout", "no answer in time", ETCDC_RETRY_SAFE},
    [-ETCDC_E_CONNECT] = {"connect", "no connection", ETCDC_RETRY_SAFE},
    [-ETCDC_E_AMBIGUOUS] = {"ambiguous", "sent, but no clear answer: it may have happened",
                            ETCDC_AMBIGUOUS},
    [-ETCDC_E_NO_LEADER] = {"no_leader", "etcd has no leader", ETCDC_RETRY_SAFE},
    [-ETCDC_E_UNAVAILABLE] = {"unavailable", "etcd is not available", ETCDC_RETRY_SAFE},
    [-ETCDC_E_TOO_MANY] = {"too_many", "too many requests", ETCDC_RETRY_SAFE},
    [-ETCDC_E_COMPACTED] = {"compacted", "the revision has been compacted", ETCDC_PERMANENT},
    [-ETCDC_E_FUTURE_REV] = {"future_rev", "the revision has not happened yet", ETCDC_PERMANENT},
    [-ETCDC_E_LEASE_NOT_FOUND] = {"lease_not_found", "there is no such lease", ETCDC_PERMANENT},
    [-ETCDC_E_LEASE_EXISTS] = {"lease_exists", "the lease exists already", ETCDC_PERMANENT},
    [-ETCDC_E_TOO_LARGE] = {"too_large", "too large for etcd", ETCDC_PERMANENT},
    [-ETCDC_E_NO_SPACE] = {"no_space", "etcd's space quota is used up", ETCDC_PERMANENT},
    [-ETCDC_E_AUTH] = {"auth", "user, password or token is wrong", ETCDC_PERMANENT},
    [-ETCDC_E_DENIED] = {"denied", "not allowed", ETCDC_PERMANENT},
    [-ETCDC_E_CORRUPT] = {"corrupt", "the member's data is corrupt", ETCDC_PERMANENT},
    [-ETCDC_E_STALE_MEMBER] = {"stale_member", "the member is behind an election",
                               ETCDC_RETRY_SAFE},
    [-ETCDC_E_CLUSTER_CHANGED] = {"cluster_changed", "another cluster answers", ETCDC_PERMANENT},
    [-ETCDC_E_PROTOCOL] = {"protocol", "not an answer of etcd's JSON gateway", ETCDC_PERMANENT},
    [-ETCDC_E_VERSION] = {"version", "etcd is older than 3.4", ETCDC_PERMANENT},
    [-ETCDC_E_SESSION_LOST] = {"session_lost", "the session is lost", ETCDC_PERMANENT},
    [-ETCDC_E_OVERFLOW] = {"overflow", "more events than the bound", ETCDC_RETRY_SAFE},
};
#define CODES (int)(sizeof(codes) / sizeof(codes[0]))

static int known(int code)
{
    return code <= 0 && code > -CODES;
}

enum etcdc_class etcdc_class(int code)
{
    return known(code) ? codes[-code].class : ETCDC_PERMANENT;
}

const char *etcdc_text(int code)
{
    return known(code) ? codes[-code].text : "unknown error";
}

const char *etcdc_word(int code)
{
    return known(code) ? codes[-code].word : "unknown";
}

struct etcdc_buf etcdc_str(const char *s)
{
    return etcdc_bytes(s, strlen(s));
}
