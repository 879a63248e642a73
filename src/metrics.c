/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Members end when their cgroup is gone; a group ends when it has no member left and its last
 * values were scraped. Nothing else is ever taken away or set back, which is what keeps counters
 * counters.
 */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "metrics_series.h"
#include "syscalls.h"

/* A node has some 250 pods. What exceeds these goes to the labels and the call named "other". */
#define GROUPS_MAX  1024
#define MEMBERS_MAX 4096
#define SERIES_MAX  16384

#define N_BUCKETS 1024 /* of the hash tables */

/* Members are looked for in the file system no more often. */
#define SWEEP_NS NSEC_PER_SEC

/*
 * What is gone stays so much longer: for all who scrape once a minute, whoever else has done so in
 * between, and if nobody scrapes at all.
 */
#define KEEP_SCRAPED_NS	  (90 * NSEC_PER_SEC)
#define KEEP_UNSCRAPED_NS (600 * NSEC_PER_SEC)

#define OTHER "other"

/* As docker ps shows an id: the container's label while its name is not known. */
#define ID_SHOWN 12

static void member_free(struct member *member)
{
	free(member->key);
	free(member->cgroup_path);
	free(member->container_id);
	free(member->info);
	free(member);
}

static void member_freep(struct member **member)
{
	if (*member)
		member_free(*member);
}

static void group_free(struct group *group)
{
	free(group->labels);
	free(group->last_info);
	free(group->series);
	free(group->flights);
	free(group->seen);
	free(group);
}

static void drop_group(struct metrics *metrics, struct group *group)
{
	table_remove(&metrics->groups, &group->by_labels);
	list_remove(&group->all);
	metrics->n_series -= group->n_series;
	group_free(group);
}

static void metrics_freep(struct metrics **metrics)
{
	metrics_free(*metrics);
}

int metrics_new(uint32_t calls_max, struct metrics **ret)
{
	_cleanup_(metrics_freep) struct metrics *metrics = NULL;
	int r;

	metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		return -ENOMEM;
	metrics->calls_max = calls_max;
	list_init(&metrics->all_groups);
	list_init(&metrics->all_members);

	r = table_init(&metrics->groups, N_BUCKETS);
	if (r == 0)
		r = table_init(&metrics->members, N_BUCKETS);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(metrics);
	return 0;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	while (!list_is_empty(&metrics->all_members)) {
		struct member *member = container_of(metrics->all_members.next, struct member, all);

		list_remove(&member->all);
		member_free(member);
	}
	while (!list_is_empty(&metrics->all_groups))
		drop_group(metrics, container_of(metrics->all_groups.next, struct group, all));
	table_done(&metrics->groups);
	table_done(&metrics->members);
	free(metrics);
}

static void add_container_labels(struct line *line, const char *namespace, const char *pod,
				 const char *container)
{
	metrics_add_label(line, "namespace", namespace);
	metrics_add_label(line, "pod", pod);
	metrics_add_label(line, "container", container);
}

/*
 * The label "container": a sandbox and a pod's own cgroup have none, as with the kubelet's metrics;
 * a container whose name is not known is told from others by its id.
 */
static const char *container_label(const struct identity *identity, char id[static ID_SHOWN + 1])
{
	if (identity->k8s_container_name)
		return identity->k8s_container_name;
	if (identity->pod_name && identity->kind != IDENTITY_CONTAINER)
		return NULL;
	if (identity->container_name)
		return identity->container_name;
	if (identity->container_id) {
		snprintf(id, ID_SHOWN + 1, "%s", identity->container_id);
		return id;
	}
	return identity->pod_name ? NULL : identity->pod_uid;
}

static struct group *find_group(const struct metrics *metrics, const char *labels)
{
	uint64_t hash = table_hash(&metrics->groups, labels, strlen(labels));
	struct table_link *link;

	for (link = table_first(&metrics->groups, hash); link; link = link->next) {
		struct group *group = container_of(link, struct group, by_labels);

		if (strcmp(group->labels, labels) == 0)
			return group;
	}
	return NULL;
}

