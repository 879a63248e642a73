/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The outputs against golden files, and against their own rules: the length of a line, the union
 * of parts, strangers' names. GOLDEN_WRITE=1 in the environment writes the golden files anew.
 */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>
#include <jansson.h>

#include "report_fixture.h"
#include "src/cleanup.h"
#include "src/output.h"
#include "src/resolver.h"
#include "src/text.h"

#define MS 1000000ULL

#define ID_64 "9157ecd6000000000000000000000000000000000000000000000000000000aa"
#define ID_65 "ab12000000000000000000000000000000000000000000000000000000000000"

static const struct options usual = { .in_flight_ns = 1000 * MS, .node = "worker-1" };

/* What @output writes about the fixture; to be freed. */
static char *written(output_fn output, struct fixture *fixture, const struct options *options)
{
	struct report *report = fixture_report(fixture, options);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(output(report, options, out), 0);
	fclose(out);
	report_free(report);
	assert_int_equal(strlen(text), size);
	return text;
}

static const struct snapshot_task nginx = {
	.cgroup_id = 4711, .process_start_ns = 1, .pid = 1234, .vpid = 7, .process_comm = "nginx"
};
static const struct snapshot_task helper = { .cgroup_id = 4712,
					     .process_start_ns = 2,
					     .pid = 1300,
					     .vpid = 9,
					     .process_comm = "my \"x\"\n" };
static const struct snapshot_task sshd = {
	.cgroup_id = 99, .process_start_ns = 3, .pid = 800, .vpid = 800, .process_comm = "sshd"
};
static const struct snapshot_task init = {
	.cgroup_id = 1, .process_start_ns = 4, .pid = 2, .process_comm = "kthreadd"
};
static const struct snapshot_task lost_one = {
	.cgroup_id = 5000, .process_start_ns = 5, .pid = 1500, .vpid = 1, .process_comm = "-"
};
static const struct snapshot_task elsewhere = {
	.cgroup_id = 77, .process_start_ns = 6, .pid = 1600, .vpid = 1600, .process_comm = ""
};

static void add_golden_cgroups(struct fixture *fixture)
{
	struct identity app = {
		.kind = IDENTITY_CONTAINER,
		.qos = QOS_BURSTABLE,
		.resolved = true,
		.name_source = "containerd-bundle",
		.key = (char *)"a",
		.container_id = (char *)ID_64,
		.container_name = (char *)"app",
		.runtime_name = (char *)"containerd",
		.image_name = (char *)"docker.io/library/nginx:1.27",
		.pod_name = (char *)"web-7d9f",
		.pod_uid = (char *)"0b6f2a52-0000-4000-8000-000000000001",
		.namespace_name = (char *)"shop",
		.k8s_container_name = (char *)"app",
		.cgroup_path = (char *)"/kubepods/burstable/pod0b6f2a52/" ID_64,
		.cgroup_id = 4711,
	};
	struct identity unit = {
		.kind = IDENTITY_UNIT,
		.resolved = true,
		.key = (char *)"b",
		.unit = (char *)"ssh.service",
		.cgroup_path = (char *)"/system.slice/ssh.service",
		.cgroup_id = 99,
	};
	struct identity host = { .kind = IDENTITY_HOST,
				 .resolved = true,
				 .key = (char *)"c",
				 .cgroup_path = (char *)"/",
				 .cgroup_id = 1 };
	struct identity nameless = {
		.kind = IDENTITY_CONTAINER,
		.key = (char *)"d",
		.container_id = (char *)ID_65,
		.cgroup_path = (char *)"/docker/" ID_65,
		.cgroup_id = 18446744073709551615U,
	};
	struct identity unknown = { .kind = IDENTITY_UNKNOWN,
				    .key = (char *)"e",
				    .cgroup_path = (char *)"/a b\x1b[2J/\xff",
				    .cgroup_id = 77 };

	fixture_cgroup(fixture, 4711, app);
	fixture_cgroup(fixture, 4712, app);
	fixture_cgroup(fixture, 99, unit);
	fixture_cgroup(fixture, 1, host);
	fixture_cgroup(fixture, 5000, nameless);
	fixture_cgroup(fixture, 77, unknown);
}

