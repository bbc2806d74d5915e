/* SPDX-License-Identifier: Apache-2.0
 *
 * The forms of text that gtm's configuration knows, and the two shapes that stand for one value.
 * Constant, thread-safe.
 */
#ifndef GTM_MODEL_SCHEMA_FORMS_H
#define GTM_MODEL_SCHEMA_FORMS_H

#include "gtm/model/node.h"
#include "gtm/model/schema.h"

extern const struct gtm_form gtm_form_name;        /* heap */
extern const struct gtm_form gtm_form_address;     /* struct gtm_network with a full prefix */
extern const struct gtm_form gtm_form_network;     /* struct gtm_network */
extern const struct gtm_form gtm_form_country;     /* char[3] */
extern const struct gtm_form gtm_form_continent;   /* char[3] */
extern const struct gtm_form gtm_form_subdivision; /* char[8] */
extern const struct gtm_form gtm_form_zone;        /* heap; a domain name, RFC 1035 */
extern const struct gtm_form gtm_form_owner;       /* heap; a name relative to its zone */
extern const struct gtm_form gtm_form_type;        /* uint16_t; a dynamic record type */
extern const struct gtm_form gtm_form_query_name;  /* heap; a domain name, or "." */
extern const struct gtm_form gtm_form_query_type;  /* uint16_t; any record type */
extern const struct gtm_form gtm_form_alias;       /* heap; a name of the zones served here */
extern const struct gtm_form gtm_form_key_name;    /* heap; lower case, no final dot */
extern const struct gtm_form gtm_form_pointer;     /* heap; a JSON pointer, RFC 6901 */
extern const struct gtm_form gtm_form_host;        /* heap; host[:port] of a Host header */
extern const struct gtm_form gtm_form_host_port;   /* heap; who to connect to */
extern const struct gtm_form gtm_form_http_path;   /* heap */
extern const struct gtm_form gtm_form_url;         /* heap; http or https */
extern const struct gtm_form gtm_form_cron;        /* heap; five fields */
extern const struct gtm_form gtm_form_date;        /* heap; 2026-12-20 */
extern const struct gtm_form gtm_form_time;        /* int64_t Unix ms; RFC 3339 */
extern const struct gtm_form gtm_form_weekly;      /* heap; "FRI 16:00-24:00" */
extern const struct gtm_form gtm_form_timezone;    /* heap; Area/City or UTC */
extern const struct gtm_form gtm_form_path;        /* heap; a file or folder */
extern const struct gtm_form gtm_form_program;     /* heap; a file name without folders */

extern const struct gtm_table gtm_secret_table; /* {file: PATH} into a char * */
extern const struct gtm_table gtm_listen_table; /* {address, port} */

struct gtm_listen_raw {
    struct gtm_network address;
    uint16_t port;
};
/* "127.0.0.1:53" or "[::]:53"; 0 or GTM_EINVAL with err->text. */
int gtm_listen_parse(const char *text, struct gtm_listen *ret_listen, struct gtm_error *err);
/* "HOST:PORT" or "[ADDRESS]:PORT", with a port of 1 to 65535. */
bool gtm_host_port_ok(const char *text);
void gtm_listen_make(const struct gtm_listen_raw *raw, struct gtm_listen *ret_listen);

/* "800ms", "1s", "5m", "1h", "30d" → milliseconds; 0 or GTM_EINVAL. */
int gtm_duration_parse(const char *text, uint64_t *ret_ms);
/* The shortest text that gives ms again; returns out. */
const char *gtm_duration_format(uint64_t ms, char out[32]);
/* "AAAA", "TYPE65280"; returns out. */
const char *gtm_type_format(uint16_t type, char out[16]);
/* "192.0.2.0/24", or the address alone when the prefix is full; returns out. */
const char *gtm_network_format(const struct gtm_network *network, char out[64]);

#endif
