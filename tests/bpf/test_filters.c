/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is left out in the kernel: names (F30), PIDs, calls, cgroups (F35), and that a verdict which
 * changes while a call is under way makes no half call of it.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

static struct lab *open_with_comms(const char **names, size_t n)
{
	const struct string_list comms = { names, n };

	return lab_open(&(struct collector_options){ .comms = &comms });
}

/* ---- F30: -c compares the thread's own name and its process's ---- */

static void *worker(void *data)
{
	victim_check(prctl(PR_SET_NAME, "worker-x") == 0);
	victim_call_often(SYS_getppid, 1000);
	return data;
}

static void main_and_worker(void *data)
{
	pthread_t thread;

	victim_check(prctl(PR_SET_NAME, "mainproc") == 0);
	victim_check(pthread_create(&thread, NULL, worker, NULL) == 0);
	victim_check(pthread_join(thread, NULL) == 0);
	victim_call_often(SYS_getppid, 1000);
}

static void f30_by_process_name(void **state)
{
	const char *name = "mainproc";
	struct lab *lab = open_with_comms(&name, 1);

	(void)lab_run(lab, main_and_worker, NULL);
	lab_expect(lab, .call = "getppid", .count = 2000);
	lab_expect(lab, .call = "getppid", .comm = "mainproc", .count = 2000);
	lab_close(lab);
}

static void f30_by_thread_name(void **state)
{
	const char *name = "worker-x";
	struct lab *lab = open_with_comms(&name, 1);

	(void)lab_run(lab, main_and_worker, NULL);
	lab_expect(lab, .call = "getppid", .count = 1000);
	/* The row still has the process's name. */
	lab_expect(lab, .call = "getppid", .comm = "mainproc", .count = 1000);
	lab_expect(lab, .comm = "worker-x");
	lab_close(lab);
}

#define LONG_NAME "a-name-of-20-letters"

static void f30_long_name(void **state)
{
	const char *names[] = { "none-has-this", LONG_NAME };
	struct lab *lab = open_with_comms(names, N_ELEMENTS(names));
	char path[512], shown[COMM_LEN];

	(void)snprintf(shown, sizeof(shown), "%.15s", LONG_NAME);
	lab_helper_as(lab, "trivial", LONG_NAME, path);
	(void)lab_run(lab, victim_exec, path);
	lab_expect(lab, .call = "getppid", .comm = shown, .count = 3);
	lab_expect(lab, .call = "getppid", .count = 3);
	/* It belongs to the old name, which is not selected. */
	lab_expect(lab, .call = "execve");
	lab_close(lab);
}

#define NAMES_MAX 1024 /* of -c */

static void named_victim(void *name)
{
	victim_check(prctl(PR_SET_NAME, name) == 0);
	victim_call_often(SYS_getppid, 10);
}

/* As many as there may be; one that is not among them is not measured. */
static void f30_many_names(void **state)
{
	static char names[NAMES_MAX + 1][COMM_LEN];
	static const char *selected[NAMES_MAX];
	struct lab *lab;

	for (unsigned i = 0; i <= NAMES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "name-%u", i);
		if (i < NAMES_MAX)
			selected[i] = names[i];
	}
	lab = open_with_comms(selected, NAMES_MAX);
	for (unsigned i = 0; i <= NAMES_MAX; i += NAMES_MAX / 16)
		(void)lab_run(lab, named_victim, names[i]);
	(void)lab_run(lab, named_victim, names[NAMES_MAX - 1]);
	lab_expect(lab, .call = "getppid", .count = (16 + 1) * 10);
	lab_expect(lab, .call = "getppid", .comm = names[0], .count = 10);
	lab_expect(lab, .call = "getppid", .comm = names[NAMES_MAX - 1], .count = 10);
	lab_expect(lab, .comm = names[NAMES_MAX]);
	lab_close(lab);
}

/*
 * What is remembered of a verdict is a sum of the names. Names may be made up so that it comes out
 * alike: a bit that only moves to the top of a product, and is taken back by the next word.
 */
#define HUNTED "hunted-process"

struct colliding {
	char process[COMM_LEN];
	char thread[COMM_LEN];
};

