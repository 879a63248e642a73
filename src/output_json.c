/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line a container, in as many parts as its rows need at JSON_LINE_MAX bytes a line. A part
 * opens and closes the same objects as the whole, so that each is valid alone; how many there
 * are stands in every one, hence a container of more than one part is put together twice: once to
 * count, once to write.
 *
 * jansson writes every string that somebody else chose, and the identity. The rows, of which there
 * may be tens of thousands, have only numbers and names of our own, and are written by hand.
 */
#include "output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cleanup.h"
#include "identity_json.h"
#include "line.h"
#include "stats.h"
#include "syscalls.h"
#include "text.h"

/* What fits into any line: what every part repeats, a row with its process around it, the end. */
#define HEAD_MAX     8192
#define IDENTITY_MAX 7168 /* of the head */
#define ENTRY_MAX    4096
#define END_MAX	     128
_Static_assert(HEAD_MAX + ENTRY_MAX + END_MAX < JSON_LINE_MAX,
	       "every part must have room for a row");

/* Lists within lists: processes, threads, calls. */
#define LEVELS_MAX 3

/* Where in a part we are. Kept aside while an entry is added, in case that it does not fit. */
struct cursor {
	size_t n; /* bytes of the line */
	const char *closings[LEVELS_MAX];
	unsigned level;
	bool is_first; /* no comma before the next element */
	bool has_rows; /* the list of rows was opened, and that of calls in flight */
	bool has_in_flight;
	const struct snapshot_task *process; /* what is open; by thread any thread of it */
	const struct report_task *task;
};

struct writer {
	FILE *out; /* NULL: only count the parts */
	const struct report *report;
	bool lists_in_flight;
	char data[JSON_LINE_MAX];
	struct line line;
	size_t head_n; /* of the line: the head, which stays for the next part */
	struct cursor at;
	uint32_t part;
	uint32_t parts;
};

/* Whether all of it stands for itself in a string of JSON. */
static bool is_plain(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	}
	return true;
}

/* ,"comm":"nginx" unless it is empty, which a process may make it. */
static void add_comm(struct line *line, const char comm[static COMM_LEN])
{
	char text[TEXT_WORD_SIZE(COMM_LEN)], encoded[8 * COMM_LEN];
	_cleanup_(json_decrefp) json_t *json = NULL;
	size_t n = strnlen(comm, COMM_LEN);

	if (n == 0)
		return;
	if (is_plain(comm, n)) {
		line_add(line, ",\"comm\":\"");
		line_add_bytes(line, comm, n);
		line_add(line, "\"");
		return;
	}

	text_to_utf8(comm, COMM_LEN, text, sizeof(text));
	json = json_string(text);
	n = json ? json_dumpb(json, encoded, sizeof(encoded), JSON_ENCODE_ANY) : 0;
	if (n == 0 || n > sizeof(encoded)) {
		line->is_full = true;
		return;
	}
	line_add(line, ",\"comm\":");
	line_add_bytes(line, encoded, n);
}

static void add_uint(struct line *line, const char *key, uint64_t number)
{
	line_add(line, key);
	line_add_uint(line, number);
}

static void add_int(struct line *line, const char *key, int64_t number)
{
	line_add(line, key);
	line_add_int(line, number);
}

static void add_ms(struct line *line, const char *key, uint64_t ns)
{
	line_add(line, key);
	line_add_ms(line, ns);
}

static void add_abi(struct line *line, uint32_t abi)
{
	const char *name = syscall_abi_name(abi);

	if (!name)
		return;
	line_add(line, ",\"abi\":\"");
	line_add(line, name);
	line_add(line, "\"");
}

static void add_errno(struct line *line, const struct errno_delta *errno_delta)
{
	const char *name = errno_name(errno_delta->number);

	line_add(line, "\"");
	if (name) {
		line_add(line, name);
	} else {
		line_add(line, "errno_");
		line_add_uint(line, errno_delta->number);
	}
	add_uint(line, "\":", errno_delta->count);
}

static void add_errnos(struct line *line, const struct report_call *call)
{
	uint64_t rest = 0;

	if (call->n_errnos == 0)
		return;

	line_add(line, ",\"errnos\":{");
	for (uint32_t i = 0; i < call->n_errnos; i++) {
		if (i >= OUTPUT_ERRNOS_MAX) {
			rest += call->errnos[i].count;
			continue;
		}
		if (i > 0)
			line_add(line, ",");
		add_errno(line, &call->errnos[i]);
	}
	if (rest)
		add_uint(line, ",\"other\":", rest);
	line_add(line, "}");
}

