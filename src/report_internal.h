/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the report share while it is built: report_join.c finds the container of each
 * row that report_filter.c lets pass, report.c makes processes and calls of a container's rows, in
 * the orders of report_order.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "map.h"
#include "report.h"
#include "report_filter.h"
#include "report_order.h"
#include "stats.h"

/* The report as others see it, and what it stands on. */
struct full_report {
	struct report report; /* first: report_free() goes back from it */
	struct report_call *calls;
	struct report_task *tasks;
	const struct report_call **rows;
	const struct snapshot_in_flight **in_flight;
	struct sums merged; /* by container */
	struct sums others; /* by --top */
};

struct build {
	const struct snapshot *snapshot;
	const struct report_source *source;
	const struct options *options;
	struct full_report *full;
	size_t containers_size;
	struct map cgroups; /* id to container or NO_GROUP */
	struct map keys;    /* hash of the identity's key to container */
	struct item *items; /* those of a container are neighbours once all are there */
	size_t n_items;
	size_t n_largest; /* the most of one container */
	struct in_flight_item *in_flight;
	size_t n_in_flight;
	struct task_slot *slots;       /* of the container at hand */
	struct report_task **by_order; /* its tasks, by slot */
	size_t n_calls;		       /* used of the report's */
	size_t n_tasks;
	struct filter filter;
};

/*
 * Fills the items, those of each container together, the calls in flight, and the containers but
 * for what they sum up. Returns 0 or -ENOMEM.
 */
int report_join(struct build *build);
