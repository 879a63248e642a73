/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who a cgroup belongs to. Made by the resolver, read by the report and the outputs, which
 * know no file and no cgroup tree.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum identity_kind {
	IDENTITY_UNKNOWN,
	IDENTITY_HOST,
	IDENTITY_UNIT,
	IDENTITY_POD,
	IDENTITY_SANDBOX,
	IDENTITY_CONTAINER,
	IDENTITY_KIND_N_,
};

enum qos_class {
	QOS_UNKNOWN,
	QOS_GUARANTEED,
	QOS_BURSTABLE,
	QOS_BESTEFFORT,
};

/*
 * A string is NULL where the fact is absent, never "". Strings are raw: bytes that a stranger
 * chose, to be made safe by the output (src/text.h).
 */
struct identity {
	enum identity_kind kind;
	enum qos_class qos;
	bool resolved;		 /* false: known by id or path only */
	const char *name_source; /* static: "docker-config", "containerd-bundle", …; or NULL */
	char *key;		 /* rows of identities with the same key are one container's */
	char *container_id;	 /* full */
	char *container_name;
	char *runtime_name; /* "docker", "containerd", "cri-o", "podman", … */
	char *image_name;
	char *pod_name;
	char *pod_uid;
	char *namespace_name;
	char *k8s_container_name;
	char *unit;	    /* systemd unit, with "user@N.service/" before a user's */
	char *cgroup_path;  /* of the container, unit or pod itself, from the hierarchy's root */
	uint64_t cgroup_id; /* of that cgroup where known, else the first one seen below it */
};

const char *identity_kind_name(enum identity_kind kind); /* "container", "sandbox", … */
const char *qos_class_name(enum qos_class qos);		 /* NULL for QOS_UNKNOWN */

/* Whether it is in a container: container, sandbox or pod. */
bool identity_in_container(const struct identity *identity);

/* Frees the strings, not @identity itself, and leaves it zeroed. */
void identity_done(struct identity *identity);
