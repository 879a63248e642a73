/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What bpf/cgscope.bpf.c and src/collector.c agree on: the record of a task, the messages of
 * the ring buffer and of the dump, and the settings written before load.
 */
#pragma once

#ifdef __bpf__
#include "vmlinux.h" /* has these types as well, and clashes with <linux/types.h> */
#else
#include <linux/types.h>
#include <stdbool.h>
#endif

#define COMM_LEN 16 /* TASK_COMM_LEN: 15 bytes and a NUL */

/*
 * The kernel keeps a task storage element in one slab object with 72 bytes of its own before
 * the value; before 6.1 that object is a power of two. 15 cells end just below 2048.
 */
#define CELLS_MAX   15
#define CELL_ERRNOS 4

/* Bucket i holds 256 << i ns to 512 << i ns; the first starts at 0, the last has no end. */
#define HIST_BUCKETS	  24
#define HIST_FIRST_END_NS 512

/* A cell is folded before a 16-bit counter of it can wrap. */
#define CELL_COUNT_MAX 0xffff

#define HINTS 32

#define COPIES_MAX 3

/* As far as TIDs go: PID_MAX_LIMIT. */
#define TIDS_MAX      (4 << 20)
#define TIDS_PER_SLOT 8

/* Numbers from here on have no traits and no kernel-side selection. */
#define CALLS_MAX 1024

enum call_abi {
	CALL_ABI_NATIVE,
	CALL_ABI_COMPAT, /* ia32 on x86-64, arm32 on arm64 */
	CALL_ABI_X32,
	CALL_ABI_N_,
};

/* What a call number means to the measuring path; one byte a call, set before load. */
enum call_trait {
	TRAIT_BYTES_MASK = 0x0f,
	TRAIT_NO_RETURN = 0x10, /* exit, exit_group: counted on entry */
	TRAIT_SIGRETURN = 0x20, /* the value at exit is a restored register */
	TRAIT_EXCLUDED = 0x80,	/* --syscall names others */
};

/* The low bits of the traits: where a call's byte count comes from. */
enum bytes_class {
	BYTES_NONE,
	BYTES_RETURNED,
	BYTES_RECVFROM, /* returned; MSG_PEEK moves none, MSG_TRUNC may return more than moved */
	BYTES_RECVMSG,	/* returned; MSG_PEEK moves none */
	BYTES_SENDMMSG, /* the message lengths in user memory */
	BYTES_RECVMMSG,
	BYTES_SOCKETCALL, /* decided by the sub-call at entry */
};

struct errno_count {
	__u16 number; /* 0: free */
	__u16 count;
};

/*
 * What one task did with one call since the cell was set up. One writer: the task itself.
 * The latency of a call that never returns, was denied, or was seen at one end only is in no
 * sum, maximum or bucket.
 */
struct cell {
	__u32 nr;
	__u32 abi;
	__u16 count;
	__u16 errors;
	__u16 interrupted;
	__u16 denied;
	__u64 time_ns;
	__u64 bytes;
	/* Of the two latest epochs, by parity; a slot counts only for the epoch that it names. */
	__u64 max_ns[2];
	__u32 max_epoch[2];
	__u16 buckets[HIST_BUCKETS];
	struct errno_count errnos[CELL_ERRNOS];
};
_Static_assert(sizeof(struct cell) == 120, "both sides must agree");

/* Any other value is an offer, made in epoch value >> 1 (takeover.bpf.h). */
enum takeover {
	TAKEOVER_NONE = 0,
	TAKEOVER_DONE = 1, /* the dump has the cells, and their task starts anew */
};

/*
 * The cells of a task and whose they are. Sent as a fold through the ring, with n_cells cells
 * behind it, after which the task's cells start from nothing under the next sequence number;
 * and read where it stands by the dump.
 */
struct batch {
	__u32 takeover; /* enum takeover, in the record; of no meaning elsewhere */
	__u32 n_cells;
	__u64 record_id; /* no two records have the same */
	__u32 sequence;
	__s32 tgid; /* initial PID namespace */
	__s32 tid;
	__s32 vpid;		     /* of the process, in its innermost PID namespace */
	__u64 process_start_ns;	     /* start_boottime of the main thread */
	__u64 task_start_ns;	     /* start_boottime of the thread */
	__u64 cgroup_id;	     /* of all calls in the cells, as latched at entry */
	char process_comm[COMM_LEN]; /* the main thread's, as latched at entry */
	char comm[COMM_LEN];	     /* the thread's own, at the time of sending */
	struct cell cells[CELLS_MAX];
};

