/* SPDX-License-Identifier: Apache-2.0
 *
 * A gateway that says what a test wants: greetings as a sound etcd, all else as scripted. It runs
 * on a thread of its own; set it up before a call is made, or through the setters. Asserts on
 * failure of the host.
 */
#ifndef GTM_TESTS_SUPPORT_FAKE_GATEWAY_H
#define GTM_TESTS_SUPPORT_FAKE_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_mood {
    FAKE_ANSWERS = 0,   /* `status` and `body` */
    FAKE_RAW,           /* `body` is all that is sent, then it closes */
    FAKE_SILENT,        /* never answers */
    FAKE_RESETS,        /* takes the request, then resets */
    FAKE_RESETS_BEFORE, /* resets every connection that comes */
    FAKE_HALF           /* the head, half of the body, then it closes */
};

struct fake_script {
    enum fake_mood mood;
    int status;
    const char *body; /* borrowed while it is set */
    size_t split;     /* octets of the answer sent before a pause; 0 = all at once */
    unsigned delay_ms;
    unsigned times; /* the script is for so many requests, then `then`; 0 = for all */
    const struct fake_script *then;
    bool greetings; /* also for greetings and tokens, which are else answered as they should be */
};

struct fake_gateway;

struct fake_gateway *fake_gateway_new(void);
void fake_gateway_free(struct fake_gateway *fake);
const char *fake_gateway_url(const struct fake_gateway *fake);
void fake_gateway_set(struct fake_gateway *fake, const struct fake_script *script);
/* What greetings say from now on. */
void fake_gateway_is(struct fake_gateway *fake, uint64_t cluster, uint64_t term,
                     const char *version, bool learner);
/* Requests so far, without greetings and tokens; and tokens asked for. */
unsigned fake_gateway_requests(struct fake_gateway *fake);
unsigned fake_gateway_tokens(struct fake_gateway *fake);
unsigned fake_gateway_greetings(struct fake_gateway *fake);
/* Of the last request that is no greeting: all of it. Copies. */
void fake_gateway_last(struct fake_gateway *fake, char *out, size_t max);

#endif
