/* SPDX-License-Identifier: Apache-2.0
 *
 * A small published world for tests: three regions, two pools, one policy of every kind, a
 * geography of three countries, asked through dns_answer.
 */
#ifndef GTM_SUPPORT_PUBLISH_FIXTURE_H
#define GTM_SUPPORT_PUBLISH_FIXTURE_H

#include "dns/geodb.h"
#include "gtm/daemon/publish.h"

#include <stdint.h>

#define A    GTM_TYPE_A
#define AAAA GTM_TYPE_AAAA

enum { US, EU, AP };
/* The policies by index; each has a name like it in example.com. */
enum { NEAR, CLOSED, LAST, BACKED, OPEN2, SPLIT, MULTI, FAR };

extern const char publish_zone_text[];

struct fixture {
    char zone_path[64];
    struct gtm_intent *in;
    struct gtm_states *states;
    struct gtm_touched touched;
    struct dns_geodb *db;
    struct gtm_compiled *compiled;
    struct gtm_publisher *pub;
    struct dns_view *view; /* as published last */
    unsigned published;
};

/* For cmocka: *state is a struct fixture, installed and published. */
int publish_setup(void **state);
int publish_teardown(void **state);

void publish_write_file(const char *path, const char *text);
/* Compiles the fixture's intent; prints findings and returns NULL on failure. */
struct gtm_compiled *publish_compile(struct fixture *f, const struct gtm_compiled *previous);
/* Publishes what was touched. */
void publish_flip(struct fixture *f);
/* Sets the health of one endpoint in both families; flips nothing. */
void publish_set(struct fixture *f, unsigned pool, unsigned endpoint, enum gtm_health health);
/* Sets all endpoints of a pool, then flips. */
void publish_set_pool(struct fixture *f, unsigned pool, enum gtm_health health);
/* The answer as text (see dns_ask.h); static storage. */
const char *publish_dig(struct fixture *f, const char *name, uint16_t type, const char *ecs);

#endif
