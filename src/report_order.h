/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The orders that a report is made by. Each row is looked at as an item of a few bytes: statistics
 * stay where they are in the snapshot.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"
#include "snapshot.h"

struct item {
	const struct snapshot_row *row;
	uint64_t time_ns;
	uint32_t group; /* index of the container; once its items are at hand, that of the task */
	bool is_wait;
};

/* A task of the container at hand while its calls are brought together. */
struct task_slot {
	const struct snapshot_task *task;
	uint32_t order;		/* of its best row among the tasks */
	uint32_t process_order; /* the least order in its process */
	uint32_t n_calls;
};

struct in_flight_item {
	const struct snapshot_in_flight *call;
	uint32_t group;
};

void order_by_call(struct item *items, size_t n);

/* How many items from @items on, of @n of one container, are of the same call. */
size_t order_call_size(const struct item *items, size_t n);

/* Within a container, down to a total order: so that the same calls always read the same. */
void order_by_rank(struct item *items, size_t n);

/* The threads of a process come together, where its best row is. */
void order_by_process(struct task_slot *slots, size_t n);

/* By container, oldest first. */
void order_in_flight(struct in_flight_item *items, size_t n);

/* By time, waits last. */
void order_containers(struct report_container *containers, size_t n);
