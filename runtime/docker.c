/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Docker writes a container's name and image into config.v2.json, and writes it anew when the
 * container is renamed. The file does not name the cgroup; the OCI bundle, which Docker's
 * containerd keeps while the container runs, does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/daemon.h"
#include "runtime/registry.h"
#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"
#include "src/json_text.h"

#define ROOTS_MAX 16

static const char *const known_roots[] = {
	"/var/lib/docker",
	"/var/snap/docker/common/var-lib-docker",
};
#define N_KNOWN_ROOTS (sizeof(known_roots) / sizeof(known_roots[0]))

/* Where the bundles of Docker's containers are: dockerd's own containerd, the system's, the snap's.
 */
static const char *const bundle_roots[] = {
	"/run/docker/containerd/daemon",
	"/run/containerd",
	"/run/snap.docker/containerd/daemon",
};
#define N_BUNDLE_ROOTS (sizeof(bundle_roots) / sizeof(bundle_roots[0]))

/* The daemon's configuration, the distribution's and the snap's. */
static const char *const configs[] = {
	"/etc/docker/daemon.json",
	"/var/snap/docker/current/config/daemon.json",
};
#define N_CONFIGS (sizeof(configs) / sizeof(configs[0]))

/* Where the daemon leaves its PID. */
static const char *const pid_files[] = {
	"/run/docker.pid",
	"/var/snap/docker/current/run/docker.pid",
};
#define N_PID_FILES (sizeof(pid_files) / sizeof(pid_files[0]))

#define CONFIG_MAX    (64u << 10) /* of a user's */
#define CONFIG_VALUES 4096

/* Where it has the root; the second is its name until 2017. */
static const char *const root_keys[] = { "data-root", "graph" };
static const char *const root_options[] = { "--data-root", "--graph", "-g" };
#define N_ROOT_KEYS    (sizeof(root_keys) / sizeof(root_keys[0]))
#define N_ROOT_OPTIONS (sizeof(root_options) / sizeof(root_options[0]))

struct root_list {
	char items[ROOTS_MAX][STATE_PATH_MAX];
	size_t n;
};

static void add_root(struct root_list *list, const char *path, const char *child, size_t child_len)
{
	char *item = list->items[list->n];

	if (list->n == ROOTS_MAX || path[0] != '/')
		return;
	if (snprintf(item, STATE_PATH_MAX, "%s%s%.*s", path, child_len > 0 ? "/" : "",
		     (int)child_len, child) >= STATE_PATH_MAX)
		return;
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], item) == 0)
			return;
	list->n++;
}

/* With userns-remap a daemon's data moves down into "<uid>.<gid>". */
static void add_remapped(const struct host_root *root, struct root_list *list, const char *path)
{
	const char *names = host_cache_list(root, path);

	while (names && names[0] == '/' && names[1]) {
		const char *name = names + 1;
		size_t len = strcspn(name, "/");
		size_t uid = strspn(name, "0123456789");

		if (uid > 0 && name[uid] == '.' &&
		    uid + 1 + strspn(name + uid + 1, "0123456789") == len && uid + 1 < len)
			add_root(list, path, name, len);
		names += 1 + len;
	}
}

/* The string at @key in the daemon's configuration @file. */
static char *configured(const struct host_root *root, const char *file, const char *key)
{
	const char *text = host_cache_text(root, file);
	_cleanup_(json_decrefp) json_t *config = NULL;

	config = text ? json_text_load(text, strlen(text), CONFIG_VALUES) : NULL;
	return state_string(config, key);
}

static void add_configured_in(const struct host_root *root, const char *file,
			      struct root_list *list)
{
	for (size_t i = 0; i < N_ROOT_KEYS; i++) {
		_cleanup_(freep) char *path = configured(root, file, root_keys[i]);

		if (path)
			add_root(list, path, "", 0);
	}
}

