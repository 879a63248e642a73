/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What src/metrics.c keeps and src/metrics_page.c prints: a series is what one call did, a group is
 * all series with the same namespace, pod and container, and a member is a container whose calls
 * go to a group.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line.h"
#include "metrics.h"
#include "syscalls.h"
#include "table.h"

/* Names of Kubernetes have at most 253 characters; others are cut. */
#define LABEL_MAX	      255
#define LABEL_ROOM	      (3 * LABEL_MAX + 32) /* escaped, with its name */
#define CONTAINER_LABELS_SIZE (3 * LABEL_ROOM)
#define INFO_LABELS_SIZE      (CONTAINER_LABELS_SIZE + 3 * LABEL_ROOM)

/*
 * Two of the report's buckets each: with a factor of 4 from one to the next, a call takes 12
 * series instead of 24.
 */
#define N_LES (HIST_BUCKETS / 2)

/* What one call of one group did since the group began. */
struct series {
	char call[SYSCALL_NAME_MAX];
	uint32_t nr; /* as first seen: most lookups need not compare names */
	uint32_t abi;
	uint64_t count;
	uint64_t errors;
	uint64_t denied;
	uint64_t bytes;
	uint64_t time_ns;
	uint64_t timed;
	uint64_t buckets[N_LES]; /* not cumulative */
};

/* The calls of one name that had not returned at the end of the last interval. */
struct flight {
	char call[SYSCALL_NAME_MAX];
	uint64_t n;
	uint64_t oldest_ns;
};

/*
 * A call that hangs has to be seen by its name, and is rarely one of the most frequent. So names in
 * flight do not depend on who has series, and have a bound of their own; the rest is "other".
 */
#define FLIGHTS_OWN_MAX 8

/* A call without a series of its own, and when it was first seen. */
struct seen_call {
	uint32_t nr;
	uint32_t abi;
	uint64_t interval;
};
#define SEEN_MAX 64

struct group {
	struct table_link by_labels;
	struct list all;
	char *labels; /* namespace="…",pod="…",container="…" */
	struct series *series;
	uint32_t n_series;
	uint32_t n_own; /* all but that of "other" */
	uint32_t series_size;
	struct flight *flights; /* FLIGHTS_OWN_MAX and "other"; NULL as long as there was none */
	uint32_t n_flights;
	struct seen_call *seen; /* NULL as long as there was no want of series */
	uint32_t n_seen;
	uint32_t n_members;
	bool is_permanent;
	const struct member *newest; /* whose id and image are shown; NULL: nobody's, or */
	char *last_info;	     /* those of one that ended */
	uint64_t final_page;	     /* the first with the last values; 0: they are not known yet */
	uint64_t final_ns;
};

struct member {
	struct table_link by_key;
	struct list all;
	struct group *group;
	char *key;
	char *cgroup_path;
	char *container_id;
	char *info; /* the labels of cgscope_container_info */
	uint64_t cgroup_id;
	uint64_t seen_interval;
	uint64_t n_joined; /* ascending, over all groups */
	bool is_container; /* not a pod's sandbox, nor the rest of a pod */
	bool is_resolved;
	bool was_gone; /* when last looked for */
};

struct metrics {
	uint32_t calls_max;
	uint64_t n_intervals;
	uint64_t elapsed_ns;
	uint64_t swept_ns;
	uint64_t lost[LOSS_N_];
	struct table groups;
	struct list all_groups; /* the oldest first */
	struct table members;
	struct list all_members;
	struct group *own;   /* processes in no container; NULL until there is one */
	struct group *other; /* containers beyond GROUPS_MAX */
	size_t n_series;
	uint64_t n_joins;
	uint64_t n_pages;
	size_t page_hint;
};

/* Adds name="value" with a comma in front of all but the first; NULL is "". */
void metrics_add_label(struct line *line, const char *name, const char *value);

/* Terminates what @line has, and returns it. */
const char *metrics_end_labels(struct line *line);
