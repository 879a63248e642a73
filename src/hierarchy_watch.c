/* SPDX-License-Identifier: BSD-2-Clause */
#include "hierarchy_watch.h"

#include <string.h>

#include "clock.h"
#include "text.h"

/* How often a hybrid without containers is asked whether the first one is where we look for it. */
#define HIERARCHY_CHECK_NS (10 * NSEC_PER_SEC)

void hierarchy_watch_check(struct hierarchy_watch *watch, const struct host_root *root,
			   struct cgroup_tree *tree, FILE *err)
{
	const struct cgroup_hierarchy *own = cgroup_tree_hierarchy(tree), *found;
	struct cgroup_tree *latest;

	if (!own->is_hybrid || own->by_evidence || watch->is_settled ||
	    monotonic_ns() - watch->checked_ns < HIERARCHY_CHECK_NS)
		return;
	watch->checked_ns = monotonic_ns();
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
