/* SPDX-License-Identifier: BSD-2-Clause */
#include "exclusions.h"

#include <errno.h>
#include <stdlib.h>

struct exclusions {
	struct exclusions_kernel kernel;
	uint64_t *ids;
	size_t n;
	size_t size;
	bool was_full;
};

int exclusions_new(const struct exclusions_kernel *kernel, struct exclusions **ret)
{
	struct exclusions *exclusions = calloc(1, sizeof(*exclusions));

	if (!exclusions)
		return -ENOMEM;
	exclusions->kernel = *kernel;
	*ret = exclusions;
	return 0;
}

void exclusions_free(struct exclusions *exclusions)
{
	if (!exclusions)
		return;
	free(exclusions->ids);
	free(exclusions);
}

/* Where @id is, or their number. */
static size_t find(const struct exclusions *exclusions, uint64_t id)
{
	size_t i = 0;

	while (i < exclusions->n && exclusions->ids[i] != id)
		i++;
	return i;
}

/* What the kernel leaves out still stays known, or nobody would try again. */
static int remove_at(struct exclusions *exclusions, size_t i)
{
	int r = exclusions->kernel.include(exclusions->ids[i], exclusions->kernel.data);

	if (r < 0 && r != -ENOENT)
		return r;
	exclusions->ids[i] = exclusions->ids[--exclusions->n];
	return 0;
}

int exclusions_add(struct exclusions *exclusions, uint64_t id)
{
	int r;

	/* What it did before, or a call that it was in, may still come. */
	if (find(exclusions, id) < exclusions->n)
		return 0;
	/* Room first: what the kernel leaves out and is not known of here would stay out. */
	if (exclusions->n == exclusions->size) {
		size_t size = exclusions->size ? exclusions->size * 2 : 64;
		uint64_t *ids = realloc(exclusions->ids, size * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		exclusions->ids = ids;
		exclusions->size = size;
	}
	r = exclusions->kernel.exclude(id, exclusions->kernel.data);
	if (r == -E2BIG) {
		r = exclusions->was_full ? 0 : 1;
		exclusions->was_full = true;
		return r;
	}
	if (r == -EBUSY) /* its table is being changed on this CPU: another time */
		return 0;
	if (r < 0)
		return r;
	exclusions->ids[exclusions->n++] = id;
	return 0;
}

void exclusions_remove(struct exclusions *exclusions, uint64_t id)
{
	size_t i = find(exclusions, id);

	if (i < exclusions->n)
		(void)remove_at(exclusions, i);
}

int exclusions_review(struct exclusions *exclusions, bool (*unwanted)(uint64_t id, void *data),
		      void *data)
{
	int result = 0;

	for (size_t i = exclusions->n; i-- > 0;) {
		int r = unwanted(exclusions->ids[i], data) ? 0 : remove_at(exclusions, i);

		if (r < 0 && r != -EBUSY) /* as when adding */
			result = r;
	}
	return result;
}
