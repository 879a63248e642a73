/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * On a hybrid without containers the hierarchy is a guess, and the programs are loaded for it for
 * good: the privileges to load others are gone. Should the guess prove wrong, by several looks,
 * say so. Most runtimes join both hierarchies, and then it is not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cgroup_tree.h"
#include "host_root.h"

struct hierarchy_watch {
	uint64_t checked_ns;
	uint64_t looked_ns;  /* at all cgroups */
	uint64_t look_ns;    /* how long that took */
	uint64_t population; /* as of checked_ns, see cgroup_tree_population() */
	bool has_changed;    /* since the check before: what was made may have had no process yet */
	unsigned n_doubts;   /* looks that have found containers, and none where we look for them */
	bool is_settled;     /* nothing more to look for */
};

/* To be called before the tree is opened that it will check. */
void hierarchy_watch_begin(struct hierarchy_watch *watch, const struct host_root *root);

/* Looks whether @tree, opened below @root, still is the right one; says on @err if not. */
void hierarchy_watch_check(struct hierarchy_watch *watch, const struct host_root *root,
			   struct cgroup_tree *tree, FILE *err);
