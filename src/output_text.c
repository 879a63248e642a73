/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line a row, "key=value" with single blanks between, so that awk and people can read it. The
 * keys up to cgroup= are always there and in this order; what is rare comes behind them.
 */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "line.h"
#include "stats.h"
#include "syscalls.h"
#include "text.h"

/* A line holds a dozen words of at most this many bytes, and numbers. */
#define WORD_MAX      1024
#define TEXT_LINE_MAX 16384

#define ROWS_AHEAD 4

#define SHORT_ID 12
#define FULL_ID	 64

/* Of all rows of a container: made once. */
struct place {
	struct line words; /* " container=app pod=shop/web-7d9f cgroup=" */
	char words_data[4 * WORD_MAX];
	struct line extra; /* " unit=ssh.service", " kind=host" */
	char extra_data[2 * WORD_MAX];
};

static void add_word(struct line *line, const char *key, const char *bytes, size_t n)
{
	char word[WORD_MAX];
	size_t length;

	length = text_to_word(bytes, n, word, sizeof(word));
	line_add(line, key);
	line_add_bytes(line, word, length);
}

static void add_count(struct line *line, const char *key, uint64_t number)
{
	line_add(line, key);
	line_add_uint(line, number);
}

static void add_ms(struct line *line, const char *key, bool is_known, uint64_t ns)
{
	line_add(line, key);
	if (is_known)
		line_add_ms(line, ns);
	else
		line_add(line, "-");
}

static void place_init(struct place *place, const struct identity *identity)
{
	const char *name = identity->container_name, *pod = identity->pod_name;
	size_t n = SIZE_MAX;

	place->words =
		(struct line){ .data = place->words_data, .size = sizeof(place->words_data) };
	place->extra =
		(struct line){ .data = place->extra_data, .size = sizeof(place->extra_data) };

	if (!name && identity->container_id) {
		name = identity->container_id;
		if (strlen(name) == FULL_ID)
			n = SHORT_ID;
	}
	add_word(&place->words, " container=", name, n);

	if (!pod)
		pod = identity->pod_uid;
	if (pod && identity->namespace_name) {
		add_word(&place->words, " pod=", identity->namespace_name, SIZE_MAX);
		add_word(&place->words, "/", pod, SIZE_MAX);
	} else {
		add_word(&place->words, " pod=", pod, SIZE_MAX);
	}
	line_add(&place->words, " cgroup=");

	if (identity->kind != IDENTITY_CONTAINER && identity->kind != IDENTITY_UNIT)
		add_word(&place->extra, " kind=", identity_kind_name(identity->kind), SIZE_MAX);
	if (identity->unit)
		add_word(&place->extra, " unit=", identity->unit, SIZE_MAX);
	else if (identity->kind == IDENTITY_UNKNOWN && identity->cgroup_path)
		add_word(&place->extra, " path=", identity->cgroup_path, SIZE_MAX);
}

static void add_call_name(struct line *line, uint32_t nr, uint32_t abi)
{
	const char *abi_name = syscall_abi_name(abi);
	char buffer[SYSCALL_NAME_MAX];

	line_add(line, " call=");
	line_add(line, syscall_name(nr, abi, buffer));
	if (abi_name) {
		line_add(line, "[");
		line_add(line, abi_name);
		line_add(line, "]");
	}
}

static void add_who(struct line *line, const struct snapshot_task *task)
{
	line_add(line, "PID=");
	if (task && task->pid)
		line_add_int(line, task->pid);
	else
		line_add(line, "-");
	add_word(line, " comm=", task ? task->process_comm : NULL, COMM_LEN);
}

static void add_stats(struct line *line, const struct report_call *call)
{
	struct latencies latencies;
	bool timed;

	stats_latencies(call->stats, &latencies);
	timed = latencies.timed > 0;
	add_count(line, " count=", call->stats->count);
	add_ms(line, " avg_ms=", timed, latencies.avg_ns);
	add_ms(line, " max_ms=", timed, call->stats->max_ns);
	add_count(line, " bytes=", call->stats->bytes);
	add_count(line, " errors=", call->stats->errors);
	add_ms(line, " p50_ms=", timed, latencies.p50_ns);
	add_ms(line, " p95_ms=", timed, latencies.p95_ns);
	add_ms(line, " p99_ms=", timed, latencies.p99_ns);
}

