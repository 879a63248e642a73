/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counts and times every system call.
 *
 * Each task carries its own record in task storage: the call it is in, whose it is, and the
 * cells it has counted into. The task is the record's only writer, so nothing is locked, no table
 * has to be sized, and the record dies with the task. A record is handed over as a whole (a
 * fold) through the ring buffer when its cells are used up, when it comes to belong to another
 * process name or cgroup, and when the task exits; what has not been folded yet is read where it
 * stands by the task iterator (the dump). Nothing that user space reads is cleared by it.
 *
 * Where programs on system calls can be preempted, a task that is blocks the program that it is in
 * for all others on its CPU, until it runs again: the kernel leaves a program out while the CPU is
 * in it. There each program is attached several times. The first copy that is not left out acts,
 * and says so in the task's note; the others have nothing to do. What all of them missed at one
 * end of a call is made good at its other end: without latency, as that takes both. A call
 * missed at both ends is lost, and user space knows how many are: what the first copy at sys_enter
 * missed (the kernel counts that), less made_good.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MSG_PEEK  0x02
#define MSG_TRUNC 0x20

/* A call is not an error unless it returned one of these. */
#define MAX_ERRNO 4095
/* ERESTARTSYS to ERESTART_RESTARTBLOCK: seen at sys_exit, never by user space. */
#define RESTART_FIRST 512
#define RESTART_LAST  516

/* The kernel clamps sendmmsg to as many messages (UIO_MAXIOV); recvmmsg it does not. */
#define MMSG_MAX 1024

#define SKIP_SLOT_BITS 12

/* A task's note. */
#define NOTE_SKIPPED 0x01 /* it is in a call that a filter leaves out */
#define NOTE_ENTRY   0x02 /* a copy has acted on the entry, the last one has not come by yet */
#define NOTE_EXIT    0x04 /* the same of the exit */
#define NOTE_SEEN    0x08 /* it has made calls since counting began, by which no record was made */

#define PID_NAMESPACE_LEVELS 32 /* MAX_PID_NS_LEVEL */

/* After a return from a signal handler, the number that was called is gone. */
#define NR_FORGOTTEN 0xffffffffu

/* What a tracer finds as the result of a call, and leaves there that the kernel is to skip. */
#define ENOSYS 38

#define SECCOMP_WORDS (sizeof(((struct seccomp_filter *)NULL)->cache.allow_native) / 8)

#define X32_BIT	  0x40000000u
#define TS_COMPAT 0x0002 /* arch/x86: thread_info.status, set around a 32-bit call */
#define TIF_32BIT 22	 /* arch/arm64: thread_info.flags */

enum verdict {
	VERDICT_MEASURE,
	VERDICT_SKIP,	     /* by process or name, whatever the cgroup */
	VERDICT_SKIP_CGROUP, /* until the task moves */
};

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

const volatile struct settings settings;

struct control control __attribute__((aligned(64)));

__u64 records_made;

__u64 lost[LOSS_N_] __attribute__((aligned(64)));

/* Entries that the first copy missed, and that are no loss: see the head of this file. */
__u64 made_good __attribute__((aligned(64)));

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

/* Apart, so that a flood of folds cannot make a container lose its path, and with it its name. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} cgroup_events SEC(".maps");

/*
 * What makes a call cheap that a filter leaves out: neither end looks for the record. The first
 * table holds fingerprints of all that a verdict is made from, for those that were to skip. The
 * second has a note of each TID, which says whether it is in a call that was skipped so: a byte
 * each, which the task alone writes. A TID that is beyond it takes the long way, and first
 * copies only.
 */
__u64 skip_fingerprints[1 << SKIP_SLOT_BITS];

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64); /* of TIDS_PER_SLOT TIDs */
} notes SEC(".maps");

struct comm_key {
	char comm[COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct comm_key);
	__type(value, u8);
} selected_comms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, s32);
	__type(value, u8);
} selected_pids SEC(".maps");

/*
 * Those known not to be wanted; a cgroup that user space has not judged yet is measured. Not
 * BPF_F_NO_PREALLOC: before 6.1 the kernel warns of that in its log, with a trace.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, u8);
} excluded_cgroups SEC(".maps");

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

static __always_inline u64 cgroup_id_of(struct task_struct *task)
{
	struct css_set *css_set = task->cgroups;

	if (settings.cgroup_v1)
		return css_set->subsys[settings.cgroup_subsys]->cgroup->kn->id;
	return css_set->dfl_cgrp->kn->id;
}

static __always_inline u64 comm_word(const struct task_struct *task, int i)
{
	return ((const u64 *)&task->comm[0])[i];
}

static __always_inline u64 hash_u64(enum hash_key key, u64 value)
{
	return settings.hash_keys[key] * (u32)value + settings.hash_keys[key + 1] * (value >> 32);
}

/*
 * Of all that a verdict is made from. A sum of products with secret factors of 64 bits, one for
 * each 32 bits of what is summed up: two that differ come out alike once in 2^33 times at most,
 * whoever chose them (multilinear hashing). So no process can name itself into another's verdict,
 * nor come to it as generations pass.
 */
