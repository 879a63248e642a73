/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One interval as people read it: containers, their processes (or threads), their calls, sorted,
 * cut to --top. Joins a snapshot with identities; no I/O. Complete before any output runs, so
 * outputs cannot disagree.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "options.h"
#include "snapshot.h"

struct report_task;

/* A row. There are tens of thousands: what its statistics come to is left to stats_latencies(). */
struct report_call {
	const struct report_task *task;
	const struct call_stats *stats;
	const struct errno_delta *errnos;
	uint32_t n_errnos;
	/* nr and abi of the call; is_other: the sum of what --top left out. */
	uint32_t nr;
	uint32_t abi;
	bool is_other;
	bool is_wait;
};

/*
 * One process (or, by thread, one thread) with its calls in their rank; NULL task: by container,
 * or the row of what --top left out, which is behind all others.
 */
struct report_task {
	const struct snapshot_task *task;
	struct report_call *calls;
	uint32_t n_calls;
};

/* The cgroups of one identity: a container, but also a pod, a unit, the host. */
struct report_container {
	const struct identity *identity;
	struct call_stats totals; /* of all calls, also those that --top sums up */
	uint64_t work_ns;	  /* of totals.time_ns, what no waiting call took */
	/* By their best rows; threads of one process are neighbours. */
	struct report_task *tasks;
	uint32_t n_tasks;
	/* All of the tasks' calls: by time, waits last, the sum of the others behind all. */
	const struct report_call **rows;
	uint32_t n_rows;
	const struct snapshot_in_flight **in_flight; /* oldest first */
	uint32_t n_in_flight;
};

struct report {
	uint64_t timestamp_ns;
	uint64_t duration_ns;
	const char *node;
	enum row_unit by;
	struct report_container *containers; /* by time, waits last */
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
void report_freep(struct report **report);

/*
 * Whether the filters by name take @identity: --containers-only, --container, --pod, --namespace.
 * Those by place (--cgroup), PID and call are not looked at.
 */
bool report_takes_identity(const struct identity *identity, const struct options *options);

/* "no_memory", "ring_full", … */
const char *loss_cause_name(enum loss_cause cause);
