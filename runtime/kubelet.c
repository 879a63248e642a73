/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kubelet keeps the logs of a pod in a directory called after it, and a link per container
 * beside them that has the container's id in its name. Absent where logs go to journald, and a
 * moment later than the container.
 */
#include <errno.h>
#include <stdio.h>
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

/* "<namespace>_<pod>_<uid>". Other names may hold the uid as well: anybody can call a pod so. */
static bool find_pod(const char *names, const char *pod_uid, char **ret_namespace, char **ret_pod)
{
	size_t uid_len = strlen(pod_uid);

	for (const char *found = names; found && (found = strstr(found, pod_uid)); found++) {
		const char *start = name_start(found);

		if (found[uid_len] == '/' &&
		    state_split_log_name(start, (size_t)(found - start) + uid_len, pod_uid,
					 ret_namespace, ret_pod) == 0)
			return true;
	}
	return false;
}

/*
 * "<pod>_<namespace>_<container>-<id>.log". Longer ones are cut at 255 bytes, and then have no
 * whole id to find them by. Returns what is between @before, "<pod>_<namespace>_", and the id at
 * @found.
 */
static char *container_at(const char *found, const char *before, const char *id)
{
	const char *start = name_start(found);
	size_t n = strlen(before);
	char *name;

	if (found[-1] != '-' || strncmp(found + strlen(id), ".log/", 5) != 0)
		return NULL;
	if (strncmp(start, before, n) != 0 || start + n >= found)
		return NULL;
	start += n;
	name = strndup(start, (size_t)(found - start) - 1);
	if (name && !state_is_k8s_name(name)) {
		free(name);
		return NULL;
	}
	return name;
}

static char *find_container(const char *names, const char *namespace, const char *pod,
			    const char *id)
{
	_cleanup_(freep) char *before = NULL;

	if (asprintf(&before, "%s_%s_", pod, namespace) < 0) {
		before = NULL;
		return NULL;
	}
	for (const char *found = names; found && (found = strstr(found, id)); found++) {
		char *name = container_at(found, before, id);

		if (name)
			return name;
	}
	return NULL;
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
