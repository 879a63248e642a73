/* SPDX-License-Identifier: BSD-2-Clause */
#include "hierarchy_watch.h"

#include <string.h>

#include "cgroup_path.h"
#include "clock.h"

/* How often a hybrid without containers is asked whether the first one is where we look for it. */
#define HIERARCHY_CHECK_NS (10 * NSEC_PER_SEC)

static int is_container(const char *path, uint64_t id, void *data)
{
	struct cgroup_parse parse;

	cgroup_path_parse(path, &parse);
	return parse.n_links > 0;
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
	if (cgroup_tree_open(root, &latest) < 0)
		return;
	found = cgroup_tree_hierarchy(latest);
	watch->is_settled = found->by_evidence;
	if (found->by_evidence && strcmp(found->mount, own->mount) != 0 &&
	    cgroup_tree_walk(tree, is_container, NULL) <= 0)
		fprintf(err,
			"cgscope: containers have appeared in the cgroups at %s, but those at %s are "
			"measured: start cgscope again to see them apart\n",
			found->mount, own->mount);
	cgroup_tree_close(latest);
}