static void *colliding_thread(void *data)
{
	const struct colliding *names = data;

	victim_check(prctl(PR_SET_NAME, names->thread) == 0);
	victim_call_often(SYS_getsid, 100);
	return NULL;
}

static void colliding_victim(void *data)
{
	struct colliding *names = data;
	pthread_t thread;

	victim_check(prctl(PR_SET_NAME, names->process) == 0);
	victim_check(pthread_create(&thread, NULL, colliding_thread, names) == 0);
	victim_check(pthread_join(thread, NULL) == 0);
}

static void hunted_victim(void *data)
{
	(void)data;
	victim_check(prctl(PR_SET_NAME, HUNTED) == 0);
	victim_call_often(SYS_getppid, 100);
}

static void f30_names_made_to_collide(void **state)
{
	const char *name = HUNTED;
	struct lab *lab = open_with_comms(&name, 1);
	struct colliding names = { HUNTED, HUNTED };

	names.thread[7] ^= '\x80';
	names.thread[11] ^= '\x80';
	names.process[7] ^= '\x80';
	names.process[3] ^= '\x80';
	(void)lab_run(lab, colliding_victim, &names);
	(void)lab_run(lab, hunted_victim, NULL);
	lab_expect(lab, .call = "getsid");
	lab_expect(lab, .call = "getppid", .count = 100);
	lab_close(lab);
}

/*
 * A main thread that changes its name while another thread enters calls: what is decided by one
 * name must not be remembered for the other.
 */
#define RENAMES lab_load(200000)

static unsigned renames_over;

static void *busy_thread(void *data)
{
	(void)data;
	victim_check(prctl(PR_SET_NAME, "worker-x") == 0);
	while (!__atomic_load_n(&renames_over, __ATOMIC_ACQUIRE))
		victim_call_often(SYS_getsid, 10);
	return NULL;
}

static void renaming_victim(void *data)
{
	pthread_t thread;

	(void)data;
	victim_check(pthread_create(&thread, NULL, busy_thread, NULL) == 0);
	for (int i = 0; i < RENAMES; i++)
		victim_check(prctl(PR_SET_NAME, i % 2 ? HUNTED : "not-selected") == 0);
	__atomic_store_n(&renames_over, 1, __ATOMIC_RELEASE);
	victim_check(pthread_join(thread, NULL) == 0);
}

static void hunted_with_a_worker(void *data)
{
	pthread_t thread;

	(void)data;
	victim_check(prctl(PR_SET_NAME, HUNTED) == 0);
	victim_check(pthread_create(&thread, NULL, worker, NULL) == 0);
	victim_check(pthread_join(thread, NULL) == 0);
}

static void f30_renamed_while_it_is_judged(void **state)
{
	const char *name = HUNTED;
	struct lab *lab = open_with_comms(&name, 1);

	(void)lab_run(lab, renaming_victim, NULL);
	(void)lab_run(lab, hunted_with_a_worker, NULL);
	lab_expect(lab, .call = "getppid", .count = 1000);
	lab_close(lab);
}

/* That cgscope leaves itself out says nothing of others of its name. */
static void f41_our_own_name(void **state)
{
	char name[COMM_LEN] = "";
	const char *names[] = { name };
	struct lab *lab;

	assert_int_equal(prctl(PR_GET_NAME, name), 0);
	lab = open_with_comms(names, 1);
	for (int i = 0; i < 10; i++)
		lab_read(lab, NULL);
	(void)lab_run(lab, main_and_worker, NULL);
	lab_expect(lab, .call = "prctl", .comm = name, .count = 1);
	lab_expect(lab, .call = "getppid");
	lab_close(lab);
}

/* ---- PIDs and calls ---- */

struct pids {
	unsigned *go;
	unsigned n;
};

