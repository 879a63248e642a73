/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three kinds of things: a series is what one call did, a group is all series with the same
 * namespace, pod and container, and a member is a container whose calls go to a group. Members end
 * when their cgroup is gone; a group ends when it has no member left and its last values were
 * scraped. Nothing else is ever taken away or set back, which is what keeps counters counters.
 */
#include "metrics.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "line.h"
#include "syscalls.h"
#include "table.h"
#include "text.h"

#define NS_PER_S 1000000000ull

/* A node has some 250 pods. What exceeds these goes to the labels and the call named "other". */
#define GROUPS_MAX  1024
#define MEMBERS_MAX 4096
#define SERIES_MAX  16384

#define N_BUCKETS 1024 /* of the hash tables */

/* Members are looked for in the file system no more often. */
#define SWEEP_NS NS_PER_S

/* What is gone stays so much longer: for a second Prometheus, and if nobody scrapes at all. */
#define KEEP_SCRAPED_NS	  (60 * NS_PER_S)
#define KEEP_UNSCRAPED_NS (600 * NS_PER_S)

#define OTHER "other"

/* Names of Kubernetes have at most 253 characters; others are cut. */
#define LABEL_MAX	      255
#define LABEL_ROOM	      (3 * LABEL_MAX + 32) /* escaped, with its name */
#define CONTAINER_LABELS_SIZE (3 * LABEL_ROOM)
#define INFO_LABELS_SIZE      (CONTAINER_LABELS_SIZE + 3 * LABEL_ROOM)
#define SAMPLE_MAX	      (INFO_LABELS_SIZE + 256)

/* As docker ps shows an id: the container's label while its name is not known. */
#define ID_SHOWN 12

/*
 * Every other bucket of the report's: with a factor of 4 from one to the next a call takes 12
 * series instead of 24. The text is that of the float64 that Prometheus makes of it.
 */
static const struct bucket {
	uint32_t last; /* of the report's buckets that are in it */
	const char *le;
} buckets[] = {
	{ 1, "1.024e-06" },    { 3, "4.096e-06" },    { 5, "1.6384e-05" },
	{ 7, "6.5536e-05" },   { 9, "0.000262144" },  { 11, "0.001048576" },
	{ 13, "0.004194304" }, { 15, "0.016777216" }, { 17, "0.067108864" },
	{ 19, "0.268435456" }, { 21, "1.073741824" }, { HIST_BUCKETS - 1, "+Inf" },
};
#define N_LES (sizeof(buckets) / sizeof(buckets[0]))

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
	uint64_t in_flight;	 /* at the end of the last interval */
	uint64_t oldest_ns;
};

struct group {
	struct table_link by_labels;
	struct list all;
	char *labels; /* namespace="…",pod="…",container="…" */
	struct series *series;
	uint32_t n_series;
	uint32_t n_own; /* all but that of "other" */
	uint32_t series_size;
	uint32_t n_members;
	bool is_permanent;
	const struct member *newest; /* whose id and image are shown */
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
	uint64_t seen_interval;
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
	uint64_t n_pages;
	size_t page_hint;
};

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
	free(group->series);
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

/* Adds name="value" with a comma in front of all but the first. */
static void add_label(struct line *line, const char *name, const char *value)
{
	char text[LABEL_MAX + 1];

	text_to_utf8(value, SIZE_MAX, text, sizeof(text));
	if (line->n > 0)
		line_add(line, ",");
	line_add(line, name);
	line_add(line, "=\"");
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			line_add(line, "\\n");
		else if (*c == '"' || *c == '\\')
			line_add_bytes(line, (char[]){ '\\', *c }, 2);
		else if ((unsigned char)*c < ' ')
			line_add(line, "\xef\xbf\xbd"); /* U+FFFD */
		else
			line_add_bytes(line, c, 1);
	}
	line_add(line, "\"");
}

