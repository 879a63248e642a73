/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counts and times every system call.
 *
 * Each task carries its own record in task storage: the call it is in, whose it is, and the
 * cells it has counted into. The task is the record's only writer, so nothing is locked, no table
 * has to be sized, and the record dies with the task. A record is handed over as a whole (a
 * fold) through the ring buffer when its cells are used up, when it comes to belong to another
 * process name or cgroup, and when the task exits; what has not been folded yet is read where it
 * stands by the task iterator (the dump). Reading clears nothing; but the cells of a task that
 * stays in one call the dump takes over for good (takeover.bpf.h).
 *
 * The parts are headers beside this file, by noun; this one has the two ends of a call and the
 * programs. A function that is global, that is not static, is checked by the verifier once by
 * itself, and not along every way that leads to it.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "bytes.bpf.h"
#include "call.bpf.h"
#include "cells.bpf.h"
#include "cgroup_events.bpf.h"
#include "control.bpf.h"
#include "denial.bpf.h"
#include "filter.bpf.h"
#include "fingerprints.bpf.h"
#include "notes.bpf.h"
#include "record.bpf.h"
#include "takeover.bpf.h"
#include "task.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A call is not an error unless it returned one of these. */
#define MAX_ERRNO 4095
/* ERESTARTSYS to ERESTART_RESTARTBLOCK: seen at sys_exit, never by user space. */
#define RESTART_FIRST 512
#define RESTART_LAST  516

__noinline int on_denied(struct task_record *record, u32 nr, u32 abi)
{
	struct cell *cell;

	if (!record)
		return 0;
	cell = cell_find(record, nr, abi);
	if (++cell->denied == CELL_COUNT_MAX)
		fold(record);
	return 0;
}

/* All that is known of a call whose exit was left out is that it returned. */
__noinline int on_missed_exit(struct task_record *record)
{
	struct cell *cell;

	if (!record)
		return 0;
	record->phase = PHASE_IDLE;
	takeover_end(&record->batch);
	cell = cell_find(record, record->call_nr, record->call_abi);
	if (++cell->count == CELL_COUNT_MAX)
		fold(record);
	return 0;
}

static __always_inline void on_no_record(struct task_struct *task, u32 nr)
{
	u32 abi = call_abi(task, &nr);

	if (!(call_traits(nr, abi) & TRAIT_EXCLUDED) &&
	    decide(task, &task->comm[0], &task->group_leader->comm[0], cgroup_id_of(task)) ==
		    VERDICT_MEASURE)
		count_lost(LOSS_NO_MEMORY, 1);
}

static __always_inline void on_entry(u32 nr, u32 copy)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *record;
	u64 fingerprint = 0;
	u8 traits, *note = NULL;
	u32 abi;

	if (!control.enabled)
		return;
	if (settings.copies > 1)
		note = note_of(task);
	if (!take_event(note, copy, NOTE_ENTRY))
		return;
	if (copy > 0)
		__sync_fetch_and_add(&made_good, 1);
	if (settings.filters) {
		fingerprint = task_fingerprint(task);
		if (*skip_slot(fingerprint) == fingerprint) {
			if (settings.copies == 1)
				note = note_of(task);
			if (note) {
				*note |= NOTE_SEEN | NOTE_SKIPPED;
				return;
			}
		}
	}
	record = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!record) {
		record = record_new(task);
		if (!record) {
			on_no_record(task, nr);
			return;
		}
		/* Of several copies each entry takes the old note down. */
		if (settings.filters && settings.copies == 1)
			forget_last_owner(task);
	}
	/* Every call that goes on has an exit: that of the last one was not shown to us. */
	if (record->phase == PHASE_MEASURED)
		on_missed_exit(record);
	if (!record_is_current(record, task))
		record_refresh(record);
	if (record->verdict != VERDICT_MEASURE) {
		/* Who is out of view by PID says nothing of others like it. */
		if (settings.filters && is_in_view(task)) {
			fingerprint = record_fingerprint(record);
			*skip_slot(fingerprint) = fingerprint;
		}
		record->phase = PHASE_LEFT_OUT;
		return;
	}

	abi = call_abi(task, &nr);
	traits = call_traits(nr, abi);
	if (traits & TRAIT_EXCLUDED) {
		record->phase = PHASE_LEFT_OUT;
		return;
	}
	if (traits & TRAIT_NO_RETURN) {
		struct cell *cell = cell_find(record, nr, abi);

		record->phase = PHASE_IDLE;
		if (++cell->count == CELL_COUNT_MAX)
			fold(record);
		return;
	}

	record->call_nr = nr;
	record->call_abi = abi;
	record->call_traits = traits;
	if ((traits & TRAIT_BYTES_MASK) > BYTES_RETURNED)
		latch_args(record, task, abi);
	/* The dump, which sees the phase, must not see an earlier call's start with it. */
	record->call_start_ns = bpf_ktime_get_ns();
	barrier();
	record->phase = PHASE_MEASURED;
}