static void pid_victim(void *data)
{
	const struct pids *pids = data;
	pid_t child;

	while (!__atomic_load_n(pids->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	victim_call_often(SYS_getppid, pids->n);
	child = fork();
	if (child == 0) {
		victim_call_often(SYS_getsid, 10);
		_exit(0);
	}
	victim_reap(child);
}

static void only_these_pids(void **state)
{
	struct lab *first = *state, *lab;
	struct pids pids = { .go = lab_shared(sizeof(*pids.go)), .n = 100 };
	int32_t selected[2];
	pid_t victims[3];

	for (int i = 0; i < 3; i++)
		victims[i] = lab_start(first, pid_victim, &pids);
	selected[0] = victims[0];
	selected[1] = victims[2];
	lab = lab_open(&(struct collector_options){ .pids = selected, .n_pids = 2 });
	lab_also(lab, lab_group(first));
	__atomic_store_n(pids.go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++)
		lab_reap(lab, victims[i], 0);
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .count = 200);
	lab_expect(lab, .call = "getppid", .pid = victims[0], .count = 100);
	lab_expect(lab, .call = "getppid", .pid = victims[2], .count = 100);
	/* A child is another process. */
	lab_expect(lab, .call = "getsid");
	lab_close(lab);
}

static int seccomp_deny(long nr)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = N_ELEMENTS(filter), .filter = filter };

	victim_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void calls_victim(void *data)
{
	victim_call_often(SYS_getppid, 100);
	victim_call_often(SYS_getsid, 10);
	victim_call_often(SYS_sched_yield, 50);
	victim_check(seccomp_deny(SYS_sched_yield) == 0);
	victim_call_often(SYS_sched_yield, 5);
	victim_call_often(SYS_getppid, 1);
	victim_check(seccomp_deny(SYS_getppid) == 0);
	victim_call_often(SYS_getppid, 3);
}

