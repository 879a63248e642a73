/* SPDX-License-Identifier: BSD-2-Clause */
/* The page that Prometheus reads: a table of families, each printed for all groups and series. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "metrics_series.h"
#include "text.h"

#define SAMPLE_MAX (INFO_LABELS_SIZE + 256)

/* Upper bounds in seconds, in the digits that Prometheus itself would write. */
static const char *const les[] = {
	"1.024e-06",   "4.096e-06",   "1.6384e-05",  "6.5536e-05",  "0.000262144", "0.001048576",
	"0.004194304", "0.016777216", "0.067108864", "0.268435456", "1.073741824", "+Inf",
};
_Static_assert(sizeof(les) / sizeof(les[0]) == N_LES, "every bucket has a bound");

void metrics_add_label(struct line *line, const char *name, const char *value)
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

const char *metrics_end_labels(struct line *line)
{
	line_add_bytes(line, "", 1);
	return line->data;
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
	uint64_t rest = ns % NSEC_PER_SEC;

	line_add_uint(line, ns / NSEC_PER_SEC);
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
			    const struct group *group, const char *call, const char *le)
{
	struct line *line = &page->line;

	if (!reserve(page))
		return false;
	line_add(line, name);
	line_add(line, suffix);
	line_add(line, "{");
	line_add(line, group->labels);
	line_add(line, ",syscall=\"");
	line_add(line, call);
	if (le) {
		line_add(line, "\",le=\"");
		line_add(line, le);
	}
	line_add(line, "\"} ");
	return true;
}

static void add_series_uint(struct page *page, const char *name, const char *suffix,
			    const struct group *group, const char *call, const char *le,
			    uint64_t value)
{
	if (!add_series_name(page, name, suffix, group, call, le))
		return;
	line_add_uint(&page->line, value);
	line_add(&page->line, "\n");
}

static void add_series_s(struct page *page, const char *name, const char *suffix,
			 const struct group *group, const char *call, uint64_t ns)
{
	if (!add_series_name(page, name, suffix, group, call, NULL))
		return;
	add_value_s(&page->line, ns);
	line_add(&page->line, "\n");
}

static void add_count(struct page *page, const char *name, const struct group *group,
		      const struct series *series)
{
	add_series_uint(page, name, "", group, series->call, NULL, series->count);
}

static void add_errors(struct page *page, const char *name, const struct group *group,
		       const struct series *series)
{
	add_series_uint(page, name, "", group, series->call, NULL, series->errors);
}

/* Few calls are ever denied or move bytes: those that never did have no series. */
static void add_denied(struct page *page, const char *name, const struct group *group,
		       const struct series *series)
{
	if (series->denied)
		add_series_uint(page, name, "", group, series->call, NULL, series->denied);
}

static void add_bytes(struct page *page, const char *name, const struct group *group,
		      const struct series *series)
{
	if (series->bytes)
		add_series_uint(page, name, "", group, series->call, NULL, series->bytes);
}

static void add_duration(struct page *page, const char *name, const struct group *group,
			 const struct series *series)
{
	uint64_t sum = 0;

	if (!series->timed)
		return;
	for (size_t le = 0; le < N_LES; le++) {
		sum += series->buckets[le];
		add_series_uint(page, name, "_bucket", group, series->call, les[le], sum);
	}
	add_series_s(page, name, "_sum", group, series->call, series->time_ns);
	add_series_uint(page, name, "_count", group, series->call, NULL, series->timed);
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

/* What is not there has no series, so that the page is not twice as long for nothing. */
static void add_flights(struct page *page, const struct metrics *metrics, const char *name,
			bool oldest)
{
	for (struct list *item = metrics->all_groups.next; item != &metrics->all_groups;
	     item = item->next) {
		const struct group *group = container_of(item, struct group, all);

		for (uint32_t i = 0; i < group->n_flights; i++) {
			const struct flight *flight = &group->flights[i];

			if (oldest)
				add_series_s(page, name, "", group, flight->call,
					     flight->oldest_ns);
			else
				add_series_uint(page, name, "", group, flight->call, NULL,
						flight->n);
		}
	}
}

static void add_in_flight(struct page *page, const struct metrics *metrics)
{
	static const char number[] = "cgscope_syscalls_in_flight";
	static const char oldest[] = "cgscope_syscall_in_flight_oldest_seconds";

	add_head(page, number, "gauge",
		 "System calls that have not returned for at least --in-flight milliseconds.");
	add_flights(page, metrics, number, false);
	add_head(page, oldest, "gauge", "Age of the oldest call of cgscope_syscalls_in_flight.");
	add_flights(page, metrics, oldest, true);
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

		const char *info = group->newest ? group->newest->info : group->last_info;

		if (info && !group->is_permanent)
			add_uint(page, name, info, 1);
	}
}

static void add_build(struct page *page, const struct metrics_self *self)
{
	char data[2 * LABEL_ROOM];
	struct line line = { .data = data, .size = sizeof(data) };

	metrics_add_label(&line, "version", CGSCOPE_VERSION);
	metrics_add_label(&line, "libbpf", self->libbpf_version);
	add_head(page, "cgscope_build_info", "gauge",
		 "The versions of cgscope and libbpf; always 1.");
	add_uint(page, "cgscope_build_info", metrics_end_labels(&line), 1);
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
		metrics_add_label(&line, "cause", loss_cause_name((enum loss_cause)i));
		add_uint(page, name, metrics_end_labels(&line), metrics->lost[i]);
	}
	add_single(page, "cgscope_unread_message_lengths_total", "counter",
		   "Messages of sendmmsg and recvmmsg whose bytes could not be counted.",
		   metrics->lost[LOSS_BYTES_UNREAD]);
}

/* All, and those without a name: one can be held against the other. */
static void count_containers(const struct metrics *metrics, uint64_t *ret_n,
			     uint64_t *ret_n_unresolved)
{
	uint64_t n = 0, n_unresolved = 0;

	for (const struct list *item = metrics->all_members.next; item != &metrics->all_members;
	     item = item->next) {
		const struct member *member = container_of(item, struct member, all);

		n += member->is_container;
		n_unresolved += member->is_container && !member->is_resolved;
	}
	*ret_n = n;
	*ret_n_unresolved = n_unresolved;
}

static void add_self(struct page *page, const struct metrics *metrics,
		     const struct metrics_self *self)
{
	uint64_t n_containers, n_unresolved;

	count_containers(metrics, &n_containers, &n_unresolved);
	add_build(page, self);
	add_single(page, "cgscope_attached", "gauge",
		   "Whether all programs that count are attached.", self->attached);
	add_single(page, "cgscope_intervals_total", "counter", "Intervals read and printed.",
		   metrics->n_intervals);
	add_lost(page, metrics);
	add_single(page, "cgscope_containers", "gauge",
		   "Containers, sandboxes of pods not counted, that are there and have made a call "
		   "since cgscope started.",
		   n_containers);
	add_single(page, "cgscope_unresolved_containers", "gauge",
		   "Those of cgscope_containers that are known by their id only.", n_unresolved);
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
	add_in_flight(&page, metrics);
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
