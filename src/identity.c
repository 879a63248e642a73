/* SPDX-License-Identifier: BSD-2-Clause */
#include "identity.h"

#include <stddef.h>
#include <stdlib.h>

static const char *const kind_names[] = {
	[IDENTITY_UNKNOWN] = "unknown", [IDENTITY_HOST] = "host",
	[IDENTITY_UNIT] = "unit",	[IDENTITY_POD] = "pod",
	[IDENTITY_SANDBOX] = "sandbox", [IDENTITY_CONTAINER] = "container",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == IDENTITY_KIND_N_,
	       "every kind has a name");

const char *identity_kind_name(enum identity_kind kind)
{
	return kind_names[kind];
}

const char *qos_class_name(enum qos_class qos)
{
	switch (qos) {
	case QOS_GUARANTEED:
		return "guaranteed";
	case QOS_BURSTABLE:
		return "burstable";
	case QOS_BESTEFFORT:
		return "besteffort";
	case QOS_UNKNOWN:
		break;
	}
	return NULL;
}

bool identity_in_container(const struct identity *identity)
{
	return identity->kind == IDENTITY_CONTAINER || identity->kind == IDENTITY_SANDBOX ||
	       identity->kind == IDENTITY_POD;
}

void identity_done(struct identity *identity)
{
	free(identity->key);
	free(identity->container_id);
	free(identity->container_name);
	free(identity->runtime_name);
	free(identity->image_name);
	free(identity->pod_name);
	free(identity->pod_uid);
	free(identity->namespace_name);
	free(identity->k8s_container_name);
	free(identity->unit);
	free(identity->cgroup_path);
	*identity = (struct identity){ 0 };
}
