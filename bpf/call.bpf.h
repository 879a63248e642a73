/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A call as the registers of each architecture have it, its ABI, number and arguments, and what
 * is known of it by its number.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"

/* After a return from a signal handler, the number that was called is gone. */
#define NR_FORGOTTEN 0xffffffffu

#define X32_BIT	  0x40000000u
#define TS_COMPAT 0x0002 /* arch/x86: thread_info.status, set around a 32-bit call */
#define TIF_32BIT 22	 /* arch/arm64: thread_info.flags */

#if defined(__TARGET_ARCH_x86)
#define EXITS_AT_BIRTH true /* a new task's first event is the exit of the call that made it */

/* @nr loses the bit that marks an x32 call. */
static __always_inline u32 call_abi(struct task_struct *task, u32 *nr)
{
	if (task->thread_info.status & TS_COMPAT)
		return CALL_ABI_COMPAT;
	/* -1 is no x32 call although it has the bit. */
	if ((*nr & X32_BIT) && (s32)*nr >= 0) {
		*nr &= ~X32_BIT;
		return CALL_ABI_X32;
	}
	return CALL_ABI_NATIVE;
}

static __always_inline u32 call_nr_at_exit(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline u64 call_arg(struct pt_regs *regs, u32 abi, int i)
{
	if (abi == CALL_ABI_COMPAT)
		return (u32)(i == 0 ? regs->bx : i == 1 ? regs->cx : i == 2 ? regs->dx : regs->si);
	return i == 0 ? regs->di : i == 1 ? regs->si : i == 2 ? regs->dx : regs->r10;
}
#elif defined(__TARGET_ARCH_arm64)
#define EXITS_AT_BIRTH false /* ret_from_fork() goes by what traces calls */

static __always_inline u32 call_abi(struct task_struct *task, u32 *nr)
{
	return task->thread_info.flags & (1ul << TIF_32BIT) ? CALL_ABI_COMPAT : CALL_ABI_NATIVE;
}

static __always_inline u32 call_nr_at_exit(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline u64 call_arg(struct pt_regs *regs, u32 abi, int i)
{
	u64 value = i == 0 ? regs->orig_x0 : regs->regs[i];

	return abi == CALL_ABI_COMPAT ? (u32)value : value;
}
#else
#error "the system-call registers of this architecture are not described here"
#endif

static __always_inline u8 call_traits(u32 nr, u32 abi)
{
	/* Else one register may be asked and another be the index, which the verifier refuses. */
	barrier_var(nr);
	if (nr >= CALLS_MAX || abi >= CALL_ABI_N_)
		return 0;
	return settings.traits[abi][nr];
}
