/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * containerd keeps an OCI bundle per running container, below its namespace, from before the
 * first process starts until after the last has ended. What is in there depends on the client: the
 * CRI plugin and nerdctl write names as annotations, plain ctr has no names but the id.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/registry.h"
#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

#define CRI_NAMESPACE	 "k8s.io"
#define DOCKER_NAMESPACE "moby"
#define CRI(key)	 "io.kubernetes.cri." key

static const char *const known_roots[] = {
	"/run/containerd",	"/run/k3s/containerd", /* k3s and rke2 */
	"/run/k0s/containerd",	"/var/snap/microk8s/common/run/containerd",
	"/run/host-containerd", /* Bottlerocket's second one */
};
#define N_KNOWN_ROOTS (sizeof(known_roots) / sizeof(known_roots[0]))

/* Of the second generation of shims, and of the first. */
static const char *const layouts[] = { "io.containerd.runtime.v2.task",
				       "io.containerd.runtime.v1.linux" };
#define N_LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct root_list {
	const char *items[N_KNOWN_ROOTS + 1];
	size_t n;
	char configured[STATE_PATH_MAX];
};

static void find_roots(const struct host_root *root, struct root_list *ret)
{
	const char *text = host_cache_text(root, "/etc/containerd/config.toml");

	ret->n = 0;
	if (state_toml(text, NULL, "state", ret->configured, sizeof(ret->configured)) &&
	    ret->configured[0] == '/')
		ret->items[ret->n++] = ret->configured;
	for (size_t i = 0; i < N_KNOWN_ROOTS; i++)
		if (ret->n == 0 || strcmp(ret->items[0], known_roots[i]) != 0)
			ret->items[ret->n++] = known_roots[i];
}

/* Where one bundle would be. */
struct place {
	const char *root;
	const char *below; /* of a user's: from a directory of theirs on; else "" */
	uid_t uid_allowed;
	const char *layout;
	const char *namespace;
	size_t namespace_len;
};

