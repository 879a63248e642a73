/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A note of each TID: a byte each, which the task alone writes. It says whether the task is in a
 * call that was skipped by its fingerprint (fingerprints.bpf.h), and which events a copy has acted
 * on. A TID that is beyond the table takes the long way, and first copies only.
 *
 * Where programs on system calls can be preempted, a task that is blocks the program that it is in
 * for all others on its CPU, until it runs again: the kernel leaves a program out while the CPU is
 * in it. There each program is attached several times. The first copy that is not left out acts,
 * and says so in the task's note; the others have nothing to do. What all of them missed at one
 * end of a call is made good at its other end: without latency, as that takes both. A call
 * missed at both ends is lost, and user space knows how many are: what the first copy at sys_enter
 * missed (the kernel counts that), less made_good.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"

/* A task's note. */
#define NOTE_SKIPPED 0x01 /* it is in a call that a filter leaves out */
#define NOTE_ENTRY   0x02 /* a copy has acted on the entry, the last one has not come by yet */
#define NOTE_EXIT    0x04 /* the same of the exit */
#define NOTE_SEEN    0x08 /* it has made calls since counting began, by which no record was made */

/* Entries that the first copy missed, and that are no loss: see the head of this file. */
__u64 made_good __attribute__((aligned(64)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64); /* of TIDS_PER_SLOT TIDs */
} notes SEC(".maps");

static __always_inline u8 *note_of(struct task_struct *task)
{
	u32 tid = task->pid;
	u32 slot = tid / TIDS_PER_SLOT;
	u64 *tids = bpf_map_lookup_elem(&notes, &slot);

	if (!tids)
		return NULL;
	/* Else the compiler adds first and asks then, which the verifier refuses. */
	barrier_var(tids);
	return (u8 *)tids + tid % TIDS_PER_SLOT;
}

/*
 * To be called when a task turns up with its first call: its TID's last owner may have left it in
 * one that was skipped, as a thread that execs does, which is the main one from then on.
 */
static __always_inline void forget_last_owner(struct task_struct *task)
{
	u8 *note = note_of(task);

	if (note)
		*note &= ~NOTE_SKIPPED;
}

/*
 * Whether copy @copy is the first to come by this event, of which @taken is the note. The last one
 * takes the note down, so that one which is found tells of this event and no earlier one. It may be
 * an old one if the last copy was left out then, and all copies at the other end after
 * it: this event then passes for acted on, and is among the lost. It is never acted on twice.
 */
static __always_inline bool take_event(u8 *note, u32 copy, u8 taken)
{
	bool last = copy + 1 == settings.copies;

	if (settings.copies == 1)
		return true;
	if (!note)
		return copy == 0;
	if (copy > 0 && (*note & taken)) {
		if (last)
			*note &= ~taken;
		return false;
	}
	*note = (*note & (taken == NOTE_EXIT ? NOTE_SEEN | NOTE_SKIPPED : NOTE_SEEN)) |
		(last ? 0 : taken);
	return true;
}
