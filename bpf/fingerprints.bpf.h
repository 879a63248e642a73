/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What makes a call cheap that a filter leaves out: neither end looks for the record. This table
 * holds fingerprints of all that a verdict is made from, for those that were to skip; whether a
 * task is in a call that was skipped so is in its note (notes.bpf.h).
 */
#pragma once

#include "vmlinux.h"

#include "abi.h"
#include "control.bpf.h"
#include "record.bpf.h"
#include "task.bpf.h"

#define SKIP_SLOT_BITS 12

__u64 skip_fingerprints[1 << SKIP_SLOT_BITS];

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
