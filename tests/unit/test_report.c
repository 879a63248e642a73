/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "report_fixture.h"
#include "src/clock.h"
#include "src/report.h"
#include "src/stats.h"

#define MS 1000000ULL

/* Calls in the same order on every machine, one of which waits. */
#define WORK_A SYS_fsync
#define WORK_B SYS_write
#define WAIT_A SYS_futex

static const struct options usual = { .in_flight_ns = 1000 * MS, .node = "node-1" };

static const struct snapshot_task web_1 = {
	.cgroup_id = 11, .process_start_ns = 5, .pid = 100, .vpid = 1, .process_comm = "nginx"
};
static const struct snapshot_task web_2 = {
	.cgroup_id = 12, .process_start_ns = 6, .pid = 101, .vpid = 7, .process_comm = "worker"
};
static const struct snapshot_task db_1 = {
	.cgroup_id = 21, .process_start_ns = 7, .pid = 200, .vpid = 1, .process_comm = "postgres"
};
static const struct snapshot_task ssh_1 = {
	.cgroup_id = 31, .process_start_ns = 8, .pid = 300, .vpid = 300, .process_comm = "sshd"
};

/* Two cgroups of a container in a pod, one of a plain container, one unit. */
static void make_cgroups(struct fixture *fixture)
{
	struct identity web = {
		.kind = IDENTITY_CONTAINER,
		.key = (char *)"c:web",
		.container_id =
			(char *)"cafe0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab",
		.container_name = (char *)"app",
		.k8s_container_name = (char *)"k8s-app",
		.pod_name = (char *)"web-7d9f",
		.namespace_name = (char *)"shop",
		.cgroup_id = 11,
	};
	struct identity db = { .kind = IDENTITY_CONTAINER,
			       .key = (char *)"c:db",
			       .container_id = (char *)"lxc-db",
			       .container_name = (char *)"db",
			       .cgroup_id = 21 };
	struct identity ssh = { .kind = IDENTITY_UNIT,
				.key = (char *)"u:ssh",
				.unit = (char *)"ssh.service",
				.cgroup_id = 31 };

	fixture_cgroup(fixture, 11, web);
	fixture_cgroup(fixture, 12, web);
	fixture_cgroup(fixture, 21, db);
	fixture_cgroup(fixture, 31, ssh);
}

static void make_rows(struct fixture *fixture)
{
	fixture_init(fixture);
	make_cgroups(fixture);
	fixture_time(fixture_row(fixture, &ssh_1, WORK_B, 1), 1, 1 * MS);
	fixture_time(fixture_row(fixture, &web_1, WAIT_A, 2), 2, 5000 * MS);
	fixture_time(fixture_row(fixture, &web_2, WORK_A, 4), 4, 10 * MS);
	fixture_time(fixture_row(fixture, &db_1, WORK_A, 10), 10, 5 * MS);
	fixture_time(fixture_row(fixture, &web_1, WORK_B, 3), 3, 1 * MS);
	fixture_time(fixture_row(fixture, &web_2, WORK_B, 1), 1, 2 * MS);
}

static uint64_t avg_ns(const struct report_call *call)
{
	struct latencies latencies;

	stats_latencies(call->stats, &latencies);
	return latencies.avg_ns;
}

static void assert_call(const struct report_call *call, const struct snapshot_task *task,
			uint32_t nr, uint64_t count)
{
	assert_ptr_equal(call->task->task, task);
	assert_int_equal(call->nr, nr);
	assert_int_equal(call->stats->count, count);
}

