/* SPDX-License-Identifier: BSD-2-Clause */
#include "hierarchy_watch.h"

#include <string.h>

#include "clock.h"
#include "text.h"

/* How often a hybrid without containers is asked whether the first one is where we look for it. */
#define HIERARCHY_CHECK_NS (10 * NSEC_PER_SEC)

/* What moves into a cgroup that has long been there changes no number. */
#define LOOK_ANYWAY_NS (300 * NSEC_PER_SEC)

/* A look takes no more than this part of the time, however many cgroups a stranger makes. */
#define LOOK_PART 100

/*
 * A container that is made or ends is in one hierarchy before it is in the other, for moments: a
 * look that meets one proves nothing, and the next to see it whole settles the matter.
 */
#define DOUBTS_MAX 3

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
	*watch = (struct hierarchy_watch){
		.looked_ns = monotonic_ns(),
		.population = cgroup_tree_population(root),
	};
}

void hierarchy_watch_check(struct hierarchy_watch *watch, const struct host_root *root,
			   struct cgroup_tree *tree, FILE *err)
{
	const struct cgroup_hierarchy *own = cgroup_tree_hierarchy(tree), *found;
	struct cgroup_tree *latest;
	uint64_t now_ns = monotonic_ns();
	int r;

	if (!own->is_hybrid || own->by_evidence || watch->is_settled ||
	    now_ns - watch->checked_ns < HIERARCHY_CHECK_NS ||
	    now_ns - watch->looked_ns < LOOK_PART * watch->look_ns)
		return;
	watch->checked_ns = now_ns;
	if (is_unchanged(watch, root) && !watch->n_doubts &&
	    now_ns - watch->looked_ns < LOOK_ANYWAY_NS)
		return;
	watch->looked_ns = now_ns;
	r = cgroup_tree_open(root, &latest);
	watch->look_ns = monotonic_ns() - now_ns;
	if (r < 0)
		return;
	found = cgroup_tree_hierarchy(latest);
	watch->is_settled = found->by_evidence;
	if (found->by_evidence && strcmp(found->mount, own->mount) != 0 && found->n_other == 0)
		watch->is_settled = ++watch->n_doubts == DOUBTS_MAX;
	if (watch->n_doubts == DOUBTS_MAX)
		fprintf(err,
			"cgscope: containers have appeared in the cgroups at %s, but those at %s are "
			"measured: start cgscope again to see them apart\n",
			text_shown(found->mount), text_shown(own->mount));
	cgroup_tree_close(latest);
}
