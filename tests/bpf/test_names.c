/* SPDX-License-Identifier: BSD-2-Clause */
/* Who makes a call: facts F30 to F33. What -c has to do with names is in test_filters.c. */
#include "lab.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The inode of the initial PID namespace is part of the kernel's ABI (PROC_PID_INIT_INO). */
static void need_initial_pid_namespace(void)
{
	struct stat status;

	if (stat("/proc/self/ns/pid", &status) < 0 || status.st_ino != 0xeffffffc)
		lab_leave_out("PIDs of the initial namespace: the test is in another one");
}

static void set_name(const char *name)
{
	victim_check(prctl(PR_SET_NAME, name) == 0);
}

/* ---- F30: the main thread's name, as of the entry ---- */

static void *worker(void *data)
{
	set_name("worker-x");
	victim_call_often(SYS_getppid, 1000);
	return data;
}

static void threads_victim(void *data)
{
	pthread_t thread;

	set_name("mainproc");
	victim_check(pthread_create(&thread, NULL, worker, NULL) == 0);
	victim_check(pthread_join(thread, NULL) == 0);
	victim_call_often(SYS_getppid, 500);
}

static void f30_rows_have_the_process_name(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, threads_victim, NULL);
	lab_expect(lab, .call = "getppid", .comm = "mainproc", .count = 1500);
	lab_expect(lab, .call = "getppid", .count = 1500);
	lab_expect(lab, .comm = "worker-x");
	/* Entered under the old name. */
	lab_expect(lab, .call = "prctl", .comm = "test_names", .count = 1);
	lab_expect(lab, .call = "prctl", .comm = "mainproc", .count = 1);
}

static void f30_rows_of_threads(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .by_thread = true });
	pid_t pid = lab_run(lab, threads_victim, NULL);

	(void)state;
	lab_expect(lab, .call = "getppid", .tid = pid, .comm = "mainproc",
		   .thread_comm = "mainproc", .count = 500);
	lab_expect(lab, .call = "getppid", .comm = "mainproc", .thread_comm = "worker-x",
		   .count = 1000);
	lab_expect(lab, .call = "getppid", .pid = pid, .count = 1500);
	lab_close(lab);
}

static void renaming_victim(void *data)
{
	char name[COMM_LEN];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "name-%d", i % 10);
		set_name(name);
		victim_call_often(SYS_getppid, (unsigned)i % 10 + 1);
	}
}

static void f30_a_new_name_is_a_new_row(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_run(lab, renaming_victim, NULL);
	char name[COMM_LEN];

	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "name-%u", i);
		lab_expect(lab, .call = "getppid", .pid = pid, .comm = name, .count = 10 * (i + 1));
	}
	lab_assert(lab, lab_n_rows(lab, .call = "getppid") == 10);
}

static void exec_chain_victim(void *path)
{
	set_name("before-exec");
	victim_call_often(SYS_getsid, 1);
	victim_exec(path);
}

static void f30_exec_belongs_to_the_old_name(void **state)
{
	struct lab *lab = *state;
	char path[512];

	lab_helper("trivial", path);
	(void)lab_run(lab, exec_chain_victim, path);
	lab_expect(lab, .call = "execve", .comm = "before-exec", .count = 1);
	lab_expect(lab, .call = "getsid", .comm = "before-exec", .count = 1);
	lab_expect(lab, .call = "getppid", .comm = "trivial", .count = 3);
	lab_expect(lab, .call = "exit_group", .comm = "trivial", .count = 1);
	lab_assert(lab, lab_sum(lab, .comm = "trivial").count == 4);
}

/* The main thread's own name as well, although it has the new one when its record is folded. */
static void f30_exec_belongs_to_the_old_thread_name(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .by_thread = true });
	char path[512];

	(void)state;
	lab_helper("trivial", path);
	(void)lab_run(lab, exec_chain_victim, path);
	lab_expect(lab, .call = "execve", .thread_comm = "before-exec", .count = 1);
	lab_expect(lab, .call = "getsid", .thread_comm = "before-exec", .count = 1);
	lab_expect(lab, .call = "getppid", .thread_comm = "trivial", .count = 3);
	lab_close(lab);
}

static void f30_long_names_are_cut(void **state)
{
	struct lab *lab = *state;
	char path[512];

	lab_helper_as(lab, "trivial", "a-name-of-20-letters", path);
	(void)lab_run(lab, victim_exec, path);
	lab_expect(lab, .call = "getppid", .comm = "a-name-of-20-le", .count = 3);
}

/* ---- F31: names are any bytes ---- */

