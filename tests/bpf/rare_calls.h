/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three times as many distinct calls as a task's record has cells for, each of them cheap, harmless
 * and made by no program that starts or ends: whoever selects these alone knows their number to
 * the last.
 */
#pragma once

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "lab.h"

struct rare_call {
	const char *name;
	long nr;
	long args[3];
};

#define RARE_(name, ...)                                                                           \
	{                                                                                          \
#name, SYS_##name,                                                                 \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct rare_call rare_calls[] = {
	RARE_(getppid),
	RARE_(getsid),
	RARE_(getpgid),
	RARE_(getresuid),
	RARE_(getresgid),
	RARE_(sched_yield),
	RARE_(sched_getscheduler),
	RARE_(sched_getparam),
	RARE_(sched_get_priority_max, 1),
	RARE_(sched_get_priority_min, 1),
	RARE_(getpriority),
	RARE_(umask, 022),
	RARE_(personality, 0xffffffff),
	RARE_(times),
	RARE_(getrusage),
	RARE_(clock_getres),
	RARE_(getitimer),
	RARE_(fsync, -1),
	RARE_(fdatasync, -1),
	RARE_(fchdir, -1),
	RARE_(fchmod, -1),
	RARE_(fchown, -1),
	RARE_(ftruncate, -1),
	RARE_(fstatfs, -1),
	RARE_(flock, -1),
	RARE_(getsockname, -1),
	RARE_(getpeername, -1),
	RARE_(getsockopt, -1),
	RARE_(bind, -1),
	RARE_(listen, -1),
	RARE_(accept4, -1),
	RARE_(shutdown, -1),
	RARE_(syncfs, -1),
	RARE_(fallocate, -1),
	RARE_(readahead, -1),
	RARE_(inotify_rm_watch, -1),
	RARE_(timerfd_gettime, -1),
	RARE_(dup, -1),
	RARE_(fgetxattr, -1),
	RARE_(flistxattr, -1),
	RARE_(fremovexattr, -1),
	RARE_(epoll_ctl, -1),
	RARE_(io_destroy),
	RARE_(io_cancel),
	RARE_(timer_getoverrun, -1),
};

#define RARE_CALLS (sizeof(rare_calls) / sizeof(rare_calls[0]))
_Static_assert(RARE_CALLS >= 3 * CELLS_MAX, "a record would hold a third of them");

static inline void rare_call_names(const char *ret[static RARE_CALLS])
{
	for (size_t i = 0; i < RARE_CALLS; i++)
		ret[i] = rare_calls[i].name;
}

static inline void make_rare_call(size_t i)
{
	const struct rare_call *call = &rare_calls[i % RARE_CALLS];

	(void)syscall(call->nr, call->args[0], call->args[1], call->args[2], 0, 0, 0);
}

/*
 * Each as often as @truth says, or where some were lost all of them, and with them @others that
 * are measured as well. None for want of memory.
 */
static inline void expect_rare_calls(struct lab *lab, const uint64_t truth[static RARE_CALLS],
				     uint64_t others)
{
	uint64_t lost, all = others;

	lab_settle_late(lab);
	lost = lab_lost(lab, LOSS_RING_FULL) + lab_lost(lab, LOSS_RECURSION);
	for (size_t i = 0; i < RARE_CALLS; i++) {
		uint64_t count = lab_sum(lab, .call = rare_calls[i].name).count;

		all += truth[i];
		if (lost == 0 && count != truth[i])
			fail_msg("%s: %ju of %ju calls", rare_calls[i].name, (uintmax_t)count,
				 (uintmax_t)truth[i]);
	}
	lab_expect_truth(lab, all);
}
