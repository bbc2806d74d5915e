/* SPDX-License-Identifier: Apache-2.0
 *
 * What the shards tell the http probe. Internal to health; the engine's thread.
 */
#ifndef GTM_HEALTH_PROBE_HTTP_H
#define GTM_HEALTH_PROBE_HTTP_H

#include <curl/curl.h>

/* A transfer ended by itself and was removed from its shard. */
void health__http_on_end(CURL *easy, CURLcode code);

#endif