static struct group *add_group(struct metrics *metrics, const char *labels)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->labels = strdup(labels);
	if (!group->labels) {
		free(group);
		return NULL;
	}
	table_add(&metrics->groups, &group->by_labels,
		  table_hash(&metrics->groups, labels, strlen(labels)));
	list_insert_after(metrics->all_groups.prev, &group->all);
	return group;
}

/* One of those that are there for good. */
static struct group *permanent_group(struct metrics *metrics, struct group **group,
				     const char *container)
{
	char data[CONTAINER_LABELS_SIZE];
	struct line line = { .data = data, .size = sizeof(data) };

	if (*group)
		return *group;
	add_container_labels(&line, NULL, NULL, container);
	*group = find_group(metrics, metrics_end_labels(&line));
	if (!*group)
		*group = add_group(metrics, line.data);
	if (*group) {
		(*group)->is_permanent = true;
		(*group)->final_page = 0;
	}
	return *group;
}

/* What is final but was not scraped makes room; else there is none. */
static bool make_room(struct metrics *metrics)
{
	if (metrics->groups.n < GROUPS_MAX)
		return true;
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next) {
		struct group *group = container_of(item, struct group, all);

		if (group->final_page) {
			drop_group(metrics, group);
			return true;
		}
	}
	return false;
}

/* The group with @labels. NULL without memory. */
static struct group *take_group(struct metrics *metrics, const char *labels)
{
	struct group *group = find_group(metrics, labels);

	if (group)
		return group;
	if (!make_room(metrics))
		return permanent_group(metrics, &metrics->other, OTHER);
	return add_group(metrics, labels);
}

/* The latest of those that have an id to show; NULL: none has. */
static const struct member *find_newest(const struct metrics *metrics, const struct group *group)
{
	const struct member *newest = NULL;

	if (group->n_members == 0)
		return NULL;
	for (struct list *item = metrics->all_members.next; item != &metrics->all_members;
	     item = item->next) {
		const struct member *member = container_of(item, struct member, all);

		if (member->group == group && member->container_id &&
		    (!newest || member->n_joined > newest->n_joined))
			newest = member;
	}
	return newest;
}

static void leave_group(struct metrics *metrics, struct member *member)
{
	struct group *group = member->group;

	if (!group)
		return;
	member->group = NULL;
	if (--group->n_members == 0 && !group->is_permanent) {
		group->final_page = metrics->n_pages + 1;
		group->final_ns = metrics->elapsed_ns;
	}
	if (group->newest == member)
		group->newest = find_newest(metrics, group);
}

static void join_group(struct metrics *metrics, struct member *member, struct group *group)
{
	member->group = group;
	member->n_joined = ++metrics->n_joins;
	group->n_members++;
	if (member->container_id)
		group->newest = member;
	group->final_page = 0;
}

/* The last values are joined to a description for as long as they are there. */
static void keep_info(struct member *member)
{
	struct group *group = member->group;

	if (!group || group->newest != member)
		return;
	free(group->last_info);
	group->last_info = TAKE_PTR(member->info);
}

static void end_member(struct metrics *metrics, struct member *member)
{
	leave_group(metrics, member);
	table_remove(&metrics->members, &member->by_key);
	list_remove(&member->all);
	member_free(member);
}

static struct member *find_member(const struct metrics *metrics, const char *key)
{
	uint64_t hash = table_hash(&metrics->members, key, strlen(key));
	struct table_link *link;

	for (link = table_first(&metrics->members, hash); link; link = link->next) {
		struct member *member = container_of(link, struct member, by_key);

		if (strcmp(member->key, key) == 0)
			return member;
	}
	return NULL;
}

/* A container that was known by its path only gets another key with its metadata. */
static void end_former_self(struct metrics *metrics, const struct member *member)
{
	struct list *item, *next;

	for (item = metrics->all_members.next; item != &metrics->all_members; item = next) {
		struct member *former = container_of(item, struct member, all);

		next = item->next;
		if (former != member && former->cgroup_path && member->cgroup_path &&
		    strcmp(former->cgroup_path, member->cgroup_path) == 0)
			end_member(metrics, former);
	}
}

