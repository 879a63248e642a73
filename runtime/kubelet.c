/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kubelet keeps the logs of a pod in a directory called after it, and a link per container
 * beside them that has the container's id in its name. Absent where logs go to journald, and a
 * moment later than the container.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"
#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

#define PODS_DIR       "/var/log/pods"
#define CONTAINERS_DIR "/var/log/containers"

/* Where the name that @found is in starts; all of them are between slashes. */
static const char *name_start(const char *found)
{
	while (found[-1] != '/')
		found--;
	return found;
}

/* "<namespace>_<pod>_<uid>". */
static bool find_pod(const char *names, const char *pod_uid, char **ret_namespace, char **ret_pod)
{
	size_t uid_len = strlen(pod_uid);
	const char *found, *start;

	found = names ? strstr(names, pod_uid) : NULL;
	if (!found || found[uid_len] != '/')
		return false;
	start = name_start(found);
	return state_split_log_name(start, (size_t)(found - start) + uid_len, pod_uid,
				    ret_namespace, ret_pod) == 0;
}

/*
 * "<pod>_<namespace>_<container>-<id>.log". Longer ones are cut at 255 bytes, and then have no
 * whole id to find them by.
 */
static char *find_container(const char *names, const char *namespace, const char *pod,
			    const char *id)
{
	const char *found, *start;
	size_t pod_len = strlen(pod), namespace_len = strlen(namespace);
	char *name;

	found = names ? strstr(names, id) : NULL;
	if (!found || found[-1] != '-' || strncmp(found + strlen(id), ".log/", 5) != 0)
		return NULL;
	start = name_start(found);
	if (strncmp(start, pod, pod_len) != 0 || start[pod_len] != '_' ||
	    strncmp(start + pod_len + 1, namespace, namespace_len) != 0 ||
	    start[pod_len + 1 + namespace_len] != '_')
		return NULL;

	start += pod_len + namespace_len + 2;
	if (start >= found)
		return NULL;
	name = strndup(start, (size_t)(found - start) - 1);
	if (name && !state_is_k8s_name(name)) {
		free(name);
		return NULL;
	}
	return name;
}

bool kubelet_fill(const struct host_root *root, const char *pod_uid, const char *id,
		  struct container *container)
{
	_cleanup_(freep) char *namespace = NULL, *pod = NULL;
	bool added = false;

	if (!find_pod(host_cache_list(root, PODS_DIR), pod_uid, &namespace, &pod))
		return false;

	if (!container->k8s_container_name && !container->is_sandbox && state_id_is_hash(id)) {
		container->k8s_container_name =
			find_container(host_cache_list(root, CONTAINERS_DIR), namespace, pod, id);
		added = container->k8s_container_name;
		if (added && !container->name)
			container->name = strdup(container->k8s_container_name);
	}
	if (!container->pod_name && !container->namespace_name) {
		container->pod_name = TAKE_PTR(pod);
		container->namespace_name = TAKE_PTR(namespace);
		added = true;
	}
	return added;
}

void kubelet_roots(const struct host_root *root,
		   void (*found)(const char *path, int error, void *data), void *data)
{
	state_report_root(root, PODS_DIR, found, data);
	state_report_root(root, CONTAINERS_DIR, found, data);
}