static void add_container_labels(struct line *line, const char *namespace, const char *pod,
				 const char *container)
{
	add_label(line, "namespace", namespace);
	add_label(line, "pod", pod);
	add_label(line, "container", container);
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

/* Terminates what @line has. */
static const char *finish(struct line *line)
{
	line_add_bytes(line, "", 1);
	return line->data;
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
	*group = find_group(metrics, finish(&line));
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

static void leave_group(struct metrics *metrics, struct member *member)
{
	struct group *group = member->group;

	if (!group)
		return;
	member->group = NULL;
	if (group->newest == member)
		group->newest = NULL;
	if (--group->n_members == 0 && !group->is_permanent) {
		group->final_page = metrics->n_pages + 1;
		group->final_ns = metrics->elapsed_ns;
	}
}

static void join_group(struct member *member, struct group *group)
{
	member->group = group;
	group->n_members++;
	group->newest = member;
	group->final_page = 0;
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
	add_label(&line, "runtime", identity->runtime_name);
	add_label(&line, "container_id", identity->container_id);
	add_label(&line, "image", identity->image_name);
	finish(&line);
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
	group = take_group(metrics, finish(&line));
	if (!group)
		return NULL;
	if (!member)
		member = add_member(metrics, identity);
	if (!member)
		return NULL;
	if (member->group != group) {
		leave_group(metrics, member);
		join_group(member, group);
	}
	member->seen_interval = metrics->n_intervals;
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

/* The series of a call: its own, as long as there are such, else "other". NULL without memory. */
static struct series *take_series(struct metrics *metrics, struct group *group, uint32_t nr,
				  uint32_t abi)
{
	char buffer[SYSCALL_NAME_MAX];
	const char *call = syscall_name(nr, abi, buffer);
	struct series *series = find_series(group, nr, abi, call);

	if (series)
		return series;
	if (group->n_own < metrics->calls_max && metrics->n_series < SERIES_MAX) {
		series = add_series(metrics, group, nr, abi, call);
		group->n_own += series != NULL;
		return series;
	}
	series = find_series(group, NR_OTHER, ABI_OTHER, OTHER);
	return series ? series : add_series(metrics, group, NR_OTHER, ABI_OTHER, OTHER);
}

static void add_stats(struct series *series, const struct call_stats *stats)
{
	uint32_t i = 0;

	series->count += stats->count;
	series->errors += stats->errors;
	series->denied += stats->denied;
	series->bytes += stats->bytes;
	series->time_ns += stats->time_ns;
	for (size_t le = 0; le < N_LES; le++) {
		for (; i <= buckets[le].last; i++) {
			series->buckets[le] += stats->buckets[i];
			series->timed += stats->buckets[i];
		}
	}
}

static int add_container(struct metrics *metrics, const struct report_container *container)
{
	struct group *group = group_of(metrics, container->identity);
	struct series *series;

	if (!group)
		return -ENOMEM;
	for (uint32_t i = 0; i < container->n_rows; i++) {
		const struct report_call *call = container->rows[i];

		series = take_series(metrics, group, call->nr, call->abi);
		if (!series)
			return -ENOMEM;
		add_stats(series, call->stats);
	}
	for (uint32_t i = 0; i < container->n_in_flight; i++) {
		const struct snapshot_in_flight *call = container->in_flight[i];

		series = take_series(metrics, group, call->nr, call->abi);
		if (!series)
			return -ENOMEM;
		series->in_flight++;
		if (call->age_ns > series->oldest_ns)
			series->oldest_ns = call->age_ns;
	}
	return 0;
}

static void forget_in_flight(struct metrics *metrics)
{
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next) {
		struct group *group = container_of(item, struct group, all);

		for (uint32_t i = 0; i < group->n_series; i++)
			group->series[i].in_flight = group->series[i].oldest_ns = 0;
	}
}

/*
 * A cgroup can be removed between the reading of an interval and this look, so a container has
 * ended only if the interval after that has nothing of it any more.
 */
static void sweep_members(struct metrics *metrics,
			  bool (*exists)(const char *cgroup_path, void *data), void *data)
{
	struct list *item, *next;

	if (metrics->elapsed_ns - metrics->swept_ns < SWEEP_NS && metrics->swept_ns)
		return;
	metrics->swept_ns = metrics->elapsed_ns;
	for (item = metrics->all_members.next; item != &metrics->all_members; item = next) {
		struct member *member = container_of(item, struct member, all);
		bool is_gone = !member->cgroup_path || !exists(member->cgroup_path, data);

		next = item->next;
		if (is_gone && member->was_gone && member->seen_interval != metrics->n_intervals)
			end_member(metrics, member);
		else
			member->was_gone = is_gone;
	}
}

static bool is_over(const struct metrics *metrics, const struct group *group,
		    const struct metrics_served *served)
{
	uint64_t age_ns = metrics->elapsed_ns - group->final_ns;

	if (group->final_page == 0)
		return false;
	return served->last_but_one >= group->final_page ||
	       (served->last >= group->final_page && age_ns >= KEEP_SCRAPED_NS) ||
	       age_ns >= KEEP_UNSCRAPED_NS;
}

static void drop_ended_groups(struct metrics *metrics, const struct metrics_served *served)
{
	struct list *item, *next;

	for (item = metrics->all_groups.next; item != &metrics->all_groups; item = next) {
		struct group *group = container_of(item, struct group, all);

		next = item->next;
		if (is_over(metrics, group, served))
			drop_group(metrics, group);
	}
}

int metrics_add(struct metrics *metrics, const struct report *report,
		const struct metrics_served *served,
		bool (*exists)(const char *cgroup_path, void *data), void *data)
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
	sweep_members(metrics, exists, data);
	return result;
}

/* A page as it grows. */
struct page {
	struct line line;
	bool failed;
};

/* Room for one more sample. */
static bool reserve(struct page *page)
{
	struct line *line = &page->line;
	size_t size = line->size ? 2 * line->size : 65536;
	char *data;

	if (line->size - line->n >= SAMPLE_MAX || page->failed)
		return !page->failed;
	data = realloc(line->data, size);
	if (!data) {
		page->failed = true;
		return false;
	}
	line->data = data;
	line->size = size;
	return true;
}

static void add_head(struct page *page, const char *name, const char *type, const char *help)
{
	if (!reserve(page))
		return;
	line_add(&page->line, "# HELP ");
	line_add(&page->line, name);
	line_add(&page->line, " ");
	line_add(&page->line, help);
	line_add(&page->line, "\n# TYPE ");
	line_add(&page->line, name);
	line_add(&page->line, " ");
	line_add(&page->line, type);
	line_add(&page->line, "\n");
}

/* name{labels} and a blank; @labels may be NULL. */
static bool add_name(struct page *page, const char *name, const char *labels)
{
	if (!reserve(page))
		return false;
	line_add(&page->line, name);
	if (labels) {
		line_add(&page->line, "{");
		line_add(&page->line, labels);
		line_add(&page->line, "}");
	}
	line_add(&page->line, " ");
	return true;
}

static void add_uint(struct page *page, const char *name, const char *labels, uint64_t value)
{
	if (!add_name(page, name, labels))
		return;
	line_add_uint(&page->line, value);
	line_add(&page->line, "\n");
}

static void add_value_s(struct line *line, uint64_t ns)
{
	char digits[10] = ".";
	uint64_t rest = ns % NS_PER_S;

	line_add_uint(line, ns / NS_PER_S);
	for (size_t i = 9; i > 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	line_add_bytes(line, digits, sizeof(digits));
}

static void add_s(struct page *page, const char *name, const char *labels, uint64_t ns)
{
	if (!add_name(page, name, labels))
		return;
	add_value_s(&page->line, ns);
	line_add(&page->line, "\n");
}

/* One that stands alone. */
static void add_single(struct page *page, const char *name, const char *type, const char *help,
		       uint64_t value)
{
	add_head(page, name, type, help);
	add_uint(page, name, NULL, value);
}

static void add_single_s(struct page *page, const char *name, const char *type, const char *help,
			 uint64_t ns)
{
	add_head(page, name, type, help);
	add_s(page, name, NULL, ns);
}

/* name + suffix{labels of the group, the call[, le]} and a blank. */
static bool add_series_name(struct page *page, const char *name, const char *suffix,
			    const struct group *group, const struct series *series, const char *le)
{
	struct line *line = &page->line;

	if (!reserve(page))
		return false;
	line_add(line, name);
	line_add(line, suffix);
	line_add(line, "{");
	line_add(line, group->labels);
	line_add(line, ",syscall=\"");
	line_add(line, series->call);
	if (le) {
		line_add(line, "\",le=\"");
		line_add(line, le);
	}
	line_add(line, "\"} ");
	return true;
}

static void add_series_uint(struct page *page, const char *name, const char *suffix,
			    const struct group *group, const struct series *series, const char *le,
			    uint64_t value)
{
	if (!add_series_name(page, name, suffix, group, series, le))
		return;
	line_add_uint(&page->line, value);
	line_add(&page->line, "\n");
}

static void add_series_s(struct page *page, const char *name, const char *suffix,
			 const struct group *group, const struct series *series, uint64_t ns)
{
	if (!add_series_name(page, name, suffix, group, series, NULL))
		return;
	add_value_s(&page->line, ns);
	line_add(&page->line, "\n");
}

static void add_count(struct page *page, const char *name, const struct group *group,
		      const struct series *series)
{
	add_series_uint(page, name, "", group, series, NULL, series->count);
}

static void add_errors(struct page *page, const char *name, const struct group *group,
		       const struct series *series)
{
	add_series_uint(page, name, "", group, series, NULL, series->errors);
}

/* Few calls are ever denied or move bytes: those that never did have no series. */
static void add_denied(struct page *page, const char *name, const struct group *group,
		       const struct series *series)
{
	if (series->denied)
		add_series_uint(page, name, "", group, series, NULL, series->denied);
}

static void add_bytes(struct page *page, const char *name, const struct group *group,
		      const struct series *series)
{
	if (series->bytes)
		add_series_uint(page, name, "", group, series, NULL, series->bytes);
}

static void add_duration(struct page *page, const char *name, const struct group *group,
			 const struct series *series)
{
	uint64_t sum = 0;

	if (!series->timed)
		return;
	for (size_t le = 0; le < N_LES; le++) {
		sum += series->buckets[le];
		add_series_uint(page, name, "_bucket", group, series, buckets[le].le, sum);
	}
	add_series_s(page, name, "_sum", group, series, series->time_ns);
	add_series_uint(page, name, "_count", group, series, NULL, series->timed);
}

static void add_in_flight(struct page *page, const char *name, const struct group *group,
			  const struct series *series)
{
	if (series->in_flight)
		add_series_uint(page, name, "", group, series, NULL, series->in_flight);
}

static void add_oldest(struct page *page, const char *name, const struct group *group,
		       const struct series *series)
{
	if (series->in_flight)
		add_series_s(page, name, "", group, series, series->oldest_ns);
}

static const struct family {
	const char *name;
	const char *type;
	const char *help;
	void (*add)(struct page *page, const char *name, const struct group *group,
		    const struct series *series);
} families[] = {
	{ "cgscope_syscalls_total", "counter",
	  "System calls that returned (exit and exit_group: that were entered).", add_count },
	{ "cgscope_syscall_errors_total", "counter",
	  "System calls that returned an error, without those to be restarted after a signal.",
	  add_errors },
	{ "cgscope_syscall_denied_total", "counter",
	  "System calls refused by seccomp; not among cgscope_syscalls_total.", add_denied },
	{ "cgscope_syscall_bytes_total", "counter",
	  "Bytes that calls which transfer data have moved, by what they returned.", add_bytes },
	{ "cgscope_syscall_duration_seconds", "histogram", "Time from entry to return.",
	  add_duration },
	{ "cgscope_syscalls_in_flight", "gauge",
	  "System calls that have not returned for at least --in-flight milliseconds.",
	  add_in_flight },
	{ "cgscope_syscall_in_flight_oldest_seconds", "gauge",
	  "Age of the oldest call of cgscope_syscalls_in_flight.", add_oldest },
};

static void add_family(struct page *page, const struct metrics *metrics,
		       const struct family *family)
{
	add_head(page, family->name, family->type, family->help);
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next) {
		const struct group *group = container_of(item, struct group, all);

		for (uint32_t i = 0; i < group->n_series; i++)
			family->add(page, family->name, group, &group->series[i]);
	}
}

/* One for a group: with two the labels would no longer say which, and no query could join it. */
static void add_container_info(struct page *page, const struct metrics *metrics)
{
	static const char name[] = "cgscope_container_info";

	add_head(page, name, "gauge",
		 "The container behind the labels, the latest if there are several; always 1.");
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next) {
		const struct group *group = container_of(item, struct group, all);

		if (group->newest && group->newest->container_id && !group->is_permanent)
			add_uint(page, name, group->newest->info, 1);
	}
}