static void test_grouped_and_ranked(void **state)
{
	struct fixture fixture;
	struct report *report;
	const struct report_container *web;

	make_rows(&fixture);
	report = fixture_report(&fixture, &usual);
	assert_int_equal(report->n_containers, 3);
	assert_int_equal(report->n_rows, 6);
	assert_int_equal(report->calls, 21);
	assert_string_equal(report->node, "node-1");

	/* db works for 50 ms, web for 45 and waits for 10 s. */
	assert_string_equal(report->containers[0].identity->key, "c:db");
	assert_string_equal(report->containers[1].identity->key, "c:web");
	assert_string_equal(report->containers[2].identity->key, "u:ssh");

	web = &report->containers[1];
	assert_int_equal(web->totals.count, 10);
	assert_int_equal(web->totals.time_ns, 10045 * MS);
	assert_int_equal(web->work_ns, 45 * MS);
	assert_int_equal(web->totals.max_ns, 5000 * MS);
	assert_int_equal(web->n_rows, 4);
	assert_call(web->rows[0], &web_2, WORK_A, 4);
	assert_call(web->rows[1], &web_1, WORK_B, 3);
	assert_call(web->rows[2], &web_2, WORK_B, 1);
	assert_call(web->rows[3], &web_1, WAIT_A, 2);
	assert_true(web->rows[3]->is_wait);

	assert_int_equal(web->n_tasks, 2);
	assert_ptr_equal(web->tasks[0].task, &web_2);
	assert_int_equal(web->tasks[0].n_calls, 2);
	assert_call(&web->tasks[0].calls[0], &web_2, WORK_A, 4);
	assert_call(&web->tasks[0].calls[1], &web_2, WORK_B, 1);
	assert_ptr_equal(web->tasks[1].task, &web_1);
	assert_call(&web->tasks[1].calls[0], &web_1, WORK_B, 3);
	assert_call(&web->tasks[1].calls[1], &web_1, WAIT_A, 2);
	report_free(report);
	fixture_done(&fixture);
}

static void test_by_container(void **state)
{
	static const struct errno_delta errnos_1[] = { { 11, 3 }, { 2, 1 } };
	static const struct errno_delta errnos_2[] = { { 2, 5 }, { 32, 7 } };
	struct options options = usual;
	struct fixture fixture;
	struct report *report;
	const struct report_container *web;

	options.by = ROW_CONTAINER;
	make_rows(&fixture);
	fixture.rows[4].errnos = errnos_1;
	fixture.rows[4].n_errnos = 2;
	fixture.rows[5].errnos = errnos_2;
	fixture.rows[5].n_errnos = 2;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_rows, 5);
	web = &report->containers[1];
	assert_int_equal(web->n_tasks, 1);
	assert_int_equal(web->n_rows, 3);
	assert_call(web->rows[0], NULL, WORK_A, 4);
	assert_call(web->rows[1], NULL, WORK_B, 4);
	assert_call(web->rows[2], NULL, WAIT_A, 2);
	assert_int_equal(web->rows[1]->stats->time_ns, 5 * MS);
	assert_int_equal(web->rows[1]->stats->max_ns, 2 * MS);
	assert_int_equal(avg_ns(web->rows[1]), 1250000);
	assert_int_equal(web->rows[1]->n_errnos, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct errno_delta *one = &web->rows[1]->errnos[i];

		assert_int_equal(one->count, one->number == 11 ? 3 : one->number == 2 ? 6 : 7);
	}
	report_free(report);
	fixture_done(&fixture);
}

static void test_by_thread(void **state)
{
	struct snapshot_task threads[4];
	struct options options = usual;
	struct fixture fixture;
	struct report *report;
	const struct report_container *web;

	options.by = ROW_THREAD;
	fixture_init(&fixture);
	make_cgroups(&fixture);
	/* Two processes with two threads each; by time their threads alternate. */
	for (int i = 0; i < 4; i++) {
		threads[i] = i % 2 ? web_2 : web_1;
		threads[i].cgroup_id = 11;
		threads[i].tid = 1000 + i;
		fixture_time(fixture_row(&fixture, &threads[i], WORK_A, 1), 1,
			     (uint64_t)(10 - i) * MS);
		fixture_time(fixture_row(&fixture, &threads[i], WAIT_A, 1), 1, 50 * MS);
	}
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_containers, 1);
	web = &report->containers[0];
	assert_int_equal(web->n_tasks, 4);
	assert_int_equal(web->tasks[0].task->tid, 1000);
	assert_int_equal(web->tasks[1].task->tid, 1002);
	assert_int_equal(web->tasks[2].task->tid, 1001);
	assert_int_equal(web->tasks[3].task->tid, 1003);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(web->rows[i]->task->task->tid, 1000 + i);
		assert_int_equal(web->tasks[i].n_calls, 2);
		assert_int_equal(web->tasks[i].calls[0].nr, WORK_A);
		assert_int_equal(web->tasks[i].calls[1].nr, WAIT_A);
	}
	report_free(report);
	fixture_done(&fixture);
}

