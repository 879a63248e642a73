/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The record of a task, in its task storage: made, kept in step with who the task is, and folded,
 * that is handed over through the ring.
 */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"
#include "filter.bpf.h"
#include "takeover.bpf.h"
#include "task.bpf.h"

enum phase {
	PHASE_IDLE,
	PHASE_MEASURED, /* in a call that its exit will count */
	PHASE_LEFT_OUT, /* in a call that a filter leaves out */
};

struct task_record {
	/* The call in progress, as latched at sys_enter. */
	u64 call_start_ns;
	u32 call_nr;
	u8 call_abi;
	u8 call_traits;
	u8 phase;
	u8 verdict; /* the filter's answer */
	/*
	 * Of sendmmsg and recvmmsg: where their messages are, in user memory. Of a receive that
	 * tells more than it got: the most to count.
	 */
	u64 latched;
	u32 generation; /* of the filter's answer */
	u32 exit_epoch; /* of the latest exit, where entries may be left out */
	u64 own_comm[2];
	u8 hints[HINTS]; /* by call number: the cell to look at first */
	struct batch batch;
};
/* The kernel puts 72 bytes before the value, and its allocator for BPF another 8. */
_Static_assert(sizeof(struct task_record) + 80 <= 2048, "one slab object of 2 KiB");

__u64 records_made;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_record);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/*
 * Wakes the reader only when the ring is a quarter full: it reads every interval anyway, and a
 * wake-up for every fold would cost more than the fold.
 */
static __always_inline u64 wakeup_flag(void)
{
	u64 size = bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);
	u64 filled = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	return filled >= size / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

__noinline int fold_as_named(struct task_record *record)
{
	struct batch *batch;
	u64 calls = 0;
	u32 n;

	if (!record)
		return 0;
	batch = &record->batch;
	takeover_end(batch);
	n = batch->n_cells;
	if (n == 0 || n > CELLS_MAX)
		return 0;

	/*
	 * The dump may read the cells while they change hands, on another CPU or, where this can
	 * be preempted, on the same. It lets them alone while the sequence is odd; what it had
	 * read under the even one before is what this message holds, and counts once.
	 */
	add_ordered(&batch->sequence);
	if (bpf_ringbuf_output(&events, batch,
			       offsetof(struct batch, cells) + n * sizeof(struct cell),
			       wakeup_flag())) {
		for (u32 i = 0; i < CELLS_MAX; i++) {
			if (i < n)
				calls += batch->cells[i].count + batch->cells[i].denied;
		}
	}
	batch->n_cells = 0;
	add_ordered(&batch->sequence);
	/* Once nobody can take them for live any more. */
	if (calls)
		count_lost(LOSS_RING_FULL, calls);
	return 0;
}

__noinline int fold(struct task_record *record)
{
	if (!record)
		return 0;
	bpf_get_current_comm(record->batch.comm, sizeof(record->batch.comm));
	return fold_as_named(record);
}

/* Whether all that was worked out for this task still holds. */
static __always_inline bool record_is_current(const struct task_record *record,
					      struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	const u64 *process_comm = (const u64 *)record->batch.process_comm;

	if (record->generation != control.generation)
		return false;
	if (comm_word(leader, 0) != process_comm[0] || comm_word(leader, 1) != process_comm[1])
		return false;
	/* A thread that execs becomes the main one, PID and all. */
	if (record->batch.tid != task->pid)
		return false;
	if (settings.filter_comms && (comm_word(task, 0) != record->own_comm[0] ||
				      comm_word(task, 1) != record->own_comm[1]))
		return false;
	if (record->verdict == VERDICT_SKIP && !settings.filter_cgroups)
		return true;
	return record->batch.cgroup_id == cgroup_id_of(task);
}

/* What was counted so far belongs to who the task was: it goes out before the record changes. */
__noinline int record_refresh(struct task_record *record)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	u64 *process_comm, name[2];
	u32 generation;
	u64 cgroup_id;

	if (!record)
		return 0;
	generation = control.generation;
	cgroup_id = cgroup_id_of(task);
	name[0] = comm_word(leader, 0);
	name[1] = comm_word(leader, 1);
	/* Read once: others can rename it between a comparison and what follows from that. */
	barrier_var(name[0]);
	barrier_var(name[1]);
	process_comm = (u64 *)record->batch.process_comm;

	if (cgroup_id != record->batch.cgroup_id || name[0] != process_comm[0] ||
	    name[1] != process_comm[1] || record->batch.tid != task->pid)
		fold(record);

	process_comm[0] = name[0];
	process_comm[1] = name[1];
	record->own_comm[0] = comm_word(task, 0);
	record->own_comm[1] = comm_word(task, 1);
	record->batch.cgroup_id = cgroup_id;
	record->batch.tgid = task->tgid;
	record->batch.tid = task->pid;
	record->batch.vpid = own_vpid(task);
	record->batch.process_start_ns = leader->start_boottime;
	record->batch.task_start_ns = task->start_boottime;
	record->verdict =
		decide(task, (const char *)record->own_comm, record->batch.process_comm, cgroup_id);
	record->generation = generation;
	return 0;
}

static __always_inline struct task_record *record_new(struct task_struct *task)
{
	struct task_record *record;

	if (settings.refuse_records)
		return NULL;
	record = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (record) {
		record->batch.record_id = __sync_fetch_and_add(&records_made, 1);
		record->exit_epoch = control.epoch;
		record_refresh(record);
	}
	return record;
}
