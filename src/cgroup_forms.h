/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the name of one directory says, by the forms that runtimes and the kubelet give theirs. Pure
 * functions of the text; whose the whole path is, is not decided here.
 */
#pragma once

#include <stdbool.h>

#include "cgroup_path.h"
#include "span.h"

/* A directory and what is around it. Names are without the "_" that systemd escapes some with. */
struct cgroup_place {
	struct span name;
	struct span parent; /* empty at the top */
	struct span grandparent;
	bool is_joined; /* @name is "prefix:id", the tail of a "slice:prefix:id" */
	bool below_ecs; /* in a task of ECS, and in no pod */
	bool below_nomad;
};

enum cgroup_form {
	FORM_NONE,
	FORM_CONTAINER,
	FORM_MONITOR,	 /* a runtime's own process; the name may hold its container's id */
	FORM_SUPERVISOR, /* systemd-nspawn itself, beside its guest */
	FORM_NAMELESS,	 /* where a container would be, under a name that cannot be one */
};

struct cgroup_container {
	enum cgroup_hint hint;
	struct span id; /* in the path, or in @buffer; at most CONTAINER_ID_MAX */
	bool is_bare;	/* the name is the 64 digits */
	char buffer[CONTAINER_ID_MAX + 1];
};

/* @ret is filled for FORM_CONTAINER only. */
enum cgroup_form cgroup_form_parse(const struct cgroup_place *place, struct cgroup_container *ret);

/* Whether @name is a pod's, below @parent: its uid, with "_" for "-" as it stands, and class. */
bool cgroup_form_is_pod(struct span name, struct span parent, struct span *ret_uid,
			enum qos_class *ret_qos);

/*
 * The class that the level between kubepods and the pods stands for; QOS_UNKNOWN: it is no such
 * level. @is_last: nothing is below it. As "burstable" in "kubepods" it only says so then: what is
 * in there, and no pod, may be anything.
 */
enum qos_class cgroup_form_qos_level(struct span name, struct span parent, bool is_last);

/* "slice:prefix:id" in one name: the slice, and "prefix:id" or, without a prefix, the id. */
bool cgroup_form_split(struct span name, struct span *ret_slice, struct span *ret_tail,
		       bool *ret_joined);