static void add_golden_rows(struct fixture *fixture, const struct snapshot_task *app,
			    const struct snapshot_task *other)
{
	static const struct errno_delta errnos[] = { { 11, 3 }, { 999, 1 } };
	struct snapshot_row *row;

	row = fixture_row(fixture, app, SYS_write, 42);
	fixture_time(row, 40, 120000);
	fixture_time(row, 2, 456000);
	row->stats.bytes = 65536;

	row = fixture_row(fixture, app, SYS_read, 6);
	fixture_time(row, 6, 500);
	row->stats.errors = 4;
	row->stats.interrupted = 1;
	row->stats.bytes = 10;
	row->errnos = errnos;
	row->n_errnos = 2;

	fixture_time(fixture_row(fixture, app, SYS_futex, 3), 3, 3333 * MS);
	fixture_row(fixture, other, SYS_exit_group, 1);
	fixture_row(fixture, other, SYS_getppid, 0)->stats.denied = 2;
	fixture_time(fixture_row(fixture, other, 9999, 1), 1, 100);
	fixture_time(fixture_row(fixture, other, UINT32_MAX, 1), 1, 99);
}

static void make_golden(struct fixture *fixture)
{
	struct snapshot_task thread = nginx;

	fixture_init(fixture);
	add_golden_cgroups(fixture);
	add_golden_rows(fixture, &nginx, &helper);
	fixture_time(fixture_row(fixture, &sshd, SYS_fsync, 1), 1, 12 * MS);
	fixture_time(fixture_row(fixture, &init, SYS_getpid, 1), 1, 1 * MS);
	fixture_time(fixture_row(fixture, &elsewhere, SYS_getpid, 1), 1, 1);
	thread.tid = 1241;
	fixture_in_flight(fixture, thread, SYS_futex, 9000 * MS);
	fixture_in_flight(fixture, thread, SYS_fsync, 7012345678);
	thread = lost_one;
	thread.tid = 1501;
	fixture_in_flight(fixture, thread, SYS_openat, 1000 * MS);
	fixture->snapshot.lost[LOSS_RING_FULL] = 5;
	fixture->snapshot.lost[LOSS_BYTES_UNREAD] = 2;
}

static void check_golden(const char *name, char *text)
{
	_cleanup_(freep) char *path = NULL, *wanted = NULL;
	_cleanup_(freep) char *got = text;
	_cleanup_(fclosep) FILE *file = NULL;
	size_t size = strlen(got), n;

	assert_true(asprintf(&path, "%s/golden/%s", TEST_DATA, name) > 0);
	if (getenv("GOLDEN_WRITE")) {
		file = fopen(path, "we");
		assert_non_null(file);
		assert_int_equal(fwrite(got, 1, size, file), size);
		return;
	}

	file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	wanted = malloc(size + 2);
	assert_non_null(wanted);
	n = fread(wanted, 1, size + 1, file);
	wanted[n] = '\0';
	if (strcmp(got, wanted) != 0)
		fail_msg("not as in %s:\n%s", path, got);
}

static void test_golden_by_process(void **state)
{
	struct fixture fixture;

	make_golden(&fixture);
	check_golden("process.txt", written(output_text, &fixture, &usual));
	check_golden("process.jsonl", written(output_json, &fixture, &usual));
	fixture_done(&fixture);
}

static void test_golden_by_container(void **state)
{
	struct options options = usual;
	struct fixture fixture;

	options.by = ROW_CONTAINER;
	make_golden(&fixture);
	check_golden("container.txt", written(output_text, &fixture, &options));
	check_golden("container.jsonl", written(output_json, &fixture, &options));
	fixture_done(&fixture);
}

