/* SPDX-License-Identifier: BSD-2-Clause */
/* What systemd-machined knows: a file per machine, "KEY=VALUE" lines. */
#pragma once

#include "runtime/runtime.h"

#define MACHINES_DIR "/run/systemd/machines"

/*
 * Fills @ret if machined knows @name, and under the unit that the link is. Returns 0, -ENOENT,
 * -EPERM if it knows it under another unit, -EBADMSG, or another -errno.
 */
int machined_inspect(const struct host_root *root, const struct runtime_query *query,
		     const char *name, struct container *ret);
