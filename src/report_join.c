/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fnv.h"

#define NO_GROUP (UINT32_MAX - 1) /* left out */

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

/* The group of a row, or NO_GROUP. */
static int group_of_row(struct build *build, const struct snapshot_row *row, uint32_t *ret_group)
{
	*ret_group = NO_GROUP;
	if (!(filter_verdict(&build->filter, row->nr, row->abi) & VERDICT_WANTED) ||
	    !filter_takes_pid(&build->filter, row->task->pid))
		return 0;
	return group_of(build, row->task->cgroup_id, ret_group);
}

static int find_groups(struct build *build, uint32_t *groups)
{
	const struct snapshot *snapshot = build->snapshot;

	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		int r = group_of_row(build, &snapshot->rows[i], &groups[i]);

		if (r < 0)
			return r;
		build->n_items += groups[i] != NO_GROUP;
	}
	return 0;
}

/* Where the items of each group begin. */
static int find_starts(struct build *build, const uint32_t *groups, size_t **ret)
{
	size_t n_groups = build->full->report.n_containers, start = 0;
	size_t *starts = calloc(n_groups + 1, sizeof(*starts));

	if (!starts)
		return -ENOMEM;
	for (uint32_t i = 0; i < build->snapshot->n_rows; i++) {
		if (groups[i] != NO_GROUP)
			starts[groups[i]]++;
	}
	for (size_t i = 0; i < n_groups; i++) {
		size_t n = starts[i];

		if (n > build->n_largest)
			build->n_largest = n;
		starts[i] = start;
		start += n;
	}
	*ret = starts;
	return 0;
}

/*
 * Brings the items of each container together, in the order in which they came: so that sorting
 * has to do with one container at a time, and rows of a task stay neighbours until then.
 */
static int collect_rows(struct build *build)
{
	const struct snapshot *snapshot = build->snapshot;
	_cleanup_(freep) uint32_t *groups = calloc(snapshot->n_rows + 1, sizeof(*groups));
	_cleanup_(freep) size_t *nexts = NULL;
	int r;

	if (!groups)
		return -ENOMEM;
	r = find_groups(build, groups);
	if (r == 0)
		r = find_starts(build, groups, &nexts);
	if (r < 0)
		return r;
	build->items = calloc(build->n_items + 1, sizeof(*build->items));
	if (!build->items)
		return -ENOMEM;
	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];

		if (groups[i] == NO_GROUP)
			continue;
		build->items[nexts[groups[i]]++] = (struct item){
			.row = row,
			.time_ns = row->stats.time_ns,
			.group = groups[i],
			.is_wait = filter_verdict(&build->filter, row->nr, row->abi) & VERDICT_WAIT,
		};
	}
	return 0;
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

		if (call->age_ns < min_ns || !filter_takes_pid(&build->filter, call->task.pid) ||
		    !(filter_verdict(&build->filter, call->nr, call->abi) & VERDICT_WANTED))
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

int report_join(struct build *build)
{
	int r;

	r = collect_rows(build);
	if (r == 0)
		r = collect_in_flight(build);
	return r;
}
