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
	void (*include)(uint64_t id, void *data);
	void *data;
};

int exclusions_new(const struct exclusions_kernel *kernel, struct exclusions **ret);
void exclusions_free(struct exclusions *exclusions);

/*
 * Leaves @id out, if it is not yet. Returns 0, 1 the first time that there is no room for it, or
 * -errno.
 */
int exclusions_add(struct exclusions *exclusions, uint64_t id);

/* Measures @id again, or makes room of it if it is gone. */
void exclusions_remove(struct exclusions *exclusions, uint64_t id);

/* The same for all that are not @unwanted any more. */
void exclusions_review(struct exclusions *exclusions, bool (*unwanted)(uint64_t id, void *data),
		       void *data);
