/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's side, from here: loads and attaches the BPF programs, and reads out what they
 * counted, an interval at a time. Knows processes, calls and cgroup ids, and no container. The
 * only user of libbpf.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "snapshot.h"

/* Task storage for tracing programs, ring buffer, task iterator, bpf_task_pt_regs: 5.15. */
#define KERNEL_MIN_MAJOR 5
#define KERNEL_MIN_MINOR 15

struct collector;

struct collector_options {
	const struct string_list *comms;    /* borrowed, as is all below; NULL or empty: all */
	const struct string_list *syscalls; /* names */
	const int32_t *pids;
	size_t n_pids;
	bool filter_cgroups; /* collector_exclude_cgroup() will be used */
	bool cgroup_v1;	     /* ids are those of @cgroup_controller's hierarchy, else of v2 */
	const char *cgroup_controller; /* "memory", … */
	uint32_t cgroup_hierarchy;     /* its number in /proc/cgroups; 0 for v2 */
	uint64_t in_flight_ns;	       /* 0: none */
	bool by_thread;
	unsigned verbose; /* libbpf's own words on stderr: 1 without, 2 with its debugging */
	const char *btf;
	size_t ring_bytes;   /* 0: the default; a power of two and whole pages */
	bool refuse_records; /* for tests: no task can be given a record */
	uint64_t settled_ns; /* for tests: of a call, to take over its task's cells; 0: the default
			      */
	/* For tests: called while a dump goes on, each time that a task or two have been read. */
	void (*dumping)(void *data);
	void *dumping_data;
};

/* Called from within collector_poll() and collector_read(). */
struct collector_events {
	void (*cgroup_made)(uint64_t id, const char *path, void *data); /* @path may be NULL */
	void (*cgroup_removed)(uint64_t id, void *data);
	void *data;
};

/*
 * Loads and attaches; counting begins before it returns. Returns 0, or -errno with the reason and
 * what to do in @ret_error. @events may be NULL.
 */
int collector_open(const struct collector_options *options, const struct collector_events *events,
		   struct collector **ret, char *ret_error, size_t error_size);
void collector_close(struct collector *collector);

/* When counting began, on CLOCK_MONOTONIC: the first interval's start. */
uint64_t collector_start_ns(const struct collector *collector);

/* Readable when the ring wants reading before the interval's end: then call collector_poll(). */
int collector_fd(const struct collector *collector);
int collector_poll(struct collector *collector);

/*
 * Ends the interval and reads it. @ret is valid until the next call on @collector.
 * Returns 0 or -errno.
 */
int collector_read(struct collector *collector, struct snapshot *ret);

/* Whether it could be read with the privileges there are. */
bool collector_can_read(const struct collector *collector);

/* Stops counting for good; one more collector_read() has the rest. */
void collector_detach(struct collector *collector);

/* A cgroup that no filter wants (any more): its tasks cost little from now on. */
int collector_exclude_cgroup(struct collector *collector, uint64_t id);
/* … that a filter wants after all, or that is gone. Returns 0 or -errno, and it stays left out. */
int collector_include_cgroup(struct collector *collector, uint64_t id);

/* Whether all programs are still attached, each of their copies. */
bool collector_is_attached(const struct collector *collector);

struct collector_stats {
	uint64_t run_time_ns; /* of all programs, where kernel.bpf_stats_enabled */
	uint64_t run_count;
	uint32_t n_programs; /* attached */
	size_t rows;
	uint64_t taken;	   /* how often a dump has taken over the cells of a task */
	bool cgroup_paths; /* new cgroups are announced with their path */
};
void collector_stats(const struct collector *collector, struct collector_stats *ret);

const char *collector_libbpf_version(void);
