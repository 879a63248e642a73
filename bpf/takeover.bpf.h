/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How the dump takes over the cells of a task that stays in one call, as a fold by the reader: most
 * tasks sleep, and need not be shown again at every interval.
 *
 * While a task is in a call its cells do not change. The dump makes an offer first, where there is
 * none. A dump of another epoch sees that the task is in a call, reads the cells, and then turns
 * the offer into TAKEOVER_DONE. When a call that had a beginning is over, and before it is counted,
 * the task withdraws the offer, or starts its cells anew where they were taken. It looks for an
 * offer without a barrier: one that it misses was made just then, and not an epoch ago. Such an
 * offer stands through whatever is counted without a beginning, until the end of the task's next
 * call, which is as good a call to be taken in: what was written before it must have come to all
 * CPUs, which its age sees to (settings.settled_ns).
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"

/* For the task. */

__noinline int takeover_undo(struct batch *batch)
{
	u32 value;

	if (!batch)
		return 0;
	value = *(volatile u32 *)&batch->takeover;
	if (value != TAKEOVER_DONE &&
	    __sync_val_compare_and_swap(&batch->takeover, value, TAKEOVER_NONE) == value)
		return 0;
	/* As in a fold, and before the dump may look again: it must not take them for live. */
	add_ordered(&batch->sequence);
	batch->n_cells = 0;
	add_ordered(&batch->sequence);
	*(volatile u32 *)&batch->takeover = TAKEOVER_NONE;
	return 0;
}

/* To be asked when the record does not say any more that its task is in a call. */
static __always_inline void takeover_end(struct batch *batch)
{
	barrier();
	if (*(volatile u32 *)&batch->takeover != TAKEOVER_NONE)
		takeover_undo(batch);
}

/* For the dump. */

static __always_inline void takeover_offer(struct batch *batch)
{
	(void)__sync_val_compare_and_swap(&batch->takeover, TAKEOVER_NONE, control.epoch << 1);
}

static __always_inline bool takeover_is_offered(u32 value)
{
	return value > TAKEOVER_DONE && value >> 1 != (control.epoch & 0x7fffffff);
}

/* Returns whether the cells are the dump's now, as they were when @value was read. */
static __always_inline bool takeover_take(struct batch *batch, u32 value)
{
	return __sync_val_compare_and_swap(&batch->takeover, value, TAKEOVER_DONE) == value;
}
