/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sums, maxima, buckets and ages over intervals: facts F18 to F22 and F27. With
 * CGSCOPE_TEST_LONG=1 in the environment F18 runs at full length, for some minutes.
 */
#include "lab.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/clock.h"

static struct timespec time_of_ms(unsigned ms)
{
	return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * MS) };
}

/* A poll of nothing, which takes as long as it is told. */
static void poll_ms(unsigned ms)
{
	struct timespec time = time_of_ms(ms);

	victim_check(syscall(SYS_ppoll, NULL, 0, &time, NULL, 0) == 0);
}

/* As the kernel side has it. */
static int bucket_of(uint64_t ns)
{
	int bucket = 0;

	while (bucket < HIST_BUCKETS - 1 && ns >= (uint64_t)HIST_FIRST_END_NS << bucket)
		bucket++;
	return bucket;
}

/* ---- F18: nothing is lost by reading ---- */

struct counting {
	unsigned stop;
	unsigned n_threads;
	uint64_t calls; /* each; 0: until told to stop */
	uint64_t truth;
};

static struct counting *counting;

static void *count_calls(void *data)
{
	uint64_t n = 0;

	for (; counting->calls ? n < counting->calls
			       : !__atomic_load_n(&counting->stop, __ATOMIC_RELAXED);
	     n++)
		(void)syscall(SYS_getppid);
	__atomic_add_fetch(&counting->truth, n, __ATOMIC_RELAXED);
	return data;
}

static void *count_ten(void *data)
{
	for (int i = 0; i < 10; i++)
		(void)syscall(SYS_getppid);
	__atomic_add_fetch(&counting->truth, 10, __ATOMIC_RELAXED);
	return data;
}

/* A hundred a second. */
static void *make_short_lived(void *data)
{
	while (!__atomic_load_n(&counting->stop, __ATOMIC_RELAXED)) {
		pthread_t thread;

		victim_check(pthread_create(&thread, NULL, count_ten, NULL) == 0);
		victim_check(pthread_join(thread, NULL) == 0);
		usleep(10000);
	}
	return data;
}

static void counting_victim(void *data)
{
	pthread_t threads[2], maker;

	counting = data;
	victim_check(pthread_create(&maker, NULL, make_short_lived, NULL) == 0);
	for (unsigned i = 0; i < counting->n_threads; i++)
		victim_check(pthread_create(&threads[i], NULL, count_calls, NULL) == 0);
	for (unsigned i = 0; i < counting->n_threads; i++)
		victim_check(pthread_join(threads[i], NULL) == 0);
	__atomic_store_n(&counting->stop, 1, __ATOMIC_RELEASE);
	victim_check(pthread_join(maker, NULL) == 0);
}

static void run_counting(struct lab *lab, unsigned n_threads, unsigned intervals,
			 unsigned interval_ms)
{
	const char *wanted = getenv("CGSCOPE_TEST_LONG");
	struct counting *run = lab_shared(sizeof(*run));
	bool is_long = wanted && strcmp(wanted, "1") == 0;
	unsigned n = 0;
	pid_t pid;

	run->n_threads = n_threads;
	run->calls = is_long ? 30000000 : 0;
	pid = lab_start(lab, counting_victim, run);
	while (is_long ? !__atomic_load_n(&run->stop, __ATOMIC_ACQUIRE) : n < intervals) {
		usleep(interval_ms * 1000);
		lab_read(lab, NULL);
		n++;
	}
	__atomic_store_n(&run->stop, 1, __ATOMIC_RELEASE);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_assert(lab, n >= intervals);
	lab_assert(lab, run->truth > 0);
	lab_expect(lab, .call = "getppid", .count = run->truth);
	lab_expect_nothing_lost(lab);
}

static void f18_two_threads_at_10_ms(void **state)
{
	run_counting(*state, 2, 1000, 10);
}

static void f18_one_thread_at_10_ms(void **state)
{
	run_counting(*state, 1, 200, 10);
}

static void f18_two_threads_at_1_s(void **state)
{
	run_counting(*state, 2, 2, 1000);
}

/* ---- F19: a maximum has one writer ---- */

#define F19_RUNS     20 /* or as many as there is time for */
#define F19_RUNS_MIN 5
#define F19_TIME_S   8
#define F19_POLLS    200000
#define F19_MS	     50

static void *poll_often(void *data)
{
	const bool *with_a_long_one = data;

	for (int i = 0; i < F19_POLLS; i++)
		poll_ms(*with_a_long_one && i == F19_POLLS / 2 ? F19_MS : 0);
	return NULL;
}

static void f19_victim(void *data)
{
	static const bool without = false, with = true;
	pthread_t thread;

	victim_check(pthread_create(&thread, NULL, poll_often, (void *)(uintptr_t)&without) == 0);
	(void)poll_often((void *)(uintptr_t)&with);
	victim_check(pthread_join(thread, NULL) == 0);
}

