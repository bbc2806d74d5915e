/* SPDX-License-Identifier: Apache-2.0
 *
 * Which zone files have changed: inotify on their folders, so that files may be replaced by
 * renaming, come and go. A file counts as changed once it has been quiet for 200 ms, and while
 * somebody still has it open after writing, for two seconds: half a file is not read. Control
 * thread.
 *
 * Failure modes: a folder that is not there (any more) is looked for every two seconds; events that
 * the kernel dropped make every file be compared; without inotify nothing is watched and reloads
 * are up to `gtmctl reload`. Files that are links are watched where the link is.
 */
#ifndef GTM_DAEMON_ZONEWATCH_H
#define GTM_DAEMON_ZONEWATCH_H

#include "gtm/base/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct gtm_zonewatch;

/* changed(arg, zone) is called from the loop for each zone with a file that changed. NULL: no
 * inotify or no memory. */
struct gtm_zonewatch *gtm_zonewatch_new(struct gtm_loop *loop, void (*changed)(void *, size_t),
                                        void *arg);
void gtm_zonewatch_free(struct gtm_zonewatch *watch); /* NULL is fine */
/* Forgets all files, then add each (and what it includes), then commit. What is unchanged since the
 * last time keeps its watches. False: out of memory, some are not watched. */
void gtm_zonewatch_begin(struct gtm_zonewatch *watch);
bool gtm_zonewatch_add(struct gtm_zonewatch *watch, const char *path, size_t zone);
void gtm_zonewatch_commit(struct gtm_zonewatch *watch);

#endif
