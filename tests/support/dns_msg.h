/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds odd DNS messages octet by octet and looks into answers, for tests that a decoder's good
 * manners would stand in the way of.
 */
#ifndef TESTS_SUPPORT_DNS_MSG_H
#define TESTS_SUPPORT_DNS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct msg {
    uint8_t p[65535];
    size_t n;
    size_t opt; /* offset of OPT's rdlength, 0 = none yet */
};

/* Id 0x1234, this opcode, one question of class IN (name NULL: none). */
void msg_begin(struct msg *m, unsigned opcode, const char *name, unsigned type);
void msg_class(struct msg *m, unsigned qclass); /* of the question; before anything follows it */
void msg_octets(struct msg *m, const void *data, size_t len);
/* An OPT without options, and one option more. */
void msg_opt(struct msg *m, unsigned payload);
void msg_option(struct msg *m, unsigned code, const void *data, size_t len);
/* A record in section 1 (answer) to 3 (additional); name NULL: the root. */
void msg_record(struct msg *m, unsigned section, const char *name, unsigned type, unsigned rr_class,
                const void *rdata, size_t len);

/* Of an answer: RCODE with OPT's part; the data of an option (NULL: not there). */
unsigned msg_rcode(const uint8_t *answer, size_t len);
const uint8_t *msg_find_option(const uint8_t *answer, size_t len, unsigned code, size_t *ret_len);

#endif
