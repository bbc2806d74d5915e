/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of monitors. Which of its keys fit which kind is in intent_check_monitor.c. See
 * schema.h for what a table drives.
 */
#include "gtm/model/intent_tables.h"
#include "gtm/model/schema_forms.h"

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

const char *const gtm_monitor_kind_words[GTM_MONITOR_KIND_COUNT] = {
    "http", "https",      "tcp",   "tls",  "dns",  "icmp",
    "grpc", "postgresql", "redis", "exec", "push", "prometheus",
};
const char *const gtm_load_words[GTM_LOAD_COUNT] = {
    "load",
    "connections",
    "latency_ms",
    "requests_per_s",
};
const char *const gtm_http_version_words[GTM_HTTP_VERSION_COUNT] = {"auto", "1.1", "2"};
/* RFC 6895 section 2.3, by their numbers. */
const char *const gtm_rcode_words[GTM_RCODE_WORDS] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                                      "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                                      "NXRRSET", "NOTAUTH", "NOTZONE"};
static const char *const transport_words[] = {"udp", "tcp"};

#define FORM_OF(name, member, text_form, about)                                                \
    {                                                                                          \
        .key = (name), .doc = (about), .type = GTM_T_FORM, GTM_AT(struct gtm_monitor, member), \
        .form = &(text_form)                                                                   \
    }

/* --- parts --- */

static const struct gtm_field status_item = {
    .type = GTM_T_UINT, .size = sizeof(uint16_t), .min = 100, .max = 599};
static const struct gtm_field argument_item = {.type = GTM_T_STRING};

static const struct gtm_field expect_fields[] = {
    {.key = "status",
     .doc = "http, https: status codes that count as healthy; default: 200 to 299",
     .type = GTM_T_LIST,
     .flags = GTM_F_SINGLE,
     GTM_LIST_AT(struct gtm_monitor, expect_status, expect_status_count),
     .item = &status_item,
     .min = 1,
     .max = 100},
    {.key = "body",
     .doc = "http, https, tcp, tls: text that must occur in the first 64 KiB of what comes back",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, expect_body)},
    {.key = "rcode",
     .doc = "dns: the response code; default NOERROR",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_monitor, expect_rcode),
     GTM_WORDS(gtm_rcode_words)},
    {.key = "answer",
     .doc = "dns: the text of one record's data that must be among the answers, such as 192.0.2.1",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, expect_answer)},
};
static const struct gtm_table expect_table = {.title = "expect", GTM_FIELDS(expect_fields)};

static const struct gtm_field tls_fields[] = {
    FORM_OF(
        "ca", tls_ca, gtm_form_path,
        "the certificates that are trusted, from the folder of this file; default: the system's"),
    FORM_OF("name", tls_name, gtm_form_zone,
            "the name that the certificate must hold and that is asked for; default: `host`, else "
            "the endpoint's address"),
    FORM_OF("cert", tls_cert, gtm_form_path, "a certificate to show, with `key`"),
    FORM_OF("key", tls_key, gtm_form_path, "its key"),
    {.key = "insecure",
     .doc = "true: any certificate will do",
     .type = GTM_T_BOOL,
     GTM_AT(struct gtm_monitor, tls_insecure),
     .def = "false"},
    {.key = "expires",
     .doc = "a certificate that ends within this time has failed",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_monitor, tls_expiry_ms),
     .max = 3650 * DAY,
     .def = "0s"},
};
static const struct gtm_table tls_table = {
    .title = "tls", GTM_FIELDS(tls_fields), .check = gtm_check_monitor_tls};

static const struct gtm_field ask_fields[] = {
    FORM_OF("name", query_name, gtm_form_query_name, "the name to ask for; default: the root"),
    FORM_OF("type", query_type, gtm_form_query_type,
            "the record type to ask for; default A, of the root NS"),
    {.key = "transport",
     .doc = "how to ask",
     .type = GTM_T_ENUM,
     GTM_WORDS(transport_words),
     .def = "udp"},
};
static const struct gtm_table ask_table = {.title = "ask", GTM_FIELDS(ask_fields)};

#define POINTER(word, number, about) FORM_OF(word, load_pointer[number], gtm_form_pointer, about)
static const struct gtm_field load_fields[] = {
    POINTER("load", GTM_LOAD_LOAD, "where the utilisation stands: 1 is full"),
    POINTER("connections", GTM_LOAD_CONNECTIONS, "where the number of open connections stands"),
    POINTER("latency_ms", GTM_LOAD_LATENCY_MS, "where the response time in ms stands"),
    POINTER("requests_per_s", GTM_LOAD_REQUESTS_PER_S, "where the requests a second stand"),
};
static const struct gtm_table load_table = {
    .title = "load", GTM_FIELDS(load_fields), .check = gtm_check_monitor_load};