static void test_top(void **state)
{
	struct options options = usual;
	struct fixture fixture;
	struct report *report;
	const struct report_container *web;
	struct latencies latencies;

	options.top = 2;
	make_rows(&fixture);
	fixture.rows[1].stats.denied = 3;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_rows, 5);
	assert_int_equal(report->calls, 21);
	web = &report->containers[1];
	assert_int_equal(web->n_rows, 3);
	assert_call(web->rows[0], &web_2, WORK_A, 4);
	assert_call(web->rows[1], &web_1, WORK_B, 3);
	assert_true(web->rows[2]->is_other);
	assert_null(web->rows[2]->task->task);
	assert_int_equal(web->rows[2]->stats->count, 3);
	assert_int_equal(web->rows[2]->stats->denied, 3);
	assert_int_equal(web->rows[2]->stats->time_ns, 10002 * MS);
	assert_int_equal(web->rows[2]->stats->max_ns, 5000 * MS);
	stats_latencies(web->rows[2]->stats, &latencies);
	assert_int_equal(latencies.timed, 3);
	assert_int_equal(latencies.avg_ns, 3334 * MS);
	assert_int_equal(web->totals.count, 10);
	assert_int_equal(web->tasks[web->n_tasks - 1].calls[0].is_other, true);
	/* As many rows as --top allows are no reason for a sum. */
	assert_int_equal(report->containers[0].n_rows, 1);
	assert_false(report->containers[0].rows[0]->is_other);
	report_free(report);

	options.top = 4;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->containers[1].n_rows, 4);
	assert_false(report->containers[1].rows[3]->is_other);
	report_free(report);

	options.top = 1;
	options.by = ROW_CONTAINER;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->containers[1].n_rows, 2);
	assert_call(report->containers[1].rows[0], NULL, WORK_A, 4);
	assert_true(report->containers[1].rows[1]->is_other);
	assert_int_equal(report->containers[1].rows[1]->stats->count, 6);
	report_free(report);
	fixture_done(&fixture);
}

/* An idle event loop against 5-ms fsyncs: a wait is no slowness. */
static void test_waits_rank_last(void **state)
{
	struct fixture fixture;
	struct report *report;

	fixture_init(&fixture);
	make_cgroups(&fixture);
	fixture_time(fixture_row(&fixture, &web_1, WAIT_A, 1), 1, 9000 * MS);
	fixture_time(fixture_row(&fixture, &db_1, WORK_A, 2), 2, 5 * MS);
	report = fixture_report(&fixture, &usual);
	assert_string_equal(report->containers[0].identity->key, "c:db");
	assert_string_equal(report->containers[1].identity->key, "c:web");
	report_free(report);
	fixture_done(&fixture);
}

struct filter_case {
	const char *container, *pod, *namespace_name, *syscall;
	int32_t pid;
	bool containers_only;
	uint32_t n_containers;
	uint32_t n_rows;
};

