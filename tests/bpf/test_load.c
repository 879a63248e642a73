/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact under load: threads that cycle through more calls than their records hold, threads and
 * processes that come and go by the thousand, and a reader that hardly pauses. What is reported
 * and what is lost come to the truth, whatever the timing (F1, F18, F24).
 */
#include "lab.h"
#include "rare_calls.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPINNERS    4
#define FORKERS	    2
#define DUMPS_MIN   lab_load(1000)
#define PROCESSES   lab_load(20000)
#define EXECS_EVERY 20 /* one process in so many runs a program */

/* Shared with the victim, which says here what it did. */
struct storm {
	char name[COMM_LEN];
	char program[512];
	unsigned stop;
	unsigned n_processes;
	unsigned want_processes;
	uint64_t truth[RARE_CALLS];
};

static struct storm *storm;

static void tell(const uint64_t *counts)
{
	for (size_t i = 0; i < RARE_CALLS; i++)
		__atomic_add_fetch(&storm->truth[i], counts[i], __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&storm->stop, __ATOMIC_ACQUIRE);
}

static void *spin(void *data)
{
	uint64_t counts[RARE_CALLS] = { 0 };

	for (size_t i = 0; !stopped(); i++) {
		make_rare_call(i);
		counts[i % RARE_CALLS]++;
	}
	tell(counts);
	return data;
}

static void *short_life(void *data)
{
	uint64_t counts[RARE_CALLS] = { 0 };

	for (size_t i = 0; i < 50; i++) {
		make_rare_call(i);
		counts[i % RARE_CALLS]++;
	}
	tell(counts);
	return data;
}

static void *make_threads(void *data)
{
	while (!stopped()) {
		pthread_t thread;

		victim_check(pthread_create(&thread, NULL, short_life, NULL) == 0);
		victim_check(pthread_join(thread, NULL) == 0);
	}
	return data;
}

/* The child has the parent's memory, so it only makes calls. */
static void make_process(unsigned n)
{
	char *const argv[] = { storm->program, NULL };
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		if (n % EXECS_EVERY == 0)
			(void)syscall(SYS_execve, storm->program, argv, argv + 1);
		else
			(void)syscall(SYS_getppid);
		_exit(n % EXECS_EVERY == 0);
	}
	victim_check(pid > 0);
	while (waitpid(pid, &status, 0) < 0)
		victim_check(errno == EINTR);
	victim_check(status == 0);
}

static void *make_processes(void *data)
{
	uint64_t counts[RARE_CALLS] = { 0 };

	_Static_assert(N_ELEMENTS(rare_calls) > 0, "the first of them is getppid");
	while (!stopped()) {
		unsigned n = __atomic_fetch_add(&storm->n_processes, 1, __ATOMIC_RELAXED);

		make_process(n);
		counts[0] += n % EXECS_EVERY == 0 ? 3 : 1;
		if (n >= storm->want_processes)
			usleep(1000);
	}
	tell(counts);
	return data;
}

static void storm_victim(void *data)
{
	pthread_t threads[SPINNERS + 1 + FORKERS];
	size_t n = 0;

	storm = data;
	victim_check(prctl(PR_SET_NAME, storm->name) == 0);
	for (int i = 0; i < SPINNERS; i++)
		victim_check(pthread_create(&threads[n++], NULL, spin, NULL) == 0);
	for (int i = 0; i < FORKERS; i++)
		victim_check(pthread_create(&threads[n++], NULL, make_processes, NULL) == 0);
	victim_check(pthread_create(&threads[n++], NULL, make_threads, NULL) == 0);
	for (size_t i = 0; i < n; i++)
		victim_check(pthread_join(threads[i], NULL) == 0);
}

/* Only the storm's names and only rare calls: all that is measured, or lost, is known. */
static struct lab *storm_open(struct storm *what, size_t ring_bytes)
{
	static char program_name[COMM_LEN];
	static const char *comm_items[2], *syscall_items[RARE_CALLS];
	static const struct string_list comms = { comm_items, 2 };
	static const struct string_list syscalls = { syscall_items, RARE_CALLS };
	struct lab *lab;

	rare_call_names(syscall_items);
	(void)snprintf(what->name, sizeof(what->name), "storm-%d", getpid());
	(void)snprintf(program_name, sizeof(program_name), "x-%d", getpid());
	comm_items[0] = what->name;
	comm_items[1] = program_name;
	lab = lab_open(&(struct collector_options){
		.comms = &comms, .syscalls = &syscalls, .ring_bytes = ring_bytes });
	lab_helper_as(lab, "trivial", program_name, what->program);
	return lab;
}