static void only_these_calls(void **state)
{
	const char *items[] = { "getppid", "getsid" };
	const struct string_list syscalls = { items, N_ELEMENTS(items) };
	struct lab *lab = lab_open(&(struct collector_options){ .syscalls = &syscalls });

	(void)lab_run(lab, calls_victim, NULL);
	lab_expect(lab, .call = "getppid", .count = 101, .denied = 3);
	lab_expect(lab, .call = "getsid", .count = 10);
	lab_assert(lab, lab_sum(lab, .call = NULL).count == 111);
	lab_assert(lab, lab_sum(lab, .call = NULL).denied == 3);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

/* ---- verdicts that change between a call's ends ---- */

static void rename_then_denied(void *data)
{
	victim_check(prctl(PR_SET_NAME, "not-selected") == 0);
	victim_check(seccomp_deny(SYS_getppid) == 0);
	victim_call_often(SYS_getsid, 3);
	victim_check(prctl(PR_SET_NAME, "selected") == 0);
	victim_call_often(SYS_getppid, 2);
	victim_call_often(SYS_sched_yield, 1);
}

/* The call that makes the name is entered under the old one; what follows has the new one. */
static void f2_denied_first_under_a_selected_name(void **state)
{
	const char *name = "selected";
	struct lab *lab = open_with_comms(&name, 1);

	(void)lab_run(lab, rename_then_denied, NULL);
	lab_expect(lab, .call = "prctl");
	lab_expect(lab, .call = "getsid");
	lab_expect(lab, .call = "getppid", .denied = 2);
	lab_expect(lab, .call = "sched_yield", .count = 1);
	lab_close(lab);
}

#define CHILDREN 200

static void forks(void *data)
{
	bool deny = data != NULL;

	if (deny) {
		victim_check(seccomp_deny(SYS_getppid) == 0);
		victim_check(prctl(PR_SET_NAME, data) == 0);
	}
	for (int i = 0; i < CHILDREN; i++) {
		pid_t child = fork();

		if (child == 0) {
			if (deny)
				victim_call_often(SYS_getppid, 1);
			_exit(0);
		}
		victim_reap(child);
	}
}

/* Tasks get the memory of those that died before them. */
static void f3_denied_right_after_birth(void **state)
{
	const char *name = "selected";
	struct lab *lab = open_with_comms(&name, 1);

	for (int i = 0; i < 3; i++) {
		(void)lab_run(lab, forks, NULL);
		(void)lab_run(lab, forks, (void *)(uintptr_t)name);
	}
	lab_expect(lab, .call = "getppid", .denied = 3 * CHILDREN);
	lab_expect(lab, .call = "exit_group", .count = 3 * CHILDREN + 3);
	lab_close(lab);
}

/*
 * Many threads that wait together, and when they are woken all end a call and begin the next one:
 * what is remembered of skipped calls has to stand that.
 */
#define CROWD lab_load(3000)

static unsigned *crowd_round;

static void *crowd_member(void *data)
{
	unsigned seen = 0;

	for (;;) {
		(void)syscall(SYS_futex, crowd_round, FUTEX_WAIT, seen, NULL);
		seen = __atomic_load_n(crowd_round, __ATOMIC_ACQUIRE);
	}
	return data;
}

static void crowd_victim(void *data)
{
	pthread_attr_t attr;
	pthread_t thread;

	crowd_round = data;
	victim_check(prctl(PR_SET_NAME, "not-selected") == 0);
	victim_check(pthread_attr_init(&attr) == 0);
	victim_check(pthread_attr_setstacksize(&attr, 131072) == 0);
	for (int i = 0; i < CROWD; i++)
		victim_check(pthread_create(&thread, &attr, crowd_member, NULL) == 0);
	/* The word behind says that all are there. */
	__atomic_store_n(crowd_round + 1, 1, __ATOMIC_RELEASE);
	(void)crowd_member(NULL);
}

static pid_t crowd_start(struct lab *lab, const struct lab_group *group, unsigned *word)
{
	pid_t pid = lab_start_in(group, crowd_victim, word);

	lab_wait_for(lab, word + 1, 1);
	return pid;
}

static void crowd_wake(struct lab *lab, unsigned *word)
{
	for (int i = 0; i < 3; i++) {
		__atomic_add_fetch(word, 1, __ATOMIC_RELEASE);
		(void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL);
		lab_sleep_ms(lab, 100);
	}
}

#define MOVERS 30

static void move_victim(void *data)
{
	const int *fds = data;
	char byte;

	victim_call_often(SYS_getsid, 1);
	victim_check(syscall(SYS_read, fds[0], &byte, 1) == 1);
	victim_call_often(SYS_getppid, 1);
}

static void f35_moved_out_of_an_excluded_cgroup(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .filter_cgroups = true });
	struct lab_group *excluded = lab_group_new(lab, NULL, "excluded");
	struct lab_group *wanted = lab_group_new(lab, NULL, "wanted");
	unsigned *word = lab_shared(2 * sizeof(*word));
	pid_t crowd, movers[MOVERS];
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(collector_exclude_cgroup(lab_collector(lab), excluded->id), 0);
	crowd = crowd_start(lab, excluded, word);
	for (int i = 0; i < MOVERS; i++)
		movers[i] = lab_start_in(excluded, move_victim, fds);
	for (int i = 0; i < MOVERS; i++)
		lab_wait_blocked(movers[i], movers[i], SYS_read);
	for (int i = 0; i < MOVERS; i++)
		lab_group_join(wanted, movers[i]);
	crowd_wake(lab, word);
	for (int i = 0; i < MOVERS; i++)
		assert_int_equal(write(fds[1], "", 1), 1);
	for (int i = 0; i < MOVERS; i++)
		lab_reap(lab, movers[i], 0);
	assert_int_equal(kill(crowd, SIGKILL), 0);
	lab_reap(lab, crowd, SIGKILL);
	lab_settle(lab);

	lab_expect(lab, .call = NULL, .group = excluded);
	lab_expect(lab, .call = "getsid");
	lab_expect(lab, .call = "read"); /* was entered where nobody looks */
	lab_expect(lab, .call = "getppid", .group = wanted, .count = MOVERS);
	lab_expect(lab, .call = "exit_group", .group = wanted, .count = MOVERS);
	lab_close(lab);
	close(fds[0]);
	close(fds[1]);
}

struct renamed {
	int rename[2]; /* a byte for each to be renamed */
	int wake[2];   /* a byte for each to return */
	unsigned *n_renamed;
	pid_t main_tid;
};