#define F31_NAMES 1000

/* 15 of them, none of them NUL, and each name another. */
static void any_bytes(unsigned i, char ret_name[static COMM_LEN])
{
	unsigned random = i + 1;

	for (int k = 0; k < COMM_LEN - 1; k++)
		ret_name[k] = (char)(1 + rand_r(&random) % 255);
	ret_name[0] = (char)(1 + i % 255);
	ret_name[1] = (char)(1 + i / 255);
	ret_name[COMM_LEN - 1] = '\0';
}

static void bytes_victim(void *data)
{
	char name[COMM_LEN];

	for (unsigned i = 0; i < F31_NAMES; i++) {
		any_bytes(i, name);
		set_name(name);
		victim_call_often(SYS_getppid, 1);
	}
}

static void f31_any_bytes(void **state)
{
	struct lab *lab = *state;
	char name[COMM_LEN];

	(void)lab_run(lab, bytes_victim, NULL);
	lab_assert(lab, lab_n_rows(lab, .call = "getppid") == F31_NAMES);
	for (unsigned i = 0; i < F31_NAMES; i++) {
		any_bytes(i, name);
		lab_expect(lab, .call = "getppid", .comm = name, .count = 1);
	}
	lab_expect_nothing_lost(lab);
}

/* ---- F32: a PID has several lives ---- */

struct lives {
	unsigned first_calls;
	unsigned second_calls;
	const char *first_name;
	const char *second_name;
	pid_t *pid; /* shared */
};

static pid_t clone_with_pid(pid_t pid)
{
	struct clone_args args;

	memset(&args, 0, sizeof(args));
	args.exit_signal = SIGCHLD;
	args.set_tid = (uintptr_t)&pid;
	args.set_tid_size = 1;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Others may take the PID first: then all is done again with another. */
static bool live_twice(const struct lives *lives)
{
	pid_t pid = fork(), again;

	if (pid == 0) {
		set_name(lives->first_name);
		victim_call_often(SYS_getppid, lives->first_calls);
		_exit(0);
	}
	victim_reap(pid);
	*lives->pid = pid;
	again = clone_with_pid(pid);
	if (again == 0) {
		set_name(lives->second_name);
		victim_call_often(SYS_getppid, lives->second_calls);
		_exit(0);
	}
	if (again < 0) {
		victim_check(errno == EEXIST);
		return false;
	}
	victim_check(again == pid);
	victim_reap(again);
	return true;
}

static void lives_victim(void *data)
{
	for (int i = 0; i < 100; i++) {
		if (live_twice(data))
			return;
	}
	victim_fail(__FILE__, __LINE__, "no PID is free for a second time");
}

static pid_t run_lives(struct lab *lab, const char *first_name, const char *second_name)
{
	struct lives lives = {
		.first_calls = 10,
		.second_calls = 200,
		.first_name = first_name,
		.second_name = second_name,
		.pid = lab_shared(sizeof(*lives.pid)),
	};
	pid_t pid = lab_start(lab, lives_victim, &lives);

	/* All within one interval. */
	lab_wait_dead(pid);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	return *lives.pid;
}

static void f32_two_lives_of_a_pid(void **state)
{
	struct lab *lab = *state;
	pid_t pid;

	need_initial_pid_namespace();
	pid = run_lives(lab, "first-life", "second-life");
	lab_expect(lab, .call = "getppid", .pid = pid, .comm = "first-life", .count = 10);
	lab_expect(lab, .call = "getppid", .pid = pid, .comm = "second-life", .count = 200);
	lab_assert(lab, lab_n_rows(lab, .call = "getppid", .pid = pid) == 2);
}

/* Only the time of their birth tells them apart. */
static void f32_two_lives_of_a_name(void **state)
{
	struct lab *lab = *state;
	pid_t pid;

	need_initial_pid_namespace();
	pid = run_lives(lab, "same-name", "same-name");
	lab_expect(lab, .call = "getppid", .pid = pid, .comm = "same-name", .count = 210);
	lab_assert(lab, lab_n_rows(lab, .call = "getppid", .pid = pid) == 2);
}

/* ---- F33: a process has a PID in every namespace ---- */

struct spaces {
	pid_t pid; /* as its parent knows it */
	unsigned depth;
};

static pid_t clone_into_new_namespace(void)
{
	struct clone_args args;

	memset(&args, 0, sizeof(args));
	args.flags = CLONE_NEWPID;
	args.exit_signal = SIGCHLD;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void namespace_victim(void *data)
{
	struct spaces *spaces = data;

	for (unsigned i = 0; i < spaces->depth; i++) {
		pid_t pid = clone_into_new_namespace();

		victim_check(pid >= 0);
		if (pid) {
			if (i == 0)
				spaces->pid = pid;
			victim_reap(pid);
			return;
		}
	}
	set_name("in-namespace");
	victim_call_often(SYS_getppid, 5);
}

static const struct snapshot_row *find_row(const struct snapshot *snapshot, uint64_t cgroup_id,
					   const char *comm, uint32_t nr)
{
	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];

		if (row->task->cgroup_id == cgroup_id && row->nr == nr &&
		    strcmp(row->task->process_comm, comm) == 0)
			return row;
	}
	return NULL;
}

