/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dump takes over the cells of tasks that stay in a call: each call is counted once, whether
 * its cell was shown, taken over or folded, and whenever its task wakes up.
 */
#include "lab.h"
#include "rare_calls.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "src/clock.h"

/*
 * However young a call: what its task wrote before it is seen by all where stores keep their order,
 * as on x86. Elsewhere calls must have some age.
 */
#if defined(__x86_64__)
#define YOUNG_NS 1
#else
#define YOUNG_NS 500000
#endif

static char own_name[COMM_LEN];

/* Only the victims' own name, and calls of which they know the number. */
static struct lab *open_for_us(uint64_t settled_ns, size_t ring_bytes)
{
	static const char *comm_items[] = { own_name };
	static const struct string_list comms = { comm_items, 1 };
	static const char *syscall_items[RARE_CALLS + 2];
	static const struct string_list syscalls = { syscall_items, RARE_CALLS + 2 };

	(void)snprintf(own_name, sizeof(own_name), "takeover-%d", getpid());
	rare_call_names(syscall_items);
	syscall_items[RARE_CALLS] = "read";
	syscall_items[RARE_CALLS + 1] = "nanosleep";
	return lab_open(&(struct collector_options){ .comms = &comms,
						     .syscalls = &syscalls,
						     .settled_ns = settled_ns,
						     .ring_bytes = ring_bytes });
}

static struct collector_stats stats_of(struct lab *lab)
{
	struct collector_stats stats;

	collector_stats(lab_collector(lab), &stats);
	return stats;
}

static uint64_t taken(struct lab *lab)
{
	return stats_of(lab).taken;
}

/* ---- one task, step by step ---- */

#define STEP_CALLS 3u /* different ones */

struct steps {
	int go[2];
	unsigned done;
};

static void steps_victim(void *data)
{
	struct steps *steps = data;
	char byte;

	victim_check(prctl(PR_SET_NAME, own_name) == 0);
	for (unsigned step = 0;; step++) {
		for (unsigned i = 0; i < STEP_CALLS * 10; i++)
			make_rare_call(i % STEP_CALLS);
		__atomic_store_n(&steps->done, step + 1, __ATOMIC_RELEASE);
		if (read(steps->go[0], &byte, 1) != 1)
			break;
	}
}

static void expect_steps(struct lab *lab, unsigned n_steps, unsigned n_reads)
{
	for (unsigned i = 0; i < STEP_CALLS; i++)
		lab_expect(lab, .call = rare_calls[i].name, .count = 10ull * n_steps);
	lab_expect(lab, .call = "read", .count = n_reads, .bytes = n_reads);
	lab_expect_nothing_lost(lab);
}