/* Names the main thread while that is in a call. */
static void *rename_main(void *data)
{
	const struct renamed *how = data;
	char path[64], byte;
	int fd;

	/* This thread still has the selected name: no read, for that is what the main one is in. */
	victim_check(syscall(SYS_readv, how->rename[0], &(struct iovec){ &byte, 1 }, 1) == 1);
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/comm", how->main_tid);
	fd = open(path, O_WRONLY);
	victim_check(write(fd, "selected", 8) == 8);
	__atomic_add_fetch(how->n_renamed, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void renamed_victim(void *data)
{
	struct renamed how = *(struct renamed *)data;
	pthread_t thread;
	char byte;

	how.main_tid = gettid();
	victim_check(prctl(PR_SET_NAME, "selected") == 0);
	victim_call_often(SYS_getsid, 1);
	victim_check(pthread_create(&thread, NULL, rename_main, &how) == 0);
	victim_check(prctl(PR_SET_NAME, "not-selected") == 0);
	victim_call_often(SYS_getppid, 1);
	victim_check(syscall(SYS_read, how.wake[0], &byte, 1) == 1);
	victim_call_often(SYS_sched_yield, 1);
	_exit(0);
}

static void f30_renamed_within_a_call(void **state)
{
	const char *name = "selected";
	struct lab *lab = open_with_comms(&name, 1);
	struct renamed how;
	unsigned *word = lab_shared(2 * sizeof(*word));
	pid_t crowd, victims[MOVERS];

	assert_int_equal(pipe(how.rename), 0);
	assert_int_equal(pipe(how.wake), 0);
	how.n_renamed = lab_shared(sizeof(*how.n_renamed));
	crowd = crowd_start(lab, lab_group(lab), word);
	for (int i = 0; i < MOVERS; i++)
		victims[i] = lab_start(lab, renamed_victim, &how);
	for (int i = 0; i < MOVERS; i++)
		lab_wait_blocked(victims[i], victims[i], SYS_read);
	for (int i = 0; i < MOVERS; i++)
		assert_int_equal(write(how.rename[1], "", 1), 1);
	lab_wait_for(lab, how.n_renamed, MOVERS);
	crowd_wake(lab, word);
	for (int i = 0; i < MOVERS; i++)
		assert_int_equal(write(how.wake[1], "", 1), 1);
	for (int i = 0; i < MOVERS; i++)
		lab_reap(lab, victims[i], 0);
	assert_int_equal(kill(crowd, SIGKILL), 0);
	lab_reap(lab, crowd, SIGKILL);
	lab_settle(lab);

	lab_expect(lab, .call = "getsid", .count = MOVERS);
	lab_expect(lab, .call = "getppid");
	lab_expect(lab, .call = "read"); /* was entered under the other name */
	lab_expect(lab, .call = "sched_yield", .count = MOVERS);
	lab_close(lab);
	for (int i = 0; i < 2; i++) {
		close(how.rename[i]);
		close(how.wake[i]);
	}
}

/* ---- cgroups that come and go from the list ---- */

static void group_victim(void *data)
{
	victim_call_often(SYS_getppid, *(unsigned *)data);
}

static void excluded_and_included(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .filter_cgroups = true });
	struct lab_group *group = lab_group(lab);
	struct lab_group *nested = lab_group_new(lab, group, "nested");
	static const unsigned counts[] = { 1, 10, 100, 1000 };
	unsigned n;

	n = counts[0];
	(void)lab_run(lab, group_victim, &n);
	assert_int_equal(collector_exclude_cgroup(lab_collector(lab), group->id), 0);
	/* Twice is as good as once. */
	assert_int_equal(collector_exclude_cgroup(lab_collector(lab), group->id), 0);
	n = counts[1];
	(void)lab_run(lab, group_victim, &n);
	/* Each group is judged by itself. */
	lab_reap(lab, lab_start_in(nested, group_victim, &n), 0);
	assert_int_equal(collector_include_cgroup(lab_collector(lab), group->id), 0);
	n = counts[2];
	(void)lab_run(lab, group_victim, &n);
	assert_int_equal(collector_exclude_cgroup(lab_collector(lab), group->id), 0);
	n = counts[3];
	(void)lab_run(lab, group_victim, &n);
	lab_expect(lab, .call = "getppid", .group = group, .count = counts[0] + counts[2]);
	lab_expect(lab, .call = "getppid", .group = nested, .count = counts[1]);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

/*
 * Verdicts are remembered by what they were made from, the generation of the filters among it: one
 * of an earlier generation must pass for no other cgroup's in a later one, however alike their ids.
 */
#define NEIGHBOURS  8
#define GENERATIONS lab_load(2000)

struct generations {
	unsigned *now;
	unsigned *n_seen; /* one for each victim */
	unsigned n;
};

static void one_call_each(const struct generations *generations, unsigned victim, long nr)
{
	for (unsigned i = 1; i <= generations->n; i++) {
		while (__atomic_load_n(generations->now, __ATOMIC_ACQUIRE) < i)
			(void)syscall(SYS_sched_yield);
		(void)syscall(nr);
		__atomic_store_n(&generations->n_seen[victim], i, __ATOMIC_RELEASE);
	}
}

static void wanted_victim(void *data)
{
	one_call_each(data, NEIGHBOURS, SYS_getppid);
}

static unsigned neighbour_index;

static void neighbour_victim(void *data)
{
	one_call_each(data, neighbour_index, SYS_getsid);
}

static void next_generation(struct lab *lab, const struct generations *generations)
{
	const uint64_t nobody = UINT64_MAX;

	assert_int_equal(collector_exclude_cgroup(lab_collector(lab), nobody), 0);
	assert_int_equal(collector_include_cgroup(lab_collector(lab), nobody), 0);
	__atomic_add_fetch(generations->now, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i <= NEIGHBOURS; i++) {
		while (__atomic_load_n(&generations->n_seen[i], __ATOMIC_ACQUIRE) <
		       *generations->now)
			(void)syscall(SYS_sched_yield);
	}
}

static void verdicts_of_other_generations(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .filter_cgroups = true });
	struct generations generations = {
		.now = lab_shared(sizeof(unsigned)),
		.n_seen = lab_shared((NEIGHBOURS + 1) * sizeof(unsigned)),
		.n = (unsigned)GENERATIONS,
	};
	struct lab_group *wanted = NULL;
	pid_t victims[NEIGHBOURS + 1];

	for (neighbour_index = 0; neighbour_index < NEIGHBOURS; neighbour_index++) {
		struct lab_group *group;
		char name[32];

		if (neighbour_index == NEIGHBOURS / 2)
			wanted = lab_group_new(lab, NULL, "wanted");
		(void)snprintf(name, sizeof(name), "neighbour-%u", neighbour_index);
		group = lab_group_new(lab, NULL, name);
		assert_int_equal(collector_exclude_cgroup(lab_collector(lab), group->id), 0);
		victims[neighbour_index] = lab_start_in(group, neighbour_victim, &generations);
	}
	victims[NEIGHBOURS] = lab_start_in(wanted, wanted_victim, &generations);
	for (unsigned i = 0; i < generations.n; i++) {
		next_generation(lab, &generations);
		if (i % 64 == 0)
			lab_read(lab, NULL);
	}
	for (unsigned i = 0; i <= NEIGHBOURS; i++)
		lab_reap(lab, victims[i], 0);
	lab_settle(lab);

	lab_expect(lab, .call = "getppid", .group = wanted, .count = generations.n);
	lab_expect(lab, .call = "getsid");
	lab_close(lab);
}