static bool copy(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return *ret || !text;
}

static struct member *add_member(struct metrics *metrics, const struct identity *identity)
{
	_cleanup_(member_freep) struct member *member = calloc(1, sizeof(*member));

	if (!member || !copy(identity->key, &member->key) ||
	    !copy(identity->cgroup_path, &member->cgroup_path) ||
	    !copy(identity->container_id, &member->container_id))
		return NULL;
	table_add(&metrics->members, &member->by_key,
		  table_hash(&metrics->members, member->key, strlen(member->key)));
	list_insert_after(metrics->all_members.prev, &member->all);
	end_former_self(metrics, member);
	return TAKE_PTR(member);
}

/* Notes what is to be said of the container itself. */
static int describe(struct member *member, const char *labels, const struct identity *identity)
{
	char data[INFO_LABELS_SIZE];
	struct line line = { .data = data, .size = sizeof(data) };
	char *info;

	line_add(&line, labels);
	metrics_add_label(&line, "runtime", identity->runtime_name);
	metrics_add_label(&line, "container_id", identity->container_id);
	metrics_add_label(&line, "image", identity->image_name);
	metrics_end_labels(&line);
	if (member->info && strcmp(member->info, data) == 0)
		return 0;
	info = strdup(data);
	if (!info)
		return -ENOMEM;
	free(member->info);
	member->info = info;
	return 0;
}

/* The group of a container that is in the report; NULL without memory. */
static struct group *group_of_container(struct metrics *metrics, const struct identity *identity)
{
	char data[CONTAINER_LABELS_SIZE], id[ID_SHOWN + 1];
	struct line line = { .data = data, .size = sizeof(data) };
	struct member *member = find_member(metrics, identity->key);
	struct group *group;

	if (!member && metrics->members.n >= MEMBERS_MAX)
		return permanent_group(metrics, &metrics->other, OTHER);

	add_container_labels(&line, identity->namespace_name, identity->pod_name,
			     container_label(identity, id));
	group = take_group(metrics, metrics_end_labels(&line));
	if (!group)
		return NULL;
	if (!member)
		member = add_member(metrics, identity);
	if (!member)
		return NULL;
	if (member->group != group) {
		leave_group(metrics, member);
		join_group(metrics, member, group);
	}
	member->seen_interval = metrics->n_intervals;
	member->cgroup_id = identity->cgroup_id;
	member->is_container = identity->kind == IDENTITY_CONTAINER;
	member->is_resolved = identity->resolved;
	return describe(member, line.data, identity) == 0 ? group : NULL;
}

static struct group *group_of(struct metrics *metrics, const struct identity *identity)
{
	if (identity_in_container(identity) && identity->key)
		return group_of_container(metrics, identity);
	return permanent_group(metrics, &metrics->own, NULL);
}

static struct series *find_series(const struct group *group, uint32_t nr, uint32_t abi,
				  const char *call)
{
	for (uint32_t i = 0; i < group->n_series; i++) {
		if (group->series[i].nr == nr && group->series[i].abi == abi)
			return &group->series[i];
	}
	for (uint32_t i = 0; i < group->n_series; i++) {
		if (strcmp(group->series[i].call, call) == 0)
			return &group->series[i];
	}
	return NULL;
}

static struct series *add_series(struct metrics *metrics, struct group *group, uint32_t nr,
				 uint32_t abi, const char *call)
{
	struct series *series;

	if (group->n_series == group->series_size) {
		uint32_t size = group->series_size ? 2 * group->series_size : 8;

		series = reallocarray(group->series, size, sizeof(*series));
		if (!series)
			return NULL;
		group->series = series;
		group->series_size = size;
	}
	series = &group->series[group->n_series++];
	*series = (struct series){ .nr = nr, .abi = abi };
	snprintf(series->call, sizeof(series->call), "%s", call);
	metrics->n_series++;
	return series;
}

/* No call has this number, so that only its name finds it. */
#define NR_OTHER  UINT32_MAX
#define ABI_OTHER UINT32_MAX