static __always_inline u64 fingerprint_of(u32 generation, s32 tgid, u64 cgroup_id, const u64 *comm,
					  const u64 *process_comm)
{
	u64 hash = settings.hash_keys[HASH_GENERATION] * generation;

	if (settings.filter_comms)
		hash += hash_u64(HASH_COMM, comm[0]) + hash_u64(HASH_COMM + 2, comm[1]) +
			hash_u64(HASH_PROCESS_COMM, process_comm[0]) +
			hash_u64(HASH_PROCESS_COMM + 2, process_comm[1]);
	if (settings.filter_pids)
		hash += settings.hash_keys[HASH_PID] * (u32)tgid;
	if (settings.filter_cgroups)
		hash += hash_u64(HASH_CGROUP, cgroup_id);
	return hash;
}

static __always_inline u64 task_fingerprint(struct task_struct *task)
{
	return fingerprint_of(
		control.generation, task->tgid, settings.filter_cgroups ? cgroup_id_of(task) : 0,
		(const u64 *)&task->comm[0], (const u64 *)&task->group_leader->comm[0]);
}

/*
 * Of what the verdict in the record was made from, which need not be what its task was when this
 * call began, nor what it is now: others can rename and move it.
 */
static __always_inline u64 record_fingerprint(const struct task_record *record)
{
	return fingerprint_of(record->generation, record->batch.tgid, record->batch.cgroup_id,
			      record->own_comm, (const u64 *)record->batch.process_comm);
}

/* By the highest bits, which all of the hash goes into. */
static __always_inline u64 *skip_slot(u64 fingerprint)
{
	return &skip_fingerprints[fingerprint >> (64 - SKIP_SLOT_BITS)];
}

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

/*
 * The PID namespace at @level, if the current task is in it or below it. Its own is among those
 * above the one for its children. A struct pid names it as well, but before 6.5 the verifier does
 * not let that be read without a helper that lockdown may forbid.
 */
static __always_inline struct pid_namespace *pid_namespace_at(struct task_struct *task, u32 level)
{
	struct pid_namespace *namespace = task->nsproxy->pid_ns_for_children;

	for (int i = 0; i < PID_NAMESPACE_LEVELS; i++) {
		if (namespace->level <= level)
			break;
		namespace = namespace->parent;
	}
	return namespace;
}

/* The current process's PID in its innermost namespace; 0 if that cannot be told. */
static __always_inline s32 own_vpid(struct task_struct *task)
{
	u32 level = task->thread_pid->level;
	struct bpf_pidns_info ids = {};
	s32 vpid = task->tgid;

	if (level == 0)
		return vpid;
	/* Else one load is made of both, of this and of the stack, which the verifier refuses. */
	barrier_var(vpid);
	(void)bpf_get_ns_current_pid_tgid(
		settings.nsfs_device, pid_namespace_at(task, level)->ns.inum, &ids, sizeof(ids));
	return ids.tgid;
}

/*
 * The task iterator walks the reader's own PID namespace: what lies outside of it could be counted
 * but not read out in time, so it is left out.
 */
static __always_inline bool is_visible(struct task_struct *task)
{
	u32 level = control.pid_namespace_level;

	if (level == 0)
		return true;
	if (task->thread_pid->level < level)
		return false;
	return pid_namespace_at(task, level)->ns.inum == control.pid_namespace_inode;
}

static __always_inline bool is_in_view(struct task_struct *task)
{
	return task->tgid != control.own_tgid && is_visible(task);
}

/* Before 5.16 (strlcpy) the kernel leaves bytes of an earlier name behind the NUL. */
static __always_inline bool comm_is_selected(const char *comm)
{
	struct comm_key key = {};
	bool ended = false;

#pragma unroll
	for (int i = 0; i < COMM_LEN; i++) {
		char c = comm[i];

		if (!c)
			ended = true;
		if (!ended)
			key.comm[i] = c;
	}
	return bpf_map_lookup_elem(&selected_comms, &key) != NULL;
}