/* As the daemon that runs was told on its command line, by itself or by a file named there. */
static void add_given(const struct host_root *root, const char *pid_file, struct root_list *list)
{
	_cleanup_(freep) char *file = daemon_option(root, pid_file, "--config-file");

	for (size_t i = 0; i < N_ROOT_OPTIONS; i++) {
		_cleanup_(freep) char *path = daemon_option(root, pid_file, root_options[i]);

		if (path)
			add_root(list, path, "", 0);
	}
	if (file && file[0] == '/')
		add_configured_in(root, file, list);
}

static void find_roots(const struct host_root *root, struct root_list *ret)
{
	size_t n;

	ret->n = 0;
	for (size_t i = 0; i < N_PID_FILES; i++)
		add_given(root, pid_files[i], ret);
	for (size_t i = 0; i < N_CONFIGS; i++)
		add_configured_in(root, configs[i], ret);
	for (size_t i = 0; i < N_KNOWN_ROOTS; i++)
		add_root(ret, known_roots[i], "", 0);
	n = ret->n;
	for (size_t i = 0; i < n; i++)
		add_remapped(root, ret, ret->items[i]);
}

/* Whether Docker puts a container's cgroup into @parent, and the link there. */
static bool is_below(const char *parent, const struct runtime_query *query)
{
	size_t n = strlen(parent), suffix = strlen(".slice");
	bool is_slice = n > suffix && strcmp(parent + n - suffix, ".slice") == 0;
	char path[2 * STATE_PATH_MAX];

	if (is_slice)
		snprintf(path, sizeof(path), "%s:docker:%s", parent, query->link->id);
	else
		snprintf(path, sizeof(path), "%s/%s", parent, query->link->id);
	return n > 0 && n < STATE_PATH_MAX && state_names_path(path, query);
}

/* "/kubepods/burstable/pod<uid>", and with the usual --cgroup-root before it. */
static bool is_in_pod(const struct runtime_query *query)
{
	static const char *const roots[] = { "/kubepods", "/kubelet/kubepods" };
	static const char *const classes[] = { "", "burstable/", "besteffort/" };
	char parent[128];

	if (!query->link->pod_uid[0])
		return false;
	for (size_t i = 0; i < 6; i++) {
		snprintf(parent, sizeof(parent), "%s/%spod%s", roots[i / 3], classes[i % 3],
			 query->link->pod_uid);
		if (is_below(parent, query))
			return true;
	}
	return false;
}

/* `docker run --cgroup-parent`, and the daemon's own for all that have none. */
static bool is_in_given_parent(const struct host_root *root, const char *base,
			       const struct runtime_query *query)
{
	_cleanup_(json_decrefp) json_t *host = NULL;
	_cleanup_(freep) char *parent = NULL;
	char path[STATE_PATH_MAX];

	snprintf(path, sizeof(path), "%s/hostconfig.json", query->link->id);
	(void)host_cache_read_json(root, base, path, STATE_FILE_MAX, UID_NOBODY_ELSE, &host, NULL);
	parent = state_string(host, "CgroupParent");
	for (size_t i = 0; i < N_PID_FILES && !parent; i++)
		parent = daemon_option(root, pid_files[i], "--cgroup-parent");
	for (size_t i = 0; i < N_CONFIGS && !parent; i++)
		parent = configured(root, configs[i], "cgroup-parent");
	return parent && is_below(parent, query);
}

/*
 * Without a bundle, where Docker puts the cgroups of its containers: anywhere else the id is
 * somebody's claim.
 */
static bool is_in_place(const struct host_root *root, const char *base,
			const struct runtime_query *query)
{
	return is_below("/docker", query) || is_below("system.slice", query) ||
	       state_is_in_slices(query) || is_in_pod(query) ||
	       is_in_given_parent(root, base, query);
}

