/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What --listen shows: turns reports into a page of metrics, and hands that to the listener. All
 * but publisher_open() do nothing on NULL, which stands for no --listen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "metrics.h"
#include "options.h"
#include "report.h"
#include "snapshot.h"

struct publisher;

/* What is not in a report. */
struct publisher_source {
	void (*read_self)(struct metrics_self *ret, void *data); /* all but the process */
	bool (*cgroup_exists)(const char *path, void *data);
	bool (*cgroup_is_resolved)(uint64_t id, void *data);
	bool (*is_attached)(void *data); /* asked by the listener's thread */
	void *data;
};

/*
 * Before privileges are dropped: a port below 1024 takes one. Borrows @options. Returns 0, or
 * -errno with the reason in @ret_error.
 */
int publisher_open(const struct options *options, const struct publisher_source *source,
		   struct publisher **ret, char *ret_error, size_t error_size);
void publisher_close(struct publisher *publisher);

/* Where it listens. */
const char *publisher_address(const struct publisher *publisher);

/* After privileges are dropped: its thread has those that there are when it starts. */
int publisher_start(struct publisher *publisher);

/* Adds an interval: @snapshot, and @report, which was made of it and @source. */
int publisher_add(struct publisher *publisher, const struct snapshot *snapshot,
		  const struct report_source *source, const struct report *report);

/* Before the programs are detached on purpose. */
void publisher_stop_asking(struct publisher *publisher);
