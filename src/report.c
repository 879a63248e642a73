/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows come in any order and go out in that of their containers, best first. Each is looked at as
 * an item of a few bytes; sorting the items of a container by rank decides everything else: what
 * --top cuts, which process comes first, and where a row lies in its process. Statistics
 * stay where they are in the snapshot, but for sums.
 */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fnv.h"
#include "glob.h"
#include "map.h"
#include "stats.h"
#include "syscalls.h"

#define NO_GROUP (UINT32_MAX - 1) /* left out */

/* Shorter ones are rather the names of containers: "db", "cafe" have hex digits only. */
#define ID_PREFIX_MIN 4

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

enum call_verdict {
	VERDICT_KNOWN = 1,
	VERDICT_WANTED = 2,
	VERDICT_WAIT = 4,
};

struct in_flight_item {
	const struct snapshot_in_flight *call;
	uint32_t group;
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
	uint8_t verdicts[CALL_ABI_N_][CALLS_MAX];
};

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

static bool matches_any(const struct string_list *globs, const char *name)
{
	for (size_t i = 0; name && i < globs->n; i++) {
		if (glob_match(globs->items[i], name))
			return true;
	}
	return false;
}

static bool id_matches_any(const struct string_list *prefixes, const char *id)
{
	for (size_t i = 0; id && i < prefixes->n; i++) {
		size_t n = strlen(prefixes->items[i]);

		if (n >= ID_PREFIX_MIN && strspn(prefixes->items[i], "0123456789abcdef") == n &&
		    strncmp(id, prefixes->items[i], n) == 0)
			return true;
	}
	return false;
}

bool report_takes_identity(const struct identity *identity, const struct options *options)
{
	if (options->containers_only && !identity_in_container(identity))
		return false;
	if (options->containers.n && !matches_any(&options->containers, identity->container_name) &&
	    !matches_any(&options->containers, identity->k8s_container_name) &&
	    !matches_any(&options->containers, identity->container_id) &&
	    !id_matches_any(&options->containers, identity->container_id))
		return false;
	if (options->pods.n && !matches_any(&options->pods, identity->pod_name))
		return false;
	if (options->namespaces.n && !matches_any(&options->namespaces, identity->namespace_name))
		return false;
	return true;
}

static int add_container(struct build *build, const struct identity *identity, uint32_t *ret_group)
{
	struct report *report = &build->full->report;
	struct report_container *containers;

	if (report->n_containers == build->containers_size) {
		size_t size = build->containers_size ? 2 * build->containers_size : 64;

		containers = reallocarray(report->containers, size, sizeof(*containers));
		if (!containers)
			return -ENOMEM;
		report->containers = containers;
		build->containers_size = size;
	}
	report->containers[report->n_containers] = (struct report_container){
		.identity = identity,
	};
	*ret_group = report->n_containers++;
	return 0;
}

/* The container with the identity's key, made if need be. */
static int group_by_key(struct build *build, const struct identity *identity, uint32_t *ret_group)
{
	const char *key = identity->key ? identity->key : "";
	uint64_t hash = fnv1a(build->snapshot->timestamp_ns, key, strlen(key));
	int r;

	/* Equal hashes are no proof. */
	for (; map_find(&build->keys, hash, ret_group); hash++) {
		const struct identity *other = build->full->report.containers[*ret_group].identity;

		if (other == identity || strcmp(other->key ? other->key : "", key) == 0)
			return 0;
	}

	r = add_container(build, identity, ret_group);
	if (r < 0)
		return r;
	return map_add(&build->keys, hash, *ret_group);
}

/* The container of the cgroup, or NO_GROUP if a filter leaves it out. */
static int group_of(struct build *build, uint64_t cgroup_id, uint32_t *ret_group)
{
	const struct report_source *source = build->source;
	const struct identity *identity;
	int r;

	if (map_find(&build->cgroups, cgroup_id, ret_group))
		return 0;

	*ret_group = NO_GROUP;
	if (!source->selected || source->selected(cgroup_id, source->data)) {
		identity = source->identify(cgroup_id, source->data);
		if (report_takes_identity(identity, build->options)) {
			r = group_by_key(build, identity, ret_group);
			if (r < 0)
				return r;
		}
	}
	return map_add(&build->cgroups, cgroup_id, *ret_group);
}