/*
 * One that was there before us, and of whose kind others have been left out: it leaves no record,
 * and its first exit alone is no call from before us.
 */
struct hunted {
	unsigned ready;
	unsigned go;
};

static void hunted_before_us(void *data)
{
	struct hunted *hunted = data;

	victim_check(seccomp_deny(SYS_getsid) == 0);
	__atomic_store_n(&hunted->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&hunted->go, __ATOMIC_ACQUIRE))
		;
	victim_check(prctl(PR_SET_NAME, HUNTED) == 0);
	victim_call_often(SYS_getsid, 1);
	victim_call_often(SYS_getppid, 3);
	victim_call_often(SYS_getsid, 1);
}

static void left_out_victim(void *data)
{
	(void)data;
	victim_call_often(SYS_getuid, 10);
}

static void f2_denied_first_of_one_left_out(void **state)
{
	struct hunted *hunted = lab_shared(sizeof(*hunted));
	struct lab *first = lab_open(&(struct collector_options){ 0 });
	const char *name = HUNTED;
	struct lab *lab;
	pid_t pid = lab_start(first, hunted_before_us, hunted);

	lab_wait_for(first, &hunted->ready, 1);
	lab = open_with_comms(&name, 1);
	lab_also(lab, lab_group(first));
	(void)lab_run(lab, left_out_victim, NULL);
	__atomic_store_n(&hunted->go, 1, __ATOMIC_RELEASE);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "getsid", .denied = 2);
	lab_expect(lab, .call = "getppid", .count = 3);
	lab_expect(lab, .call = "getuid");
	lab_expect(lab, .call = "prctl");
	lab_expect_nothing_lost(lab);
	lab_close(lab);
	lab_close(first);
}