static void test_golden_by_thread(void **state)
{
	struct snapshot_task main_thread = nginx, worker = nginx;
	struct options options = usual;
	struct fixture fixture;

	options.by = ROW_THREAD;
	main_thread.tid = 1234;
	memcpy(main_thread.comm, "nginx", 6);
	worker.tid = 1241;
	memcpy(worker.comm, "worker x", 9);
	fixture_init(&fixture);
	add_golden_cgroups(&fixture);
	add_golden_rows(&fixture, &main_thread, &worker);
	check_golden("thread.txt", written(output_text, &fixture, &options));
	check_golden("thread.jsonl", written(output_json, &fixture, &options));
	fixture_done(&fixture);
}

static void test_golden_top(void **state)
{
	struct options options = usual;
	struct fixture fixture;

	options.top = 2;
	options.in_flight_ns = 0;
	make_golden(&fixture);
	check_golden("top.txt", written(output_text, &fixture, &options));
	check_golden("top.jsonl", written(output_json, &fixture, &options));
	options.by = ROW_CONTAINER;
	check_golden("top_container.jsonl", written(output_json, &fixture, &options));
	fixture_done(&fixture);
}

/* What was too much to tell apart has no PID. */
static void test_golden_others(void **state)
{
	static const struct snapshot_task others = { .cgroup_id = 4711,
						     .process_comm = LEDGER_OTHERS };
	static const struct errno_delta errnos[] = { { ENOSPC, 2 } };
	struct options options = usual;
	struct snapshot_row *row;
	struct fixture fixture;

	fixture_init(&fixture);
	add_golden_cgroups(&fixture);
	row = fixture_row(&fixture, &others, SYS_write, 3);
	fixture_time(row, 3, 1000);
	row->stats.errors = 2;
	row->errnos = errnos;
	row->n_errnos = 1;
	fixture_time(fixture_row(&fixture, &others, CALL_NR_OTHERS, 1), 1, 1000);
	check_golden("others.txt", written(output_text, &fixture, &options));
	check_golden("others.jsonl", written(output_json, &fixture, &options));
	options.by = ROW_THREAD;
	check_golden("others_thread.txt", written(output_text, &fixture, &options));
	check_golden("others_thread.jsonl", written(output_json, &fixture, &options));
	fixture_done(&fixture);
}

static void test_locale_changes_nothing(void **state)
{
	struct fixture fixture;

	/* Where it is installed, its decimal point is a comma. */
	setlocale(LC_ALL, "de_DE.UTF-8");
	make_golden(&fixture);
	check_golden("process.txt", written(output_text, &fixture, &usual));
	check_golden("process.jsonl", written(output_json, &fixture, &usual));
	fixture_done(&fixture);
	setlocale(LC_ALL, "C");
}

static void test_foreign_abi(void **state)
{
	_cleanup_(freep) char *text = NULL, *json = NULL;
#if defined(__x86_64__)
	static const char word[] = " call=getpid[ia32] ", member[] = "\"abi\":\"ia32\"";
#else
	static const char word[] = " call=getpid[arm32] ", member[] = "\"abi\":\"arm32\"";
#endif
	struct fixture fixture;

	fixture_init(&fixture);
	fixture_row(&fixture, &sshd, 20, 3)->abi = CALL_ABI_COMPAT;
	fixture_in_flight(&fixture, sshd, 20, 5000 * MS)->abi = CALL_ABI_COMPAT;
	text = written(output_text, &fixture, &usual);
	json = written(output_json, &fixture, &usual);
	assert_non_null(strstr(text, word));
	assert_non_null(strstr(strstr(text, "# in-flight"), word));
	assert_non_null(strstr(json, member));
	assert_non_null(strstr(strstr(json, "in_flight"), member));
	fixture_done(&fixture);
}