static const struct filter_case filter_cases[] = {
	{ .n_containers = 3, .n_rows = 6 },
	{ .containers_only = true, .n_containers = 2, .n_rows = 5 },
	{ .container = "app", .n_containers = 1, .n_rows = 4 },
	{ .container = "a*", .n_containers = 1, .n_rows = 4 },
	{ .container = "k8s-app", .n_containers = 1, .n_rows = 4 },
	{ .container = "ap", .n_containers = 0, .n_rows = 0 },
	{ .container = "*", .n_containers = 2, .n_rows = 5 },
	/* ids: a prefix of some digits, but "db" is a name */
	{ .container = "cafe", .n_containers = 1, .n_rows = 4 },
	{ .container = "cafe01234567", .n_containers = 1, .n_rows = 4 },
	{ .container = "caf", .n_containers = 0, .n_rows = 0 },
	{ .container = "db", .n_containers = 1, .n_rows = 1 },
	{ .container = "lxc-db", .n_containers = 1, .n_rows = 1 },
	{ .container = "lxc-", .n_containers = 0, .n_rows = 0 },
	{ .container = "cafe0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab",
	  .n_containers = 1,
	  .n_rows = 4 },
	{ .container = "cafe0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc" },
	{ .pod = "web-*", .n_containers = 1, .n_rows = 4 },
	{ .pod = "*", .n_containers = 1, .n_rows = 4 },
	{ .pod = "WEB-*", .n_containers = 0, .n_rows = 0 },
	{ .namespace_name = "shop", .n_containers = 1, .n_rows = 4 },
	{ .namespace_name = "sho", .n_containers = 0, .n_rows = 0 },
	/* different options narrow */
	{ .namespace_name = "shop", .container = "db", .n_containers = 0, .n_rows = 0 },
	{ .namespace_name = "shop", .syscall = "fsync", .n_containers = 1, .n_rows = 1 },
	{ .syscall = "write", .n_containers = 2, .n_rows = 3 },
	{ .syscall = "getpid", .n_containers = 0, .n_rows = 0 },
	{ .pid = 101, .n_containers = 1, .n_rows = 2 },
	{ .pid = 7, .n_containers = 0, .n_rows = 0 }, /* a vpid is not asked for */
};

static struct string_list list_of(const char **item)
{
	return (struct string_list){ .items = item, .n = *item ? 1 : 0 };
}

static void test_filters(void **state)
{
	for (size_t i = 0; i < sizeof(filter_cases) / sizeof(filter_cases[0]); i++) {
		struct filter_case c = filter_cases[i];
		struct options options = usual;
		struct fixture fixture;
		struct report *report;

		options.containers_only = c.containers_only;
		options.containers = list_of(&c.container);
		options.pods = list_of(&c.pod);
		options.namespaces = list_of(&c.namespace_name);
		options.syscalls = list_of(&c.syscall);
		options.pids = &c.pid;
		options.n_pids = c.pid ? 1 : 0;
		make_rows(&fixture);
		report = fixture_report(&fixture, &options);
		if (report->n_containers != c.n_containers || report->n_rows != c.n_rows)
			fail_msg("case %zu: %u containers, %u rows", i, report->n_containers,
				 report->n_rows);
		report_free(report);
		fixture_done(&fixture);
	}
}

static void test_lists_widen(void **state)
{
	const char *containers[] = { "db", "k8s-*" }, *syscalls[] = { "fsync", "sys_9999" };
	struct options options = usual;
	struct fixture fixture;
	struct report *report;

	options.containers = (struct string_list){ containers, 2 };
	options.syscalls = (struct string_list){ syscalls, 2 };
	make_rows(&fixture);
	fixture_row(&fixture, &web_1, 9999, 1);
	fixture_row(&fixture, &web_1, UINT32_MAX, 1);
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_containers, 2);
	assert_int_equal(report->n_rows, 3);
	report_free(report);
	fixture_done(&fixture);
}

/* What the ledger has summed up has passed the filters by PID and call before. */
static void test_sums_pass_filters(void **state)
{
	static const struct snapshot_task others = { .cgroup_id = 1,
						     .process_comm = LEDGER_OTHERS };
	const char *syscalls[] = { "sys_9999" };
	int32_t pid = 101;
	struct options options = usual;
	struct fixture fixture;
	struct report *report;

	options.pids = &pid;
	options.n_pids = 1;
	options.syscalls = (struct string_list){ syscalls, 1 };
	fixture_init(&fixture);
	fixture_row(&fixture, &others, 9999, 3);
	fixture_row(&fixture, &others, CALL_NR_OTHERS, 4);
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_rows, 2);
	assert_int_equal(report->calls, 7);
	report_free(report);
	fixture_done(&fixture);
}

