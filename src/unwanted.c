/* SPDX-License-Identifier: BSD-2-Clause */
#include "unwanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

/* Excluded cgroups are looked at again as often: a container may have got a name that is wanted. */
#define SELECTION_CHECK_NS NSEC_PER_SEC

struct unwanted {
	struct selection *selection;
	struct resolver *resolver;
	struct exclusions *exclusions;
	FILE *err;
	uint64_t checked_ns;
	bool exclusion_failed; /* which has been said */
	bool inclusion_failed;
};

int unwanted_new(struct selection *selection, struct resolver *resolver,
		 const struct exclusions_kernel *kernel, FILE *err, struct unwanted **ret)
{
	_cleanup_(freep) struct unwanted *unwanted = calloc(1, sizeof(*unwanted));
	int r;

	if (!unwanted)
		return -ENOMEM;
	unwanted->selection = selection;
	unwanted->resolver = resolver;
	unwanted->err = err;
	r = exclusions_new(kernel, &unwanted->exclusions);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(unwanted);
	return 0;
}

void unwanted_free(struct unwanted *unwanted)
{
	if (!unwanted)
		return;
	exclusions_free(unwanted->exclusions);
	free(unwanted);
}

static bool is_excluded(struct unwanted *unwanted, uint64_t cgroup_id)
{
	const struct identity *identity =
		resolver_identify(unwanted->resolver, cgroup_id, monotonic_ns());

	return selection_excludes(unwanted->selection, resolver_path(unwanted->resolver, cgroup_id),
				  identity);
}

/* Only to save time: the report leaves out what no filter wants in any case. */
static void exclude(struct unwanted *unwanted, uint64_t cgroup_id)
{
	int r = exclusions_add(unwanted->exclusions, cgroup_id);

	if (r > 0)
		fprintf(unwanted->err,
			"cgscope: the kernel can leave no more cgroups out: what else filters do not "
			"want is measured, and left out of the output only\n");
	if (r < 0 && !unwanted->exclusion_failed) {
		fprintf(unwanted->err,
			"cgscope: cannot have the kernel leave a cgroup out: %s: it is measured, and "
			"left out of the output only\n",
			strerror(-r));
		unwanted->exclusion_failed = true;
	}
}

static bool is_unwanted(uint64_t id, void *data)
{
	struct unwanted *unwanted = data;

	return !resolver_is_gone(unwanted->resolver, id) && is_excluded(unwanted, id);
}

void unwanted_check(struct unwanted *unwanted)
{
	uint64_t now = monotonic_ns();
	int r;

	if (now - unwanted->checked_ns < SELECTION_CHECK_NS)
		return;
	unwanted->checked_ns = now;
	r = exclusions_review(unwanted->exclusions, is_unwanted, unwanted);
	if (r < 0 && !unwanted->inclusion_failed) {
		fprintf(unwanted->err,
			"cgscope: cannot have the kernel measure a cgroup again: %s: its calls are "
			"missing until it can\n",
			strerror(-r));
		unwanted->inclusion_failed = true;
	}
}

void unwanted_update(struct unwanted *unwanted, const struct snapshot *snapshot)
{
	uint64_t last = 0;

	if (!selection_is_active(unwanted->selection))
		return;
	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		uint64_t id = snapshot->rows[i].task->cgroup_id;

		if (id == last)
			continue;
		last = id;
		/* Of what is gone, these were the last rows. */
		if (is_unwanted(id, unwanted))
			exclude(unwanted, id);
	}
	unwanted_check(unwanted);
}

void unwanted_forget(struct unwanted *unwanted, uint64_t id)
{
	exclusions_remove(unwanted->exclusions, id);
}
