/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: stop signals, the interval's timer, the ring buffer, and the reader of our
 * output. Says that something happened, and knows nothing of what is then done.
 */
#pragma once

#include <stdint.h>

struct loop;

/* What is done; each returns 0, or -errno to end the loop. */
struct loop_handlers {
	int (*on_signal)(void *data); /* that asks to stop */
	int (*on_timer)(void *data);
	int (*on_ring)(void *data);
	int (*timeout_ms)(void *data); /* until on_wake wants to be called; -1: no need */
	void (*on_wake)(void *data);   /* whatever woke it, and before that is looked at */
	void (*on_error)(int error, void *data); /* the loop itself cannot go on: an errno */
	void *data;
};

/*
 * Blocks the signals that ask to stop, which are taken note of from now on. Returns 0 or -errno.
 */
int loop_new(const struct loop_handlers *handlers, struct loop **ret);
void loop_free(struct loop *loop);

/*
 * From @start_ns (CLOCK_MONOTONIC) on, the timer goes off every @interval_ns, on that grid however
 * late it is heard. @ring_fd is readable when on_ring has to do.
 */
int loop_start(struct loop *loop, uint64_t start_ns, uint64_t interval_ns, int ring_fd);

/*
 * Until loop_stop(), or an error of a handler, which it returns; -EPIPE when the reader of standard
 * output has gone.
 */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