/* -EPERM: the bundle names another cgroup. -ENOENT: there is none to ask. */
static int check_bundle(const struct host_root *root, const struct runtime_query *query)
{
	char path[STATE_PATH_MAX];
	int result = -ENOENT;

	snprintf(path, sizeof(path), "io.containerd.runtime.v2.task/moby/%s/config.json",
		 query->link->id);
	for (size_t i = 0; i < N_BUNDLE_ROOTS && result != 0; i++) {
		_cleanup_(json_decrefp) json_t *config = NULL;

		result = state_merge(result, state_read_bundle(root, bundle_roots[i], path,
							       UID_NOBODY_ELSE, query, &config));
	}
	return result;
}

/* Docker's own rule for names; the file has them with a slash in front. */
static char *docker_name(const json_t *config)
{
	_cleanup_(freep) char *name = state_string(config, "Name");
	const char *bare = name && name[0] == '/' ? name + 1 : name;

	if (!bare || !state_is_name(bare))
		return NULL;
	return strdup(bare);
}

/*
 * cri-dockerd's "k8s_<container>_<pod>_<namespace>_<uid>_<attempt>". Anybody can call a container
 * that, so it counts only where the path has the same pod.
 */
static int read_k8s_name(const char *name, const char *pod_uid, struct container *container)
{
	char *fields[6], *copy, *save = NULL;
	_cleanup_(freep) char *owned = strdup(name);
	size_t n = 0;

	if (!owned || !pod_uid[0])
		return -EINVAL;
	for (copy = owned; n < 6 && (fields[n] = strtok_r(copy, "_", &save)); copy = NULL)
		n++;
	if (n < 6 || strtok_r(NULL, "_", &save) || strcmp(fields[0], "k8s") != 0 ||
	    strcmp(fields[4], pod_uid) != 0)
		return -EINVAL;
	if (!state_is_k8s_name(fields[2]) || !state_is_k8s_name(fields[3]))
		return -EINVAL;

	container->is_sandbox = strcmp(fields[1], "POD") == 0;
	if (!container->is_sandbox && state_is_k8s_name(fields[1]))
		container->k8s_container_name = strdup(fields[1]);
	container->pod_name = strdup(fields[2]);
	container->namespace_name = strdup(fields[3]);
	return 0;
}

/* @base: the directory that holds the containers'. */
static int read_config(const struct host_root *root, const char *base, const char *below,
		       uid_t uid_allowed, const struct runtime_query *query, struct container *ret)
{
	_cleanup_(containerp_done) struct container container = { .source = "docker-config" };
	_cleanup_(json_decrefp) json_t *config = NULL;
	struct file_stamp stamp;
	char path[STATE_PATH_MAX];
	const char *id;
	int r;

	snprintf(path, sizeof(path), "%s%s/config.v2.json", below, query->link->id);
	r = host_cache_read_json(root, base, path, STATE_FILE_MAX, uid_allowed, &config, &stamp);
	if (r < 0)
		return r;

	id = json_string_value(json_object_get(config, "ID"));
	if (!json_is_object(config) || (id && strcmp(id, query->link->id) != 0))
		return -EBADMSG;

	container.name = docker_name(config);
	container.image_name = state_string(json_object_get(config, "Config"), "Image");
	if (container.name)
		(void)read_k8s_name(container.name, query->link->pod_uid, &container);
	r = state_watch(&container, base, path, &stamp);
	if (r < 0)
		return r;

	*ret = container;
	container = (struct container){ 0 };
	return 0;
}

static int inspect_system(const struct host_root *root, const struct runtime_query *query,
			  struct container *ret)
{
	struct root_list roots;
	int result = -ENOENT;

	find_roots(root, &roots);
	for (size_t i = 0; i < roots.n && result != 0; i++) {
		char base[STATE_PATH_MAX + 16];

		snprintf(base, sizeof(base), "%s/containers", roots.items[i]);
		result = state_merge(result,
				     read_config(root, base, "", UID_NOBODY_ELSE, query, ret));
	}
	return result;
}

