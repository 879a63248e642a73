/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What user space and the programs tell each other outside of messages: the settings, which are
 * written before load, the control block, which is written while they run, and the losses.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"

const volatile struct settings settings;

struct control control __attribute__((aligned(64)));

__u64 lost[LOSS_N_] __attribute__((aligned(64)));

static __always_inline void count_lost(enum loss_cause cause, u64 n)
{
	__sync_fetch_and_add(&lost[cause], n);
}

/* For the dump, which reads on another CPU: a full barrier comes with it, on every architecture. */
static __always_inline void add_ordered(u32 *counter)
{
	u32 before = __sync_fetch_and_add(counter, 1);

	barrier_var(before); /* else it is no fetching atomic, and no barrier */
}