/*
 * One task in the dump: this, then its batch up to and with n_cells cells, then a struct dump_end.
 * The cells count only if the sequence is the same before and after: the owner may fold
 * while they are read. It is odd while the owner does, and in the message that is sent.
 */
struct dump_task {
	__u32 magic; /* DUMP_MAGIC */
	__u32 n_cells;
	__u32 sequence;
	__s32 tgid;
	__s32 tid;
	__u32 call_nr; /* in flight, if call_start_ns is not 0 */
	__u32 call_abi;
	__u32 pad;
	__u64 call_start_ns; /* CLOCK_MONOTONIC */
	__u64 now_ns;
	char comm[COMM_LEN]; /* the thread's own; that of the batch is of its latest fold */
};

struct dump_end {
	__u32 sequence;
	__u32 taken; /* the cells are those of a fold: no dump shows them again */
};

#define DUMP_MAGIC 0x6b736174

/* The kernel's own buffer for the path of a cgroup event has 1024 bytes (TRACE_CGROUP_PATH). */
#define CGROUP_EVENT_PATH_MAX 1024

enum cgroup_event_kind {
	EVENT_CGROUP_MKDIR = 1,
	EVENT_CGROUP_RMDIR,
};

/* A cgroup was made or removed; @path has path_len bytes, and is only sent with a new one. */
struct cgroup_event {
	__u32 kind;
	__u32 path_len; /* with the NUL; 0: none, or longer than the kernel's buffer */
	__u64 id;
	__u64 parent_id;
	char path[CGROUP_EVENT_PATH_MAX];
};

enum loss_cause {
	/*
	 * No record for a task: none could be made, or the kernel shows none. Before 6.2 it does
	 * that where it has been preempted in another look-up on the same CPU, and does not say so.
	 */
	LOSS_NO_MEMORY,
	LOSS_RING_FULL,	   /* a fold found no room */
	LOSS_RECURSION,	   /* the kernel left a program out */
	LOSS_BYTES_UNREAD, /* message lengths that could not be read: bytes, not calls */
	LOSS_N_,
};

/* What a remembered verdict was made from, and the factors that it is hashed with: one for 32 bits.
 */
enum hash_key {
	HASH_GENERATION,
	HASH_PID,
	HASH_CGROUP,
	HASH_COMM = HASH_CGROUP + 2,
	HASH_PROCESS_COMM = HASH_COMM + COMM_LEN / 4,
	HASH_KEYS = HASH_PROCESS_COMM + COMM_LEN / 4,
};

/* Read-only in the kernel: written between open and load. */
struct settings {
	__u64 in_flight_ns;	    /* dump calls that are at least this old; ~0: none */
	__u64 settled_ns;	    /* cells of a task in a call of this age may be taken over */
	__u64 hash_keys[HASH_KEYS]; /* random */
	__u64 nsfs_device;	    /* of all namespaces, as the kernel encodes it */
	__u32 cgroup_subsys;	    /* index in task->cgroups->subsys, if cgroup_v1 */
	__u32 cgroup_hierarchy;	    /* the id that cgroup events must have; 0 is cgroup v2 */
	__u8 copies; /* of the programs on system calls that are attached, from 1 to COPIES_MAX */
	bool cgroup_v1;
	bool filters; /* any of the three below */
	bool filter_comms;
	bool filter_pids;
	bool filter_cgroups;
	bool refuse_records; /* tests: as if no record could ever be made */
	__u8 traits[CALL_ABI_N_][CALLS_MAX];
};

/* Written by user space, read on every call: a cache line of its own. */
struct control {
	__u32 enabled;		   /* both ends are attached */
	__u32 epoch;		   /* the interval's number, from 1 */
	__u32 generation;	   /* of the filters */
	__s32 own_tgid;		   /* left out */
	__u32 pid_namespace_level; /* the reader's; 0 is the initial one */
	__u32 pid_namespace_inode;
	__u64 began_boot_ns; /* no call of a task that is younger began before counting */
	__u8 pad[32];
};