/* {"name":"write","count":42,…} */
static void add_call(struct line *line, const struct report_call *call)
{
	const struct call_stats *stats = call->stats;
	struct latencies latencies;
	char buffer[SYSCALL_NAME_MAX];

	stats_latencies(stats, &latencies);
	line_add(line, "{\"name\":\"");
	line_add(line, call->is_other ? "other" : syscall_name(call->nr, call->abi, buffer));
	add_uint(line, "\",\"count\":", stats->count);
	add_uint(line, ",\"errors\":", stats->errors);
	if (latencies.timed) {
		add_ms(line, ",\"avg_ms\":", latencies.avg_ns);
		add_ms(line, ",\"max_ms\":", stats->max_ns);
		add_ms(line, ",\"p50_ms\":", latencies.p50_ns);
		add_ms(line, ",\"p95_ms\":", latencies.p95_ns);
		add_ms(line, ",\"p99_ms\":", latencies.p99_ns);
	}
	add_uint(line, ",\"bytes\":", stats->bytes);
	if (!call->is_other)
		add_abi(line, call->abi);
	if (stats->denied)
		add_uint(line, ",\"denied\":", stats->denied);
	if (stats->interrupted)
		add_uint(line, ",\"interrupted\":", stats->interrupted);
	add_errnos(line, call);
	line_add(line, "}");
}

static void add_in_flight(struct line *line, const struct snapshot_in_flight *call)
{
	char buffer[SYSCALL_NAME_MAX];

	add_int(line, "{\"pid\":", call->task.pid);
	add_int(line, ",\"tid\":", call->task.tid);
	add_comm(line, call->task.process_comm);
	line_add(line, ",\"syscall\":\"");
	line_add(line, syscall_name(call->nr, call->abi, buffer));
	line_add(line, "\"");
	add_abi(line, call->abi);
	add_ms(line, ",\"age_ms\":", call->age_ns);
	line_add(line, "}");
}

/* Opens a list whose elements come next, to be ended with @closing. */
static void open_list(struct writer *writer, const char *opening, const char *closing)
{
	line_add(&writer->line, opening);
	writer->at.closings[writer->at.level++] = closing;
	writer->at.is_first = true;
}

static void close_to(struct writer *writer, unsigned level)
{
	while (writer->at.level > level) {
		line_add(&writer->line, writer->at.closings[--writer->at.level]);
		writer->at.is_first = false;
	}
}

static void add_comma(struct writer *writer)
{
	if (!writer->at.is_first)
		line_add(&writer->line, ",");
	writer->at.is_first = false;
}

static bool is_same_process(const struct snapshot_task *a, const struct snapshot_task *b)
{
	if (!a || !b)
		return a == b;
	return a->pid == b->pid && a->process_start_ns == b->process_start_ns &&
	       a->cgroup_id == b->cgroup_id &&
	       strncmp(a->process_comm, b->process_comm, COMM_LEN) == 0;
}

/* The sum of what --top left out stands in a process without a pid. */
static void open_process(struct writer *writer, const struct snapshot_task *task)
{
	struct line *line = &writer->line;

	close_to(writer, 1);
	add_comma(writer);
	line_add(line, "{");
	if (task && task->pid) {
		add_int(line, "\"pid\":", task->pid);
		if (task->vpid)
			add_int(line, ",\"vpid\":", task->vpid);
		add_comm(line, task->process_comm);
		line_add(line, ",");
	} else if (task) {
		line_add(line, "\"comm\":\"" LEDGER_OTHERS "\",");
	}
	open_list(writer, writer->report->by == ROW_THREAD ? "\"threads\":[" : "\"syscalls\":[",
		  "]}");
	writer->at.process = task;
}

static void open_thread(struct writer *writer, const struct snapshot_task *task)
{
	struct line *line = &writer->line;

	close_to(writer, 2);
	add_comma(writer);
	line_add(line, "{");
	if (task && task->tid) {
		add_int(line, "\"tid\":", task->tid);
		add_comm(line, task->comm);
		line_add(line, ",");
	}
	open_list(writer, "\"syscalls\":[", "]}");
}

static void open_rows(struct writer *writer)
{
	writer->at.has_rows = true;
	open_list(writer,
		  writer->report->by == ROW_CONTAINER ? ",\"syscalls\":[" : ",\"processes\":[",
		  "]");
}