/* Adds what @ret says of the call in @record. Returns its cell. */
static __always_inline struct cell *count_result(struct task_record *record, s64 ret)
{
	struct cell *cell = cell_find(record, record->call_nr, record->call_abi);

	if (ret > 0) {
		add_bytes(record, cell, ret);
	} else if (ret < 0 && ret >= -MAX_ERRNO) {
		if (ret <= -RESTART_FIRST && ret >= -RESTART_LAST) {
			cell->interrupted++;
		} else {
			if (!cell_count_errno(cell, -ret)) {
				fold(record);
				cell = cell_find(record, record->call_nr, record->call_abi);
				cell_count_errno(cell, -ret);
			}
			cell->errors++;
		}
	}
	return cell;
}

/* Counts a call whose entry was left out, by what is left of it: no latency, no latched argument.
 */
__noinline int on_missed_entry(struct task_record *record, u32 nr, u32 abi, s64 ret)
{
	struct cell *cell;

	if (!record)
		return 0;
	record->call_nr = nr;
	record->call_abi = abi;
	record->call_traits = call_traits(nr, abi);
	if ((record->call_traits & TRAIT_BYTES_MASK) != BYTES_RETURNED)
		record->call_traits = BYTES_NONE;
	cell = count_result(record, ret);
	if (++cell->count == CELL_COUNT_MAX)
		fold(record);
	return 0;
}

/*
 * Whether an exit without an entry, of a task with a record, is that of a call refused before it
 * began. Where entries are shown always it is, whoever refused it: a tracer may have gone since.
 */
static __always_inline bool is_denied(const struct task_struct *task, u32 nr, u32 abi, s64 ret)
{
	return settings.copies == 1 || may_be_denied(task, nr, abi, ret);
}

/*
 * Makes good a missed entry, unless its call may have been reported as lost by now. It began after
 * the task's latest exit; what was missed by the end of an epoch is reported when the next one
 * has ended. User space moves the epoch on before it reads what was made good: either it sees that
 * this was, or we see here that we are late.
 */
static __always_inline bool make_good(const struct task_record *record)
{
	u64 before = __sync_fetch_and_add(&made_good, 1);

	barrier_var(before); /* else it is no fetching atomic, and no barrier */
	if (*(volatile u32 *)&control.epoch - record->exit_epoch <= 1)
		return true;
	__sync_fetch_and_add(&made_good, -1);
	return false;
}

/*
 * An exit without an entry: of a call refused before it began, or that we came late for, or of
 * which all copies missed the entry. Where that one cannot be told from a denied one, it passes for
 * one, and is among the lost.
 */
static __always_inline void on_exit_alone(struct task_struct *task, struct task_record *record,
					  s64 ret)
{
	u32 nr, abi;

	if (record->phase == PHASE_LEFT_OUT) {
		record->phase = PHASE_IDLE;
		return;
	}
	/* By an exec a thread came to another TID, and did not find its note there. */
	if ((settings.filters || settings.copies > 1) && record->batch.tid != task->pid) {
		record_refresh(record);
		return;
	}
	if (!record_is_current(record, task))
		record_refresh(record);
	nr = call_nr_at_exit((struct pt_regs *)bpf_task_pt_regs(task));
	abi = call_abi(task, &nr);
	if (record->verdict != VERDICT_MEASURE || (call_traits(nr, abi) & TRAIT_EXCLUDED)) {
		if (!is_denied(task, nr, abi, ret))
			(void)make_good(record);
		return;
	}
	if (is_denied(task, nr, abi, ret)) {
		on_denied(record, nr, abi);
	} else if (nr != NR_FORGOTTEN && make_good(record)) {
		on_missed_entry(record, nr, abi, ret);
	}
}