/*
 * ---- F1: a TID whose last owner left it in a call that was skipped ----
 *
 * Where a task's birth ends its parent's clone (x86-64) that takes the note down.
 */

#define LAST_PID "/proc/sys/kernel/ns_last_pid"

struct left_tid {
	pid_t tid;
	unsigned forks; /* of which the last one has it */
};

static struct left_tid *left_tid; /* shared */

/* The exec ends as a call of the main thread: nothing ends under this TID. */
static void *leave_tid(void *path)
{
	left_tid->tid = gettid();
	victim_call_often(SYS_getppid, 3);
	victim_exec(path);
	return NULL;
}

static void leaving_victim(void *path)
{
	pthread_t thread;

	victim_check(prctl(PR_SET_NAME, "not-selected") == 0);
	victim_check(pthread_create(&thread, NULL, leave_tid, path) == 0);
	(void)pthread_join(thread, NULL);
}

static void inheriting_victim(void *data)
{
	int last_pid = open(LAST_PID, O_WRONLY | O_CLOEXEC);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t child;

	(void)data;
	victim_check(last_pid >= 0 && null >= 0);
	victim_check(prctl(PR_SET_NAME, "selected") == 0);
	do {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", left_tid->tid - 1);

		victim_check(++left_tid->forks < 1000);
		victim_check(pwrite(last_pid, text, (size_t)n, 0) == n);
		/* The C library's fork would make a call in the child before ours. */
		child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (child == 0) {
			victim_check(write(null, "12345", 5) == 5);
			_exit(0);
		}
		victim_reap(child);
	} while (child != left_tid->tid);
}

static void f1_tid_left_in_a_skipped_call(void **state)
{
	const char *name = "selected";
	char path[512];
	struct lab *lab;

	if (access(LAST_PID, W_OK) < 0)
		lab_leave_out("no " LAST_PID ", to give out a TID again");
	left_tid = lab_shared(sizeof(*left_tid));
	lab_helper("trivial", path);
	lab = open_with_comms(&name, 1);
	(void)lab_run(lab, leaving_victim, path);
	(void)lab_run(lab, inheriting_victim, NULL);
	lab_expect(lab, .call = "getppid");
	lab_expect(lab, .call = "write", .count = left_tid->forks, .bytes = 5 * left_tid->forks);
	lab_expect(lab, .call = "write", .pid = left_tid->tid, .count = 1, .bytes = 5);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f30_by_process_name),
		lab_test(f30_by_thread_name),
		lab_test(f30_long_name),
		lab_test(f30_many_names),
		lab_test(f30_names_made_to_collide),
		lab_test(f30_renamed_while_it_is_judged),
		lab_test(f41_our_own_name),
		lab_test(only_these_pids),
		lab_test(only_these_calls),
		lab_test(f2_denied_first_under_a_selected_name),
		lab_test(f2_denied_first_of_one_left_out),
		lab_test(f3_denied_right_after_birth),
		lab_test(f35_moved_out_of_an_excluded_cgroup),
		lab_test(f30_renamed_within_a_call),
		lab_test(f1_tid_left_in_a_skipped_call),
		lab_test(excluded_and_included),
		lab_test(verdicts_of_other_generations),
	};

	return lab_main(tests, NULL);
}