static void f19_maximum_under_contention(void **state)
{
	struct lab *lab = *state;
	uint64_t end_ns = monotonic_ns() + F19_TIME_S * NSEC_PER_SEC;
	int n = 0;

	for (; n < F19_RUNS && (n < F19_RUNS_MIN || monotonic_ns() < end_ns); n++) {
		pid_t pid = lab_run(lab, f19_victim, NULL);
		struct call_stats stats = lab_sum(lab, .call = "ppoll", .pid = pid);

		lab_assert(lab, stats.count == 2 * F19_POLLS);
		lab_assert(lab, stats.max_ns >= F19_MS * MS);
		lab_clear(lab);
	}
	if (n < F19_RUNS)
		print_message("%d rounds of %d in %d s\n", n, F19_RUNS, F19_TIME_S);
}

/* ---- F20: a maximum belongs to its interval ---- */

struct steps {
	unsigned step; /* set by the test */
	unsigned done; /* set by the victim */
};

static void f20_victim(void *data)
{
	struct steps *steps = data;
	unsigned step;

	while ((step = __atomic_load_n(&steps->step, __ATOMIC_ACQUIRE)) < 4) {
		if (step == steps->done) {
			usleep(1000);
			continue;
		}
		if (step == 1)
			poll_ms(100);
		for (int i = 0; i < 100 && step < 3; i++)
			poll_ms(0);
		__atomic_store_n(&steps->done, step, __ATOMIC_RELEASE);
	}
}

/* Sleeps, so that the interval has only what the victim does in it. */
static void f20_step(struct lab *lab, struct steps *steps, unsigned step)
{
	uint64_t end_ns = monotonic_ns() + 120000 * MS;

	lab_clear(lab);
	__atomic_store_n(&steps->step, step, __ATOMIC_RELEASE);
	while (__atomic_load_n(&steps->done, __ATOMIC_ACQUIRE) != step) {
		assert_true(monotonic_ns() < end_ns);
		usleep(1000);
	}
	lab_read(lab, NULL);
}

static void f20_maximum_of_the_interval(void **state)
{
	struct lab *lab = *state;
	struct steps *steps = lab_shared(sizeof(*steps));
	pid_t pid = lab_start(lab, f20_victim, steps);
	uint64_t short_ns;

	f20_step(lab, steps, 1);
	lab_expect(lab, .call = "ppoll", .count = 101);
	lab_assert(lab, lab_sum(lab, .call = "ppoll").max_ns >= 100 * MS);
	f20_step(lab, steps, 2);
	lab_expect(lab, .call = "ppoll", .count = 100);
	short_ns = lab_sum(lab, .call = "ppoll").max_ns;
	lab_assert(lab, short_ns > 0 && short_ns < 100 * MS);
	/* Exact to the call, not only to the bucket: no slower than all of them together. */
	lab_assert(lab, short_ns <= lab_sum(lab, .call = "ppoll").time_ns);
	f20_step(lab, steps, 3);
	lab_expect(lab, .call = "ppoll");
	lab_assert(lab, lab_n_rows(lab, .call = "ppoll") == 0);
	__atomic_store_n(&steps->step, 4, __ATOMIC_RELEASE);
	lab_reap(lab, pid, 0);
}

/* ---- F21: long calls overflow nothing ---- */

#define F21_MS 5000

static void *sleep_long(void *data)
{
	victim_sleep_ms(F21_MS);
	return data;
}

static void f21_victim(void *data)
{
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		victim_check(pthread_create(&threads[i], NULL, sleep_long, NULL) == 0);
	for (int i = 0; i < 3; i++)
		victim_check(pthread_join(threads[i], NULL) == 0);
}

static void check_f21(struct lab *lab)
{
	struct call_stats stats = lab_sum(lab, .call = "clock_nanosleep");

	lab_expect(lab, .call = "clock_nanosleep", .count = 3);
	/* Lower bounds are exact; a busy machine is late with the rest. */
	lab_assert(lab, stats.time_ns >= 3 * F21_MS * MS);
	lab_assert(lab, stats.time_ns < 3 * (F21_MS + 1000) * MS);
	lab_assert(lab, stats.max_ns >= F21_MS * MS && stats.max_ns < (F21_MS + 1000) * MS);
	lab_assert(lab, stats.buckets[HIST_BUCKETS - 1] == 3);
}

/* ---- F22: percentiles need buckets ---- */

static void f22_victim(void *data)
{
	for (int i = 0; i < 100; i++)
		poll_ms(i % 50 == 49 ? 50 : 1);
}

