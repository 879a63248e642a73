/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of what will not be seen, or not as expected: a line each, on @err. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "cgroup_tree.h"
#include "host_root.h"
#include "options.h"
#include "report.h"

/* What it says where cgroup_tree_open() failed with -errno @error, into @ret, which is returned. */
const char *notice_no_cgroups(const struct host_root *root, int error, char *ret, size_t size);

/* The same where host_root_open() failed for @dir. */
const char *notice_no_root(const char *dir, int error, char *ret, size_t size);

/* Which cgroups are read, and how; with --verbose only. */
void notice_hierarchy(struct cgroup_tree *tree, FILE *err);

/*
 * That there are containers in the other hierarchy which the one that is measured has not, into
 * @ret, which is returned; NULL: there are none.
 */
const char *notice_missing(const struct cgroup_tree *tree, char *ret, size_t size);

/* What to do where other containers' cgroups are out of sight; NULL: they are not. */
const char *notice_partial_view_advice(const struct cgroup_tree *tree);

/*
 * That the host's root is not what is seen here; with @verbose also that it may not be. Nothing
 * where notice_partial_view() has it all to say of @tree, which may be NULL.
 */
void notice_host_root(const struct host_root *root, struct cgroup_tree *tree, bool verbose,
		      FILE *err);

/* That other containers' cgroups are out of sight. */
void notice_partial_view(struct cgroup_tree *tree, FILE *err);

/*
 * Of each cause of loss, the first time only, what it means and what to do; @said remembers them, a
 * bit each.
 */
void notice_losses(const struct report *report, unsigned *said, FILE *err);

/* That other processes are out of sight, or that those of --pid are not there. */
void notice_pids(const struct options *options, struct cgroup_tree *tree, FILE *err);
