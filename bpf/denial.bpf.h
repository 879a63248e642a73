/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whether someone may have refused a call before it began: a tracer, or a seccomp filter. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* What a tracer finds as the result of a call, and leaves there that the kernel is to skip. */
#define ENOSYS 38

#define SECCOMP_WORDS (sizeof(((struct seccomp_filter *)NULL)->cache.allow_native) / 8)

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
