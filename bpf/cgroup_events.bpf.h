/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Tells user space of cgroups that are made and removed. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "control.bpf.h"

/*
 * Apart from the folds, so that a flood of these cannot make a container lose its path, and with it
 * its name.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} cgroup_events SEC(".maps");

static __always_inline bool cgroup_is_ours(struct cgroup *cgroup)
{
	return (u32)cgroup->root->hierarchy_id == settings.cgroup_hierarchy;
}

static __always_inline u64 cgroup_parent_id(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *parent = cgroup->self.parent;

	return parent ? parent->cgroup->kn->id : 0;
}

static __always_inline void send_cgroup_event(struct cgroup *cgroup, enum cgroup_event_kind kind)
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