static bool takes_pid(const struct options *options, int32_t pid)
{
	for (size_t i = 0; i < options->n_pids; i++) {
		if (options->pids[i] == pid)
			return true;
	}
	return options->n_pids == 0;
}

static bool takes_syscall(const struct options *options, uint32_t nr, uint32_t abi)
{
	char buffer[SYSCALL_NAME_MAX];
	const char *name;

	if (options->syscalls.n == 0)
		return true;
	name = syscall_name(nr, abi, buffer);
	for (size_t i = 0; i < options->syscalls.n; i++) {
		if (strcmp(options->syscalls.items[i], name) == 0)
			return true;
	}
	return false;
}

static uint8_t verdict_of(struct build *build, uint32_t nr, uint32_t abi)
{
	bool is_usual = abi < CALL_ABI_N_ && nr < CALLS_MAX;
	uint8_t verdict;

	if (is_usual && build->verdicts[abi][nr])
		return build->verdicts[abi][nr];

	verdict = VERDICT_KNOWN;
	if (takes_syscall(build->options, nr, abi))
		verdict |= VERDICT_WANTED;
	if (syscall_is_wait(nr, abi))
		verdict |= VERDICT_WAIT;
	if (is_usual)
		build->verdicts[abi][nr] = verdict;
	return verdict;
}

static int collect_rows(struct build *build)
{
	const struct snapshot *snapshot = build->snapshot;

	build->items = calloc(snapshot->n_rows + 1, sizeof(*build->items));
	if (!build->items)
		return -ENOMEM;

	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];
		uint8_t verdict = verdict_of(build, row->nr, row->abi);
		uint32_t group;
		int r;

		if (!(verdict & VERDICT_WANTED) || !takes_pid(build->options, row->task->pid))
			continue;
		r = group_of(build, row->task->cgroup_id, &group);
		if (r < 0)
			return r;
		if (group == NO_GROUP)
			continue;
		build->items[build->n_items++] = (struct item){
			.row = row,
			.time_ns = row->stats.time_ns,
			.group = group,
			.is_wait = verdict & VERDICT_WAIT,
		};
	}
	return 0;
}

/*
 * Brings the items of each container together, in the order in which they came: so that sorting
 * has to do with one container at a time, and rows of a task stay neighbours until then.
 */
static int gather_items(struct build *build)
{
	size_t n_groups = build->full->report.n_containers;
	_cleanup_(freep) size_t *ends = calloc(n_groups + 1, sizeof(*ends));
	struct item *items = calloc(build->n_items + 1, sizeof(*items));
	size_t end = 0;

	if (!ends || !items) {
		free(items);
		return -ENOMEM;
	}
	for (size_t i = 0; i < build->n_items; i++)
		ends[build->items[i].group]++;
	for (size_t i = 0; i < n_groups; i++) {
		size_t n = ends[i];

		if (n > build->n_largest)
			build->n_largest = n;
		ends[i] = end;
		end += n;
	}
	for (size_t i = 0; i < build->n_items; i++)
		items[ends[build->items[i].group]++] = build->items[i];
	free(build->items);
	build->items = items;
	return 0;
}

/* How many items from @i on are of the same container. */
static size_t group_size(const struct build *build, size_t i)
{
	size_t n = 1;

	while (i + n < build->n_items && build->items[i + n].group == build->items[i].group)
		n++;
	return n;
}

static int collect_in_flight(struct build *build)
{
	const struct snapshot *snapshot = build->snapshot;
	uint64_t min_ns = build->options->in_flight_ns;

	if (min_ns == 0 || snapshot->n_in_flight == 0)
		return 0;

	build->in_flight = calloc(snapshot->n_in_flight, sizeof(*build->in_flight));
	if (!build->in_flight)
		return -ENOMEM;

	for (uint32_t i = 0; i < snapshot->n_in_flight; i++) {
		const struct snapshot_in_flight *call = &snapshot->in_flight[i];
		uint32_t group;
		int r;

		if (call->age_ns < min_ns || !takes_pid(build->options, call->task.pid) ||
		    !(verdict_of(build, call->nr, call->abi) & VERDICT_WANTED))
			continue;
		r = group_of(build, call->task.cgroup_id, &group);
		if (r < 0)
			return r;
		if (group != NO_GROUP)
			build->in_flight[build->n_in_flight++] =
				(struct in_flight_item){ .call = call, .group = group };
	}
	return 0;
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

/* <0, 0, >0 without the overflow of a difference. */
#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_by_call(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int r;

	r = COMPARE(a->row->abi, b->row->abi);
	return r ? r : COMPARE(a->row->nr, b->row->nr);
}

