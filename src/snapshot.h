/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One interval as the kernel saw it: rows keyed by cgroup id, process and call. Plain data,
 * made by the collector, read by the report; it knows no container.
 */
#pragma once

#include <stdint.h>

#include "bpf/abi.h"

/*
 * What is too much to tell apart is summed up: the process name, with PID 0, of tens of thousands
 * of names or PIDs of one cgroup in one interval; and the call number, "sys_others", of what is
 * beyond dozens that no kernel knows.
 */
#define LEDGER_OTHERS  "(others)"
#define CALL_NR_OTHERS 0x7ffffffe

/* How often one errno came in the interval. */
struct errno_delta {
	uint16_t number;
	uint64_t count;
};

/* The sums of one call in one interval; also the sum of several calls, in the report. */
struct call_stats {
	uint64_t count;	      /* returned, and entries of exit and exit_group */
	uint64_t errors;      /* of count */
	uint64_t interrupted; /* of count */
	uint64_t denied;      /* by seccomp; not in count */
	uint64_t time_ns;     /* of the timed calls, which the buckets count */
	uint64_t bytes;
	uint64_t max_ns;
	uint64_t buckets[HIST_BUCKETS];
};

/* A process in a cgroup, or one of its threads if the collector was told to tell them apart. */
struct snapshot_task {
	uint64_t cgroup_id;
	uint64_t process_start_ns;
	int32_t pid;		     /* initial PID namespace */
	int32_t vpid;		     /* innermost PID namespace */
	int32_t tid;		     /* 0 if rows are processes */
	char process_comm[COMM_LEN]; /* any bytes, NUL-terminated */
	char comm[COMM_LEN];	     /* the thread's; empty if rows are processes */
};

struct snapshot_row {
	const struct snapshot_task *task;
	uint32_t nr;
	uint32_t abi; /* enum call_abi */
	struct call_stats stats;
	const struct errno_delta *errnos;
	uint32_t n_errnos;
	uint32_t first_errno; /* for the collector only */
};

/* A call that has not returned. */
struct snapshot_in_flight {
	struct snapshot_task task; /* tid and comm are set, whatever rows are */
	uint32_t nr;
	uint32_t abi;
	uint64_t age_ns;
};

struct snapshot {
	uint64_t timestamp_ns; /* CLOCK_REALTIME, the end of the interval */
	uint64_t duration_ns;
	const struct snapshot_row *rows; /* only those with something to say; any order */
	uint32_t n_rows;
	const struct snapshot_in_flight *in_flight;
	uint32_t n_in_flight;
	uint64_t lost[LOSS_N_]; /* in this interval */
};
