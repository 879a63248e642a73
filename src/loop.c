/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "stuck.h"

struct loop {
	struct loop_handlers handlers;
	int epoll_fd;
	int signal_fd;
	int timer_fd;
	bool stop;
};

/* What woke the loop. */
enum event {
	EVENT_SIGNAL,
	EVENT_TIMER,
	EVENT_RING,
	EVENT_READER,
};

static int open_signals(struct loop *loop)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP); /* the terminal is closed: what was counted still goes out */
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	loop->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return loop->signal_fd < 0 ? -errno : stuck_init(&signals);
}

static void loop_freep(struct loop **loop)
{
	loop_free(*loop);
}

int loop_new(const struct loop_handlers *handlers, struct loop **ret)
{
	_cleanup_(loop_freep) struct loop *loop = malloc(sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	*loop = (struct loop){
		.handlers = *handlers,
		.epoll_fd = -1,
		.signal_fd = -1,
		.timer_fd = -1,
	};
	r = open_signals(loop);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(loop);
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	closep(&loop->epoll_fd);
	closep(&loop->signal_fd);
	closep(&loop->timer_fd);
	free(loop);
}

static int start_timer(struct loop *loop, uint64_t start_ns, uint64_t interval_ns)
{
	uint64_t first = start_ns + interval_ns;
	struct itimerspec timer = {
		.it_value = { (time_t)(first / NSEC_PER_SEC), (long)(first % NSEC_PER_SEC) },
		.it_interval = { (time_t)(interval_ns / NSEC_PER_SEC),
				 (long)(interval_ns % NSEC_PER_SEC) },
	};

	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	/*
	 * Absolute deadlines, from when counting began: neither the time it takes to get ready nor
	 * that to print adds up.
	 */
	return timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL) < 0 ? -errno : 0;
}

static int watch(struct loop *loop, int fd, uint32_t events, enum event event)
{
	struct epoll_event watched = { .events = events, .data.u32 = event };

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &watched) < 0 ? -errno : 0;
}

int loop_start(struct loop *loop, uint64_t start_ns, uint64_t interval_ns, int ring_fd)
{
	int r;

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	r = start_timer(loop, start_ns, interval_ns);
	if (r == 0)
		r = watch(loop, loop->signal_fd, EPOLLIN, EVENT_SIGNAL);
	if (r == 0)
		r = watch(loop, loop->timer_fd, EPOLLIN, EVENT_TIMER);
	if (r == 0)
		r = watch(loop, ring_fd, EPOLLIN, EVENT_RING);
	/* A pipe or socket tells when its reader has gone; a file cannot be watched, nor needs it.
	 */
	if (r == 0)
		(void)watch(loop, STDOUT_FILENO, 0, EVENT_READER);
	return r;
}

static int dispatch(struct loop *loop, enum event event)
{
	const struct loop_handlers *handlers = &loop->handlers;
	struct signalfd_siginfo info;
	uint64_t expirations;

	switch (event) {
	case EVENT_SIGNAL:
		if (read(loop->signal_fd, &info, sizeof(info)) != sizeof(info))
			return 0;
		return handlers->on_signal(handlers->data);
	case EVENT_TIMER:
		/* Missed ticks (we were stopped, or the machine slept) become one longer interval.
		 */
		if (read(loop->timer_fd, &expirations, sizeof(expirations)) != sizeof(expirations))
			return 0;
		return handlers->on_timer(handlers->data);
	case EVENT_RING:
		return handlers->on_ring(handlers->data);
	case EVENT_READER:
		return -EPIPE;
	}
	return 0;
}

int loop_run(struct loop *loop)
{
	const struct loop_handlers *handlers = &loop->handlers;

	while (!loop->stop) {
		struct epoll_event event;
		int n, r;

		n = epoll_wait(loop->epoll_fd, &event, 1, handlers->timeout_ms(handlers->data));
		if (n < 0 && errno != EINTR) {
			r = -errno;
			handlers->on_error(-r, handlers->data);
			return r;
		}
		handlers->on_wake(handlers->data);
		if (n <= 0)
			continue;
		r = dispatch(loop, (enum event)event.data.u32);
		if (r < 0)
			return r;
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