static void test_unselected_cgroup(void **state)
{
	struct fixture fixture;
	struct report *report;

	make_rows(&fixture);
	fixture_in_flight(&fixture, web_2, WORK_A, 2000 * MS);
	fixture.unselected = 12;
	report = fixture_report(&fixture, &usual);
	assert_int_equal(report->n_containers, 3);
	assert_int_equal(report->n_rows, 4);
	assert_int_equal(report->containers[0].n_in_flight + report->containers[1].n_in_flight +
				 report->containers[2].n_in_flight,
			 0);
	report_free(report);
	fixture_done(&fixture);
}

static void test_in_flight(void **state)
{
	struct options options = usual;
	struct fixture fixture;
	struct report *report;

	fixture_init(&fixture);
	make_cgroups(&fixture);
	fixture_in_flight(&fixture, db_1, WORK_A, 999 * MS);
	fixture_in_flight(&fixture, web_1, WORK_A, 1000 * MS);
	fixture_in_flight(&fixture, web_2, WAIT_A, 7000 * MS);
	report = fixture_report(&fixture, &options);
	/* A container with nothing else has a record; one without anything has none. */
	assert_int_equal(report->n_containers, 1);
	assert_int_equal(report->n_rows, 0);
	assert_int_equal(report->containers[0].n_in_flight, 2);
	assert_int_equal(report->containers[0].in_flight[0]->age_ns, 7000 * MS);
	assert_int_equal(report->containers[0].in_flight[1]->age_ns, 1000 * MS);
	report_free(report);

	options.in_flight_ns = 0;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_containers, 0);
	report_free(report);
	fixture_done(&fixture);
}

static void test_losses(void **state)
{
	struct fixture fixture;
	struct report *report;

	fixture_init(&fixture);
	fixture.snapshot.lost[LOSS_NO_MEMORY] = 1;
	fixture.snapshot.lost[LOSS_RING_FULL] = 20;
	fixture.snapshot.lost[LOSS_RECURSION] = 300;
	fixture.snapshot.lost[LOSS_BYTES_UNREAD] = 4000;
	report = fixture_report(&fixture, &usual);
	assert_int_equal(report->lost_calls, 321);
	assert_int_equal(report->lost[LOSS_BYTES_UNREAD], 4000);
	assert_int_equal(report->n_containers, 0);
	report_free(report);
	fixture_done(&fixture);

	assert_string_equal(loss_cause_name(LOSS_NO_MEMORY), "no_memory");
	assert_string_equal(loss_cause_name(LOSS_RING_FULL), "ring_full");
	assert_string_equal(loss_cause_name(LOSS_RECURSION), "recursion");
	assert_string_equal(loss_cause_name(LOSS_BYTES_UNREAD), "bytes_unread");
}

/* The same cgroup is one container even if every answer is another object with the same key. */
static void test_equal_keys(void **state)
{
	char key_1[] = "k", key_2[] = "k", key_3[] = "l";
	struct fixture fixture;
	struct report *report;

	fixture_init(&fixture);
	fixture_cgroup(&fixture, 11, (struct identity){ .key = key_1 });
	fixture_cgroup(&fixture, 12, (struct identity){ .key = key_2 });
	fixture_cgroup(&fixture, 21, (struct identity){ .key = key_3 });
	fixture_row(&fixture, &web_1, WORK_A, 1);
	fixture_row(&fixture, &web_2, WORK_A, 1);
	fixture_row(&fixture, &db_1, WORK_A, 1);
	report = fixture_report(&fixture, &usual);
	assert_int_equal(report->n_containers, 2);
	report_free(report);
	fixture_done(&fixture);
}