static void add_row(struct writer *writer, const void *element)
{
	const struct report_call *call = element;
	const struct report_task *task = call->task;
	struct cursor *at = &writer->at;
	enum row_unit by = writer->report->by;

	if (!at->has_rows)
		open_rows(writer);
	if (by != ROW_CONTAINER &&
	    (at->level < 2 ||
	     (by == ROW_THREAD ? !is_same_process(at->process, task->task) : at->task != task)))
		open_process(writer, task->task);
	if (by == ROW_THREAD && (at->level < 3 || at->task != task))
		open_thread(writer, task->task);
	at->task = task;

	add_comma(writer);
	add_call(&writer->line, call);
}

static void open_in_flight(struct writer *writer)
{
	close_to(writer, 0);
	if (!writer->at.has_rows) {
		open_rows(writer);
		close_to(writer, 0);
	}
	writer->at.has_in_flight = true;
	open_list(writer, ",\"in_flight\":[", "]");
}

static void add_in_flight_call(struct writer *writer, const void *element)
{
	if (!writer->at.has_in_flight)
		open_in_flight(writer);
	add_comma(writer);
	add_in_flight(&writer->line, element);
}

static int flush(FILE *out)
{
	errno = 0;
	if (fflush(out) != 0)
		return errno ? -errno : -EIO;
	return 0;
}

/* Ends the part at hand, and writes it unless parts are only counted. */
static int end_part(struct writer *writer)
{
	struct line *line = &writer->line;
	int r = 0;

	if (writer->lists_in_flight && !writer->at.has_in_flight)
		open_in_flight(writer);
	close_to(writer, 0);
	if (!writer->at.has_rows) {
		open_rows(writer);
		close_to(writer, 0);
	}

	add_uint(line, ",\"part\":", writer->part);
	add_uint(line, ",\"parts\":", writer->parts);
	line_add(line, "}\n");
	if (writer->out) {
		r = line_write(line, writer->out);
		if (r == 0)
			r = flush(writer->out);
	}
	return r;
}

static void begin_part(struct writer *writer)
{
	writer->line.n = writer->head_n;
	writer->at = (struct cursor){ 0 };
	writer->part++;
}

/* Adds an element, to the next part if this one has no room for it. */
static int add_element(struct writer *writer, void (*add)(struct writer *, const void *),
		       const void *element)
{
	struct line *line = &writer->line;
	struct cursor before = writer->at;
	size_t n = line->n;
	int r;

	add(writer, element);
	if (!line->is_full && line->n + END_MAX <= line->size)
		return 0;

	line->n = n;
	line->is_full = false;
	writer->at = before;
	r = end_part(writer);
	if (r < 0)
		return r;
	begin_part(writer);
	add(writer, element);
	return line->is_full || line->n + END_MAX > line->size ? -EMSGSIZE : 0;
}

/* All parts but the end of the last. */
static int add_elements(struct writer *writer, const struct report_container *container)
{
	int r = 0;

	writer->part = 0;
	begin_part(writer);
	for (uint32_t i = 0; i < container->n_tasks; i++) {
		const struct report_task *task = &container->tasks[i];

		for (uint32_t j = 0; j < task->n_calls && r == 0; j++)
			r = add_element(writer, add_row, &task->calls[j]);
	}
	for (uint32_t i = 0; writer->lists_in_flight && i < container->n_in_flight && r == 0; i++)
		r = add_element(writer, add_in_flight_call, container->in_flight[i]);
	return r;
}

/* What is left of @text when its middle is cut out, at characters. */
static int shorten_string(json_t *string, size_t max)
{
	const char *text = json_string_value(string);
	size_t n = json_string_length(string), n_tail = max / 2;
	_cleanup_(freep) char *cut = malloc(max + 8);
	size_t used;

	if (!cut)
		return -ENOMEM;
	used = text_to_utf8(text, n, cut, max / 2 + 1);
	used += text_to_utf8("\u2026", SIZE_MAX, cut + used, 4);
	while (n_tail > 0 && ((unsigned char)text[n - n_tail] & 0xc0) == 0x80)
		n_tail--;
	memcpy(cut + used, text + n - n_tail, n_tail);
	return json_string_setn(string, cut, used + n_tail) < 0 ? -ENOMEM : 0;
}

