/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the containers are. A directory proves nothing: whoever may write to a hierarchy can call
 * one like a container, and what has ended may leave one behind. Only cgroups with processes count.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct cgroup_place {
	int fd; /* of the mount, for reading; -1: there is none */
	bool v1;
};

struct cgroup_evidence {
	size_t n;      /* containers, the outermost of each path only */
	size_t n_only; /* those of them that are not at the same path in the other place */
	/*
	 * The same of what stands below a user's service manager, or a service that is no
	 * runtime's: who has been given a part of the tree may make what looks like a container.
	 */
	size_t n_claims;
	size_t n_claims_only;
};

/*
 * Whether there is a process in the cgroup at @path ("." is @fd itself), or below it; false if that
 * cannot be told. In v1 a walk of what is below, which shows those of our own PID namespace only.
 */
bool cgroup_is_populated(int fd, const char *path);

/*
 * Counts the containers of @place, all of them if there is an @other place to compare with, else
 * up to the first that is no mere claim. In v1 outside of the host's PID namespace those without a
 * process count as well.
 */
void cgroup_evidence_count(const struct cgroup_place *place, const struct cgroup_place *other,
			   struct cgroup_evidence *ret);
