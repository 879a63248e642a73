/* SPDX-License-Identifier: BSD-2-Clause */
/* Which cgroup a call belongs to, with cgroup v2 and v1: facts F34, F35 and F40. */
#include "lab.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One collector per hierarchy; a test of one that is not mounted is left out. */
static struct lab *open_hierarchy(bool v1)
{
	if (!lab_find_hierarchy(v1))
		lab_leave_out("cgroup %s is not mounted", v1 ? "v1" : "v2");
	return lab_open(&(struct collector_options){ .cgroup_v1 = v1 });
}

static void calls_victim(void *data)
{
	victim_call_often(SYS_getppid, *(unsigned *)data);
}

static void run_in(struct lab *lab, const struct lab_group *group, unsigned n)
{
	lab_reap(lab, lab_start_in(group, calls_victim, &n), 0);
}

/* ---- F34: the id is that of the chosen hierarchy, and the inode of the directory ---- */

static void check_ids(bool v1)
{
	struct lab *lab = open_hierarchy(v1);
	struct lab_group *group = lab_group(lab);
	struct snapshot snapshot;
	unsigned n = 10, seen = 0;
	pid_t pid = lab_start(lab, calls_victim, &n);
	struct stat status;

	assert_int_equal(stat(group->path, &status), 0);
	lab_wait_dead(pid);
	lab_read(lab, &snapshot);
	for (uint32_t i = 0; i < snapshot.n_rows; i++) {
		const struct snapshot_row *row = &snapshot.rows[i];

		if (row->task->pid != pid || row->nr != SYS_getppid)
			continue;
		assert_int_equal(row->task->cgroup_id, status.st_ino);
		seen += (unsigned)row->stats.count;
	}
	assert_int_equal(seen, n);
	lab_reap(lab, pid, 0);
	lab_close(lab);
}

static void f34_ids_of_v2(void **state)
{
	check_ids(false);
}

static void f34_ids_of_v1(void **state)
{
	check_ids(true);
}

static void gated_victim(void *data)
{
	const int *fds = data;
	char byte;

	victim_check(syscall(SYS_read, fds[0], &byte, 1) == 1);
	victim_call_often(SYS_getppid, 10);
}

/* A task is in a group of each hierarchy. */
static void f34_a_task_in_both(void **state)
{
	struct lab *v1, *v2;
	int fds[2];
	pid_t pid;

	if (!lab_find_hierarchy(true) || !lab_find_hierarchy(false))
		lab_leave_out("cgroup v1 and v2 are not both mounted");
	v2 = open_hierarchy(false);
	v1 = open_hierarchy(true);
	assert_int_equal(pipe(fds), 0);
	pid = lab_start(v2, gated_victim, fds);
	lab_wait_blocked(pid, pid, SYS_read);
	lab_group_join(lab_group(v1), pid);
	assert_int_equal(write(fds[1], "", 1), 1);
	lab_reap(v2, pid, 0);
	lab_settle(v1);
	lab_settle(v2);
	lab_expect(v2, .call = "getppid", .count = 10);
	/* It came to this one in the midst of its read. */
	lab_expect(v2, .call = "read", .count = 1, .bytes = 1);
	lab_expect(v1, .call = "getppid", .count = 10);
	lab_expect(v1, .call = "read");
	lab_expect(v1, .call = "exit_group", .count = 1);
	lab_close(v1);
	lab_close(v2);
	close(fds[0]);
	close(fds[1]);
}

/* ---- nested groups: a call belongs to the innermost ---- */

#define DEPTH 5

static void check_nested(bool v1)
{
	struct lab *lab = open_hierarchy(v1);
	struct lab_group *groups[DEPTH] = { lab_group(lab) };

	for (int i = 1; i < DEPTH; i++)
		groups[i] = lab_group_new(lab, groups[i - 1], "nested");
	for (unsigned i = 0; i < DEPTH; i++)
		run_in(lab, groups[i], 10 + i);
	lab_settle(lab);
	for (unsigned i = 0; i < DEPTH; i++) {
		lab_expect(lab, .call = "getppid", .group = groups[i], .count = 10 + i);
		lab_expect(lab, .call = "exit_group", .group = groups[i], .count = 1);
	}
	lab_close(lab);
}

static void nested_groups_of_v2(void **state)
{
	check_nested(false);
}

static void nested_groups_of_v1(void **state)
{
	check_nested(true);
}

/* ---- F35: the cgroup at entry owns the call ---- */

static void mover(void *data)
{
	const struct lab_group *to = data;
	char path[512];
	int fd;

	victim_call_often(SYS_getppid, 3);
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", to->path);
	fd = open(path, O_WRONLY);
	victim_check(syscall(SYS_write, fd, "0\n", 2) == 2);
	victim_call_often(SYS_getppid, 10);
}

static void check_moving(bool v1)
{
	struct lab *lab = open_hierarchy(v1);
	struct lab_group *old = lab_group(lab);
	struct lab_group *new = lab_group_new(lab, NULL, "new");

	(void)lab_run(lab, mover, new);
	lab_expect(lab, .call = "write", .group = old, .count = 1, .bytes = 2);
	lab_expect(lab, .call = "write", .group = new);
	lab_expect(lab, .call = "getppid", .group = old, .count = 3);
	lab_expect(lab, .call = "getppid", .group = new, .count = 10);
	lab_expect(lab, .call = "exit_group", .group = old);
	lab_expect(lab, .call = "exit_group", .group = new, .count = 1);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

static void f35_moving_itself_in_v2(void **state)
{
	check_moving(false);
}

static void f35_moving_itself_in_v1(void **state)
{
	check_moving(true);
}

static void f35_moved_within_a_call(void **state)
{
	struct lab *lab = *state;
	struct lab_group *old = lab_group(lab);
	struct lab_group *new = lab_group_new(lab, NULL, "new");
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = lab_start_in(old, gated_victim, fds);
	lab_wait_blocked(pid, pid, SYS_read);
	lab_group_join(new, pid);
	assert_int_equal(write(fds[1], "", 1), 1);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "read", .group = old, .count = 1, .bytes = 1);
	lab_expect(lab, .call = "read", .group = new);
	lab_expect(lab, .call = "getppid", .group = new, .count = 10);
	lab_expect(lab, .call = NULL, .group = old, .count = 1, .bytes = 1);
	close(fds[0]);
	close(fds[1]);
}

