/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard alphabet of base64 (RFC 4648 section 4). Each reader has rules of its own for blanks
 * and padding; this is what they share. Pure.
 */
#ifndef GTM_BASE_BASE64_H
#define GTM_BASE_BASE64_H

/* The six bits of a character, -1: none. */
static inline int gtm_base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

#endif
