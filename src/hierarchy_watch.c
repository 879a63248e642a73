/* SPDX-License-Identifier: BSD-2-Clause */
#include "hierarchy_watch.h"

#include <string.h>

#include "clock.h"
#include "text.h"

/* How often a hybrid without containers is asked whether the first one is where we look for it. */
#define HIERARCHY_CHECK_NS (10 * NSEC_PER_SEC)

/* A look at all cgroups costs two opens for each: only where one was made or removed. */
static bool is_unchanged(struct hierarchy_watch *watch, const struct host_root *root)
{
	uint64_t before = watch->population;
	bool had_changed = watch->has_changed;

	watch->population = cgroup_tree_population(root);
	watch->has_changed = watch->population != before;
	return watch->population && !watch->has_changed && !had_changed;
}

void hierarchy_watch_begin(struct hierarchy_watch *watch, const struct host_root *root)
{
	*watch = (struct hierarchy_watch){ .population = cgroup_tree_population(root) };
}

void hierarchy_watch_check(struct hierarchy_watch *watch, const struct host_root *root,
			   struct cgroup_tree *tree, FILE *err)
{
	const struct cgroup_hierarchy *own = cgroup_tree_hierarchy(tree), *found;
	struct cgroup_tree *latest;

	if (!own->is_hybrid || own->by_evidence || watch->is_settled ||
	    monotonic_ns() - watch->checked_ns < HIERARCHY_CHECK_NS)
		return;
	watch->checked_ns = monotonic_ns();
	if (is_unchanged(watch, root))
		return;
	if (cgroup_tree_open(root, &latest) < 0)
		return;
	found = cgroup_tree_hierarchy(latest);
	watch->is_settled = found->by_evidence;
	if (found->by_evidence && strcmp(found->mount, own->mount) != 0 && found->n_other == 0)
		fprintf(err,
			"cgscope: containers have appeared in the cgroups at %s, but those at %s are "
			"measured: start cgscope again to see them apart\n",
			text_shown(found->mount), text_shown(own->mount));
	cgroup_tree_close(latest);
}
