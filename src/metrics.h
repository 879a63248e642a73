/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Prometheus reads: counters per container and call, summed over the intervals' reports, and
 * what cgscope says about itself, as one page of text. No I/O but for metrics_read_process().
 *
 * A series is known by its labels, so containers with the same namespace, pod and container name
 * share theirs: a restarted container goes on counting where the one before it ended. Processes in
 * no container are summed under empty labels. A container's series end after it: once a page with
 * their last values was scraped and a minute and a half have passed, or ten minutes have.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"

struct metrics;

/* Of cgscope's own process. */
struct metrics_process {
	uint64_t cpu_ns;
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	uint64_t start_ms; /* since 1970 */
	uint64_t open_fds;
	uint64_t max_fds;
};

struct metrics_self {
	const char *libbpf_version;
	bool attached;
	uint64_t bpf_run_time_ns; /* both 0 where the kernel does not count them */
	uint64_t bpf_runs;
	struct metrics_process process;
};

/* What is asked about the containers that have series, at most once a second. */
struct metrics_cgroups {
	bool (*exists)(const char *path, void *data);
	/* Whether names are known by now; asked while they are not. */
	bool (*is_resolved)(uint64_t cgroup_id, void *data);
	void *data;
};

/*
 * At most @calls_max calls of a container have series of their own, for as long as it has any.
 * Returns 0 or -ENOMEM.
 */
int metrics_new(uint32_t calls_max, struct metrics **ret);
void metrics_free(struct metrics *metrics);

/*
 * Adds one interval. @report must be by container and whole, without --top: calls get their own
 * series in the order of its rows, half of which are kept for those that come again. @served is the
 * number of the last page of which a scrape was answered in full; 0: none. Returns 0 or -ENOMEM;
 * then what did not fit is missing.
 */
int metrics_add(struct metrics *metrics, const struct report *report, uint64_t served,
		const struct metrics_cgroups *cgroups);

/*
 * Prints all series to a buffer of *@ret_n bytes, to be freed, and numbers the pages from 1.
 * Returns 0 or -ENOMEM.
 */
int metrics_render(struct metrics *metrics, const struct metrics_self *self, char **ret,
		   size_t *ret_n, uint64_t *ret_number);

void metrics_read_process(struct metrics_process *ret);
