/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cgroups that no filter wants: the kernel is told to leave them out, as far as it can. What it
 * cannot is said once, on @err.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "exclusions.h"
#include "resolver.h"
#include "selection.h"
#include "snapshot.h"

struct unwanted;

/* Borrows @selection, @resolver and @err. Returns 0 or -errno. */
int unwanted_new(struct selection *selection, struct resolver *resolver,
		 const struct exclusions_kernel *kernel, FILE *err, struct unwanted **ret);
void unwanted_free(struct unwanted *unwanted);

/* Of the cgroups in @snapshot. */
void unwanted_update(struct unwanted *unwanted, const struct snapshot *snapshot);

/* What came to be wanted is measured again, once a second at the most. */
void unwanted_check(struct unwanted *unwanted);

/* The cgroup @id is gone, which makes room for others. */
void unwanted_forget(struct unwanted *unwanted, uint64_t id);