/* How many items from @items on, of @n of one container, are of the same call. */
static size_t call_size(const struct item *items, size_t n)
{
	size_t n_same = 1;

	while (n_same < n && compare_by_call(&items[0], &items[n_same]) == 0)
		n_same++;
	return n_same;
}

/* Sorts each container's items by call, and returns how many different ones there are in all. */
static size_t sort_by_call(struct build *build)
{
	size_t n_calls = 0;

	for (size_t i = 0, n; i < build->n_items; i += n) {
		struct item *items = &build->items[i];

		n = group_size(build, i);
		qsort(items, n, sizeof(*items), compare_by_call);
		for (size_t k = 0; k < n; k += call_size(&items[k], n - k))
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
		n = call_size(&items[i], n_left);
		merged.row = sum_of(sums, &items[i], n);
		merged.time_ns = merged.row->stats.time_ns;
		items[n_merged++] = merged;
	}
	build->n_items = n_merged;
	return 0;
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

/* Within a container, down to a total order: so that the same calls always read the same. */
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

/* The threads of a process come together, where its best row is. */
static void order_by_process(struct task_slot *slots, size_t n)
{
	qsort(slots, n, sizeof(*slots), compare_process);
	for (size_t i = 0; i < n; i++)
		slots[i].process_order =
			i > 0 && compare_task(slots[i - 1].task, slots[i].task) == 0
				? slots[i - 1].process_order
				: slots[i].order;
	qsort(slots, n, sizeof(*slots), compare_process_order);
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

static void set_latencies(struct report_call *call)
{
	static const unsigned permilles[] = { 500, 950, 990 };
	const struct call_stats *stats = call->stats;
	uint64_t percentiles[3];

	call->timed = hist_total(stats->buckets);
	if (call->timed == 0)
		return;
	call->avg_ns = stats->time_ns / call->timed;
	hist_percentiles_ns(stats->buckets, call->timed, stats->max_ns, permilles, 3, percentiles);
	call->p50_ns = percentiles[0];
	call->p95_ns = percentiles[1];
	call->p99_ns = percentiles[2];
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
	set_latencies(call);
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
	qsort(items, n, sizeof(*items), compare_rank);

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
	int r;

	r = gather_items(build);
	if (r == 0 && build->options->by == ROW_CONTAINER)
		r = merge_calls(build);
	if (r == 0)
		r = allocate_rows(build);
	for (size_t i = 0, n; r == 0 && i < build->n_items; i += n) {
		n = group_size(build, i);
		r = fill_container(build, &build->items[i], n);
	}
	return r;
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

static int fill_in_flight(struct build *build)
{
	struct full_report *full = build->full;

	full->in_flight = calloc(build->n_in_flight + 1, sizeof(*full->in_flight));
	if (!full->in_flight)
		return -ENOMEM;

	if (build->n_in_flight)
		qsort(build->in_flight, build->n_in_flight, sizeof(*build->in_flight),
		      compare_in_flight);
	for (size_t i = 0; i < build->n_in_flight; i++) {
		struct report_container *container =
			&full->report.containers[build->in_flight[i].group];

		full->in_flight[i] = build->in_flight[i].call;
		if (container->n_in_flight++ == 0)
			container->in_flight = &full->in_flight[i];
	}
	return 0;
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

static int build_report(struct build *build)
{
	struct report *report = &build->full->report;
	int r;

	r = collect_rows(build);
	if (r < 0)
		return r;
	r = collect_in_flight(build);
	if (r < 0)
		return r;
	r = fill_containers(build);
	if (r < 0)
		return r;
	r = fill_in_flight(build);
	if (r < 0)
		return r;

	if (report->n_containers)
		qsort(report->containers, report->n_containers, sizeof(*report->containers),
		      compare_container);
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
