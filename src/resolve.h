/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `cgscope resolve`: says what a target is, one JSON line each, without BPF and without privileges
 * that the question does not need.
 */
#pragma once

#include <stdio.h>

#include "options.h"

/*
 * A target is one of
 *   - a path, with the mount point or without;
 *   - a line of /proc/PID/cgroup, or the whole file;
 *   - "cgroup:N", an id in the hierarchy that identifies containers;
 *   - "pid:N", a process; also /proc/N and the cgroup files in it;
 *   - a bare number: a cgroup's id if there is such a cgroup, else a process.
 *
 * A cgroup that exists here is resolved as the monitor would. One that does not, with no link that
 * any runtime knows, is only a text, and the answer is what it says: its innermost container and
 * its innermost pod. "chain" has all containers, outermost first. Of what is not known, @err says
 * so, a line a target.
 *
 * Returns the exit status: 1 if no target gave a container, pod, unit or the host, or on failure.
 */
int resolve_targets(const struct options *options, FILE *out, FILE *err);
