/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said at the start of what will not be seen, or not as expected: a line each, on @err. */
#pragma once

#include <stdio.h>

#include "cgroup_tree.h"
#include "options.h"

/* Which cgroups are read, and how; with --verbose only. */
void notice_hierarchy(struct cgroup_tree *tree, FILE *err);

/* That other containers' cgroups are out of sight. */
void notice_partial_view(struct cgroup_tree *tree, FILE *err);

/* That other processes are out of sight, or that those of --pid are not there. */
void notice_pids(const struct options *options, struct cgroup_tree *tree, FILE *err);
