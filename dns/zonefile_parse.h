/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of one parse, shared by the directives and $GENERATE. Internal to dns/zonefile*.c; one
 * thread at a time.
 */
#ifndef DNS_ZONEFILE_PARSE_H
#define DNS_ZONEFILE_PARSE_H

#include "dns/zonefile.h"
#include "dns/zonefile_lex.h"
#include "dns/zonefile_rdata.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DNS__GENERATE_MAX       65536       /* records of one directive */
#define DNS__GENERATE_TOTAL_MAX (1u << 20)  /* of one parse */
#define DNS__GENERATE_BYTES_MAX (64u << 20) /* of text, of one parse */
#define DNS__INCLUDES_MAX       4096        /* files of one parse */

/* A file being read, on top of the one that includes it. */
struct dns__source {
    const struct dns__source *parent; /* NULL: the first */
    const char *file;                 /* for messages; NULL = memory without a path */
    dev_t dev;                        /* identity, to refuse loops; 0/0 for memory */
    ino_t ino;
    unsigned depth;
};

struct dns__parse {
    dns_record_fn fn;
    void *ctx;
    struct gtm_diags *diags;
    uint32_t fallback_ttl; /* opts->default_ttl */
    const struct dns__source *source;
    uint8_t origin[DNS_NAME_MAX];
    uint8_t owner[DNS_NAME_MAX];
    enum { OWNER_NONE = 0, OWNER_KNOWN, OWNER_BAD } owner_state;
    uint32_t default_ttl, last_ttl; /* of $TTL; of the last record that had one */
    bool have_default, have_last, warned;
    /* Set while $GENERATE makes records: they are all found where the directive is. */
    const struct dns__token *generated_at;
    size_t bytes_left;            /* over all files */
    unsigned includes, generated; /* files, records */
    size_t generated_bytes;       /* of text */
    int stop;                     /* the callback's wish to end, or GTM_ENOMEM */
    struct dns__rd rd;
    uint8_t rdata[DNS__RDATA_HEADROOM + DNS__RDATA_MAX];
};

/* A record from the tokens of an entry; errors go to diags. blank: no owner was written. */
void dns__parse_record(struct dns__parse *parse, const struct dns__token *tokens, size_t count,
                       bool blank);
/* $GENERATE first-last[/step] owner [ttl] [class] type rdata (BIND 9 ARM); tokens[0] is the
 * directive. */
void dns__parse_generate(struct dns__parse *parse, const struct dns__token *tokens, size_t count);
/* Reports an error at a token of the current file. */
void dns__parse_error(struct dns__parse *parse, const struct dns__token *token, const char *fmt,
                      ...) GTM_PRINTF(3, 4);
/* Reports that something is missing behind a token. */
void dns__parse_missing(struct dns__parse *parse, const struct dns__token *last, const char *what);

#endif