static void f22_buckets(void **state)
{
	struct lab *lab = *state;
	struct call_stats stats;
	unsigned below = 0, above = 0;

	(void)lab_run(lab, f22_victim, NULL);
	lab_expect(lab, .call = "ppoll", .count = 100);
	stats = lab_sum(lab, .call = "ppoll");
	for (int i = 0; i < bucket_of(1 * MS); i++)
		below += stats.buckets[i];
	for (int i = bucket_of(50 * MS); i < HIST_BUCKETS; i++)
		above += stats.buckets[i];
	lab_assert(lab, below == 0);
	lab_assert(lab, above >= 2);
	/* Half of them at least took no longer than to the next bucket. */
	lab_assert(lab, stats.buckets[bucket_of(1 * MS)] + stats.buckets[bucket_of(1 * MS) + 1] +
					stats.buckets[bucket_of(1 * MS) + 2] >=
				50);
	lab_assert(lab, stats.max_ns >= 50 * MS);
	lab_assert(lab, stats.buckets[bucket_of(stats.max_ns)] > 0);
}

/* ---- F27: a call that has not returned shows with its age ---- */

static void f27_victim(void *data)
{
	struct timespec time = time_of_ms(7000);
	unsigned word = 0;

	victim_check(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time) == -1 && errno == ETIMEDOUT);
}

/* 7 s over intervals of 2 s, and the sleeps of F21 beside it. */
static void f27_a_long_call_over_intervals(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .in_flight_ns = 1000 * MS });
	pid_t sleeper, pid;
	struct snapshot snapshot;
	uint64_t start_ns, last_ns = 0;

	lab_read(lab, NULL);
	start_ns = monotonic_ns();
	pid = lab_start(lab, f27_victim, NULL);
	sleeper = lab_start(lab, f21_victim, NULL);
	for (unsigned i = 1; i <= 3; i++) {
		const struct snapshot_in_flight *in_flight;
		uint64_t now_ns = monotonic_ns(), end_ns = start_ns + i * 2000 * MS;

		if (now_ns < end_ns)
			usleep((useconds_t)((end_ns - now_ns) / 1000));
		lab_read(lab, &snapshot);
		in_flight = lab_in_flight(&snapshot, pid);
		assert_non_null(in_flight);
		assert_int_equal(in_flight->nr, SYS_futex);
		assert_int_equal(in_flight->abi, CALL_ABI_NATIVE);
		assert_int_equal(in_flight->task.pid, pid);
		assert_int_equal(in_flight->task.cgroup_id, lab_group(lab)->id);
		/* Of this interval, not older than the victim, and growing. */
		assert_true(in_flight->age_ns <= monotonic_ns() - start_ns);
		assert_true(in_flight->age_ns >= last_ns + 1000 * MS);
		last_ns = in_flight->age_ns;
		lab_expect(lab, .call = "futex", .pid = pid);
	}
	lab_reap(lab, pid, 0);
	lab_reap(lab, sleeper, 0);
	lab_settle(lab);
	lab_read(lab, &snapshot);
	assert_null(lab_in_flight(&snapshot, pid));
	lab_expect(lab, .call = "futex", .pid = pid, .count = 1, .errors = 1);
	assert_int_equal(lab_errno(lab, ETIMEDOUT, .call = "futex", .pid = pid), 1);
	lab_assert(lab, lab_sum(lab, .call = "futex", .pid = pid).max_ns >= 7000 * MS);
	lab_assert(lab, lab_sum(lab, .call = "futex", .pid = pid).max_ns < 8000 * MS);
	check_f21(lab);
	lab_close(lab);
}

static void pause_victim(void *data)
{
	(void)pause();
}

static void expect_in_flight(struct lab *lab, pid_t pid, bool listed)
{
	struct snapshot snapshot;

	lab_sleep_ms(lab, 200);
	lab_read(lab, &snapshot);
	lab_assert(lab, (lab_in_flight(&snapshot, pid) != NULL) == listed);
	assert_int_equal(kill(pid, SIGKILL), 0);
	lab_reap(lab, pid, SIGKILL);
}

/* The list has what is old enough, and can be turned off. */
static void f27_the_threshold(void **state)
{
	struct lab *off = lab_open(&(struct collector_options){ .in_flight_ns = 0 });
	struct lab *low = lab_open(&(struct collector_options){ .in_flight_ns = 100 * MS });
	struct lab *high = lab_open(&(struct collector_options){ .in_flight_ns = 3600000 * MS });

	(void)state;
	expect_in_flight(off, lab_start(off, pause_victim, NULL), false);
	expect_in_flight(low, lab_start(low, pause_victim, NULL), true);
	expect_in_flight(high, lab_start(high, pause_victim, NULL), false);
	lab_close(off);
	lab_close(low);
	lab_close(high);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f18_two_threads_at_10_ms),	  lab_test(f18_one_thread_at_10_ms),
		lab_test(f18_two_threads_at_1_s),	  lab_test(f19_maximum_under_contention),
		lab_test(f20_maximum_of_the_interval),	  lab_test(f22_buckets),
		lab_test(f27_a_long_call_over_intervals), lab_test(f27_the_threshold),
	};

	return lab_main(tests, NULL);
}
