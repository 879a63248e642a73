/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CRI-O writes everything into the annotations of the OCI bundle, its own after the user's, so that
 * those cannot be forged. A sandbox without a process has a cgroup and no bundle.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/registry.h"
#include "runtime/storage.h"
#include "src/cleanup.h"

#define CRIO(key) "io.kubernetes.cri-o." key
#define K8S(key)  "io.kubernetes." key

static void read_annotations(const json_t *annotations, const struct runtime_query *query,
			     struct container *container)
{
	_cleanup_(freep) char *type = state_string(annotations, CRIO("ContainerType"));
	const char *uid = query->link->pod_uid;

	container->is_sandbox = type && strcmp(type, "sandbox") == 0;
	container->image_name = state_string(annotations, CRIO("ImageName"));
	if (!container->image_name)
		container->image_name = state_string(annotations, CRIO("Image"));
	if (!container->is_sandbox) {
		container->name = state_k8s_name(annotations, K8S("container.name"));
		container->k8s_container_name = state_k8s_name(annotations, K8S("container.name"));
	}

	/* Names that belong to another pod than the path says are nobody's. */
	container->pod_uid = state_k8s_name(annotations, K8S("pod.uid"));
	if (uid[0] && container->pod_uid && strcmp(uid, container->pod_uid) != 0)
		return;
	container->pod_name = state_k8s_name(annotations, K8S("pod.name"));
	container->namespace_name = state_k8s_name(annotations, K8S("pod.namespace"));
}

static int inspect_store(const struct host_root *root, const char *base,
			 const struct runtime_query *query, struct container *ret)
{
	_cleanup_(json_decrefp) json_t *config = NULL;
	const json_t *annotations;
	int r;

	r = storage_read_bundle(root, base, "", UID_NOBODY_ELSE, "cri-o", query, &config);
	if (r < 0)
		return r;
	annotations = json_object_get(config, "annotations");
	if (!json_object_get(annotations, CRIO("ContainerType")))
		return -ENOENT;

	*ret = (struct container){ .source = "crio-bundle" };
	read_annotations(annotations, query, ret);
	return 0;
}

static bool crio_match(const struct runtime_query *query)
{
	enum cgroup_hint hint = query->link->hint;

	return hint == HINT_CRIO || hint == HINT_CRIO_SANDBOX ||
	       (hint == HINT_NONE && state_id_is_hash(query->link->id));
}

static int crio_inspect(const struct host_root *root, const struct runtime_query *query,
			struct container *ret)
{
	struct storage_list stores;
	int result = -ENOENT;
	uid_t uid;

	if (!state_id_is_hash(query->link->id))
		return -ENOENT;
	storage_find(root, &stores);
	for (size_t i = 0; i < stores.n && result != 0; i++)
		result = state_merge(result, inspect_store(root, stores.items[i], query, ret));

	if (result == 0 && state_user(query, &uid)) {
		container_done(ret);
		return -EPERM;
	}
	return result;
}

static void crio_roots(const struct host_root *root,
		       void (*found)(const char *path, int error, void *data), void *data)
{
	struct storage_list stores;

	storage_find(root, &stores);
	for (size_t i = 0; i < stores.n; i++)
		state_report_root(root, stores.items[i], found, data);
}

const struct runtime crio_runtime = {
	.name = "cri-o",
	.match = crio_match,
	.inspect = crio_inspect,
	.roots = crio_roots,
};
