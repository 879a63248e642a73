/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How many bytes a call moved. Most calls return that; of the others, what it takes is latched in
 * the record at entry.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "call.bpf.h"
#include "control.bpf.h"
#include "record.bpf.h"

#define MSG_PEEK  0x02
#define MSG_TRUNC 0x20

/* The kernel clamps sendmmsg to as many messages (UIO_MAXIOV); recvmmsg it does not. */
#define MMSG_MAX 1024

/* Returns the class that a receive with these flags comes to: what is peeked at will come again. */
static __always_inline u32 latch_receive(struct task_record *record, u32 class, u32 flags,
					 u64 length)
{
	record->latched = flags & MSG_TRUNC ? length : ~0ull;
	return flags & MSG_PEEK ? BYTES_NONE : class;
}

/* Which of ia32's socket calls this is, and the arguments that its byte count depends on. */
__noinline u32 socketcall_class(struct task_record *record, u32 call, u64 args_address)
{
	u32 args[4] = {};
	u32 class;

	if (!record)
		return BYTES_NONE;
	switch (call) {
	case 9:	 /* send */
	case 11: /* sendto */
	case 16: /* sendmsg */
		return BYTES_RETURNED;
	case 10: /* recv */
	case 12: /* recvfrom */
		class = BYTES_RECVFROM;
		break;
	case 17: /* recvmsg */
		class = BYTES_RECVMSG;
		break;
	default:
		return BYTES_NONE;
	}
	if (bpf_probe_read_user(args, sizeof(args), (void *)args_address))
		return BYTES_RETURNED;
	if (class == BYTES_RECVFROM)
		return latch_receive(record, class, args[3], args[2]);
	return latch_receive(record, class, args[2], 0);
}

/* What the byte count at exit will need and the registers will not hold any more. */
static __always_inline void latch_args(struct task_record *record, struct task_struct *task,
				       u32 abi)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	switch (record->call_traits & TRAIT_BYTES_MASK) {
	case BYTES_RECVFROM:
		record->call_traits = latch_receive(record, BYTES_RECVFROM, call_arg(regs, abi, 3),
						    call_arg(regs, abi, 2));
		break;
	case BYTES_RECVMSG:
		record->call_traits =
			latch_receive(record, BYTES_RECVMSG, call_arg(regs, abi, 2), 0);
		break;
	case BYTES_RECVMMSG:
		record->call_traits =
			latch_receive(record, BYTES_RECVMMSG, call_arg(regs, abi, 3), 0);
		record->latched = call_arg(regs, abi, 1);
		break;
	case BYTES_SENDMMSG:
		record->latched = call_arg(regs, abi, 1);
		break;
	case BYTES_SOCKETCALL:
		record->call_traits =
			socketcall_class(record, call_arg(regs, abi, 0), call_arg(regs, abi, 1));
		break;
	default:
		break;
	}
}

/*
 * Adds the msg_len of each message; struct mmsghdr is a msghdr and a length. The sum grows in
 * the cell: in a register it would be a state of its own to the verifier in every round.
 */
__noinline int add_mmsg_bytes(struct cell *cell, u64 vector, u32 n, u32 compat)
{
	u32 stride = compat ? 32 : 64;
	u32 offset = compat ? 28 : 56;

	if (!cell)
		return 0;
	for (u32 i = 0; i < MMSG_MAX; i++) {
		u32 length = 0;

		if (i >= n)
			break;
		if (bpf_probe_read_user(&length, sizeof(length),
					(void *)(vector + (u64)i * stride + offset)))
			count_lost(LOSS_BYTES_UNREAD, 1);
		cell->bytes += length;
	}
	if (n > MMSG_MAX)
		count_lost(LOSS_BYTES_UNREAD, n - MMSG_MAX);
	return 0;
}

/* @ret is above 0. */
static __always_inline void add_bytes(const struct task_record *record, struct cell *cell, s64 ret)
{
	u8 class = record->call_traits & TRAIT_BYTES_MASK;

	if (class == BYTES_NONE)
		return;
	if (class == BYTES_SENDMMSG || class == BYTES_RECVMMSG) {
		add_mmsg_bytes(cell, record->latched, ret, record->call_abi != CALL_ABI_NATIVE);
		return;
	}
	if (class == BYTES_RECVFROM && (u64)ret > record->latched)
		ret = record->latched;
	cell->bytes += ret;
}
