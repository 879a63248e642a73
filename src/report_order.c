/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_order.h"

#include <stdlib.h>
#include <string.h>

/* <0, 0, >0 without the overflow of a difference. */
#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_by_call(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int r;

	r = COMPARE(a->row->abi, b->row->abi);
	return r ? r : COMPARE(a->row->nr, b->row->nr);
}

void order_by_call(struct item *items, size_t n)
{
	qsort(items, n, sizeof(*items), compare_by_call);
}

size_t order_call_size(const struct item *items, size_t n)
{
	size_t n_same = 1;

	while (n_same < n && compare_by_call(&items[0], &items[n_same]) == 0)
		n_same++;
	return n_same;
}

static int compare_task(const struct snapshot_task *a, const struct snapshot_task *b)
{
	int r;

	if (a == b)
		return 0;
	r = COMPARE(a->pid, b->pid);
	if (r == 0)
		r = COMPARE(a->process_start_ns, b->process_start_ns);
	if (r == 0)
		r = COMPARE(a->cgroup_id, b->cgroup_id);
	if (r == 0)
		r = strncmp(a->process_comm, b->process_comm, COMM_LEN);
	return r;
}

static int compare_rank(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int r;

	r = COMPARE(a->is_wait, b->is_wait);
	if (r == 0)
		r = COMPARE(b->time_ns, a->time_ns);
	if (r == 0)
		r = COMPARE(b->row->stats.count, a->row->stats.count);
	if (r == 0 && a->row->task && b->row->task) {
		r = compare_task(a->row->task, b->row->task);
		if (r == 0)
			r = COMPARE(a->row->task->tid, b->row->task->tid);
	}
	if (r == 0)
		r = COMPARE(a->row->abi, b->row->abi);
	if (r == 0)
		r = COMPARE(a->row->nr, b->row->nr);
	return r;
}

void order_by_rank(struct item *items, size_t n)
{
	qsort(items, n, sizeof(*items), compare_rank);
}

static int compare_process_order(const void *left, const void *right)
{
	const struct task_slot *a = left, *b = right;
	int r;

	r = COMPARE(a->process_order, b->process_order);
	return r ? r : COMPARE(a->order, b->order);
}

static int compare_process(const void *left, const void *right)
{
	const struct task_slot *a = left, *b = right;
	int r;

	r = compare_task(a->task, b->task);
	return r ? r : COMPARE(a->order, b->order);
}

void order_by_process(struct task_slot *slots, size_t n)
{
	qsort(slots, n, sizeof(*slots), compare_process);
	for (size_t i = 0; i < n; i++)
		slots[i].process_order =
			i > 0 && compare_task(slots[i - 1].task, slots[i].task) == 0
				? slots[i - 1].process_order
				: slots[i].order;
	qsort(slots, n, sizeof(*slots), compare_process_order);
}

static int compare_in_flight(const void *left, const void *right)
{
	const struct in_flight_item *a = left, *b = right;
	int r;

	r = COMPARE(a->group, b->group);
	if (r == 0)
		r = COMPARE(b->call->age_ns, a->call->age_ns);
	if (r == 0)
		r = COMPARE(a->call->task.pid, b->call->task.pid);
	if (r == 0)
		r = COMPARE(a->call->task.tid, b->call->task.tid);
	return r;
}

void order_in_flight(struct in_flight_item *items, size_t n)
{
	if (n)
		qsort(items, n, sizeof(*items), compare_in_flight);
}

static int compare_container(const void *left, const void *right)
{
	const struct report_container *a = left, *b = right;
	int r;

	r = COMPARE(b->work_ns, a->work_ns);
	if (r == 0)
		r = COMPARE(b->totals.time_ns, a->totals.time_ns);
	if (r == 0)
		r = COMPARE(b->totals.count, a->totals.count);
	if (r == 0 && a->identity->key && b->identity->key)
		r = strcmp(a->identity->key, b->identity->key);
	return r;
}

void order_containers(struct report_container *containers, size_t n)
{
	if (n)
		qsort(containers, n, sizeof(*containers), compare_container);
}