/* More cgroups, tasks and calls than any table starts with: every call once, sums kept. */
static void test_many(void **state)
{
	enum { N_CGROUPS = 600, N_TASKS = 3000, N_ROWS = 20000 };
	static struct snapshot_task tasks[N_TASKS];
	static char keys[N_CGROUPS][16];
	uint64_t sum = 0, seen = 0, rows = 0;
	struct options options = usual;
	struct fixture fixture;
	struct report *report;
	unsigned seed = 7;

	fixture_init(&fixture);
	for (int i = 0; i < N_CGROUPS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i / 2);
		fixture_cgroup(&fixture, (uint64_t)i + 1, (struct identity){ .key = keys[i] });
	}
	for (int i = 0; i < N_TASKS; i++)
		tasks[i] = (struct snapshot_task){ .cgroup_id = (uint64_t)(i % N_CGROUPS) + 1,
						   .pid = i };
	for (uint32_t i = 0; i < N_ROWS; i++) {
		struct snapshot_row *row = fixture_row(&fixture, &tasks[rand_r(&seed) % N_TASKS],
						       i % 2000, (uint64_t)rand_r(&seed) % 1000);

		fixture_time(row, 1, (uint64_t)rand_r(&seed));
		sum += row->stats.count;
	}

	options.top = 40;
	report = fixture_report(&fixture, &options);
	assert_int_equal(report->n_containers, N_CGROUPS / 2);
	assert_int_equal(report->calls, sum);
	for (uint32_t i = 0; i < report->n_containers; i++) {
		const struct report_container *container = &report->containers[i];
		uint32_t n_calls = 0;

		assert_true(i == 0 || container->work_ns <= container[-1].work_ns);
		assert_true(container->n_rows <= 41);
		for (uint32_t j = 0; j < container->n_rows; j++) {
			const struct report_call *call = container->rows[j];

			seen += call->stats->count;
			assert_true(call >= call->task->calls &&
				    call < call->task->calls + call->task->n_calls);
			assert_int_equal(call->is_other, j == 40);
			if (j > 0 && !call->is_other && !call->is_wait)
				assert_true(call->stats->time_ns <=
					    container->rows[j - 1]->stats->time_ns);
		}
		for (uint32_t j = 0; j < container->n_tasks; j++)
			n_calls += container->tasks[j].n_calls;
		assert_int_equal(n_calls, container->n_rows);
		rows += container->n_rows;
	}
	assert_int_equal(seen, sum);
	assert_int_equal(rows, report->n_rows);
	report_free(report);
	fixture_done(&fixture);
}

enum { MERGED_ROWS = 40000, MERGED_CONTAINERS = 400 };

/* What bringing together the calls takes, at best, all different, in so many containers. */
static uint64_t merge_ns(unsigned n_containers)
{
	static struct snapshot_task tasks[MERGED_CONTAINERS];
	static char keys[MERGED_CONTAINERS][16];
	struct options options = usual;
	struct fixture fixture;
	uint64_t best = UINT64_MAX;

	options.by = ROW_CONTAINER;
	fixture_init(&fixture);
	for (unsigned i = 0; i < n_containers; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%u", i);
		fixture_cgroup(&fixture, i + 1, (struct identity){ .key = keys[i] });
		tasks[i] = (struct snapshot_task){ .cgroup_id = i + 1, .pid = 1 };
	}
	for (uint32_t i = 0; i < MERGED_ROWS; i++)
		fixture_row(&fixture, &tasks[i % n_containers], i, 1);
	for (int i = 0; i < 3; i++) {
		uint64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID), took;
		struct report *report = fixture_report(&fixture, &options);

		took = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
		if (took < best)
			best = took;
		assert_int_equal(report->n_containers, n_containers);
		assert_int_equal(report->n_rows, MERGED_ROWS);
		report_free(report);
	}
	fixture_done(&fixture);
	return best;
}

/* How many different calls there are is up to a container: a hostile one costs what many do. */
static void test_merging_is_not_quadratic(void **state)
{
	uint64_t many = merge_ns(MERGED_CONTAINERS), one = merge_ns(1);
	assert_true(one < 5 * many);
}