/* To and fro, as often as the folds need to keep the books apart. */
static void f35_to_and_fro(void **state)
{
	struct lab *lab = *state;
	struct lab_group *groups[2] = { lab_group(lab), lab_group_new(lab, NULL, "other") };
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	for (int round = 0; round < 20; round++) {
		pid = lab_start_in(groups[round % 2], gated_victim, fds);
		lab_wait_blocked(pid, pid, SYS_read);
		lab_group_join(groups[(round + 1) % 2], pid);
		assert_int_equal(write(fds[1], "", 1), 1);
		lab_reap(lab, pid, 0);
	}
	lab_settle(lab);
	for (int i = 0; i < 2; i++) {
		lab_expect(lab, .call = "read", .group = groups[i], .count = 10, .bytes = 10);
		lab_expect(lab, .call = "getppid", .group = groups[i], .count = 100);
	}
	close(fds[0]);
	close(fds[1]);
}

/* ---- F40: a call ends after its cgroup is gone ---- */

static void pausing_victim(void *data)
{
	(void)pause();
}

static void check_removed(bool v1)
{
	struct lab *lab = open_hierarchy(v1);
	struct lab_group *group = lab_group_new(lab, NULL, "removed");
	struct snapshot snapshot;
	pid_t pid;

	lab_read(lab, NULL);
	pid = lab_start_in(group, pausing_victim, NULL);
	lab_wait_blocked(pid, pid, NR_PAUSE);
	usleep(100000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	lab_group_remove(group);
	assert_int_not_equal(access(group->path, F_OK), 0);

	/* All of it in this one interval, and nothing in the next. */
	lab_read(lab, &snapshot);
	lab_expect(lab, .call = CALL_PAUSE, .group = group, .pid = pid, .count = 1,
		   .interrupted = 1);
	lab_assert(lab, lab_sum(lab, .call = CALL_PAUSE).time_ns >= 100 * MS);
	lab_settle(lab);
	lab_expect(lab, .call = CALL_PAUSE, .group = group, .pid = pid, .count = 1,
		   .interrupted = 1);
	lab_close(lab);
}

static void f40_removed_in_v2(void **state)
{
	check_removed(false);
}

static void f40_removed_in_v1(void **state)
{
	check_removed(true);
}

/* ---- groups are announced as they come and go ---- */

struct announced {
	const char *name; /* its path ends so */
	uint64_t made_id;
	uint64_t removed_id;
	bool with_path;
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void on_made(uint64_t id, const char *path, void *data)
{
	struct announced *announced = data;

	if (!path || !ends_with(path, announced->name))
		return;
	announced->with_path = true;
	announced->made_id = id;
}

static void on_removed(uint64_t id, void *data)
{
	struct announced *announced = data;

	if (id == announced->made_id)
		announced->removed_id = id;
}

static void check_announced(bool v1)
{
	struct announced announced = { 0 };
	struct collector_events events = { on_made, on_removed, &announced };
	struct collector_options options = { 0 };
	struct collector *collector;
	struct collector_stats stats;
	char error[512], name[64], path[512];
	struct stat status;

	if (!lab_find_hierarchy(v1))
		lab_leave_out("cgroup %s is not mounted", v1 ? "v1" : "v2");
	lab_choose(lab_find_hierarchy(v1), &options);
	(void)snprintf(name, sizeof(name), "/cgscope-lab-announced-%d", getpid());
	(void)snprintf(path, sizeof(path), "%s%s", lab_find_hierarchy(v1)->path, name);
	announced.name = name;
	if (collector_open(&options, &events, &collector, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	collector_stats(collector, &stats);

	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(rmdir(path), 0);
	/* It lived for less than an interval, and its path is known all the same. */
	assert_int_equal(collector_poll(collector), 0);
	assert_int_equal(announced.with_path, stats.cgroup_paths);
	if (stats.cgroup_paths) {
		assert_int_equal(announced.made_id, status.st_ino);
		assert_int_equal(announced.removed_id, status.st_ino);
	}
	collector_close(collector);
}

static void f38_announced_in_v2(void **state)
{
	check_announced(false);
}

static void f38_announced_in_v1(void **state)
{
	check_announced(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f34_ids_of_v2),	   lab_test(f34_ids_of_v1),
		lab_test(f34_a_task_in_both),	   lab_test(nested_groups_of_v2),
		lab_test(nested_groups_of_v1),	   lab_test(f35_moving_itself_in_v2),
		lab_test(f35_moving_itself_in_v1), lab_test(f35_moved_within_a_call),
		lab_test(f35_to_and_fro),	   lab_test(f40_removed_in_v2),
		lab_test(f40_removed_in_v1),	   lab_test(f38_announced_in_v2),
		lab_test(f38_announced_in_v1),
	};

	return lab_main(tests, NULL);
}
