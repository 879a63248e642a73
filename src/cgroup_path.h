/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a cgroup path says by itself: the chain of container components, the pod uid, the QoS
 * class and the systemd unit. A pure function of the text: no I/O, no allocation. Which link of
 * the chain is reported is for the resolver to decide, since a container can make any path below
 * its own cgroup.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "identity.h"

#define CONTAINER_ID_MAX 255
#define POD_UID_MAX	 36
#define CGROUP_LINKS_MAX 8 /* deeper links are counted in n_more */

/* What the form of a component says about who made it; the prober starts there. */
enum cgroup_hint {
	HINT_NONE, /* a bare 64-digit id, or word-<id> with an unknown word */
	HINT_DOCKER,
	HINT_CONTAINERD,
	HINT_CRIO,
	HINT_CRIO_SANDBOX, /* crio-<id> without .scope below a slice: no process, no metadata */
	HINT_PODMAN,
	HINT_NERDCTL,
	HINT_KATA,
	HINT_ECS,    /* Fargate: <32 hex>-<digits> */
	HINT_GARDEN, /* Cloud Foundry */
	HINT_LXC,    /* by name from here on */
	HINT_NSPAWN,
	HINT_LIBVIRT_LXC,
	HINT_LIBVIRT_QEMU, /* a virtual machine: not a container */
	HINT_NOMAD,
	HINT_N_,
};

struct cgroup_link {
	enum cgroup_hint hint;
	char id[CONTAINER_ID_MAX + 1]; /* 64 hex digits, or a name */
	size_t start;		       /* offset of the component in the path */
	size_t end; /* offset behind it: the container's own cgroup is path[0, end) */
	/* Of the pod around this link: what the container wrote further in is not in them. */
	char pod_uid[POD_UID_MAX + 1];
	enum qos_class qos;
};

struct cgroup_parse {
	struct cgroup_link links[CGROUP_LINKS_MAX]; /* outermost first */
	size_t n_links;
	size_t n_more;
	/* The innermost pod: "" if none; with dashes, or the 32 hex digits of a static pod. */
	char pod_uid[POD_UID_MAX + 1];
	size_t pod_end; /* offset behind the pod's component; 0 if none */
	enum qos_class qos;
	bool is_root;  /* "/" or "/init.scope": the host itself */
	bool is_users; /* a user's service manager or below it, where that user made what is there
			*/
	/*
	 * The outermost systemd unit as a span of the path; unit_end 0 if none. Nothing below the
	 * first link is one. Below a directory that is no slice, the span starts with that
	 * directory ("redis/sshd.service"): only systemd's own units go by their bare name.
	 */
	size_t unit_start;
	size_t unit_end;
	char unit_owner[32]; /* "user@N.service" if the unit is a user's, else "" */
};

/*
 * Parses @path (with or without the leading slash, up to a newline if there is one); never fails.
 * Offsets are into @path as given.
 */
void cgroup_path_parse(const char *path, struct cgroup_parse *ret);

/*
 * Finds the path in a line of /proc/PID/cgroup, or in a bare path. Returns where the path
 * starts in @line, and its hierarchy id in @ret_hierarchy (0: v2, -1: it is a bare path).
 * @ret_hierarchy may be NULL.
 */
const char *cgroup_line_path(const char *line, int *ret_hierarchy);

/*
 * The full path of what reads as @seen ("/../../x") from within the cgroup @own: drops as many
 * tail components of @own as @seen climbs. Returns 0; -ERANGE if it climbs above the root;
 * -EINVAL if ".." stands elsewhere; -ENAMETOOLONG. @ret is untouched unless 0.
 */
int cgroup_path_join(const char *own, const char *seen, char *ret, size_t size);

/* One slash where several stand, and none at the end, as the kernel writes paths: in place. */
void cgroup_path_squeeze(char *path);

/* The runtime's name as printed, or NULL where the hint alone does not tell. */
const char *cgroup_hint_runtime(enum cgroup_hint hint);
