/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the host's cgroup hierarchies are mounted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host_root.h"

/* The hierarchies that can tell containers apart, in the order in which they are preferred. */
enum cgroup_mount_kind {
	CGROUP_MOUNT_V2,
	CGROUP_MOUNT_MEMORY,
	CGROUP_MOUNT_PIDS,
	CGROUP_MOUNT_CPUSET,
	CGROUP_MOUNT_KIND_N_,
};

struct cgroup_mount {
	int fd;		       /* for reading; -1: there is no such mount */
	uint64_t root_id;      /* 1: the whole hierarchy, else a part of it is mounted here */
	uint32_t hierarchy_id; /* of v1, from /proc/cgroups; 0: not a v1 hierarchy */
	uint64_t n_cgroups;    /* in the whole hierarchy, as the kernel counts them; 0: unknown */
	char *path;	       /* as seen from here */
	char *view;	       /* which cgroup is mounted, as the mount table says; NULL: unknown */
};

struct cgroup_mounts {
	struct cgroup_mount of[CGROUP_MOUNT_KIND_N_];
};

#define CGROUP_MOUNTS_NONE                                                                         \
	{                                                                                          \
		.of = { [0 ... CGROUP_MOUNT_KIND_N_ - 1] = { .fd = -1 } }                          \
	}

/* "" for v2. */
const char *cgroup_mount_controller(enum cgroup_mount_kind kind);

/*
 * Finds them below @root, or, where nothing is mounted there and nobody named it, in our own mount
 * namespace.
 * Returns 0, -ENOENT if there is none at all, or another -errno.
 */
int cgroup_mounts_find(const struct host_root *root, struct cgroup_mounts *ret);
void cgroup_mounts_done(struct cgroup_mounts *mounts);
