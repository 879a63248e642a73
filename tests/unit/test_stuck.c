/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipe in place of standard output, and other times in place of the seconds that its reader is
 * given (see __wrap_ below). Each test is a process of its own.
 */
#include "src/stuck.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SHORT_US 20000
#define LONG_US	 6000000

static unsigned second_us = LONG_US;

/* What is left is told in whole seconds, and never as none. */
unsigned __wrap_alarm(unsigned seconds);
unsigned __wrap_alarm(unsigned seconds)
{
	uint64_t us = (uint64_t)second_us * seconds;
	struct itimerval timer = { .it_value = { (time_t)(us / 1000000), (long)(us % 1000000) } };
	struct itimerval before = { 0 };

	(void)setitimer(ITIMER_REAL, &timer, &before);
	us = (uint64_t)before.it_value.tv_sec * 1000000 + (uint64_t)before.it_value.tv_usec;
	return (unsigned)((us + second_us - 1) / second_us);
}

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int pipe_fds[2];

static void fill_pipe(void)
{
	char block[4096] = { 0 };

	check(fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) == 0);
	while (write(STDOUT_FILENO, block, sizeof(block)) > 0)
		;
	check(errno == EAGAIN);
	check(fcntl(STDOUT_FILENO, F_SETFL, 0) == 0);
}

static pid_t later(unsigned after_us, void (*act)(pid_t parent))
{
	pid_t parent = getpid(), pid = fork();

	check(pid >= 0);
	if (pid)
		return pid;
	(void)usleep(after_us);
	act(parent);
	_exit(0);
}

static void stop_parent(pid_t parent)
{
	(void)kill(parent, SIGTERM);
}

static void drain(pid_t parent)
{
	char block[65536];

	(void)close(STDOUT_FILENO);
	(void)close(pipe_fds[1]);
	while (read(pipe_fds[0], block, sizeof(block)) > 0)
		;
}

