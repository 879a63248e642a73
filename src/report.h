/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One interval as people read it: containers, their processes (or threads), their calls, sorted,
 * cut to --top, percentiles worked out. Joins a snapshot with identities; no I/O. Complete before
 * any output runs, so outputs cannot disagree.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "options.h"
#include "snapshot.h"

struct report_call {
	/* nr and abi of the call; is_other: the sum of what --top left out. */
	uint32_t nr;
	uint32_t abi;
	bool is_other;
	struct call_stats stats;
	const struct errno_delta *errnos;
	uint32_t n_errnos;
	uint64_t timed; /* how many calls the latencies are of; 0: avg, max and percentiles are absent */
	uint64_t avg_ns;
	uint64_t p50_ns;
	uint64_t p95_ns;
	uint64_t p99_ns;
};

/* One process (or, by thread, one thread) with its calls; NULL task: by container, or "other". */
struct report_task {
	const struct snapshot_task *task;
	struct report_call *calls;
	uint32_t n_calls;
};

struct report_container {
	const struct identity *identity;
	struct call_stats totals;
	struct report_task *tasks; /* threads of one process are neighbours */
	uint32_t n_tasks;
	const struct snapshot_in_flight **in_flight; /* oldest first */
	uint32_t n_in_flight;
};

struct report {
	uint64_t timestamp_ns;
	uint64_t duration_ns;
	const char *node;
	enum row_unit by;
	struct report_container *containers; /* busiest first */
	uint32_t n_containers;
	uint32_t n_rows;
	uint64_t calls;
	uint64_t lost_calls; /* without LOSS_BYTES_UNREAD, which loses no call */
	uint64_t lost[LOSS_N_];
};

/* Says whose a cgroup id is, and whether a cgroup filter takes it; both with @data. */
struct report_source {
	const struct identity *(*identify)(uint64_t cgroup_id, void *data);
	bool (*selected)(uint64_t cgroup_id, void *data); /* NULL: all */
	void *data;
};

/*
 * Builds the report. It borrows from @snapshot, the identities and @options; free it before
 * they change. Returns 0 or -ENOMEM.
 */
int report_build(const struct snapshot *snapshot, const struct report_source *source,
		 const struct options *options, struct report **ret);
void report_free(struct report *report);

/*
 * Whether the filters by name take @identity: --containers-only, --container, --pod, --namespace.
 * Those by place (--cgroup), PID and call are not looked at.
 */
bool report_takes_identity(const struct identity *identity, const struct options *options);

/* "no_memory", "ring_full", … */
const char *loss_cause_name(enum loss_cause cause);

/* A name of the bucket's upper end and the estimate of a percentile (0 < @permille < 1000). */
uint64_t hist_percentile_ns(const uint32_t buckets[static HIST_BUCKETS], uint64_t max_ns,
			    unsigned permille);
