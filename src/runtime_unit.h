/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Units that container runtimes run as. systemd gives the cgroups below other units away as well,
 * to whoever runs there (Delegate=): what looks like a container below one of those is its word.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "span.h"

/* Whether @name is such a unit: "docker.service", "snap.docker.dockerd.service", ... */
bool runtime_unit_is(struct span name);

/* Whether a unit other than a runtime's, and other than a slice, is in @path[0, @end). */
bool runtime_unit_other_is_in(const char *path, size_t end);