static bool is_blocked(int signal)
{
	sigset_t now;

	check(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
	return sigismember(&now, signal) == 1;
}

static bool is_pending(int signal)
{
	sigset_t now;

	check(sigpending(&now) == 0);
	return sigismember(&now, signal) == 1;
}

static void nothing_happens(void)
{
	bool stop = true;

	stuck_watch(false);
	check(!is_blocked(SIGTERM));
	check(write(STDOUT_FILENO, "x", 1) == 1);
	check(!stuck_unwatch(&stop));
	check(!stop);
	check(is_blocked(SIGTERM) && is_blocked(SIGINT));
}

/* A stop signal is noted, and what is written goes where it should. */
static void stop_with_a_reader(void)
{
	struct itimerval timer;
	bool stop = false;
	char c = 0;

	stuck_watch(false);
	check(raise(SIGTERM) == 0);
	check(write(STDOUT_FILENO, "y", 1) == 1);
	check(!stuck_unwatch(&stop));
	check(stop);
	check(read(pipe_fds[0], &c, 1) == 1 && c == 'y');
	/* The time is not running any more. */
	check(getitimer(ITIMER_REAL, &timer) == 0);
	check(timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0);
	check(write(STDOUT_FILENO, "z", 1) == 1);
	check(read(pipe_fds[0], &c, 1) == 1 && c == 'z');
	/* The next time begins anew. */
	stuck_watch(false);
	check(!stuck_unwatch(&stop));
	check(!stop);
}

/* One that came before is let in as well. */
static void stop_was_pending(void)
{
	bool stop = false;

	check(raise(SIGINT) == 0);
	check(is_pending(SIGINT));
	stuck_watch(false);
	check(!stuck_unwatch(&stop));
	check(stop);
	check(!is_pending(SIGINT));
	/* Those after it wait. */
	check(raise(SIGINT) == 0);
	check(is_pending(SIGINT));
}

static void nobody_reads(void)
{
	bool stop = false;
	char block[65536] = { 0 };
	ssize_t n;

	second_us = SHORT_US;
	fill_pipe();
	(void)later(SHORT_US, stop_parent);
	stuck_watch(false);
	/* Interrupted, or short: what comes after it goes nowhere, and does not wait. */
	do
		n = write(STDOUT_FILENO, block, sizeof(block));
	while (n < 0 && errno == EINTR);
	check(n == sizeof(block));
	check(stuck_unwatch(&stop));
	check(stop);
	check(write(STDOUT_FILENO, block, sizeof(block)) == sizeof(block));
}

static void nobody_reads_the_last(void)
{
	bool stop = true;
	ssize_t n;

	second_us = SHORT_US;
	fill_pipe();
	stuck_watch(true);
	do
		n = write(STDOUT_FILENO, "x", 1);
	while (n < 0 && errno == EINTR);
	check(n == 1);
	check(stuck_unwatch(&stop));
	check(!stop);
}

static uint64_t now_us(void)
{
	struct timespec now;

	check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Writes until it is given up; how long that took, in what stands for seconds. */
static uint64_t seconds_until_given_up(void)
{
	uint64_t start_us = now_us();
	bool stop;
	ssize_t n;

	do
		n = write(STDOUT_FILENO, "x", 1);
	while (n < 0 && errno == EINTR);
	check(stuck_unwatch(&stop));
	return (now_us() - start_us) / second_us;
}

static void stop_parent_again_and_again(pid_t parent)
{
	for (int i = 0; i < 40; i++) {
		(void)kill(parent, i % 2 ? SIGTERM : SIGINT);
		(void)usleep(LONG_US / 60);
	}
}

/* Whoever asks twice is in a hurry, and is not made to wait for longer by asking. */
static void more_signals(void)
{
	second_us = LONG_US / 30;
	fill_pipe();
	(void)later(0, stop_parent_again_and_again);
	stuck_watch(false);
	check(seconds_until_given_up() <= 3);
}

static void more_signals_at_the_last(void)
{
	second_us = LONG_US / 30;
	fill_pipe();
	(void)later(0, stop_parent_again_and_again);
	stuck_watch(true);
	check(seconds_until_given_up() <= 3);
}

/* What the write took that was cut into by the signal, the last one does not have. */
static void time_is_for_both(void)
{
	bool stop = false;

	second_us = LONG_US / 30;
	fill_pipe();
	stuck_watch(false);
	check(raise(SIGTERM) == 0);
	(void)usleep(3 * second_us);
	check(!stuck_unwatch(&stop));
	check(stop);
	stuck_watch(true);
	check(seconds_until_given_up() <= 3);
}

/* And the same if the first one used it up: the last has a second in any case. */
static void time_is_used_up(void)
{
	const struct itimerval half_a_second = { .it_value = { LONG_US / 2 / 1000000, 0 } };
	struct itimerval left;
	bool stop = false;
	char c;

	second_us = LONG_US;
	stuck_watch(false);
	check(raise(SIGTERM) == 0);
	check(setitimer(ITIMER_REAL, &half_a_second, NULL) == 0);
	check(!stuck_unwatch(&stop));
	stuck_watch(true);
	check(getitimer(ITIMER_REAL, &left) == 0);
	check(left.it_value.tv_sec > half_a_second.it_value.tv_sec);
	check(left.it_value.tv_sec <= LONG_US / 1000000);
	check(write(STDOUT_FILENO, "y", 1) == 1);
	check(!stuck_unwatch(&stop));
	check(read(pipe_fds[0], &c, 1) == 1 && c == 'y');
}

static void reader_is_slow(void)
{
	char block[65536] = { 0 };
	bool stop = false;

	fill_pipe();
	(void)later(10000, stop_parent);
	(void)later(100000, drain);
	stuck_watch(false);
	/* One write, which the stop signal does not cut off. */
	check(write(STDOUT_FILENO, block, sizeof(block)) == sizeof(block));
	check(!stuck_unwatch(&stop));
	check(stop);
}

static void run(void (*body)(void))
{
	sigset_t signals;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		return;
	}
	check(pipe2(pipe_fds, O_CLOEXEC) == 0);
	check(dup2(pipe_fds[1], STDOUT_FILENO) == STDOUT_FILENO);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	check(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
	check(stuck_init(&signals) == 0);
	body();
	_exit(0);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		run(name);                                                                         \
	}

TEST(nothing_happens)
TEST(stop_with_a_reader)
TEST(stop_was_pending)
TEST(nobody_reads)
TEST(nobody_reads_the_last)
TEST(more_signals)
TEST(more_signals_at_the_last)
TEST(time_is_for_both)
TEST(time_is_used_up)
TEST(reader_is_slow)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_happens),
		cmocka_unit_test(test_stop_with_a_reader),
		cmocka_unit_test(test_stop_was_pending),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_nobody_reads_the_last),
		cmocka_unit_test(test_more_signals),
		cmocka_unit_test(test_more_signals_at_the_last),
		cmocka_unit_test(test_time_is_for_both),
		cmocka_unit_test(test_time_is_used_up),
		cmocka_unit_test(test_reader_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
