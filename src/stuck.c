/* SPDX-License-Identifier: BSD-2-Clause */
#include "stuck.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Well below the 10 s and 30 s after which Docker and Kubernetes kill, even in two parts. */
#define PATIENCE_S 5

/* For whoever asks twice. */
#define HURRY_S 1

static sigset_t stop_signals;
static int null_fd = -1;
static unsigned left_s = PATIENCE_S; /* of the time that runs from the first stop signal on */
static volatile sig_atomic_t stop_came;
static volatile sig_atomic_t stops; /* that we know of, up to the second */
static volatile sig_atomic_t given_up;

static void on_stop(int number)
{
	stop_came = 1;
	if (stops == 2)
		return;
	stops++;
	alarm(stops == 1 ? left_s : HURRY_S);
}

static void on_alarm(int number)
{
	given_up = 1;
	(void)dup2(null_fd, STDOUT_FILENO);
}

int stuck_init(const sigset_t *signals)
{
	/* A reader that is only slow gets its data: the write goes on after the first signal. */
	struct sigaction stop = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
	struct sigaction timeout = { .sa_handler = on_alarm };

	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	stop_signals = *signals;
	for (int number = 1; number < NSIG; number++) {
		if (sigismember(signals, number) == 1 && sigaction(number, &stop, NULL) < 0)
			return -errno;
	}
	return sigaction(SIGALRM, &timeout, NULL) < 0 ? -errno : 0;
}

void stuck_watch(bool stopping)
{
	stop_came = 0;
	stops = stopping;
	given_up = 0;
	if (stopping)
		alarm(left_s);
	(void)sigprocmask(SIG_UNBLOCK, &stop_signals, NULL);
}

bool stuck_unwatch(bool *ret_stop)
{
	(void)sigprocmask(SIG_BLOCK, &stop_signals, NULL);
	if (stops)
		left_s = alarm(0);
	if (left_s == 0)
		left_s = HURRY_S;
	*ret_stop = stop_came;
	return given_up;
}