static void taken_over_once(void **state)
{
	struct steps *steps = lab_shared(sizeof(*steps));
	struct lab *lab = open_for_us(0, 0);
	uint64_t before_the_end;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(steps->go), 0);
	pid = lab_start(lab, steps_victim, steps);
	for (unsigned step = 1; step <= 4; step++) {
		uint64_t before;

		lab_wait_for(lab, &steps->done, step);
		lab_wait_blocked(pid, pid, SYS_read);
		before = taken(lab);
		lab_settle(lab);
		expect_steps(lab, step, step - 1);
		/* Longer than a call must be old, read all the while. */
		if (step % 2) {
			lab_sleep_ms(lab, 500);
			assert_int_equal(taken(lab), before + 1);
			expect_steps(lab, step, step - 1);
			/* What is taken over is not kept as live: it is forgotten. */
			lab_sleep_ms(lab, 3000);
			assert_int_equal(stats_of(lab).rows, 0);
			expect_steps(lab, step, step - 1);
		}
		assert_int_equal(write(steps->go[1], "", 1), 1);
	}
	lab_wait_for(lab, &steps->done, 5);
	lab_wait_blocked(pid, pid, SYS_read);
	before_the_end = taken(lab);
	lab_sleep_ms(lab, 500);
	assert_int_equal(taken(lab), before_the_end + 1);
	/* Killed in the call, after its cells were taken over. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	lab_reap(lab, pid, SIGKILL);
	lab_settle(lab);
	for (unsigned i = 0; i < STEP_CALLS; i++)
		lab_expect(lab, .call = rare_calls[i].name, .count = 50);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
	close(steps->go[0]);
	close(steps->go[1]);
}

/* Two reads of a task that sleeps: the second takes its cells over, unless it is @the_last. */
static void take_over(bool the_last)
{
	struct steps *steps = lab_shared(sizeof(*steps));
	struct lab *lab = open_for_us(0, 0);
	pid_t pid;

	assert_int_equal(pipe(steps->go), 0);
	pid = lab_start(lab, steps_victim, steps);
	/* Without reading: the first read is to be of a call that is old. */
	while (__atomic_load_n(&steps->done, __ATOMIC_ACQUIRE) < 1)
		usleep(1000);
	lab_wait_blocked(pid, pid, SYS_read);
	usleep(200000);
	lab_read(lab, NULL);
	assert_int_equal(taken(lab), 0);
	if (the_last)
		collector_detach(lab_collector(lab));
	lab_read(lab, NULL);
	assert_int_equal(taken(lab), the_last ? 0 : 1);
	expect_steps(lab, 1, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	lab_reap(lab, pid, SIGKILL);
	lab_close(lab);
	close(steps->go[0]);
	close(steps->go[1]);
}

/* The last interval may be read twice. */
static void not_at_the_end(void **state)
{
	(void)state;
	take_over(false);
	take_over(true);
}

/* ---- calls in flight, of tasks with cells and without ---- */

#define SLEEPERS 16

struct sleepers {
	int go[2];
	unsigned started;
	unsigned woken;
	pid_t tids[SLEEPERS];
};

static void *sleeper(void *data)
{
	struct sleepers *sleepers = data;
	char byte;

	sleepers->tids[__atomic_fetch_add(&sleepers->started, 1, __ATOMIC_SEQ_CST)] = gettid();
	while (read(sleepers->go[0], &byte, 1) == 1)
		__atomic_add_fetch(&sleepers->woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void sleepers_victim(void *data)
{
	pthread_t thread;

	victim_check(prctl(PR_SET_NAME, own_name) == 0);
	for (int i = 0; i < SLEEPERS; i++)
		victim_check(pthread_create(&thread, NULL, sleeper, data) == 0);
	for (;;)
		victim_pause();
}

static void wait_for_sleepers(const struct sleepers *sleepers, pid_t pid, unsigned woken)
{
	while (__atomic_load_n(&sleepers->started, __ATOMIC_SEQ_CST) < SLEEPERS ||
	       __atomic_load_n(&sleepers->woken, __ATOMIC_SEQ_CST) < woken)
		usleep(1000);
	for (int i = 0; i < SLEEPERS; i++)
		lab_wait_blocked(pid, sleepers->tids[i], SYS_read);
}

static void expect_all_in_flight(struct lab *lab, const struct sleepers *sleepers)
{
	struct snapshot snapshot;

	lab_read(lab, &snapshot);
	for (int i = 0; i < SLEEPERS; i++) {
		const struct snapshot_in_flight *call = lab_in_flight(&snapshot, sleepers->tids[i]);

		lab_assert(lab, call && call->nr == SYS_read);
	}
}

static void read_in_small_pieces(void *data)
{
	(void)data;
}

/* In whatever pieces a dump comes, and in the last one too, which goes round twice. */
static void in_flight_once(void **state)
{
	struct sleepers *sleepers = lab_shared(sizeof(*sleepers));
	const char *comm = own_name;
	struct string_list comms = { .items = &comm, .n = 1 };
	struct lab *lab;
	pid_t pid;

	(void)state;
	(void)snprintf(own_name, sizeof(own_name), "takeover-%d", getpid());
	lab = lab_open(&(struct collector_options){ .comms = &comms,
						    .in_flight_ns = 1,
						    .settled_ns = YOUNG_NS,
						    .dumping = read_in_small_pieces });
	assert_int_equal(pipe(sleepers->go), 0);
	pid = lab_start(lab, sleepers_victim, sleepers);
	wait_for_sleepers(sleepers, pid, 0);
	lab_wait_blocked(pid, pid, NR_PAUSE);
	for (int i = 0; i < 3; i++) {
		usleep(10000);
		expect_all_in_flight(lab, sleepers);
	}
	assert_int_equal(taken(lab), SLEEPERS + 1);
	/* Now some have cells. */
	assert_int_equal(write(sleepers->go[1], "12345678", 8), 8);
	wait_for_sleepers(sleepers, pid, 8);
	expect_all_in_flight(lab, sleepers);
	assert_int_equal(taken(lab), SLEEPERS + 1);
	collector_detach(lab_collector(lab));
	expect_all_in_flight(lab, sleepers);
	lab_expect(lab, .call = "read", .count = 8, .bytes = 8);
	assert_int_equal(kill(pid, SIGKILL), 0);
	lab_reap(lab, pid, SIGKILL);
	lab_close(lab);
	close(sleepers->go[0]);
	close(sleepers->go[1]);
}

/* ---- many, waking up at any time ---- */

#define DOZERS	  12
#define DUMPS_MIN lab_load(2000)
#define TAKEN	  lab_load(20000)
#define TAKEN_MIN lab_load(200) /* where dumps are slow, or takers late */
#define LIMIT_NS  60000000000ull

struct doze {
	unsigned stop;
	unsigned turn; /* which dozer is the next to be started */
	uint64_t truth[RARE_CALLS];
	uint64_t sleeps;
};

static struct doze *doze;

/* Dozers of odd numbers make more different calls than a record holds, and fold. */
static void *dozer(void *data)
{
	unsigned self = __atomic_fetch_add(&doze->turn, 1, __ATOMIC_RELAXED), seed = self;
	size_t n_calls = self % 2 ? RARE_CALLS : 6, next = 0;
	uint64_t counts[RARE_CALLS] = { 0 }, sleeps = 0;

	while (!__atomic_load_n(&doze->stop, __ATOMIC_ACQUIRE)) {
		struct timespec time = { .tv_nsec = rand_r(&seed) % 1000000 };

		for (int i = rand_r(&seed) % 8; i >= 0; i--, next = (next + 1) % n_calls) {
			make_rare_call(next);
			counts[next]++;
		}
		(void)syscall(SYS_nanosleep, &time, NULL);
		sleeps++;
	}
	for (size_t i = 0; i < RARE_CALLS; i++)
		__atomic_add_fetch(&doze->truth[i], counts[i], __ATOMIC_RELAXED);
	__atomic_add_fetch(&doze->sleeps, sleeps, __ATOMIC_RELAXED);
	return data;
}

static void doze_victim(void *data)
{
	pthread_t threads[DOZERS];

	doze = data;
	victim_check(prctl(PR_SET_NAME, own_name) == 0);
	for (int i = 0; i < DOZERS; i++)
		victim_check(pthread_create(&threads[i], NULL, dozer, NULL) == 0);
	for (int i = 0; i < DOZERS; i++)
		victim_check(pthread_join(threads[i], NULL) == 0);
}

static uint64_t run_dozers(struct lab *lab, struct doze *what)
{
	pid_t pid = lab_start(lab, doze_victim, what);
	uint64_t end_ns = monotonic_ns() + LIMIT_NS, n;

	for (int dumps = 0;
	     (dumps < DUMPS_MIN || taken(lab) < (uint64_t)TAKEN) && monotonic_ns() < end_ns;
	     dumps++)
		lab_read(lab, NULL);
	n = taken(lab);
	assert_true(n >= (uint64_t)TAKEN_MIN);
	__atomic_store_n(&what->stop, 1, __ATOMIC_RELEASE);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	return n;
}

static void every_call_of_dozers(void **state)
{
	struct doze *what = lab_shared(sizeof(*what));
	struct lab *lab = open_for_us(YOUNG_NS, 0);
	uint64_t n = run_dozers(lab, what);

	(void)state;
	(void)fprintf(stderr, "%ju sleeps, cells taken over %ju times\n", (uintmax_t)what->sleeps,
		      (uintmax_t)n);
	expect_rare_calls(lab, what->truth, what->sleeps);
	assert_int_equal(lab_lost(lab, LOSS_RING_FULL), 0);
	lab_close(lab);
}

static void the_same_with_a_tiny_ring(void **state)
{
	struct doze *what = lab_shared(sizeof(*what));
	struct lab *lab = open_for_us(YOUNG_NS, (size_t)sysconf(_SC_PAGESIZE));

	(void)state;
	(void)run_dozers(lab, what);
	expect_rare_calls(lab, what->truth, what->sleeps);
	lab_close(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(taken_over_once),
		lab_test(not_at_the_end),
		lab_test(in_flight_once),
		lab_test(every_call_of_dozers),
		lab_test(the_same_with_a_tiny_ring),
	};

	return lab_main(tests, NULL);
}