/* Whether the call was seen in an interval before this one; notes it. */
static bool is_seen_again(const struct metrics *metrics, struct group *group, uint32_t nr,
			  uint32_t abi)
{
	if (!group->seen)
		group->seen = calloc(SEEN_MAX, sizeof(*group->seen));
	if (!group->seen)
		return false;
	for (uint32_t i = 0; i < group->n_seen; i++) {
		if (group->seen[i].nr == nr && group->seen[i].abi == abi)
			return group->seen[i].interval < metrics->n_intervals;
	}
	if (group->n_seen < SEEN_MAX)
		group->seen[group->n_seen++] = (struct seen_call){ nr, abi, metrics->n_intervals };
	return false;
}

/*
 * A container's start makes more different calls than the rest of its life, and the runtime
 * makes some in it before. So where not all can have series of their own (@scarce), half of them
 * are for calls that come again.
 */
static bool gets_series(const struct metrics *metrics, struct group *group, uint32_t nr,
			uint32_t abi, bool scarce)
{
	if (group->n_own >= metrics->calls_max || metrics->n_series >= SERIES_MAX)
		return false;
	if (!scarce || is_seen_again(metrics, group, nr, abi))
		return true;
	return group->n_own < (metrics->calls_max + 1) / 2;
}

/* The series of a call: its own, or "other". NULL without memory. */
static struct series *take_series(struct metrics *metrics, struct group *group, uint32_t nr,
				  uint32_t abi, bool scarce)
{
	char buffer[SYSCALL_NAME_MAX];
	const char *call = syscall_name(nr, abi, buffer);
	struct series *series = find_series(group, nr, abi, call);

	if (series)
		return series;
	if (gets_series(metrics, group, nr, abi, scarce)) {
		series = add_series(metrics, group, nr, abi, call);
		group->n_own += series != NULL;
		return series;
	}
	series = find_series(group, NR_OTHER, ABI_OTHER, OTHER);
	return series ? series : add_series(metrics, group, NR_OTHER, ABI_OTHER, OTHER);
}

/* Whether the calls of this interval want more series than are left. */
static bool is_scarce(const struct metrics *metrics, const struct group *group,
		      const struct report_container *container)
{
	uint32_t n_new = 0;

	for (uint32_t i = 0; i < container->n_rows; i++) {
		const struct report_call *call = container->rows[i];
		char buffer[SYSCALL_NAME_MAX];

		n_new += !find_series(group, call->nr, call->abi,
				      syscall_name(call->nr, call->abi, buffer));
	}
	return group->n_own + n_new > metrics->calls_max;
}

static void add_stats(struct series *series, const struct call_stats *stats)
{
	series->count += stats->count;
	series->errors += stats->errors;
	series->denied += stats->denied;
	series->bytes += stats->bytes;
	series->time_ns += stats->time_ns;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		series->buckets[i * N_LES / HIST_BUCKETS] += stats->buckets[i];
		series->timed += stats->buckets[i];
	}
}

static struct flight *find_flight(const struct group *group, const char *call)
{
	for (uint32_t i = 0; i < group->n_flights; i++) {
		if (strcmp(group->flights[i].call, call) == 0)
			return &group->flights[i];
	}
	return NULL;
}

/* Where a call in flight goes: by its name, or "other". NULL without memory. */
static struct flight *take_flight(struct group *group, uint32_t nr, uint32_t abi)
{
	char buffer[SYSCALL_NAME_MAX];
	const char *call = syscall_name(nr, abi, buffer);
	struct flight *flight = find_flight(group, call);

	if (!flight && group->n_flights >= FLIGHTS_OWN_MAX) {
		call = OTHER;
		flight = find_flight(group, call);
	}
	if (flight)
		return flight;
	if (!group->flights)
		group->flights = calloc(FLIGHTS_OWN_MAX + 1, sizeof(*group->flights));
	if (!group->flights)
		return NULL;
	flight = &group->flights[group->n_flights++];
	*flight = (struct flight){ 0 };
	snprintf(flight->call, sizeof(flight->call), "%s", call);
	return flight;
}

