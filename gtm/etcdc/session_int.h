/* SPDX-License-Identifier: Apache-2.0
 *
 * What elections need of sessions. The client's loop.
 */
#ifndef GTM_ETCDC_SESSION_INT_H
#define GTM_ETCDC_SESSION_INT_H

#include "gtm/etcdc/etcdc_int.h"

/* Somebody whose standing ends with the session. */
struct etcdc__standing {
    struct etcdc__standing *next, **prev;
    /* The session is lost or closed: it is not to be used any more. Called at most once, with the
     * standing taken off the session already. Calls nobody's callback. */
    void (*lost)(struct etcdc__standing *standing);
};

void etcdc__session_join(struct etcdc_session *session, struct etcdc__standing *standing,
                         void (*lost)(struct etcdc__standing *standing));
void etcdc__session_leave(struct etcdc__standing *standing); /* twice is fine */
struct etcdc__standing *etcdc__session_standings(const struct etcdc_session *session);

#endif
