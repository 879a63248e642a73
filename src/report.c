/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows come in any order and go out in that of their containers, best first. Sorting the items of a
 * container by rank decides everything else: what --top cuts, which process comes first, and where
 * a row lies in its process.
 */
#include "report.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "map.h"
#include "report_internal.h"
#include "stats.h"

static const char *const loss_cause_names[] = {
	[LOSS_NO_MEMORY] = "no_memory",
	[LOSS_RING_FULL] = "ring_full",
	[LOSS_RECURSION] = "recursion",
	[LOSS_BYTES_UNREAD] = "bytes_unread",
};
_Static_assert(sizeof(loss_cause_names) / sizeof(loss_cause_names[0]) == LOSS_N_,
	       "every cause has a name");

const char *loss_cause_name(enum loss_cause cause)
{
	return (unsigned)cause < LOSS_N_ ? loss_cause_names[cause] : "unknown";
}

/* How many items from @i on are of the same container. */
static size_t group_size(const struct build *build, size_t i)
{
	size_t n = 1;

	while (i + n < build->n_items && build->items[i + n].group == build->items[i].group)
		n++;
	return n;
}

static size_t count_errnos(const struct item *items, size_t n)
{
	size_t n_errnos = 0;

	for (size_t i = 0; i < n; i++)
		n_errnos += items[i].row->n_errnos;
	return n_errnos;
}

static const struct snapshot_row *sum_of(struct sums *sums, const struct item *items, size_t n)
{
	const struct snapshot_row *sum = sums_next(sums, items[0].row);

	for (size_t i = 0; i < n; i++)
		sums_add(sums, items[i].row);
	return sum;
}

/* Sorts each container's items by call, and returns how many different ones there are in all. */
static size_t sort_by_call(struct build *build)
{
	size_t n_calls = 0;

	for (size_t i = 0, n; i < build->n_items; i += n) {
		struct item *items = &build->items[i];

		n = group_size(build, i);
		order_by_call(items, n);
		for (size_t k = 0; k < n; k += order_call_size(&items[k], n - k))
			n_calls++;
	}
	return n_calls;
}

/* By container: one item is left of all with the same call. */
static int merge_calls(struct build *build)
{
	struct sums *sums = &build->full->merged;
	struct item *items = build->items;
	size_t n_errnos = count_errnos(items, build->n_items), n_merged = 0;
	int r;

	r = sums_init(sums, sort_by_call(build), n_errnos);
	if (r < 0)
		return r;

	for (size_t i = 0, n, n_left = 0; i < build->n_items; i += n, n_left -= n) {
		struct item merged = items[i];

		if (n_left == 0) /* counted once a container, which may have many calls */
			n_left = group_size(build, i);
		n = order_call_size(&items[i], n_left);
		merged.row = sum_of(sums, &items[i], n);
		merged.time_ns = merged.row->stats.time_ns;
		items[n_merged++] = merged;
	}
	build->n_items = n_merged;
	return 0;
}

/* Finds the tasks of @n items, in the order of their best rows; each item's group is then its task.
 */
static int find_tasks(struct item *items, size_t n, struct task_slot *slots, size_t *ret_n)
{
	struct map map = { 0 };
	int r = 0;

	*ret_n = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct snapshot_task *task = items[i].row->task;
		uint32_t slot;

		if (!map_find(&map, (uintptr_t)task, &slot)) {
			slot = (uint32_t)(*ret_n)++;
			slots[slot] = (struct task_slot){ .task = task, .order = slot };
			r = map_add(&map, (uintptr_t)task, slot);
		}
		if (r == 0)
			slots[slot].n_calls++;
		items[i].group = slot;
	}
	map_done(&map);
	return r;
}

static void fill_call(struct report_call *call, const struct report_task *task,
		      const struct item *item, bool is_other)
{
	*call = (struct report_call){
		.task = task,
		.nr = item->row->nr,
		.abi = item->row->abi,
		.is_other = is_other,
		.is_wait = item->is_wait,
		.stats = &item->row->stats,
		.errnos = item->row->errnos,
		.n_errnos = item->row->n_errnos,
	};
}

static struct report_task *add_task(struct build *build, struct report_container *container,
				    const struct snapshot_task *task, uint32_t n_calls)
{
	struct full_report *full = build->full;
	struct report_task *added = &full->tasks[build->n_tasks++];

	*added = (struct report_task){ .task = task, .calls = &full->calls[build->n_calls] };
	build->n_calls += n_calls;
	container->n_tasks++;
	return added;
}

static void add_row(struct build *build, struct report_container *container,
		    struct report_task *task, const struct item *item, bool is_other)
{
	struct report_call *call = &task->calls[task->n_calls++];

	fill_call(call, task, item, is_other);
	container->rows[container->n_rows++] = call;
	build->full->report.n_rows++;
}

/* The best @n of the container's items become rows. */
static int add_rows(struct build *build, struct report_container *container, struct item *items,
		    size_t n)
{
	size_t n_tasks;
	int r;

	r = find_tasks(items, n, build->slots, &n_tasks);
	if (r < 0)
		return r;
	if (build->options->by == ROW_THREAD)
		order_by_process(build->slots, n_tasks);

	for (size_t i = 0; i < n_tasks; i++) {
		const struct task_slot *slot = &build->slots[i];

		build->by_order[slot->order] =
			add_task(build, container, slot->task, slot->n_calls);
	}
	for (size_t i = 0; i < n; i++)
		add_row(build, container, build->by_order[items[i].group], &items[i], false);
	return 0;
}

