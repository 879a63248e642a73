/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cgroups found by looking at all of them: for start-up, for patterns, and in place of handles
 * where the kernel does not let us have those.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Deeper cgroups are left out; runtimes nest a handful, only mischief nests more. */
#define CGROUP_WALK_DEPTH_MAX 64

/* What a visit may return to leave out what is below. */
#define CGROUP_WALK_PASS_BY 0x10000

/* Calls @visit with "/" and every cgroup below @fd, parents first; see cgroup_tree_walk(). */
int cgroup_walk(int fd, int (*visit)(const char *path, uint64_t id, void *data), void *data);

/* The paths of all cgroups at the time of the last walk. */
struct cgroup_index;

int cgroup_index_new(struct cgroup_index **ret);
void cgroup_index_free(struct cgroup_index *index);

/*
 * The path of @id, walking from @fd if it is not known and the last walk was long enough ago.
 * Borrowed until the next call. NULL: not found, or no memory.
 */
const char *cgroup_index_path(struct cgroup_index *index, int fd, uint64_t id, uint64_t now_ns);