/* Calls @each with every line, without its newline, after checking what all lines have to be. */
static void each_line(char *text, void (*each)(json_t *line, void *data), void *data)
{
	for (char *line = text, *end; *line; line = end + 1) {
		json_error_t error;
		json_t *json;

		end = strchr(line, '\n');
		assert_non_null(end);
		assert_true(end + 1 - line <= JSON_LINE_MAX);
		json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &error);
		if (!json)
			fail_msg("%s: %.*s", error.text, (int)(end - line), line);
		each(json, data);
		json_decref(json);
	}
}

/* The rows seen in all lines: how often each (pid, tid, call) came, by number in @seen. */
struct tally {
	uint32_t *seen;
	size_t n_seen;
	size_t n_rows;
	size_t n_in_flight;
	size_t n_lines;
	json_int_t count;
	json_int_t total;
	json_int_t parts;
	json_t *totals;
	json_t *cgroup;
};

static json_int_t integer(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void tally_calls(json_t *calls, size_t index, struct tally *tally)
{
	json_t *call;
	size_t i;

	assert_true(json_is_array(calls));
	assert_true(json_array_size(calls) > 0);
	json_array_foreach(calls, i, call) {
		const char *name = json_string_value(json_object_get(call, "name"));
		size_t nr;

		tally->n_rows++;
		tally->count += integer(call, "count");
		if (!tally->seen)
			continue;
		assert_int_equal(sscanf(name, "sys_%zu", &nr), 1);
		nr = index * 10 + nr % 10;
		assert_true(nr < tally->n_seen);
		tally->seen[nr]++;
	}
}

static void tally_process(json_t *process, struct tally *tally)
{
	json_t *threads = json_object_get(process, "threads"), *thread;
	size_t i, pid = (size_t)integer(process, "pid");

	assert_int_equal(integer(process, "vpid"), pid + 1);
	assert_string_equal(json_string_value(json_object_get(process, "comm")), "many");
	if (!threads) {
		tally_calls(json_object_get(process, "syscalls"), pid - 1, tally);
		return;
	}
	json_array_foreach(threads, i, thread) {
		assert_string_equal(json_string_value(json_object_get(thread, "comm")), "thread");
		tally_calls(json_object_get(thread, "syscalls"), (size_t)integer(thread, "tid") - 1,
			    tally);
	}
}

static void tally_line(json_t *line, void *data)
{
	json_t *totals = json_object_get(line, "totals"), *cgroup, *process;
	struct tally *tally = data;
	size_t i;

	assert_int_equal(integer(line, "schema_version"), 1);
	if (!totals) {
		assert_string_equal(json_string_value(json_object_get(line, "record")), "interval");
		return;
	}

	/* Parts are numbered through, and repeat all but the lists. */
	cgroup = json_object_get(line, "cgroup");
	assert_int_equal(integer(line, "part"), ++tally->n_lines);
	if (tally->n_lines == 1) {
		tally->parts = integer(line, "parts");
		tally->totals = json_deep_copy(totals);
		tally->cgroup = json_deep_copy(cgroup);
	}
	assert_int_equal(integer(line, "parts"), tally->parts);
	assert_true(json_equal(totals, tally->totals));
	assert_true(json_equal(cgroup, tally->cgroup));
	tally->total = integer(totals, "count");

	tally->n_in_flight += json_array_size(json_object_get(line, "in_flight"));
	if (json_object_get(line, "syscalls"))
		tally_calls(json_object_get(line, "syscalls"), 0, tally);
	json_array_foreach(json_object_get(line, "processes"), i, process)
		tally_process(process, tally);
}

static void tally_done(struct tally *tally)
{
	json_decref(tally->totals);
	json_decref(tally->cgroup);
}

#define MANY 1000 /* rows, ten a task */

static void make_many(struct fixture *fixture, struct snapshot_task tasks[static MANY / 10],
		      int32_t n_tasks, bool by_thread)
{
	for (int32_t i = 0; i < n_tasks; i++) {
		tasks[i] = (struct snapshot_task){
			.cgroup_id = 4711,
			.pid = (by_thread ? i / 40 : i) + 1,
			.vpid = (by_thread ? i / 40 : i) + 2,
			.tid = by_thread ? i + 1 : 0,
			.process_comm = "many",
			.comm = "thread",
		};
		for (uint32_t j = 0; j < 10; j++)
			fixture_time(fixture_row(fixture, &tasks[i], 2000 + j, 1), 1, 1000 * j + 1);
	}
}

static void check_many(enum row_unit by)
{
	static struct snapshot_task tasks[MANY / 10];
	static uint32_t seen[MANY];
	struct tally tally = { .seen = seen, .n_seen = MANY };
	_cleanup_(freep) char *text = NULL;
	struct options options = usual;
	struct fixture fixture;

	memset(seen, 0, sizeof(seen));
	options.by = by;
	fixture_init(&fixture);
	add_golden_cgroups(&fixture);
	make_many(&fixture, tasks, MANY / 10, by == ROW_THREAD);
	for (int32_t i = 0; i < 500; i++)
		fixture_in_flight(&fixture, tasks[i % 100], SYS_read, 1000 * MS + (uint64_t)i);

	text = written(output_json, &fixture, &options);
	each_line(text, tally_line, &tally);
	assert_true(tally.n_lines > 5);
	assert_int_equal(tally.parts, tally.n_lines);
	assert_int_equal(tally.n_rows, MANY);
	assert_int_equal(tally.n_in_flight, 500);
	assert_int_equal(tally.count, MANY);
	assert_int_equal(tally.total, MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(seen[i], 1);
	tally_done(&tally);
	fixture_done(&fixture);
}

static void test_thousand_rows(void **state)
{
	check_many(ROW_PROCESS);
}

static void test_thousand_rows_by_thread(void **state)
{
	check_many(ROW_THREAD);
}

static void test_thousand_calls_by_container(void **state)
{
	struct tally tally = { 0 };
	_cleanup_(freep) char *text = NULL;
	struct options options = usual;
	struct fixture fixture;

	options.by = ROW_CONTAINER;
	fixture_init(&fixture);
	add_golden_cgroups(&fixture);
	for (uint32_t i = 0; i < MANY; i++)
		fixture_time(fixture_row(&fixture, &nginx, 2000 + i, 1), 1, i);
	text = written(output_json, &fixture, &options);
	each_line(text, tally_line, &tally);
	assert_true(tally.n_lines > 5);
	assert_int_equal(tally.n_rows, MANY);
	assert_int_equal(tally.count, MANY);
	tally_done(&tally);
	fixture_done(&fixture);
}

/* Lines of every length: a part must never be one byte too long, whatever ends it. */
static void test_every_length(void **state)
{
	for (size_t n = 1; n < 300; n++) {
		struct tally tally = { 0 };
		_cleanup_(freep) char *text = NULL;
		static struct snapshot_task tasks[MANY / 10];
		struct fixture fixture;
		char name[301] = "";

		memset(name, 'n', n);
		fixture_init(&fixture);
		fixture_cgroup(&fixture, 4711,
			       (struct identity){ .key = (char *)"k",
						  .container_name = name,
						  .cgroup_id = 1 });
		make_many(&fixture, tasks, 20, false);
		text = written(output_json, &fixture, &usual);
		each_line(text, tally_line, &tally);
		assert_true(tally.n_lines > 1);
		assert_int_equal(tally.n_rows, 200);
		tally_done(&tally);
		fixture_done(&fixture);
	}
}

static void count_comm(json_t *line, void *data)
{
	json_t *process;
	size_t i, *n = data;

	json_array_foreach(json_object_get(line, "processes"), i, process) {
		assert_true(json_is_string(json_object_get(process, "comm")));
		(*n)++;
	}
}

/* The largest there can be: every number at its end, every errno, the longest name and path. */
static void test_largest_row(void **state)
{
	static struct errno_delta errnos[4095];
	static char path[4096], image[4096];
	size_t n_processes = 0;
	_cleanup_(freep) char *text = NULL, *line = NULL;
	struct snapshot_task task = nginx;
	struct snapshot_row *row;
	struct fixture fixture;

	for (uint16_t i = 0; i < 4095; i++)
		errnos[i] = (struct errno_delta){ .number = (uint16_t)(i + 1),
						  .count = UINT64_MAX / 10000 };
	memset(path, 0x01, sizeof(path) - 1);
	path[0] = '/';
	memset(image, '"', sizeof(image) - 1);
	memset(task.process_comm, 0x01, COMM_LEN - 1);
	task.pid = task.vpid = INT32_MIN;

	fixture_init(&fixture);
	fixture_cgroup(&fixture, 4711,
		       (struct identity){ .key = (char *)"k",
					  .container_id = (char *)ID_64,
					  .container_name = path,
					  .runtime_name = image,
					  .image_name = image,
					  .pod_name = path,
					  .pod_uid = path,
					  .namespace_name = path,
					  .k8s_container_name = path,
					  .unit = path,
					  .cgroup_path = path,
					  .cgroup_id = UINT64_MAX });
	for (uint32_t i = 0; i < 3; i++) {
		row = fixture_row(&fixture, &task, 0x80000000 + i, UINT64_MAX / 8);
		row->stats.errors = row->stats.interrupted = row->stats.denied = UINT64_MAX / 8;
		row->stats.bytes = row->stats.time_ns = row->stats.max_ns = UINT64_MAX / 8;
		row->stats.buckets[HIST_BUCKETS - 1] = 1;
		row->errnos = errnos;
		row->n_errnos = 4095;
	}
	text = written(output_json, &fixture, &usual);
	assert_non_null(strstr(text, "\"" ID_64 "\""));
	assert_non_null(strstr(text, "\xe2\x80\xa6"));
	each_line(text, count_comm, &n_processes);
	assert_in_range(n_processes, 1, 3);
	line = written(output_text, &fixture, &usual);
	assert_int_equal(strncmp(line, "# ", 2), 0);
	assert_non_null(strstr(line, " errnos=EPERM:1844674407370955,ENOENT:"));
	assert_non_null(strstr(line, ",other:7435882536112319605\n"));
	assert_non_null(strstr(text, ",\"other\":7435882536112319605}"));
	fixture_done(&fixture);
}

#define N_COMMS 1000

static void make_comms(struct fixture *fixture, struct snapshot_task tasks[static N_COMMS])
{
	unsigned seed = 3;

	for (int32_t i = 0; i < N_COMMS; i++) {
		tasks[i] = (struct snapshot_task){ .cgroup_id = 4711, .pid = i + 1, .vpid = 1 };
		for (size_t j = 0; j < COMM_LEN - 1; j++)
			tasks[i].process_comm[j] = (char)(1 + rand_r(&seed) % 255);
		fixture_row(fixture, &tasks[i], SYS_getpid, 1);
	}
}

static void test_random_comms(void **state)
{
	static struct snapshot_task tasks[N_COMMS];
	_cleanup_(freep) char *json = NULL, *text = NULL;
	struct fixture fixture;
	size_t n = 0, n_lines = 0;

	fixture_init(&fixture);
	add_golden_cgroups(&fixture);
	make_comms(&fixture, tasks);
	json = written(output_json, &fixture, &usual);
	each_line(json, count_comm, &n);
	assert_int_equal(n, N_COMMS);

	text = written(output_text, &fixture, &usual);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1, n_lines++) {
		size_t length = strcspn(line, "\n"), n_blanks = 0;

		for (size_t i = 0; i < length; i++) {
			assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
			n_blanks += line[i] == ' ';
		}
		assert_int_equal(n_blanks, n_lines == 0 ? 6 : 13);
		assert_int_equal(strncmp(line, n_lines == 0 ? "# " : "PID=", n_lines ? 4 : 2), 0);
	}
	assert_int_equal(n_lines, 1 + N_COMMS);
	fixture_done(&fixture);
}

static void test_hostile_names(void **state)
{
	static const char *const names[] = {
		"\"}\n{\"x\":1}", "\x1b]0;title\a", "a\nb c",	  "\xff\xfe",
		"\xe2\x80\xaezz", "\\u0000",	    "\xc2\x9b[J", "=",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		_cleanup_(freep) char *json = NULL, *text = NULL;
		struct identity identity = {
			.kind = IDENTITY_CONTAINER,
			.key = (char *)"k",
			.container_id = (char *)names[i],
			.container_name = (char *)names[i],
			.pod_name = (char *)names[i],
			.namespace_name = (char *)names[i],
			.unit = (char *)names[i],
			.cgroup_path = (char *)names[i],
		};
		struct options options = usual;
		struct fixture fixture;
		size_t n = 0;

		options.node = names[i];
		fixture_init(&fixture);
		fixture_cgroup(&fixture, 4711, identity);
		fixture_row(&fixture, &nginx, SYS_getpid, 1);
		json = written(output_json, &fixture, &options);
		each_line(json, count_comm, &n);
		assert_int_equal(n, 1);
		assert_null(strpbrk(json, "\x1b\x07\x7f"));
		assert_null(strstr(json, "\xe2\x80\xae"));
		assert_null(strstr(json, "\xc2\x9b"));

		text = written(output_text, &fixture, &options);
		for (const char *c = text; *c; c++)
			assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
		assert_null(strstr(text, "\xe2\x80\xae"));
		assert_null(strstr(text, "\xc2\x9b"));
		fixture_done(&fixture);
	}
}

static void test_write_errors(void **state)
{
	_cleanup_(fclosep) FILE *full = fopen("/dev/full", "we");
	struct fixture fixture;
	struct report *report;

	assert_non_null(full);
	make_golden(&fixture);
	report = fixture_report(&fixture, &usual);
	assert_int_equal(output_text(report, &usual, full), -ENOSPC);
	clearerr(full);
	assert_int_equal(output_json(report, &usual, full), -ENOSPC);
	report_free(report);
	fixture_done(&fixture);
}

static void test_resolve_line(void **state)
{
	struct resolve_trace tried = { .attempts = { { "docker", "no \"such\"\n" } },
				       .n_attempts = 1,
				       .chain = { ID_64 },
				       .n_chain = 1 };
	struct identity identity = { .kind = IDENTITY_CONTAINER,
				     .container_id = (char *)ID_64,
				     .cgroup_path = (char *)"/docker/\xff" };
	_cleanup_(freep) char *text = NULL;
	json_t *json, *attempt;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(output_identity("/docker/\xff", &identity, &tried, out), 0);
	fclose(out);
	assert_ptr_equal(strchr(text, '\n'), text + size - 1);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "record")), "resolve");
	assert_string_equal(json_string_value(json_object_get(json, "target")),
			    "/docker/\xef\xbf\xbd");
	assert_true(json_is_false(json_object_get(json, "resolved")));
	attempt = json_array_get(json_object_get(json, "tried"), 0);
	assert_string_equal(json_string_value(json_object_get(attempt, "source")), "docker");
	attempt = json_array_get(json_object_get(json, "chain"), 0);
	assert_string_equal(json_string_value(attempt), ID_64);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_by_process),
		cmocka_unit_test(test_golden_by_container),
		cmocka_unit_test(test_golden_by_thread),
		cmocka_unit_test(test_golden_top),
		cmocka_unit_test(test_golden_others),
		cmocka_unit_test(test_locale_changes_nothing),
		cmocka_unit_test(test_foreign_abi),
		cmocka_unit_test(test_thousand_rows),
		cmocka_unit_test(test_thousand_rows_by_thread),
		cmocka_unit_test(test_thousand_calls_by_container),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_largest_row),
		cmocka_unit_test(test_random_comms),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_resolve_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