/* --- monitors --- */

static const struct gtm_field monitor_fields[] = {
    {.key = "name",
     .doc = "the monitor's name",
     .type = GTM_T_FORM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_monitor, name),
     .form = &gtm_form_name},
    {.key = "kind",
     .doc = "how to check",
     .type = GTM_T_ENUM,
     .flags = GTM_F_REQUIRED,
     GTM_AT(struct gtm_monitor, kind),
     GTM_WORDS(gtm_monitor_kind_words)},
    {.key = "port",
     .doc = "the port to check; http, https, dns, postgresql and redis know their usual one",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, port),
     .min = 1,
     .max = 65535},
    FORM_OF("path", path, gtm_form_http_path, "http, https: what to ask for; default /"),
    FORM_OF("host", host, gtm_form_host,
            "http, https: the Host header (and the name in the certificate); tls, grpc: the name "
            "to ask for; default: the endpoint's address"),
    {.key = "method",
     .doc = "http, https: GET, HEAD, OPTIONS or POST; default GET",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, method),
     .max = 16},
    {.key = "http_version",
     .doc = "http, https: auto takes 2 where a TLS server offers it, else 1.1; default auto",
     .type = GTM_T_ENUM,
     GTM_AT(struct gtm_monitor, http_version),
     GTM_WORDS(gtm_http_version_words)},
    {.key = "tls",
     .doc = "https, tls, grpc: which certificate is right; grpc speaks TLS when this is given",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .has_offset = offsetof(struct gtm_monitor, tls),
     .table = &tls_table},
    {.key = "ask",
     .doc = "dns: the question",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &ask_table},
    {.key = "expect",
     .doc = "what a healthy answer looks like",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &expect_table},
    {.key = "send",
     .doc = "tcp, tls: bytes to send first",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, send)},
    {.key = "service",
     .doc = "grpc: the service to ask about; default: the server as a whole",
     .type = GTM_T_STRING,
     GTM_AT(struct gtm_monitor, grpc_service),
     .max = 255},
    FORM_OF("program", program, gtm_form_program,
            "exec: the program in exec_dir; its exit status 0 is healthy"),
    {.key = "args",
     .doc = "exec: its arguments, where {address}, {port}, {endpoint} and {pool} are replaced",
     .type = GTM_T_LIST,
     GTM_LIST_AT(struct gtm_monitor, args, args_count),
     .item = &argument_item,
     .max = 64},
    {.key = "token",
     .doc = "push: the file with the token that heartbeats bear",
     .type = GTM_T_SECRET,
     GTM_AT(struct gtm_monitor, push_token)},
    {.key = "load",
     .doc = "http, https, exec, push: where the answer, a JSON text, says how busy the endpoint "
            "is; push takes /load, /connections, /latency_ms and /requests_per_s by default",
     .type = GTM_T_OBJECT,
     GTM_INLINE,
     .table = &load_table},
    {.key = "url",
     .doc = "prometheus: the server's address",
     .type = GTM_T_FORM,
     .form = &gtm_form_url},
    {.key = "query",
     .doc = "prometheus: the query, which gives one number",
     .type = GTM_T_STRING,
     .max = 4096},
    {.key = "above", .doc = "prometheus: down when the number is above this", .type = GTM_T_NUMBER},
    {.key = "below", .doc = "prometheus: down when the number is below this", .type = GTM_T_NUMBER},
    {.key = "interval",
     .doc = "from the start of one check to the next, 100ms to 1h; push: how often heartbeats "
            "come, and interval × fall without one is down; default 1s, push 5s",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_monitor, interval_ms),
     .min = 100,
     .max = HOUR},
    {.key = "timeout",
     .doc = "a check without a result by then has failed; default: the interval, at most 800ms",
     .type = GTM_T_DURATION,
     GTM_AT(struct gtm_monitor, timeout_ms),
     .min = 10,
     .max = MINUTE},
    {.key = "fall",
     .doc = "failed checks in a row that make an endpoint down",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, fall),
     .min = 1,
     .max = 100,
     .def = "2"},
    {.key = "rise",
     .doc = "good checks in a row that make it up again",
     .type = GTM_T_UINT,
     GTM_AT(struct gtm_monitor, rise),
     .min = 1,
     .max = 100,
     .def = "3"},
};
const struct gtm_table gtm_monitor_table = {.title = "monitor",
                                            GTM_FIELDS(monitor_fields),
                                            .pos_offset = offsetof(struct gtm_monitor, pos),
                                            .check = gtm_check_monitor};