static void add_build(struct page *page, const struct metrics_self *self)
{
	char data[2 * LABEL_ROOM];
	struct line line = { .data = data, .size = sizeof(data) };

	add_label(&line, "version", CGSCOPE_VERSION);
	add_label(&line, "libbpf", self->libbpf_version);
	add_head(page, "cgscope_build_info", "gauge",
		 "The versions of cgscope and libbpf; always 1.");
	add_uint(page, "cgscope_build_info", finish(&line), 1);
}

/* What lost bytes only is no lost call. */
static void add_lost(struct page *page, const struct metrics *metrics)
{
	static const char name[] = "cgscope_lost_calls_total";

	add_head(page, name, "counter", "System calls that were missed, by cause.");
	for (int i = 0; i < LOSS_N_; i++) {
		char data[LABEL_ROOM];
		struct line line = { .data = data, .size = sizeof(data) };

		if (i == LOSS_BYTES_UNREAD)
			continue;
		add_label(&line, "cause", loss_cause_name((enum loss_cause)i));
		add_uint(page, name, finish(&line), metrics->lost[i]);
	}
	add_single(page, "cgscope_unread_message_lengths_total", "counter",
		   "Messages of sendmmsg and recvmmsg whose bytes could not be counted.",
		   metrics->lost[LOSS_BYTES_UNREAD]);
}

