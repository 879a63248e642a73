/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which cgroups the filters by place and name want: --cgroup by path, id or glob, always with
 * all below it; --container, --pod, --namespace and --containers-only by identity. Decides from
 * what the resolver knows, and notes what can be left out by the kernel from then on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup_tree.h"
#include "identity.h"
#include "options.h"

struct selection;

/*
 * Borrows @options. Returns 0, or -errno with the reason in @ret_error: a plain path or id that
 * does not exist is mostly a typing error. A glob may wait for its first match.
 */
int selection_new(const struct options *options, struct cgroup_tree *tree, struct selection **ret,
		  char *ret_error, size_t error_size);
void selection_free(struct selection *selection);

/*
 * Where neither hierarchy has all that --cgroup names: whether each of it is in one of them, which
 * @ret_error then says. Else @ret_error is left as it is.
 */
bool selection_spans(const struct options *options, struct cgroup_tree *tree,
		     struct cgroup_tree *other, char *ret_error, size_t error_size);

/* Whether there is any filter that selects cgroups. */
bool selection_is_active(const struct selection *selection);

/* Whether --cgroup takes the cgroup at @path (NULL: unknown, which no --cgroup takes). */
bool selection_takes_path(const struct selection *selection, const char *path);

/* Whether no row of this cgroup will be shown as long as it is as it is. */
bool selection_excludes(const struct selection *selection, const char *path,
			const struct identity *identity);

/* The first glob of --cgroup that matches no cgroup yet, or NULL. */
const char *selection_unmatched_glob(const struct selection *selection, struct cgroup_tree *tree);