static int bundle_path(const struct place *place, const char *id, char *ret, size_t size)
{
	int n;

	n = snprintf(ret, size, "%s%s/%.*s/%s/config.json", place->below, place->layout,
		     (int)place->namespace_len, place->namespace, id);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static const json_t *annotations_of(const json_t *config)
{
	return json_object_get(config, "annotations");
}

static bool annotation_is(const json_t *annotations, const char *key, const char *expected)
{
	const char *value = json_string_value(json_object_get(annotations, key));

	return value && strcmp(value, expected) == 0;
}

/*
 * "/var/log/pods/<namespace>_<pod>_<uid>", on sandboxes. Before containerd 1.5 the only place
 * that has the names.
 */
static void names_from_log_directory(const json_t *annotations, const char *uid,
				     struct container *container)
{
	_cleanup_(freep) char *directory = state_string(annotations, CRI("sandbox-log-directory"));
	const char *name;

	if (!directory || container->pod_name || container->namespace_name)
		return;
	name = strrchr(directory, '/');
	name = name ? name + 1 : directory;
	(void)state_split_log_name(name, strlen(name), uid, &container->namespace_name,
				   &container->pod_name);
}

static void names_from_sandbox(const struct host_root *root, const struct place *place,
			       const json_t *annotations, const char *uid,
			       struct container *container)
{
	_cleanup_(freep) char *sandbox = state_string(annotations, CRI("sandbox-id"));
	_cleanup_(json_decrefp) json_t *config = NULL;
	char path[STATE_PATH_MAX];

	if (!sandbox || !state_id_is_hash(sandbox))
		return;
	if (bundle_path(place, sandbox, path, sizeof(path)) < 0)
		return;
	if (host_cache_read_json(root, place->root, path, STATE_FILE_MAX, place->uid_allowed,
				 &config, NULL) < 0)
		return;
	names_from_log_directory(annotations_of(config), uid, container);
}

static void read_cri(const struct host_root *root, const struct place *place,
		     const struct runtime_query *query, const json_t *annotations,
		     struct container *container)
{
	const char *uid = query->link->pod_uid[0] ? query->link->pod_uid : NULL;

	container->is_sandbox = annotation_is(annotations, CRI("container-type"), "sandbox");
	container->k8s_container_name = state_k8s_name(annotations, CRI("container-name"));
	if (container->k8s_container_name)
		container->name = strdup(container->k8s_container_name);
	container->image_name = state_string(annotations, CRI("image-name"));
	if (!container->image_name && container->is_sandbox)
		container->image_name = state_string(annotations, CRI("podsandbox.image-name"));

	/* Names that belong to another pod than the path says are nobody's. */
	container->pod_uid = state_k8s_name(annotations, CRI("sandbox-uid"));
	if (uid && container->pod_uid && strcmp(uid, container->pod_uid) != 0)
		return;

	container->pod_name = state_k8s_name(annotations, CRI("sandbox-name"));
	container->namespace_name = state_k8s_name(annotations, CRI("sandbox-namespace"));
	names_from_log_directory(annotations, uid, container);
	if (!container->pod_name && !container->is_sandbox)
		names_from_sandbox(root, place, annotations, uid, container);
}

static int inspect_place(const struct host_root *root, const struct place *place,
			 const struct runtime_query *query, struct container *ret)
{
	_cleanup_(containerp_done) struct container container = { .source = "containerd-bundle" };
	_cleanup_(json_decrefp) json_t *config = NULL;
	const char *id = query->link->id;
	const json_t *annotations;
	char path[STATE_PATH_MAX];
	int r;

	r = bundle_path(place, id, path, sizeof(path));
	if (r < 0)
		return r;
	r = state_read_bundle(root, place->root, path, place->uid_allowed, query, &config);
	if (r < 0)
		return r;

	annotations = annotations_of(config);
	if (json_object_get(annotations, CRI("container-type"))) {
		read_cri(root, place, query, annotations, &container);
	} else {
		container.name = state_string(annotations, "nerdctl/name");
		if (!container.name && !state_id_is_hash(id)) /* ctr's ids are its names */
			container.name = strdup(id);
	}
	*ret = container;
	container = (struct container){ 0 };
	return 0;
}

/* Asks one state root for the container in one namespace. */
static int inspect_namespace(const struct host_root *root, const char *state, const char *namespace,
			     size_t len, const struct runtime_query *query, struct container *ret)
{
	int result = -ENOENT;

	for (size_t i = 0; i < N_LAYOUTS && result != 0; i++) {
		struct place place = { state, "", UID_NOBODY_ELSE, layouts[i], namespace, len };

		result = state_merge(result, inspect_place(root, &place, query, ret));
	}
	return result;
}

/* Asks for it in every namespace that there is, but for those asked before and Docker's own. */
static int inspect_all(const struct host_root *root, const char *state,
		       const struct runtime_query *query, struct container *ret)
{
	int result = -ENOENT;

	for (size_t i = 0; i < N_LAYOUTS && result != 0; i++) {
		char path[STATE_PATH_MAX];
		const char *names;

		snprintf(path, sizeof(path), "%s/%s", state, layouts[i]);
		names = host_cache_list(root, path);
		while (names && names[0] == '/' && names[1] && result != 0) {
			size_t len = strcspn(names + 1, "/");
			struct place place = { state,	   "",	      UID_NOBODY_ELSE,
					       layouts[i], names + 1, len };

			if (strncmp(names + 1, DOCKER_NAMESPACE "/", len + 1) != 0)
				result = state_merge(result,
						     inspect_place(root, &place, query, ret));
			names += 1 + len;
		}
	}
	return result;
}

/* The directory above the link: with the cgroupfs driver the namespace. */
static const char *parent_of(const struct runtime_query *query, size_t *ret_len)
{
	const char *end = query->path + query->link->start, *start;

	while (end > query->path && end[-1] == '/')
		end--;
	start = end;
	while (start > query->path && start[-1] != '/')
		start--;
	*ret_len = (size_t)(end - start);
	return start;
}

static int inspect_root(const struct host_root *root, const char *state,
			const struct runtime_query *query, struct container *ret)
{
	size_t parent_len;
	const char *parent = parent_of(query, &parent_len);
	int result;

	/* A free name is only ever asked for where it says that it is. */
	if (!state_id_is_hash(query->link->id))
		return inspect_namespace(root, state, parent, parent_len, query, ret);

	result = inspect_namespace(root, state, CRI_NAMESPACE, strlen(CRI_NAMESPACE), query, ret);
	if (result == -ENOENT && !query->link->pod_uid[0])
		result = inspect_all(root, state, query, ret);
	return result;
}

/*
 * Rootless: below a directory that is the user's, who can put links there, so that nothing is
 * listed. nerdctl's own namespace, and that of Kubernetes.
 */
static int inspect_user(const struct host_root *root, uid_t uid, const struct runtime_query *query,
			struct container *ret)
{
	static const char *const namespaces[] = { "default", CRI_NAMESPACE };
	int result = -ENOENT;
	char run[64];

	if (!state_id_is_hash(query->link->id))
		return -ENOENT;
	snprintf(run, sizeof(run), "/run/user/%u", (unsigned)uid);
	for (size_t i = 0; i < 2 && result != 0; i++) {
		struct place place = { run,	   "containerd/", uid,
				       layouts[0], namespaces[i], strlen(namespaces[i]) };

		result = state_merge(result, inspect_place(root, &place, query, ret));
	}
	return result;
}

static bool containerd_match(const struct runtime_query *query)
{
	enum cgroup_hint hint = query->link->hint;

	return hint == HINT_CONTAINERD || hint == HINT_NERDCTL || hint == HINT_NONE;
}

static int containerd_inspect(const struct host_root *root, const struct runtime_query *query,
			      struct container *ret)
{
	struct root_list roots;
	int result = -ENOENT;
	uid_t uid;

	if (!host_root_id_is_safe(query->link->id))
		return -ENOENT;

	find_roots(root, &roots);
	for (size_t i = 0; i < roots.n && result != 0; i++)
		result = state_merge(result, inspect_root(root, roots.items[i], query, ret));

	if (!state_user(query, &uid))
		return result;

	/* The system's containerd has no container below a user's manager: that is an imitation. */
	if (result == 0) {
		container_done(ret);
		return -EPERM;
	}
	return result == -ENOENT ? inspect_user(root, uid, query, ret) : result;
}

static void containerd_roots(const struct host_root *root,
			     void (*found)(const char *path, int error, void *data), void *data)
{
	struct root_list roots;

	find_roots(root, &roots);
	for (size_t i = 0; i < roots.n; i++)
		state_report_root(root, roots.items[i], found, data);
}

const struct runtime containerd_runtime = {
	.name = "containerd",
	.match = containerd_match,
	.inspect = containerd_inspect,
	.roots = containerd_roots,
};
