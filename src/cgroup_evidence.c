/* SPDX-License-Identifier: BSD-2-Clause */
#include "cgroup_evidence.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup_path.h"
#include "cgroup_tree.h"
#include "cgroup_walk.h"
#include "cleanup.h"
#include "pid_namespace.h"
#include "runtime_unit.h"

#define VISITS_MAX 100000 /* of claims and of others, lest those hide these */

/* The start of a small file. */
static bool read_start(int dirfd, const char *path, char *ret, size_t size)
{
	_cleanup_(closep) int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	if (n < 0)
		return false;
	ret[n] = '\0';
	return true;
}

static int has_process(const char *path, uint64_t id, void *data)
{
	char file[CGROUP_PATH_MAX + 32], text[2];
	const int *fd = data;

	snprintf(file, sizeof(file), ".%s/cgroup.procs", path);
	return read_start(*fd, file, text, sizeof(text)) && text[0] != '\0';
}

bool cgroup_is_populated(int fd, const char *path)
{
	_cleanup_(closep) int own_fd =
		openat(fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char events[256];

	if (own_fd < 0)
		return false;
	/* v2 keeps count, but not for the root, which is never empty. */
	if (read_start(own_fd, "cgroup.events", events, sizeof(events)))
		return strstr(events, "populated 1") != NULL;
	return cgroup_walk(own_fd, has_process, &own_fd) > 0;
}

struct count {
	const struct cgroup_place *place;
	const struct cgroup_place *other;
	bool sees_processes; /* of v1 */
	size_t n_visits;
	size_t n_claims_visits;
	struct cgroup_evidence evidence;
};

static bool is_alive(const struct count *count, const struct cgroup_place *place, const char *path)
{
	path += strspn(path, "/");
	if (place->v1 && !count->sees_processes)
		return faccessat(place->fd, path, F_OK, 0) == 0;
	return cgroup_is_populated(place->fd, path);
}

/* With the cgroupfs driver a pod of Podman's is "libpod_parent/<id>", with its containers below. */
static bool is_podman_pod(const char *path, const struct cgroup_link *link)
{
	static const char parent[] = "/libpod_parent/";
	size_t n = strlen(parent);

	return link->hint == HINT_NONE && link->start >= n &&
	       memcmp(path + link->start - n, parent, n) == 0;
}

/*
 * A virtual machine's scope is systemd's and stands in v2 wherever its processes are. What is below
 * a container is its own, however many it makes look like others.
 */
static bool is_outermost(const char *path, const struct cgroup_parse *parse)
{
	const struct cgroup_link *link = &parse->links[0];

	return parse->n_links > 0 && link->hint != HINT_LIBVIRT_QEMU && path[link->end] == '\0' &&
	       !is_podman_pod(path, link);
}

/* Whether somebody may have made @path up: see struct cgroup_evidence. */
static bool is_claim(const char *path, const struct cgroup_parse *parse)
{
	size_t end = parse->n_links > 0 ? parse->links[0].start : strlen(path);

	return parse->is_users || runtime_unit_other_is_in(path, end);
}

static int count_container(const char *path, uint64_t id, void *data)
{
	struct count *count = data;
	struct cgroup_evidence *found = &count->evidence;
	struct cgroup_parse parse;
	size_t *n_visits;
	bool claim;

	cgroup_path_parse(path, &parse);
	claim = is_claim(path, &parse);
	n_visits = claim ? &count->n_claims_visits : &count->n_visits;
	if (*n_visits == VISITS_MAX)
		return claim ? CGROUP_WALK_PASS_BY : 1;
	++*n_visits;
	if (!is_outermost(path, &parse))
		return 0;
	if (!is_alive(count, count->place, path))
		return CGROUP_WALK_PASS_BY;

	++*(claim ? &found->n_claims : &found->n);
	if (count->other->fd < 0)
		return claim ? CGROUP_WALK_PASS_BY : 1;
	if (!is_alive(count, count->other, path))
		++*(claim ? &found->n_claims_only : &found->n_only);
	return CGROUP_WALK_PASS_BY;
}

void cgroup_evidence_count(const struct cgroup_place *place, const struct cgroup_place *other,
			   struct cgroup_evidence *ret)
{
	struct count count = {
		.place = place,
		.other = other,
		.sees_processes = pid_namespace_is_initial() > 0,
	};

	if (place->fd >= 0)
		(void)cgroup_walk(place->fd, count_container, &count);
	*ret = count.evidence;
}