static void test_latencies(void **state)
{
	struct fixture fixture;
	struct report *report;
	const struct report_call *call;
	struct snapshot_row *row;
	struct latencies latencies;

	/* 98 polls of 1 ms and 2 of 50 ms */
	fixture_init(&fixture);
	row = fixture_row(&fixture, &web_1, WAIT_A, 100);
	fixture_time(row, 98, 1 * MS);
	fixture_time(row, 2, 50 * MS);
	fixture_row(&fixture, &web_1, SYS_exit_group, 1);
	report = fixture_report(&fixture, &usual);
	assert_int_equal(report->containers[0].n_rows, 2);

	call = report->containers[0].rows[1];
	stats_latencies(call->stats, &latencies);
	assert_int_equal(latencies.timed, 100);
	assert_int_equal(latencies.avg_ns, 1980000);
	assert_in_range(latencies.p50_ns, 524288, 1048576);
	assert_in_range(latencies.p95_ns, 524288, 1048576);
	assert_in_range(latencies.p99_ns, 33554432, 50 * MS);
	assert_true(latencies.p99_ns <= call->stats->max_ns);

	call = report->containers[0].rows[0];
	stats_latencies(call->stats, &latencies);
	assert_int_equal(latencies.timed, 0);
	assert_int_equal(latencies.avg_ns, 0);
	assert_int_equal(latencies.p50_ns + latencies.p95_ns + latencies.p99_ns, 0);
	report_free(report);
	fixture_done(&fixture);
}

static uint64_t percentile_ns(const uint64_t buckets[static HIST_BUCKETS], uint64_t max_ns,
			      unsigned permille)
{
	uint64_t ns;

	hist_percentiles_ns(buckets, hist_total(buckets), max_ns, &permille, 1, &ns);
	return ns;
}

static void test_percentiles(void **state)
{
	uint64_t buckets[HIST_BUCKETS] = { 0 }, all[4];
	unsigned permilles[4];

	assert_int_equal(percentile_ns(buckets, 5, 500), 0);

	/* One call: every percentile is the call. */
	buckets[0] = 1;
	assert_int_equal(percentile_ns(buckets, 300, 1), 300);
	assert_int_equal(percentile_ns(buckets, 300, 999), 300);

	/* Never above the maximum, also where it contradicts the bucket. */
	buckets[0] = 0;
	buckets[4] = 10;
	assert_int_equal(percentile_ns(buckets, 5000, 990), 5000);
	assert_int_equal(percentile_ns(buckets, 100, 500), 100);
	assert_int_equal(percentile_ns(buckets, 8192, 500), 4096 + 2048);

	/* Several at once are the same as each alone. */
	buckets[2] = buckets[7] = 3;
	for (unsigned k = 0; k < 4; k++)
		permilles[k] = 100 + 280 * k;
	hist_percentiles_ns(buckets, hist_total(buckets), 50000, permilles, 4, all);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(all[k], percentile_ns(buckets, 50000, permilles[k]));
	buckets[2] = buckets[7] = 0;

	/* The last bucket ends at the maximum, however long a call took; no product overflows. */
	buckets[4] = 0;
	buckets[HIST_BUCKETS - 1] = UINT32_MAX;
	assert_int_equal(percentile_ns(buckets, UINT64_MAX, 999) > UINT64_MAX / 1000 * 998, 1);
	assert_int_equal(percentile_ns(buckets, 1ULL << 31, 500), 1ULL << 31);

	/* They rise with the rank. */
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		buckets[i] = 1 + i * 7 % 5;
	for (unsigned p = 2; p < 1000; p++)
		assert_true(percentile_ns(buckets, 9000 * MS, p) >=
			    percentile_ns(buckets, 9000 * MS, p - 1));
}

static void test_nothing(void **state)
{
	struct options options = usual;
	struct fixture fixture;
	struct report *report;

	for (options.by = ROW_PROCESS; options.by <= ROW_THREAD; options.by++) {
		fixture_init(&fixture);
		report = fixture_report(&fixture, &options);
		assert_int_equal(report->n_containers, 0);
		assert_int_equal(report->n_rows, 0);
		report_free(report);
		fixture_done(&fixture);
	}
	report_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grouped_and_ranked),
		cmocka_unit_test(test_by_container),
		cmocka_unit_test(test_by_thread),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_waits_rank_last),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_lists_widen),
		cmocka_unit_test(test_sums_pass_filters),
		cmocka_unit_test(test_unselected_cgroup),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_equal_keys),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_merging_is_not_quadratic),
		cmocka_unit_test(test_latencies),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