/*
 * Whether this exit of a task that has no record is of a call refused before it began, and not of
 * one that began unseen: before counting, or in the task's parent. It is if the task was @seen to
 * make other calls since, or where it has no exit at birth and is younger than counting. Who comes
 * back with 0 may be a fork's child, or have come from another TID by an exec.
 */
static __always_inline bool is_refused_first_call(struct task_struct *task, bool seen, s64 ret)
{
	u32 nr, abi;

	if (!seen && (EXITS_AT_BIRTH || task->start_boottime < control.began_boot_ns))
		return false;
	if (ret == 0)
		return false;
	nr = call_nr_at_exit((struct pt_regs *)bpf_task_pt_regs(task));
	abi = call_abi(task, &nr);
	return may_be_denied(task, nr, abi, ret);
}

static __always_inline void on_exit(s64 ret, u32 copy)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *record;
	struct cell *cell;
	u8 *note = NULL;
	u64 ns;

	if (settings.filters || settings.copies > 1)
		note = note_of(task);
	if (!take_event(note, copy, NOTE_EXIT))
		return;
	if (settings.filters && note && (*note & NOTE_SKIPPED)) {
		*note &= ~NOTE_SKIPPED;
		return;
	}
	record = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!record) {
		/*
		 * The first event of a task is no call of its own to count: a child returning from
		 * its parent's fork, or a call that began before we were attached.
		 */
		if (!control.enabled)
			return;
		record = record_new(task);
		if (!record || !is_refused_first_call(task, note && (*note & NOTE_SEEN), ret))
			return;
	}
	if (record->phase != PHASE_MEASURED) {
		if (control.enabled)
			on_exit_alone(task, record, ret);
		if (settings.copies > 1)
			record->exit_epoch = control.epoch;
		return;
	}

	if (settings.copies > 1)
		record->exit_epoch = control.epoch;
	ns = bpf_ktime_get_ns() - record->call_start_ns;
	record->phase = PHASE_IDLE;
	takeover_end(&record->batch);
	if (record->call_traits & TRAIT_SIGRETURN)
		ret = 0;
	cell = count_result(record, ret);
	cell_time(cell, ns);
	if (++cell->count == CELL_COUNT_MAX)
		fold(record);
}