static void add_self(struct page *page, const struct metrics *metrics,
		     const struct metrics_self *self)
{
	add_build(page, self);
	add_single(page, "cgscope_attached", "gauge",
		   "Whether all programs that count are attached.", self->attached);
	add_single(page, "cgscope_intervals_total", "counter", "Intervals read and printed.",
		   metrics->n_intervals);
	add_lost(page, metrics);
	add_single(page, "cgscope_containers", "gauge",
		   "Containers that are there and have made a call since cgscope started.",
		   metrics->members.n);
	add_single(page, "cgscope_unresolved_containers", "gauge",
		   "Containers known by their id only.", self->unresolved);
	if (!self->bpf_runs)
		return;
	add_single_s(page, "cgscope_bpf_run_time_seconds_total", "counter",
		     "Time spent in cgscope's BPF programs.", self->bpf_run_time_ns);
	add_single(page, "cgscope_bpf_runs_total", "counter", "Runs of cgscope's BPF programs.",
		   self->bpf_runs);
}

/* The names that every Prometheus client uses. */
static void add_process(struct page *page, const struct metrics_process *process)
{
	add_single_s(page, "process_cpu_seconds_total", "counter",
		     "User and system CPU time of cgscope.", process->cpu_ns);
	add_single(page, "process_resident_memory_bytes", "gauge", "Resident memory of cgscope.",
		   process->resident_bytes);
	add_single(page, "process_virtual_memory_bytes", "gauge", "Virtual memory of cgscope.",
		   process->virtual_bytes);
	add_single_s(page, "process_start_time_seconds", "gauge",
		     "When cgscope was started, in seconds since 1970.",
		     process->start_ms * 1000000);
	add_single(page, "process_open_fds", "gauge", "Open file descriptors of cgscope.",
		   process->open_fds);
	add_single(page, "process_max_fds", "gauge", "Most file descriptors cgscope may open.",
		   process->max_fds);
}