/* Returns the number of intervals that were read meanwhile. */
static unsigned storm_run(struct lab *lab, struct storm *what, unsigned dumps, unsigned pause_us)
{
	pid_t pid = lab_start(lab, storm_victim, what);
	unsigned n = 0;

	while (n < dumps ||
	       __atomic_load_n(&what->n_processes, __ATOMIC_RELAXED) < what->want_processes) {
		lab_read(lab, NULL);
		n++;
		usleep(pause_us);
	}
	__atomic_store_n(&what->stop, 1, __ATOMIC_RELEASE);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	return n;
}

static void every_call_of_a_storm(void **state)
{
	struct storm *what = lab_shared(sizeof(*what));
	struct lab *lab = storm_open(what, 0);

	(void)state;
	what->want_processes = PROCESSES;
	(void)storm_run(lab, what, DUMPS_MIN, 1000);
	expect_rare_calls(lab, what->truth, 0);
	assert_int_equal(lab_lost(lab, LOSS_RING_FULL), 0);
	if (lab_lost(lab, LOSS_RECURSION) == 0)
		lab_assert(lab, lab_sum(lab, .call = NULL).denied == 0);
	if (!lab_preempts_programs())
		lab_expect_nothing_lost(lab);
	lab_close(lab);
}

static void the_same_with_a_tiny_ring(void **state)
{
	struct storm *what = lab_shared(sizeof(*what));
	struct lab *lab = storm_open(what, (size_t)sysconf(_SC_PAGESIZE));

	(void)state;
	what->want_processes = PROCESSES / 10;
	(void)storm_run(lab, what, DUMPS_MIN, 1000);
	expect_rare_calls(lab, what->truth, 0);
	assert_true(lab_lost(lab, LOSS_RING_FULL) > 0);
	if (!lab_preempts_programs())
		assert_int_equal(lab_lost(lab, LOSS_RECURSION), 0);
	lab_close(lab);
}

/* ---- F23: a CPU that goes offline takes nothing along ---- */

#define OFFLINE_CALLS 1000

static void set_online(bool online)
{
	FILE *file = fopen("/sys/devices/system/cpu/cpu1/online", "we");

	assert_non_null(file);
	assert_true(fprintf(file, "%d", online) > 0);
	assert_int_equal(fclose(file), 0);
}

static void use_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	victim_check(sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
}

/* Calls on both CPUs, and on the first alone once the other is off: as often as the test says. */
static void offline_victim(void *data)
{
	struct storm *what = data;

	for (unsigned turn = 1; turn <= 3; turn++) {
		while (__atomic_load_n(&what->stop, __ATOMIC_ACQUIRE) < turn)
			victim_sleep_ms(1);
		use_cpu(turn == 2 ? 0 : 1);
		victim_call_often(SYS_getppid, OFFLINE_CALLS);
		use_cpu(0);
		victim_call_often(SYS_getppid, OFFLINE_CALLS);
		__atomic_add_fetch(&what->n_processes, 1, __ATOMIC_RELEASE);
	}
}

static void offline_turn(struct lab *lab, struct storm *what, unsigned turn)
{
	__atomic_store_n(&what->stop, turn, __ATOMIC_RELEASE);
	lab_wait_for(lab, &what->n_processes, turn);
}

static void f23_offline(void **state)
{
	struct storm *what = lab_shared(sizeof(*what));
	struct lab *lab = *state;
	pid_t pid = lab_start(lab, offline_victim, what);

	offline_turn(lab, what, 1);
	set_online(false);
	offline_turn(lab, what, 2);
	lab_sleep_ms(lab, 100);
	set_online(true);
	offline_turn(lab, what, 3);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .count = 6 * OFFLINE_CALLS);
	lab_expect_nothing_lost(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(every_call_of_a_storm),
		lab_test(the_same_with_a_tiny_ring),
		lab_test(f23_offline),
	};
	/* Only where the machine is the test's own: in an emulator. */
	bool own = getenv("CGSCOPE_TEST_OWN_MACHINE") != NULL;

	return lab_main_("load", tests, N_ELEMENTS(tests) - !own, NULL);
}
