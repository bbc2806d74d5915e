/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between two intents, object by object: pools, policies, zones, …, the dynamic names
 * of zones ("names", as ZONE/NAME), and the lines of the files around cluster.yaml. It compares the
 * texts as YAML by names and paths and knows no meaning, so that it also works on what another
 * version wrote. Pure; takes up to seconds for a large intent: worker threads.
 *
 *     {"changed":true,
 *      "kinds":[{"kind":"pools","added":1,"changed":0,"removed":0,"before":12}],
 *      "objects":[{"kind":"pools","name":"www","change":"changed",
 *                  "fields":[{"path":"failback/hold","before":"30s","after":"1m"}]}],
 *      "objects_more":0,
 *      "files":[{"name":"example.com.zone","change":"changed","added":2,"removed":1,"before":40,
 *                "lines_added":[…],"lines_removed":[…]}]}
 */
#ifndef GTM_MODEL_INTENT_DIFF_H
#define GTM_MODEL_INTENT_DIFF_H

#include "gtm/base/buf.h"
#include "gtm/base/json.h"
#include "gtm/model/intent_files.h"

#include <stdbool.h>
#include <stddef.h>

#define GTM_DIFF_OBJECTS_MAX 500 /* named; the others are only counted */
#define GTM_DIFF_FIELDS_MAX  50  /* of one object */
#define GTM_DIFF_VALUE_MAX   200 /* bytes of a value shown */
#define GTM_DIFF_LINES_MAX   10  /* of one file, added and removed each */

struct gtm_diff_side {
    const struct gtm_intent_text *files; /* none: before the first intent */
    size_t files_count;
};
/* A new object as above; NULL when out of memory, or a main file that is no YAML (err). */
struct gtm_json *gtm_intent_diff(const struct gtm_diff_side *before,
                                 const struct gtm_diff_side *after, struct gtm_error *err);

/* Does it remove or change anything that was there (not only add)? */
bool gtm_intent_diff_hurts(const struct gtm_json *diff);
/* What counts as a mass delete, as a list of texts: more than 30 % of a kind (two or more, or all
 * of them), or more than 10 of it (of names and of records in a file: more than 30 % only). Empty:
 * none. */
struct gtm_json *gtm_intent_diff_mass(const struct gtm_json *diff);
/* Appends it for people, a line for each object, field and file. */
void gtm_intent_diff_text(const struct gtm_json *diff, struct gtm_buf *out);
/* How many objects of each kind a text has: {"pools":12,…}; NULL when out of memory or no YAML. */
struct gtm_json *gtm_intent_summary(const char *text, size_t len);

#endif
