/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the filters say of a task, by its PID, its names and its cgroup. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"
#include "task.bpf.h"

enum verdict {
	VERDICT_MEASURE,
	VERDICT_SKIP,	     /* by process or name, whatever the cgroup */
	VERDICT_SKIP_CGROUP, /* until the task moves */
};

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
