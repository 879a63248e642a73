/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * More tasks than CPUs, each of which is preempted at any point: from 7.2 on also inside our
 * programs, which the kernel then leaves out for all others on that CPU. Whatever it leaves out,
 * what is reported and what is lost come to the truth, call by call.
 *
 * The load has a CPU to itself, since losses cannot be told apart by whose they are: on such
 * kernels the machine should have little else to do meanwhile, and one that is the test's own has
 * all others kept off that CPU.
 */
#include "lab.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPINNERS 8
#define FORKERS	 4
#define CALLS	 lab_load(100000) /* of each spinner */
#define FORKS	 lab_load(2000)	  /* of each forker */

enum guard {
	GUARD_NONE,
	GUARD_BY_NUMBER,   /* a seccomp filter that lets calls pass whatever their arguments */
	GUARD_BY_ARGUMENT, /* one that looks at them, and lets all pass */
};

struct load {
	cpu_set_t cpu;
	int go[2];
	enum guard guard;
	int n_calls;
	int n_forks;
};

/* The C library's makes other calls beside. */
static pid_t plain_fork(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* Sanitizers make _exit() more than this one call. */
_Noreturn static void plain_exit(void)
{
	(void)syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

static void plain_wait(void)
{
	victim_check(syscall(SYS_wait4, -1, NULL, 0, NULL) > 0);
}

static void spin(const struct load *load)
{
	for (int i = 0; i < load->n_calls; i++)
		(void)syscall(SYS_getppid);
}

static void fork_often(const struct load *load)
{
	for (int i = 0; i < load->n_forks; i++) {
		if (plain_fork() == 0) {
			(void)syscall(SYS_getppid);
			plain_exit();
		}
		plain_wait();
	}
}

/* One prctl and one seccomp. */
static void take_a_guard(enum guard guard)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	unsigned first = guard == GUARD_BY_NUMBER ? 1 : 0;
	struct sock_fprog program = {
		.len = (unsigned short)(N_ELEMENTS(filter) - first),
		.filter = filter + first,
	};

	victim_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	victim_check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static void load_victim(void *data)
{
	const struct load *load = data;

	char byte;

	victim_check(syscall(SYS_sched_setaffinity, 0, sizeof(load->cpu), &load->cpu) == 0);
	victim_check(syscall(SYS_read, load->go[0], &byte, 1) == 1);
	if (load->guard)
		take_a_guard(load->guard);
	for (int i = 0; i < SPINNERS + FORKERS; i++) {
		if (plain_fork() == 0) {
			if (i < SPINNERS)
				spin(load);
			else
				fork_often(load);
			plain_exit();
		}
	}
	for (int i = 0; i < SPINNERS + FORKERS; i++)
		plain_wait();
}

static uint64_t calls_of(const struct load *load)
{
	uint64_t spinner = (uint64_t)load->n_calls + 1;
	uint64_t forker = (uint64_t)load->n_forks * 4 + 1;

	return 2 + (load->guard ? 2 : 0) + (SPINNERS + FORKERS) * 2 + 1 + SPINNERS * spinner +
	       FORKERS * forker;
}

/* Their main threads, as far as they may be moved: a kernel thread makes no calls. */
static void move_all_processes(const cpu_set_t *cpus)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	assert_non_null(proc);
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0)
			(void)sched_setaffinity(pid, sizeof(*cpus), cpus);
	}
	closedir(proc);
}

static void run_load(struct lab *lab, enum guard guard)
{
	struct load load = { .guard = guard, .n_calls = CALLS, .n_forks = FORKS };
	bool own_machine = getenv("CGSCOPE_TEST_OWN_MACHINE");
	uint64_t truth = calls_of(&load), lost;
	struct call_stats sum;
	cpu_set_t all, others;
	int cpu = CPU_SETSIZE - 1;
	pid_t pid;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (CPU_COUNT(&all) < 2)
		lab_leave_out("there is one CPU, and the load is to have it to itself");
	while (!CPU_ISSET(cpu, &all))
		cpu--;
	CPU_ZERO(&load.cpu);
	CPU_SET(cpu, &load.cpu);
	others = all;
	CPU_CLR(cpu, &others);
	assert_int_equal(pipe(load.go), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(others), &others), 0);
	if (own_machine)
		move_all_processes(&others);
	pid = lab_start(lab, load_victim, &load);
	lab_wait_blocked(pid, pid, SYS_read);
	assert_int_equal(write(load.go[1], "", 1), 1);
	lab_reap(lab, pid, 0);
	lab_settle_late(lab);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	if (own_machine)
		move_all_processes(&all);
	close(load.go[0]);
	close(load.go[1]);

	sum = lab_sum(lab, .call = NULL);
	lost = lab_lost(lab, LOSS_RECURSION);
	(void)fprintf(stderr, "%ju calls, %ju counted, %ju lost, %ju denied\n", (uintmax_t)truth,
		      (uintmax_t)sum.count, (uintmax_t)lost, (uintmax_t)sum.denied);
	lab_assert(lab, sum.count + lost == truth);
	lab_assert(lab, sum.errors == 0 && sum.interrupted == 0);
	if (!lab_preempts_programs()) {
		/* What others lose in the ring meanwhile is none of ours. */
		lab_assert(lab, lost == 0);
		lab_assert(lab, sum.denied == 0);
		lab_expect(lab, .call = "getppid",
			   .count = SPINNERS * (uint64_t)CALLS + FORKERS * (uint64_t)FORKS);
		return;
	}
	lab_assert(lab, lost < truth / 4);
	/*
	 * Where a call may have been refused, one whose entry was left out passes for that, and is
	 * among the lost.
	 */
	lab_assert(lab, sum.denied <= (guard == GUARD_BY_ARGUMENT ? lost : 0));
}

static void f25_preempted(void **state)
{
	if (prctl(PR_GET_SECCOMP) != 0)
		lab_leave_out("a seccomp filter is on all that runs here");
	run_load(*state, GUARD_NONE);
}

static void f25_preempted_under_a_filter(void **state)
{
	run_load(*state, GUARD_BY_NUMBER);
}

static void f25_preempted_under_a_filter_of_arguments(void **state)
{
	run_load(*state, GUARD_BY_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f25_preempted),
		lab_test(f25_preempted_under_a_filter),
		lab_test(f25_preempted_under_a_filter_of_arguments),
	};

	return lab_main(tests, NULL);
}
