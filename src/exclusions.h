/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroups that the kernel is told to leave out, since no filter wants them. It takes a limited
 * number; what is beyond is measured, and left out of the output.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct exclusions;

/* Where it is told. */
struct exclusions_kernel {
	int (*exclude)(uint64_t id, void *data); /* 0, -E2BIG without room, or another -errno */
	int (*include)(uint64_t id, void *data); /* 0, -ENOENT if it was not left out, or -errno */
	void *data;
};

int exclusions_new(const struct exclusions_kernel *kernel, struct exclusions **ret);
void exclusions_free(struct exclusions *exclusions);

/*
 * Leaves @id out, if it is not yet. Returns 0, 1 the first time that there is no room for it, or
 * -errno.
 */
int exclusions_add(struct exclusions *exclusions, uint64_t id);

/* Measures @id again, or makes room of it if it is gone. What fails is left to the next review. */
void exclusions_remove(struct exclusions *exclusions, uint64_t id);

/*
 * The same for all that are not @unwanted any more. Returns 0, or the -errno of one that is left
 * out still.
 */
int exclusions_review(struct exclusions *exclusions, bool (*unwanted)(uint64_t id, void *data),
		      void *data);
