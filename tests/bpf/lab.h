/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A laboratory for the BPF programs: a collector, cgroups of its own, small programs that run in
 * them (victims), and the rows that came of those, summed up over all intervals. Rows of other
 * cgroups are not looked at, as the machine is in use by others.
 *
 * A victim is a function in a child process. It is in its cgroup before its first call, and
 * whatever it calls is asserted by equality, so it keeps to plain system calls.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <cmocka.h>

#include "src/collector.h"

#define EXIT_SKIP 77

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define MS 1000000ull /* in ns */

/* The generic table of system calls, which arm64 has, leaves out what newer calls can do. */
#ifdef SYS_pause
#define CALL_PAUSE "pause"
#define NR_PAUSE   SYS_pause
#else
#define CALL_PAUSE "ppoll"
#define NR_PAUSE   SYS_ppoll
#endif
#ifdef SYS_vfork
#define CALL_VFORK "vfork"
#else
#define CALL_VFORK "clone"
#endif

struct hierarchy {
	bool v1;
	uint32_t number;     /* 0 for v2 */
	char controller[32]; /* empty for v2 */
	char path[256];	     /* where it is mounted */
};

struct lab_group {
	char path[400];
	uint64_t id;
};

struct lab;

/*
 * The size of a load: @n, or only that divided by CGSCOPE_TEST_SCALE, as on emulated
 * machines. Not for what a test is about.
 */
int lab_load(int n);

/*
 * For main(): runs @tests with one collector for all of them, each with a new group, and returns
 * what to exit with. @options may be NULL: no filters, v2 if there is one.
 */
#define lab_main(tests, options) lab_main_(#tests, tests, N_ELEMENTS(tests), options)
int lab_main_(const char *name, const struct CMUnitTest *tests, size_t n_tests,
	      const struct collector_options *options);

#define lab_test(function)                                                                         \
	cmocka_unit_test_setup_teardown(function, lab_test_setup, lab_test_teardown)
int lab_test_setup(void **state);
int lab_test_teardown(void **state);