/* Those that wait by design, or those that do not. */
static int add_flights(struct group *group, const struct report_container *container, bool waits)
{
	for (uint32_t i = 0; i < container->n_in_flight; i++) {
		const struct snapshot_in_flight *call = container->in_flight[i];
		struct flight *flight;

		if (syscall_is_wait(call->nr, call->abi) != waits)
			continue;
		flight = take_flight(group, call->nr, call->abi);
		if (!flight)
			return -ENOMEM;
		flight->n++;
		if (call->age_ns > flight->oldest_ns)
			flight->oldest_ns = call->age_ns;
	}
	return 0;
}

static int add_container(struct metrics *metrics, const struct report_container *container)
{
	struct group *group = group_of(metrics, container->identity);
	struct series *series;
	bool scarce;
	int r;

	if (!group)
		return -ENOMEM;
	scarce = is_scarce(metrics, group, container);
	for (uint32_t i = 0; i < container->n_rows; i++) {
		const struct report_call *call = container->rows[i];

		series = take_series(metrics, group, call->nr, call->abi, scarce);
		if (!series)
			return -ENOMEM;
		add_stats(series, call->stats);
	}
	r = add_flights(group, container, false);
	return r == 0 ? add_flights(group, container, true) : r;
}

static void forget_in_flight(struct metrics *metrics)
{
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next)
		container_of(item, struct group, all)->n_flights = 0;
}

/*
 * A cgroup can be removed between the reading of an interval and this look, so a container has
 * ended only if the interval after that has nothing of it any more. And one that is silent can get
 * its name without a row that would tell.
 */
static void sweep_members(struct metrics *metrics, const struct metrics_cgroups *cgroups)
{
	struct list *item, *next;

	if (metrics->elapsed_ns - metrics->swept_ns < SWEEP_NS && metrics->swept_ns)
		return;
	metrics->swept_ns = metrics->elapsed_ns;
	for (item = metrics->all_members.next; item != &metrics->all_members; item = next) {
		struct member *member = container_of(item, struct member, all);
		bool is_gone = !member->cgroup_path ||
			       !cgroups->exists(member->cgroup_path, cgroups->data);

		next = item->next;
		if (!member->is_resolved && !is_gone)
			member->is_resolved =
				cgroups->is_resolved(member->cgroup_id, cgroups->data);
		if (!is_gone || !member->was_gone ||
		    member->seen_interval == metrics->n_intervals) {
			member->was_gone = is_gone;
			continue;
		}
		keep_info(member);
		end_member(metrics, member);
	}
}

static bool is_over(const struct metrics *metrics, const struct group *group, uint64_t served)
{
	uint64_t age_ns = metrics->elapsed_ns - group->final_ns;

	if (group->final_page == 0)
		return false;
	return age_ns >= (served >= group->final_page ? KEEP_SCRAPED_NS : KEEP_UNSCRAPED_NS);
}

static void drop_ended_groups(struct metrics *metrics, uint64_t served)
{
	struct list *item, *next;

	for (item = metrics->all_groups.next; item != &metrics->all_groups; item = next) {
		struct group *group = container_of(item, struct group, all);

		next = item->next;
		if (is_over(metrics, group, served))
			drop_group(metrics, group);
	}
}

int metrics_add(struct metrics *metrics, const struct report *report, uint64_t served,
		const struct metrics_cgroups *cgroups)
{
	int result = 0;

	metrics->n_intervals++;
	metrics->elapsed_ns += report->duration_ns;
	for (size_t i = 0; i < LOSS_N_; i++)
		metrics->lost[i] += report->lost[i];

	/* First, so that a container which comes back after its end starts with series of its own.
	 */
	drop_ended_groups(metrics, served);
	forget_in_flight(metrics);
	for (uint32_t i = 0; i < report->n_containers; i++) {
		int r = add_container(metrics, &report->containers[i]);

		if (r < 0)
			result = r;
	}
	sweep_members(metrics, cgroups);
	return result;
}