/* "EAGAIN:3,ENOENT:7" */
static void add_errnos(struct line *line, const struct report_call *call)
{
	uint64_t rest = 0;

	for (uint32_t i = 0; i < call->n_errnos; i++) {
		const char *name = errno_name(call->errnos[i].number);

		if (i >= OUTPUT_ERRNOS_MAX) {
			rest += call->errnos[i].count;
			continue;
		}
		line_add(line, i == 0 ? " errnos=" : ",");
		if (name)
			line_add(line, name);
		else
			line_add_uint(line, call->errnos[i].number);
		add_count(line, ":", call->errnos[i].count);
	}
	if (rest)
		add_count(line, ",other:", rest);
}

static void add_rare(struct line *line, const struct report_call *call)
{
	if (call->stats->denied)
		add_count(line, " denied=", call->stats->denied);
	if (call->stats->interrupted)
		add_count(line, " interrupted=", call->stats->interrupted);
	add_errnos(line, call);
}

static int write_row(struct line *line, const struct place *place, const struct identity *identity,
		     const struct report_call *call, bool by_thread, FILE *out)
{
	const struct snapshot_task *task = call->task->task;

	add_who(line, task);
	if (call->is_other)
		line_add(line, " call=other");
	else
		add_call_name(line, call->nr, call->abi);
	add_stats(line, call);
	line_add_bytes(line, place->words.data, place->words.n);
	line_add_uint(line, task ? task->cgroup_id : identity->cgroup_id);
	line_add_bytes(line, place->extra.data, place->extra.n);
	if (by_thread && task) {
		line_add(line, " tid=");
		if (task->tid)
			line_add_int(line, task->tid);
		else
			line_add(line, "-");
		add_word(line, " thread=", task->comm, COMM_LEN);
	}
	add_rare(line, call);
	line_add(line, "\n");
	return line_write(line, out);
}

static int write_in_flight(struct line *line, const struct place *place,
			   const struct snapshot_in_flight *call, FILE *out)
{
	line_add(line, "# in-flight pid=");
	line_add_int(line, call->task.pid);
	line_add(line, " tid=");
	line_add_int(line, call->task.tid);
	add_word(line, " comm=", call->task.process_comm, COMM_LEN);
	add_call_name(line, call->nr, call->abi);
	add_ms(line, " age_ms=", true, call->age_ns);
	line_add_bytes(line, place->words.data, place->words.n);
	line_add_uint(line, call->task.cgroup_id);
	line_add_bytes(line, place->extra.data, place->extra.n);
	line_add(line, "\n");
	return line_write(line, out);
}

static int write_container(struct line *line, const struct report *report,
			   const struct report_container *container, FILE *out)
{
	struct place place;
	int r = 0;

	place_init(&place, container->identity);
	for (uint32_t i = 0; i < container->n_rows && r == 0; i++) {
		/* By rank, they lie about in memory. */
		if (i + ROWS_AHEAD < container->n_rows)
			__builtin_prefetch(container->rows[i + ROWS_AHEAD]->stats);
		r = write_row(line, &place, container->identity, container->rows[i],
			      report->by == ROW_THREAD, out);
	}

	/* Idle threads wait for hours, and would fill the screen. */
	for (uint32_t i = 0; i < container->n_in_flight && r == 0; i++) {
		const struct snapshot_in_flight *call = container->in_flight[i];

		if (!syscall_is_wait(call->nr, call->abi))
			r = write_in_flight(line, &place, call, out);
	}
	return r;
}

static int write_head(struct line *line, const struct report *report, FILE *out)
{
	line_add(line, "# ");
	line_add_time(line, report->timestamp_ns);
	line_add(line, " interval=");
	line_add_s(line, report->duration_ns);
	add_count(line, " containers=", report->n_containers);
	add_count(line, " rows=", report->n_rows);
	add_count(line, " calls=", report->calls);
	add_count(line, " lost=", report->lost_calls);
	for (size_t i = 0; i < LOSS_N_; i++) {
		if (report->lost[i] == 0)
			continue;
		line_add(line, " lost_");
		line_add(line, loss_cause_name((enum loss_cause)i));
		add_count(line, "=", report->lost[i]);
	}
	line_add(line, "\n");
	return line_write(line, out);
}

int output_text(const struct report *report, const struct options *options, FILE *out)
{
	char data[TEXT_LINE_MAX];
	struct line line = { .data = data, .size = sizeof(data) };
	int r;

	r = write_head(&line, report, out);
	for (uint32_t i = 0; i < report->n_containers && r == 0; i++)
		r = write_container(&line, report, &report->containers[i], out);

	errno = 0;
	if (r == 0 && fflush(out) != 0)
		r = errno ? -errno : -EIO;
	return r;
}
