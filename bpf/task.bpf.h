/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who a task is: its names, its cgroup, its PIDs, and whether the reader can see it. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"

#define PID_NAMESPACE_LEVELS 32 /* MAX_PID_NS_LEVEL */

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