SEC("raw_tp/sys_enter")
int BPF_PROG(on_sys_enter, u64 regs, long id)
{
	on_entry(id, 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int BPF_PROG(on_sys_enter_2, u64 regs, long id)
{
	on_entry(id, 1);
	return 0;
}

SEC("raw_tp/sys_enter")
int BPF_PROG(on_sys_enter_3, u64 regs, long id)
{
	on_entry(id, 2);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(on_sys_exit, u64 regs, long ret)
{
	on_exit(ret, 0);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(on_sys_exit_2, u64 regs, long ret)
{
	on_exit(ret, 1);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(on_sys_exit_3, u64 regs, long ret)
{
	on_exit(ret, 2);
	return 0;
}

/* Run twice, it finds nothing to do. */
static __always_inline void task_ends(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *record;
	u8 *note;

	/* exit and exit_group do not return, and the TID will be another task's. */
	if (settings.filters || settings.copies > 1) {
		note = note_of(task);
		if (note)
			*note = 0;
	}
	record = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!record)
		return;
	/* Where exits are shown to us always, this is a call that ends the task, such as reboot. */
	if (settings.copies > 1 && record->phase == PHASE_MEASURED)
		on_missed_exit(record);
	record->phase = PHASE_IDLE;
	fold(record);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_task_exit, struct task_struct *task)
{
	task_ends();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_task_exit_2, struct task_struct *task)
{
	task_ends();
	return 0;
}

/*
 * Behind both, what they missed: when nobody waits for the task any more, its record is still
 * there. Runs where nothing preempts it.
 */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_task_free, struct task_struct *task)
{
	struct task_record *record = bpf_task_storage_get(&tasks, task, NULL, 0);

	if (!record || record->batch.n_cells == 0)
		return 0;
	((u64 *)record->batch.comm)[0] = comm_word(task, 0);
	((u64 *)record->batch.comm)[1] = comm_word(task, 1);
	fold_as_named(record);
	return 0;
}

/*
 * When the call began that the task is in, 0 if it is in none; what else there is to say of it is
 * put into @head. CPUs' clocks may be apart by a little.
 */
static __always_inline u64 call_in_progress(const struct task_record *record,
					    struct dump_task *head)
{
	u64 start_ns = record->call_start_ns;

	if (record->phase != PHASE_MEASURED)
		return 0;
	head->now_ns = bpf_ktime_get_ns();
	head->call_nr = record->call_nr;
	head->call_abi = record->call_abi;
	barrier();
	if (record->phase != PHASE_MEASURED || record->call_start_ns != start_ns ||
	    head->now_ns < start_ns)
		return 0;
	return start_ns;
}

/* What finds none is shown once more by the next read: so nothing is taken over then. */
static __always_inline bool has_room(const struct seq_file *seq, u32 n_cells)
{
	return seq->count + sizeof(struct dump_task) + offsetof(struct batch, cells) +
		       n_cells * sizeof(struct cell) + sizeof(struct dump_end) <
	       seq->size;
}

SEC("iter/task")
int on_dump(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct dump_task head = { .magic = DUMP_MAGIC };
	struct dump_end end = {};
	struct task_record *record;
	u32 n, takeover;
	u64 start_ns;
	bool settled;

	if (!task)
		return 0;
	record = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!record)
		return 0;

	/* A fetching atomic orders what follows behind it on every architecture. */
	takeover = __sync_fetch_and_add(&record->batch.takeover, 0);
	head.sequence = __sync_fetch_and_add(&record->batch.sequence, 0);
	n = __sync_fetch_and_add(&record->batch.n_cells, 0);
	if (n > CELLS_MAX)
		return 0;
	if ((head.sequence & 1) || takeover == TAKEOVER_DONE)
		n = 0;

	start_ns = call_in_progress(record, &head);
	if (start_ns && head.now_ns - start_ns >= settings.in_flight_ns)
		head.call_start_ns = start_ns;
	if (n == 0 && !head.call_start_ns)
		return 0;

	head.n_cells = n;
	head.tgid = task->tgid;
	head.tid = task->pid;
	((u64 *)head.comm)[0] = comm_word(task, 0);
	((u64 *)head.comm)[1] = comm_word(task, 1);
	/* None was added since @n was read: while the task is in its call, none is. */
	settled = n > 0 && control.enabled && start_ns &&
		  head.now_ns - start_ns >= settings.settled_ns &&
		  __sync_fetch_and_add(&record->batch.n_cells, 0) == n && has_room(seq, n);
	bpf_seq_write(seq, &head, sizeof(head));
	bpf_seq_write(seq, &record->batch, offsetof(struct batch, cells) + n * sizeof(struct cell));
	end.sequence = __sync_fetch_and_add(&record->batch.sequence, 0);
	if (settled && takeover == TAKEOVER_NONE)
		takeover_offer(&record->batch);
	else if (settled && takeover_is_offered(takeover))
		end.taken = takeover_take(&record->batch, takeover);
	bpf_seq_write(seq, &end, sizeof(end));
	return 0;
}

/*
 * Run once by user space, by itself: its PID in the initial namespace, which /proc does not tell
 * from within another, and the namespace it is in.
 */
SEC("raw_tp")
int on_identify(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 level = task->thread_pid->level;

	control.own_tgid = task->tgid;
	control.pid_namespace_level = level;
	control.pid_namespace_inode = pid_namespace_at(task, level)->ns.inum;
	return 0;
}

/* Run once by user space, when both ends are attached: counting begins. */
SEC("raw_tp")
int on_begin(void *ctx)
{
	u32 before = __sync_fetch_and_add(&control.enabled, 1);

	barrier_var(before); /* else it is no fetching atomic, and no barrier */
	control.began_boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}
