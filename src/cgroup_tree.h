/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's cgroup hierarchies, and the way from a cgroup id to its path in the one that
 * identifies containers. An id means something in one hierarchy only: BPF, handles and the
 * events must share the choice made here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host_root.h"

#define CGROUP_PATH_MAX 4096

struct cgroup_tree;

struct cgroup_hierarchy {
	bool v1;
	uint32_t hierarchy_id;	     /* as in /proc/cgroups; 0 for v2 */
	char controller[32];	     /* v1: "memory", "pids" or "cpuset"; "" for v2 */
	char mount[CGROUP_PATH_MAX]; /* as seen from here */
	/*
	 * A container was found there that is no user's own. False: the default of this layout, or
	 * where users have theirs.
	 */
	bool by_evidence;
	bool is_hybrid; /* there is another hierarchy that containers could be in */
	/*
	 * Containers with processes, see cgroup_evidence.h; at least 1 where there is one. Users'
	 * own only where nobody else has any, in either hierarchy.
	 */
	size_t n_containers;
	/* On a hybrid only: which the other hierarchy is ("v2", "v1 memory"), and what it has. */
	char other[32];
	size_t n_other;
	size_t n_missing; /* containers there, users' as well, that are not here */
};

/*
 * Finds the cgroup mounts below @root and chooses a hierarchy: the one with more containers, which
 * is v2 if both have as many; a v1 controller where neither has any. Where is_hybrid and not
 * by_evidence, the first container can prove the choice wrong: open again then, and drop all that
 * was learned by id. Returns 0 or -errno; -ENOENT: no cgroup file system is mounted.
 */
int cgroup_tree_open(const struct host_root *root, struct cgroup_tree **ret);

/*
 * A hash of how many cgroups there are in each of the hierarchies that it chooses from: cheap, and
 * mostly another when something has come up since that could make it choose otherwise. 0 if that
 * cannot be told.
 */
uint64_t cgroup_tree_population(const struct host_root *root);

/* The one of a hybrid that the above does not choose. -ENOENT where there is no other. */
int cgroup_tree_open_other(const struct host_root *root, struct cgroup_tree **ret);
void cgroup_tree_close(struct cgroup_tree *tree);
void cgroup_tree_closep(struct cgroup_tree **tree);

const struct cgroup_hierarchy *cgroup_tree_hierarchy(const struct cgroup_tree *tree);

/*
 * What people paste, as a path from the hierarchy's root: @path without the mount point in front,
 * be it of @hierarchy as seen from here, or /sys/fs/cgroup; where there are several hierarchies
 * below that, of any of them, since all have a container at the same place; but where none is
 * named, as on a host with v2 alone, what follows is the path. A path without one is returned as it
 * is.
 */
const char *cgroup_hierarchy_path(const struct cgroup_hierarchy *hierarchy, const char *path);

/*
 * The path of the cgroup @id from the hierarchy's root ("/" is the root itself, or the top of
 * this view, see cgroup_tree_is_whole()). Returns 0; -ESTALE: gone (or never was), and @ret holds
 * its last path if the kernel still told it; -ENODATA: outside of this view; -ENAMETOOLONG: @ret
 * holds the nearest ancestor whose path fits; -ENOTDIR: the id of a file, not of a cgroup; -EPERM:
 * handles are refused and the walk, at most one in five seconds, did not find it. Else @ret is "".
 */
int cgroup_tree_path(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size);

/*
 * The id of the cgroup at @path (from the hierarchy's root). 0; -ENOENT; -EINVAL: it has "..";
 * or another -errno.
 */
int cgroup_tree_id(struct cgroup_tree *tree, const char *path, uint64_t *ret);

/*
 * Calls @visit with every cgroup, parents first, until it returns non-zero (returned as is).
 * A walk of the whole tree, 64 levels deep: for start-up and for patterns, not for every interval.
 */
int cgroup_tree_walk(struct cgroup_tree *tree,
		     int (*visit)(const char *path, uint64_t id, void *data), void *data);

/*
 * Whether there is a process in the cgroup at @path or below it; false if that cannot be told. In
 * v1 a walk of what is below, which shows the processes of our own PID namespace only.
 */
bool cgroup_tree_is_populated(struct cgroup_tree *tree, const char *path);

/* Whether the tree starts at the hierarchy's root; else "/" is a container's cgroup, not the host.
 */
bool cgroup_tree_is_whole(const struct cgroup_tree *tree);

/*
 * What a path from a kernel event starts with and a path from a handle does not: the cgroup of
 * the node itself where the tree is the view of a node in a container (kind); else "". It is also
 * "" where the tree is not whole and the prefix is not known: paths of events then mean nothing,
 * until one of them was compared by cgroup_tree_learn_prefix().
 */
const char *cgroup_tree_prefix(const struct cgroup_tree *tree);

/*
 * What /proc says of a process's cgroup is relative to the root of the cgroup namespace of who
 * reads it, ours. In the initial one that is the hierarchy's root.
 */
bool cgroup_namespace_is_initial(void);

/*
 * The path, in this tree, of the root of our own cgroup namespace, which takes a walk of the whole
 * tree to find ourselves. Returns 0; -ENODATA if we are not in sight; or another -errno.
 */
int cgroup_tree_namespace_root(struct cgroup_tree *tree, char *ret, size_t size);

/* Learns the prefix from the path that a kernel event gave for @id; does nothing if it is known. */
void cgroup_tree_learn_prefix(struct cgroup_tree *tree, uint64_t id, const char *event_path);

/* NULL, or why handles cannot be used here ("open_by_handle_at: Operation not permitted"). */
const char *cgroup_tree_handle_problem(const struct cgroup_tree *tree);