/* As above, of the user's own daemon: below a directory that is the user's. */
static int check_users_bundle(const struct host_root *root, uid_t uid,
			      const struct runtime_query *query)
{
	_cleanup_(json_decrefp) json_t *config = NULL;
	char run[64], path[STATE_PATH_MAX];

	snprintf(run, sizeof(run), "/run/user/%u", (unsigned)uid);
	snprintf(path, sizeof(path),
		 "docker/containerd/daemon/io.containerd.runtime.v2.task/moby/%s/config.json",
		 query->link->id);
	return state_read_bundle(root, run, path, uid, query, &config);
}

/*
 * Where the user's own daemon keeps its containers, by its configuration, from the @home on. 0, or
 * -EAGAIN: not yet.
 */
static int find_users_store(const struct host_root *root, uid_t uid, const char *home, char *ret,
			    size_t size)
{
	_cleanup_(freep) char *place = NULL;
	const char *below = NULL;
	json_t *config = NULL;
	int r;

	r = host_cache_json(root, home, ".config/docker/daemon.json", CONFIG_MAX, uid, &config,
			    NULL);
	if (r == -EAGAIN)
		return r;
	place = r == 0 ? state_string(config, root_keys[0]) : NULL;
	if (place)
		below = state_below_home(home, place);
	if (!below || (size_t)snprintf(ret, size, "%s/containers/", below) >= size)
		snprintf(ret, size, ".local/share/docker/containers/");
	return 0;
}

/* Rootless: the user's own store, below a home where the user may put links as they please. */
static int inspect_user(const struct host_root *root, uid_t uid, const struct runtime_query *query,
			struct container *ret)
{
	char home[STATE_PATH_MAX], store[STATE_PATH_MAX];
	int r;

	r = state_home(root, uid, home, sizeof(home));
	if (r < 0)
		return r;
	r = find_users_store(root, uid, home, store, sizeof(store));
	if (r < 0)
		return r;
	return read_config(root, home, store, uid, query, ret);
}

static bool looks_like_docker(const struct runtime_query *query)
{
	return query->link->hint == HINT_DOCKER ||
	       (query->link->hint == HINT_NONE && state_id_is_hash(query->link->id));
}

static int docker_inspect(const struct host_root *root, const struct runtime_query *query,
			  struct container *ret)
{
	_cleanup_(containerp_done) struct container container = { 0 };
	uid_t uid;
	bool is_users;
	int r;

	if (!state_id_is_hash(query->link->id))
		return -ENOENT;

	/*
	 * The system's store first, also below a user's manager: an id that it knows there is an
	 * imitation, and a user could write the same id into their own store.
	 */
	is_users = state_user(query, &uid);
	r = inspect_system(root, query, &container);
	if (r == 0 && is_users)
		return -EPERM;
	if (r == -ENOENT && is_users) {
		int bundle;

		r = inspect_user(root, uid, query, &container);
		bundle = r == 0 ? check_users_bundle(root, uid, query) : r;
		if (r == 0 && (!looks_like_docker(query) || bundle == -EPERM))
			return -EPERM;
		if (bundle == -EAGAIN)
			return bundle;
	} else if (r == 0) {
		int bundle = check_bundle(root, query);

		if (bundle == -EPERM ||
		    (bundle < 0 && (!looks_like_docker(query) ||
				    !is_in_place(root, container.watches[0].base, query))))
			return -EPERM;
	}
	if (r < 0)
		return r;

	*ret = container;
	container = (struct container){ 0 };
	return 0;
}

static void docker_roots(const struct host_root *root,
			 void (*found)(const char *path, int error, void *data), void *data)
{
	struct root_list roots;

	find_roots(root, &roots);
	for (size_t i = 0; i < roots.n; i++)
		state_report_root(root, roots.items[i], found, data);
}

const struct runtime docker_runtime = {
	.name = "docker",
	.match = looks_like_docker,
	.inspect = docker_inspect,
	.roots = docker_roots,
};