static int shorten_strings(json_t *object, size_t max)
{
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach(object, key, value) {
		if (json_is_object(value))
			r = shorten_strings(value, max);
		else if (json_is_string(value) && json_string_length(value) > max)
			r = shorten_string(value, max);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Adds the members of @object as "key":…,… within @max bytes: a path may have 4096 bytes, and each
 * may take six. Ids of 64 digits are never cut.
 */
static int add_members(struct line *line, json_t *object, size_t max)
{
	_cleanup_(freep) char *text = malloc(max);
	size_t n;
	int r;

	if (!text)
		return -ENOMEM;

	n = json_dumpb(object, text, max, JSON_COMPACT);
	for (size_t longest = 1024; n > max && longest >= 64; longest /= 4) {
		r = shorten_strings(object, longest);
		if (r < 0)
			return r;
		n = json_dumpb(object, text, max, JSON_COMPACT);
	}
	if (n < 2 || n > max)
		return n > max ? -EMSGSIZE : -ENOMEM;

	line_add_bytes(line, text + 1, n - 2);
	return 0;
}

static void add_record(struct line *line, const struct report *report, const char *record)
{
	line_add(line, "{\"schema_version\":1,\"record\":\"");
	line_add(line, record);
	line_add(line, "\",\"timestamp\":\"");
	line_add_time(line, report->timestamp_ns);
	line_add(line, "\",\"interval_s\":");
	line_add_s(line, report->duration_ns);
	line_add(line, ",");
}

static json_t *host_object(const char *node)
{
	return json_pack("{s:o}", "name", json_string_safe(node ? node : "localhost"));
}

static int add_identity(struct line *line, const struct identity *identity, const char *node)
{
	bool in_k8s = identity->pod_name || identity->pod_uid || identity->namespace_name;
	_cleanup_(json_decrefp) json_t *object = json_object();
	int r;

	/* The kind is set again by identity_add_json(), and keeps its place before the host. */
	if (json_object_set_new(object, "kind", json_null()) < 0 ||
	    json_object_set_new(object, "host", host_object(node)) < 0)
		return -ENOMEM;
	r = identity_add_json(identity, in_k8s ? node : NULL, object);
	if (r < 0)
		return r;
	return add_members(line, object, IDENTITY_MAX);
}

static void add_totals(struct line *line, const struct call_stats *totals)
{
	add_uint(line, ",\"totals\":{\"count\":", totals->count);
	add_uint(line, ",\"errors\":", totals->errors);
	add_uint(line, ",\"denied\":", totals->denied);
	add_uint(line, ",\"interrupted\":", totals->interrupted);
	add_uint(line, ",\"bytes\":", totals->bytes);
	add_ms(line, ",\"time_ms\":", totals->time_ns);
	line_add(line, "}");
}

static int write_container(struct writer *writer, const struct report_container *container,
			   FILE *out)
{
	int r;

	writer->line.n = 0;
	add_record(&writer->line, writer->report, "container");
	r = add_identity(&writer->line, container->identity, writer->report->node);
	if (r < 0)
		return r;
	add_totals(&writer->line, &container->totals);
	writer->head_n = writer->line.n;

	writer->out = NULL;
	writer->parts = 0;
	r = add_elements(writer, container);
	if (r < 0)
		return r;

	writer->out = out;
	writer->parts = writer->part;
	if (writer->parts > 1) {
		r = add_elements(writer, container);
		if (r < 0)
			return r;
	}
	return end_part(writer);
}

static void add_lost(struct line *line, const struct report *report)
{
	bool is_first = true;

	add_uint(line, ",\"lost\":{\"calls\":", report->lost_calls);
	line_add(line, ",\"causes\":{");
	for (size_t i = 0; i < LOSS_N_; i++) {
		if (report->lost[i] == 0)
			continue;
		line_add(line, is_first ? "\"" : ",\"");
		line_add(line, loss_cause_name((enum loss_cause)i));
		add_uint(line, "\":", report->lost[i]);
		is_first = false;
	}
	line_add(line, "}}");
}

static int write_interval(struct line *line, const struct report *report, FILE *out)
{
	_cleanup_(json_decrefp) json_t *object = NULL;
	int r;

	object = json_pack("{s:o}", "host", host_object(report->node));
	if (!object)
		return -ENOMEM;

	line->n = 0;
	add_record(line, report, "interval");
	r = add_members(line, object, IDENTITY_MAX);
	if (r < 0)
		return r;
	add_uint(line, ",\"containers\":", report->n_containers);
	add_uint(line, ",\"rows\":", report->n_rows);
	add_uint(line, ",\"calls\":", report->calls);
	add_lost(line, report);
	line_add(line, "}\n");

	r = line_write(line, out);
	return r < 0 ? r : flush(out);
}

int output_json(const struct report *report, const struct options *options, FILE *out)
{
	_cleanup_(freep) struct writer *writer = NULL;
	int r = 0;

	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->report = report;
	writer->lists_in_flight = options->in_flight_ns > 0;
	writer->line = (struct line){ .data = writer->data, .size = sizeof(writer->data) };

	for (uint32_t i = 0; i < report->n_containers && r == 0; i++)
		r = write_container(writer, &report->containers[i], out);
	if (r < 0)
		return r;
	return write_interval(&writer->line, report, out);
}