/* Says aloud that the running test cannot be done here, and why, and ends it. */
_Noreturn void lab_leave_out(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A laboratory of its own, for a test with options of its own; fails the test if it cannot be. */
struct lab *lab_open(const struct collector_options *options);
void lab_close(struct lab *lab);
struct collector *lab_collector(struct lab *lab);
const struct hierarchy *lab_hierarchy(const struct lab *lab);
/* Sets the hierarchy's fields of @options. */
void lab_choose(const struct hierarchy *hierarchy, struct collector_options *options);
/* v2, or the best controller of v1; NULL if that is not mounted here. */
const struct hierarchy *lab_find_hierarchy(bool v1);

/* The group that the victims are in unless told otherwise. */
struct lab_group *lab_group(struct lab *lab);
/* One more, below @parent or at the top. Removed with the test. */
struct lab_group *lab_group_new(struct lab *lab, const struct lab_group *parent, const char *name);
void lab_group_remove(struct lab_group *group);
/* Moves a process there. */
void lab_group_join(const struct lab_group *group, pid_t pid);
/* Rows of another lab's group count as ours. */
void lab_also(struct lab *lab, const struct lab_group *group);

/* A directory for the test's files, gone after it. */
const char *lab_directory(struct lab *lab);
/* A program that was built beside this one. */
void lab_helper(const char *name, char ret_path[static 512]);
/* The same under another name, and so with another comm, in lab_directory(). */
void lab_helper_as(struct lab *lab, const char *name, const char *as, char ret_path[static 512]);

typedef void (*lab_victim)(void *data);

/* Runs @victim in a new process in the lab's group, or in @group; it exits 0 after it. */
pid_t lab_start(struct lab *lab, lab_victim victim, void *data);
pid_t lab_start_in(const struct lab_group *group, lab_victim victim, void *data);
/* Reads until it has ended; fails the test unless it did with @status of waitpid(). */
void lab_reap(struct lab *lab, pid_t pid, int status);
/* Waits until it has ended, without reading, and leaves it to lab_reap(). */
void lab_wait_dead(pid_t pid);
/* Starts, reaps with status 0, and settles. Returns the PID that it had. */
pid_t lab_run(struct lab *lab, lab_victim victim, void *data);

/* Zeroed memory that victims and the test share, until the test's process ends. */
void *lab_shared(size_t size);
/* Waits until a victim has raised the shared @value to @at_least. */
void lab_wait_for(struct lab *lab, const unsigned *value, unsigned at_least);
/* Waits until the thread is blocked in call @nr. */
void lab_wait_blocked(pid_t pid, pid_t tid, long nr);
/* The only thread of @pid but the main one. */
pid_t lab_other_thread(pid_t pid);

/* In a victim, where cmocka's assertions have no meaning: exits with a message if it is not so. */
#define victim_check(condition)                                                                    \
	((condition) ? (void)0 : victim_fail(__FILE__, __LINE__, #condition))
_Noreturn void victim_fail(const char *file, int line, const char *condition);
/* Sleeps; a clock_nanosleep. */
void victim_sleep_ms(unsigned ms);
/* One call of NR_PAUSE, until a signal comes. */
void victim_pause(void);
/* @n calls of @nr with zeroes for arguments, and no others. */
void victim_call_often(long nr, unsigned n);
/* One rt_sigaction. */
void victim_handle(int signal, void (*handler)(int), int flags);
/* Never returns: one execve of @path, a string. */
void victim_exec(void *path);
/* One wait4; @pid must end with status 0. */
void victim_reap(pid_t pid);

/*
 * Ends an interval: adds its rows to the sums, and hands it out where @ret is not NULL. The rings
 * of other labs that are open are emptied as well.
 */
void lab_read(struct lab *lab, struct snapshot *ret);
/* Reads all the while. */
void lab_sleep_ms(struct lab *lab, unsigned ms);
/* Reads until no row of ours changes any more. */
void lab_settle(struct lab *lab);
/*
 * The same, and where programs may be preempted until what comes late by that is there as well: a
 * task whose end was left out is counted when it is freed, and what was missed is said to be lost
 * a second or two later.
 */
void lab_settle_late(struct lab *lab);
/* Forgets the sums. */
void lab_clear(struct lab *lab);

/* Which rows, and what they must come to: members that are not named mean any, and 0. */
struct lab_row {
	const char *call; /* "read"; of another ABI "read[ia32]" */
	const struct lab_group *group;
	const char *comm; /* the process's */
	const char *thread_comm;
	pid_t pid;
	pid_t tid;
	uint64_t count;
	uint64_t errors;
	uint64_t interrupted;
	uint64_t denied;
	uint64_t bytes;
};

/*
 * All of the rows that match must sum up to it. Calls that count have a latency, each one, except
 * exit and exit_group.
 */
#define lab_expect(lab, ...)                                                                       \
	lab_expect_(lab, &(const struct lab_row){ __VA_ARGS__ }, __FILE__, __LINE__)
void lab_expect_(struct lab *lab, const struct lab_row *row, const char *file, int line);

#define lab_sum(lab, ...) lab_sum_(lab, &(const struct lab_row){ __VA_ARGS__ })
struct call_stats lab_sum_(struct lab *lab, const struct lab_row *row);

/* How often the rows that match failed with @number. */
#define lab_errno(lab, number, ...) lab_errno_(lab, number, &(const struct lab_row){ __VA_ARGS__ })
uint64_t lab_errno_(struct lab *lab, uint16_t number, const struct lab_row *row);

/* Of how many processes, names and groups (and threads) the rows that match are. */
#define lab_n_rows(lab, ...) lab_n_rows_(lab, &(const struct lab_row){ __VA_ARGS__ })
size_t lab_n_rows_(struct lab *lab, const struct lab_row *row);

/* Since lab_open() or lab_clear(); of all that is measured, not only of ours. */
uint64_t lab_lost(const struct lab *lab, enum loss_cause cause);
/*
 * Whether this kernel can leave out the programs for one task while another is preempted in them: a
 * call may then have no latency, or be lost.
 */
bool lab_preempts_programs(void);
/*
 * All rows and what found no room in the ring come to @truth. Where programs are preempted some of
 * it may have been unseen, and with it others' calls.
 */
#define lab_expect_truth(lab, truth) lab_expect_truth_(lab, truth, __FILE__, __LINE__)
void lab_expect_truth_(struct lab *lab, uint64_t truth, const char *file, int line);
/* No calls, that is: others may well lose bytes. */
#define lab_expect_nothing_lost(lab) lab_expect_nothing_lost_(lab, __FILE__, __LINE__)
void lab_expect_nothing_lost_(const struct lab *lab, const char *file, int line);

/* The in-flight call of thread @tid in @snapshot, NULL if none is listed; fails the test on two. */
const struct snapshot_in_flight *lab_in_flight(const struct snapshot *snapshot, pid_t tid);

/* Compares with a message that shows both, and all rows of the lab. */
#define lab_assert(lab, condition) lab_assert_(lab, condition, #condition, __FILE__, __LINE__)
void lab_assert_(const struct lab *lab, bool condition, const char *text, const char *file,
		 int line);