int metrics_render(struct metrics *metrics, const struct metrics_self *self, char **ret,
		   size_t *ret_n, uint64_t *ret_number)
{
	struct page page = { .line.size = metrics->page_hint };

	if (page.line.size)
		page.line.data = malloc(page.line.size);
	if (!page.line.data)
		page.line.size = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		add_family(&page, metrics, &families[i]);
	add_container_info(&page, metrics);
	add_self(&page, metrics, self);
	add_process(&page, &self->process);
	if (page.failed) {
		free(page.line.data);
		return -ENOMEM;
	}

	/* A tenth more than this time, in steps, so that pages are neither copied nor vast. */
	metrics->page_hint = (page.line.n / 10 * 11 + SAMPLE_MAX) | 65535;
	*ret = page.line.data;
	*ret_n = page.line.n;
	*ret_number = ++metrics->n_pages;
	return 0;
}

static uint64_t count_fds(void)
{
	_cleanup_(closedirp) DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n > 3 ? n - 3 : 0; /* without ".", ".." and this directory's own */
}

/* When the process was started: field 22 of /proc/self/stat, the 19th after the state. */
static uint64_t start_ticks(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/stat", "re");
	unsigned long long ticks;
	char text[1024] = "";
	const char *behind;

	if (!file || !fgets(text, sizeof(text), file))
		return 0;
	behind = strrchr(text, ')');
	if (!behind || sscanf(behind,
			      ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			      "%*s %*s %*s %*s %llu",
			      &ticks) != 1)
		return 0;
	return ticks;
}

static void read_memory(struct metrics_process *ret)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/statm", "re");
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long size, resident;

	if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
		return;
	ret->virtual_bytes = size * page_size;
	ret->resident_bytes = resident * page_size;
}

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t timeval_ns(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

void metrics_read_process(struct metrics_process *ret)
{
	uint64_t boot_ms = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
	struct rlimit limit = { 0 };
	struct rusage usage;

	*ret = (struct metrics_process){ .open_fds = count_fds() };
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret->cpu_ns = timeval_ns(&usage.ru_utime) + timeval_ns(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = limit.rlim_cur;
	ret->start_ms = boot_ms + start_ticks() * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	read_memory(ret);
}