static __always_inline enum verdict decide(struct task_struct *task, const char *comm,
					   const char *process_comm, u64 cgroup_id)
{
	s32 tgid = task->tgid;

	if (!is_in_view(task))
		return VERDICT_SKIP;
	if (settings.filter_pids && !bpf_map_lookup_elem(&selected_pids, &tgid))
		return VERDICT_SKIP;
	if (settings.filter_comms && !comm_is_selected(comm) && !comm_is_selected(process_comm))
		return VERDICT_SKIP;
	if (settings.filter_cgroups && bpf_map_lookup_elem(&excluded_cgroups, &cgroup_id))
		return VERDICT_SKIP_CGROUP;
	return VERDICT_MEASURE;
}

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

/*
 * This and other functions below are global, that is not static: the verifier then checks each
 * once by itself, and not along every way that leads to it.
 */
__noinline int fold_as_named(struct task_record *record)
{
	struct batch *batch;
	u64 calls = 0;
	u32 n;

	if (!record)
		return 0;
	batch = &record->batch;
	n = batch->n_cells;
	if (n == 0 || n > CELLS_MAX)
		return 0;

	/*
	 * The dump may read the cells while they change hands, on another CPU or, where this can
	 * be preempted, on the same. It lets them alone while the sequence is odd; what it had
	 * read under the even one before is what this message holds, and counts once.
	 */
	add_ordered(&batch->sequence);
	batch->kind = EVENT_FOLD;
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

/* Returns the index of the cell of @nr, made if there is none, after a fold if there is no room. */
__noinline u32 cell_search(struct task_record *record, u32 nr, u32 abi)
{
	struct cell *cell;
	u32 n;

	if (!record)
		return 0;
	n = record->batch.n_cells;
	for (u32 i = 0; i < CELLS_MAX; i++) {
		if (i >= n)
			break;
		if (record->batch.cells[i].nr == nr && record->batch.cells[i].abi == abi) {
			record->hints[nr % HINTS] = i;
			return i;
		}
	}

	if (n >= CELLS_MAX) {
		fold(record);
		n = 0;
	}
	cell = &record->batch.cells[n];
	__builtin_memset(cell, 0, sizeof(*cell));
	cell->nr = nr;
	cell->abi = abi;
	/* The dump takes a cell for set up once it is counted in. */
	add_ordered(&record->batch.n_cells);
	record->hints[nr % HINTS] = n;
	return n;
}

static __always_inline struct cell *cell_find(struct task_record *record, u32 nr, u32 abi)
{
	u32 i = record->hints[nr % HINTS];

	if (i < CELLS_MAX && i < record->batch.n_cells) {
		struct cell *cell = &record->batch.cells[i];

		if (cell->nr == nr && cell->abi == abi)
			return cell;
	}
	i = cell_search(record, nr, abi);
	return &record->batch.cells[i < CELLS_MAX ? i : 0];
}

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

/* floor(log2(ns)) - 8, from 0 to the last bucket. */
static __always_inline u32 bucket_of(u64 ns)
{
	u64 value = ns >> 8;
	u32 bucket = 0;

	if (value >> 16) {
		value >>= 16;
		bucket = 16;
	}
	if (value >> 8) {
		value >>= 8;
		bucket += 8;
	}
	if (value >> 4) {
		value >>= 4;
		bucket += 4;
	}
	if (value >> 2) {
		value >>= 2;
		bucket += 2;
	}
	bucket += value >> 1 ? 1 : 0;
	return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

/* Returns whether the cell has a place for it. */
static __always_inline bool cell_count_errno(struct cell *cell, u16 number)
{
#pragma unroll
	for (int i = 0; i < CELL_ERRNOS; i++) {
		if (cell->errnos[i].number == number || cell->errnos[i].number == 0) {
			cell->errnos[i].number = number;
			cell->errnos[i].count++;
			return true;
		}
	}
	return false;
}

static __always_inline void cell_time(struct cell *cell, u64 ns)
{
	u32 epoch = control.epoch;
	u32 slot = epoch & 1;

	if (cell->max_epoch[slot] != epoch) {
		cell->max_ns[slot] = ns;
		cell->max_epoch[slot] = epoch;
	} else if (ns > cell->max_ns[slot]) {
		cell->max_ns[slot] = ns;
	}
	cell->buckets[bucket_of(ns)]++;
	cell->time_ns += ns;
}

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
	cell = cell_find(record, record->call_nr, record->call_abi);
	if (++cell->count == CELL_COUNT_MAX)
		fold(record);
	record->phase = PHASE_IDLE;
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
	record->phase = PHASE_MEASURED;
	record->call_start_ns = bpf_ktime_get_ns();
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
 * Whether the task's seccomp filters let this call pass, whatever its arguments: the kernel keeps
 * that as a bitmap for itself (5.11). A filter that was put on during the call can only have taken
 * calls out of it.
 */
static __always_inline bool passes_seccomp(const struct task_struct *task, u32 nr, u32 abi)
{
	const struct seccomp_filter *filter = task->seccomp.filter;

	if (!filter || abi != CALL_ABI_NATIVE || !bpf_core_field_exists(filter->cache.allow_native))
		return false;
#pragma unroll
	for (u32 i = 0; i < SECCOMP_WORDS; i++) {
		if (nr / 64 == i && i * 8 < bpf_core_field_size(filter->cache.allow_native))
			return filter->cache.allow_native[i] & 1ull << nr % 64;
	}
	return false;
}

/*
 * Whether there is someone who may have refused this call, or the result of a call that the kernel
 * did not carry out: a tracer that refused it may have gone meanwhile.
 */
static __always_inline bool may_be_denied(const struct task_struct *task, u32 nr, u32 abi, s64 ret)
{
	if (task->ptrace || ret == -ENOSYS)
		return true;
	return task->seccomp.mode && !passes_seccomp(task, nr, abi);
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
		if (settings.copies > 1 && !may_be_denied(task, nr, abi, ret))
			(void)make_good(record);
		return;
	}
	if (may_be_denied(task, nr, abi, ret)) {
		on_denied(record, nr, abi);
	} else if (settings.copies > 1 && nr != NR_FORGOTTEN && make_good(record)) {
		/* With one copy, it is one whose entry found no record, and is among the lost. */
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

SEC("iter/task")
int on_dump(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct dump_task head = { .kind = EVENT_TASK };
	struct dump_end end = {};
	struct task_record *record;
	u64 start_ns;
	u32 n;

	if (!task)
		return 0;
	record = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!record)
		return 0;

	/* A fetching atomic orders what follows behind it on every architecture. */
	head.sequence = __sync_fetch_and_add(&record->batch.sequence, 0);
	n = __sync_fetch_and_add(&record->batch.n_cells, 0);
	if (n > CELLS_MAX)
		return 0;
	if (head.sequence & 1)
		n = 0;

	start_ns = record->call_start_ns;
	if (record->phase == PHASE_MEASURED && settings.in_flight_ns != ~0ull) {
		head.now_ns = bpf_ktime_get_ns();
		head.call_nr = record->call_nr;
		head.call_abi = record->call_abi;
		barrier();
		if (record->phase == PHASE_MEASURED && record->call_start_ns == start_ns &&
		    head.now_ns - start_ns >= settings.in_flight_ns)
			head.call_start_ns = start_ns;
	}
	if (n == 0 && !head.call_start_ns)
		return 0;

	head.n_cells = n;
	head.tgid = task->tgid;
	head.tid = task->pid;
	((u64 *)head.comm)[0] = comm_word(task, 0);
	((u64 *)head.comm)[1] = comm_word(task, 1);
	bpf_seq_write(seq, &head, sizeof(head));
	bpf_seq_write(seq, &record->batch, offsetof(struct batch, cells) + n * sizeof(struct cell));
	end.sequence = __sync_fetch_and_add(&record->batch.sequence, 0);
	bpf_seq_write(seq, &end, sizeof(end));
	return 0;
}

static __always_inline bool cgroup_is_ours(struct cgroup *cgroup)
{
	return (u32)cgroup->root->hierarchy_id == settings.cgroup_hierarchy;
}

static __always_inline u64 cgroup_parent_id(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *parent = cgroup->self.parent;

	return parent ? parent->cgroup->kn->id : 0;
}

static __always_inline void send_cgroup_event(struct cgroup *cgroup, enum event_kind kind)
{
	struct {
		u32 kind;
		u32 path_len;
		u64 id;
		u64 parent_id;
	} event = {
		.kind = kind,
		.id = cgroup->kn->id,
		.parent_id = cgroup_parent_id(cgroup),
	};

	/* Losing one is harmless: the id is looked up when it is first seen. */
	bpf_ringbuf_output(&cgroup_events, &event, sizeof(event), BPF_RB_FORCE_WAKEUP);
}

/* Reads kernel memory, which lockdown may forbid: left out then, for the next one. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct cgroup_event *event;
	long length;

	if (!cgroup_is_ours(cgroup))
		return 0;
	event = bpf_ringbuf_reserve(&cgroup_events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->kind = EVENT_CGROUP_MKDIR;
	event->id = cgroup->kn->id;
	event->parent_id = cgroup_parent_id(cgroup);
	length = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	/* A path that fills the kernel's buffer may have been cut. */
	event->path_len = length > 0 && length < CGROUP_EVENT_PATH_MAX ? length : 0;
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir_without_path, struct cgroup *cgroup)
{
	if (cgroup_is_ours(cgroup))
		send_cgroup_event(cgroup, EVENT_CGROUP_MKDIR);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup)
{
	if (cgroup_is_ours(cgroup))
		send_cgroup_event(cgroup, EVENT_CGROUP_RMDIR);
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