/* What --top leaves out becomes one row. */
static void add_other(struct build *build, struct report_container *container,
		      const struct item *items, size_t n)
{
	struct item other = { .row = sum_of(&build->full->others, items, n) };

	add_row(build, container, add_task(build, container, NULL, 1), &other, true);
}

static void add_totals(struct report_container *container, const struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		stats_add(&container->totals, &items[i].row->stats);
		if (!items[i].is_wait)
			container->work_ns += items[i].time_ns;
	}
}

static int fill_container(struct build *build, struct item *items, size_t n)
{
	struct report *report = &build->full->report;
	struct report_container *container = &report->containers[items[0].group];
	size_t n_kept = n;
	int r;

	if (build->options->top && n > build->options->top)
		n_kept = build->options->top;

	container->tasks = &build->full->tasks[build->n_tasks];
	container->rows = &build->full->rows[build->n_calls];
	add_totals(container, items, n);
	report->calls += container->totals.count;
	order_by_rank(items, n);

	r = add_rows(build, container, items, n_kept);
	if (r < 0)
		return r;
	if (n > n_kept)
		add_other(build, container, &items[n_kept], n - n_kept);
	return 0;
}

/* No fewer than there are tasks, and hardly more: rows of a task are neighbours. */
static size_t count_tasks(const struct build *build)
{
	const struct item *items = build->items;
	size_t n = 0;

	for (size_t i = 0; i < build->n_items; i++)
		n += i == 0 || items[i].row->task != items[i - 1].row->task ||
		     items[i].group != items[i - 1].group;
	return n;
}

/* Room for every item and one "other" per container. */
static int allocate_rows(struct build *build)
{
	struct full_report *full = build->full;
	size_t n_others = full->report.n_containers + 1;
	size_t n = build->n_items + n_others;

	full->calls = calloc(n, sizeof(*full->calls));
	full->rows = calloc(n, sizeof(*full->rows));
	full->tasks = calloc(count_tasks(build) + n_others, sizeof(*full->tasks));
	build->slots = calloc(build->n_largest + 1, sizeof(*build->slots));
	build->by_order = calloc(build->n_largest + 1, sizeof(*build->by_order));
	if (!full->calls || !full->tasks || !full->rows || !build->slots || !build->by_order)
		return -ENOMEM;
	if (build->options->top)
		return sums_init(&full->others, full->report.n_containers,
				 count_errnos(build->items, build->n_items));
	return 0;
}

static int fill_containers(struct build *build)
{
	int r = 0;

	if (build->options->by == ROW_CONTAINER)
		r = merge_calls(build);
	if (r == 0)
		r = allocate_rows(build);
	for (size_t i = 0, n; r == 0 && i < build->n_items; i += n) {
		n = group_size(build, i);
		r = fill_container(build, &build->items[i], n);
	}
	return r;
}

static int fill_in_flight(struct build *build)
{
	struct full_report *full = build->full;

	full->in_flight = calloc(build->n_in_flight + 1, sizeof(*full->in_flight));
	if (!full->in_flight)
		return -ENOMEM;

	order_in_flight(build->in_flight, build->n_in_flight);
	for (size_t i = 0; i < build->n_in_flight; i++) {
		struct report_container *container =
			&full->report.containers[build->in_flight[i].group];

		full->in_flight[i] = build->in_flight[i].call;
		if (container->n_in_flight++ == 0)
			container->in_flight = &full->in_flight[i];
	}
	return 0;
}

static int build_report(struct build *build)
{
	struct report *report = &build->full->report;
	int r;

	r = report_join(build);
	if (r < 0)
		return r;
	r = fill_containers(build);
	if (r < 0)
		return r;
	r = fill_in_flight(build);
	if (r < 0)
		return r;

	order_containers(report->containers, report->n_containers);
	return 0;
}

static void fill_head(struct report *report, const struct snapshot *snapshot,
		      const struct options *options)
{
	report->timestamp_ns = snapshot->timestamp_ns;
	report->duration_ns = snapshot->duration_ns;
	report->node = options->node;
	report->by = options->by;
	for (size_t i = 0; i < LOSS_N_; i++) {
		report->lost[i] = snapshot->lost[i];
		if (i != LOSS_BYTES_UNREAD)
			report->lost_calls += snapshot->lost[i];
	}
}

static void build_free(struct build *build)
{
	if (!build)
		return;
	map_done(&build->cgroups);
	map_done(&build->keys);
	free(build->items);
	free(build->in_flight);
	free(build->slots);
	free(build->by_order);
	if (build->full)
		report_free(&build->full->report);
	free(build);
}

static void build_freep(struct build **build)
{
	build_free(*build);
}

int report_build(const struct snapshot *snapshot, const struct report_source *source,
		 const struct options *options, struct report **ret)
{
	_cleanup_(build_freep) struct build *build = NULL;
	int r;

	build = calloc(1, sizeof(*build));
	if (!build)
		return -ENOMEM;
	build->snapshot = snapshot;
	build->source = source;
	build->options = options;
	build->filter.options = options;
	build->full = calloc(1, sizeof(*build->full));
	if (!build->full)
		return -ENOMEM;

	fill_head(&build->full->report, snapshot, options);
	r = build_report(build);
	if (r < 0)
		return r;

	*ret = &TAKE_PTR(build->full)->report;
	return 0;
}

void report_free(struct report *report)
{
	struct full_report *full = (struct full_report *)report;

	if (!full)
		return;
	sums_done(&full->merged);
	sums_done(&full->others);
	free(full->calls);
	free(full->tasks);
	free(full->rows);
	free(full->in_flight);
	free(report->containers);
	free(full);
}

void report_freep(struct report **report)
{
	report_free(*report);
}