/* Runs @victim, which calls itself @comm, and leaves it to lab_reap(). Its row is @ret's. */
static const struct snapshot_row *run_in_namespaces(struct lab *lab, lab_victim victim,
						    struct spaces *spaces, const char *comm,
						    struct snapshot *ret, pid_t *ret_pid)
{
	const struct snapshot_row *row;

	*ret_pid = lab_start(lab, victim, spaces);
	lab_wait_dead(*ret_pid);
	lab_read(lab, ret);
	row = find_row(ret, lab_group(lab)->id, comm, SYS_getppid);
	assert_non_null(row);
	assert_int_equal(row->stats.count, 5);
	return row;
}

static void f33_pid_and_vpid(void **state)
{
	struct lab *lab = *state;

	need_initial_pid_namespace();
	for (unsigned depth = 1; depth <= 3; depth++) {
		struct spaces *spaces = lab_shared(sizeof(*spaces));
		const struct snapshot_row *row;
		struct snapshot snapshot;
		pid_t pid;

		spaces->depth = depth;
		row = run_in_namespaces(lab, namespace_victim, spaces, "in-namespace", &snapshot,
					&pid);
		assert_int_equal(row->task->vpid, 1);
		if (depth == 1)
			assert_int_equal(row->task->pid, spaces->pid);
		else
			assert_true(row->task->pid > spaces->pid);
		lab_reap(lab, pid, 0);
		lab_clear(lab);
	}
}

static void f33_the_same_outside(void **state)
{
	struct lab *lab = *state;
	const struct snapshot_row *row;
	struct snapshot snapshot;
	pid_t pid;

	need_initial_pid_namespace();
	pid = lab_start(lab, threads_victim, NULL);
	lab_wait_dead(pid);
	lab_read(lab, &snapshot);
	row = find_row(&snapshot, lab_group(lab)->id, "mainproc", SYS_getppid);
	assert_non_null(row);
	assert_int_equal(row->task->pid, pid);
	assert_int_equal(row->task->vpid, pid);
	assert_int_equal(row->task->tid, 0);
	lab_reap(lab, pid, 0);
}

static void unshare_victim(void *data)
{
	struct spaces *spaces = data;
	pid_t pid;

	victim_check(unshare(CLONE_NEWPID) == 0);
	set_name("unshared");
	if (spaces->depth == 0) {
		victim_call_often(SYS_getppid, 5);
		return;
	}
	spaces->depth--;
	pid = fork();
	if (pid == 0) {
		unshare_victim(spaces);
		return;
	}
	victim_reap(pid);
}

/* Whose children will be in another namespace is not in it. */
static void f33_own_namespace_and_the_childrens(void **state)
{
	struct lab *lab = *state;

	need_initial_pid_namespace();
	for (unsigned depth = 0; depth <= 2; depth++) {
		struct spaces *spaces = lab_shared(sizeof(*spaces));
		const struct snapshot_row *row;
		struct snapshot snapshot;
		pid_t pid;

		spaces->depth = depth;
		row = run_in_namespaces(lab, unshare_victim, spaces, "unshared", &snapshot, &pid);
		assert_int_equal(row->task->vpid, depth ? 1 : pid);
		lab_reap(lab, pid, 0);
		lab_clear(lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f30_rows_have_the_process_name),
		lab_test(f30_rows_of_threads),
		lab_test(f30_a_new_name_is_a_new_row),
		lab_test(f30_exec_belongs_to_the_old_name),
		lab_test(f30_exec_belongs_to_the_old_thread_name),
		lab_test(f30_long_names_are_cut),
		lab_test(f31_any_bytes),
		lab_test(f32_two_lives_of_a_pid),
		lab_test(f32_two_lives_of_a_name),
		lab_test(f33_pid_and_vpid),
		lab_test(f33_the_same_outside),
		lab_test(f33_own_namespace_and_the_childrens),
	};

	return lab_main(tests, NULL);
}
