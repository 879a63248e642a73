/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Podman's names are in the lists of containers/storage, one for all containers, and one more for
 * those that a reboot ends. `podman rename` writes them anew. The bundle has the cgroup's path.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/registry.h"
#include "runtime/storage.h"
#include "src/cleanup.h"
#include "src/host_cache.h"
#include "src/json_text.h"

#define LIST_MAX	 (16u << 20)
#define USERS_CONFIG_MAX (64u << 10)
#define DEFAULT_STORE	 ".local/share/containers/storage"
#define METADATA_VALUES	 256 /* of a container; it has some ten */

static const char *const lists[] = { "containers.json", "volatile-containers.json" };

/* A container directory: the system's, or one below a user's home or runtime directory. */
struct store {
	const char *base;
	const char *below; /* "" or with a last slash */
	uid_t uid_allowed;
};

static json_t *find_in_list(const json_t *list, const char *id)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		json_t *item = json_array_get(list, i);
		const char *item_id = json_string_value(json_object_get(item, "id"));

		if (item_id && strcmp(item_id, id) == 0)
			return item;
	}
	return NULL;
}

static char *first_name(const json_t *item)
{
	const json_t *value = json_array_get(json_object_get(item, "names"), 0);
	const char *name = json_string_value(value);

	if (!name || strlen(name) != json_string_length(value) || !state_is_name(name))
		return NULL;
	return strdup(name);
}

/* "metadata" is JSON in a string. */
static char *image_of(const json_t *item)
{
	const json_t *value = json_object_get(item, "metadata");
	_cleanup_(json_decrefp) json_t *metadata = NULL;

	if (!json_is_string(value))
		return NULL;
	metadata = json_text_load(json_string_value(value), json_string_length(value),
				  METADATA_VALUES);
	return state_string(metadata, "image-name");
}

/* Looks the id up in one list of a store. -ESRCH: it is not in there. */
static int read_list(const struct host_root *root, const struct store *store, const char *list,
		     const char *id, struct container *container)
{
	char path[STATE_PATH_MAX];
	struct file_stamp stamp;
	const json_t *item;
	json_t *json;
	int r;

	snprintf(path, sizeof(path), "%s%s", store->below, list);
	r = host_cache_json(root, store->base, path, LIST_MAX, store->uid_allowed, &json, &stamp);
	if (r < 0)
		return r;
	item = find_in_list(json, id);
	if (!item)
		return -ESRCH;

	container->name = first_name(item);
	container->image_name = image_of(item);
	return state_watch(container, store->base, path, &stamp);
}

/*
 * A pod is held together by a container that does nothing: "<12 digits of the pod's id>-infra". The
 * pod's id ends the name of the cgroup around it.
 */
static bool is_infra(const struct runtime_query *query, const char *name)
{
	static const char slice[] = ".slice";
	size_t end = query->link->start, n = strcspn(name, "-");

	while (end > 0 && query->path[end - 1] == '/')
		end--;
	if (end > strlen(slice) &&
	    memcmp(query->path + end - strlen(slice), slice, strlen(slice)) == 0)
		end -= strlen(slice);
	return n == 12 && strcmp(name + n, "-infra") == 0 && end >= 64 &&
	       memcmp(query->path + end - 64, name, n) == 0;
}

/* -EAGAIN: not all could be read yet. -ESRCH: it is in none of the lists that can be read. */
static int find_name(const struct host_root *root, const struct store *stores, size_t n,
		     const char *id, struct container *container)
{
	bool is_missed = false, is_put_off = false;

	for (size_t i = 0; i < n * 2; i++) {
		int r = read_list(root, &stores[i / 2], lists[i % 2], id, container);

		if (r == 0)
			return 0;
		is_missed |= r == -ESRCH;
		is_put_off |= r == -EAGAIN;
	}
	return is_put_off ? -EAGAIN : is_missed ? -ESRCH : -ENOENT;
}

/*
 * 0: the bundle is there and right. But one that no list has is being removed: what was known of it
 * before is better than what is left.
 */
static int inspect_stores(const struct host_root *root, const struct store *stores, size_t n,
			  const struct runtime_query *query, struct container *ret)
{
	_cleanup_(containerp_done) struct container container = { .source = "podman-storage" };
	int bundle = -ENOENT, named;

	for (size_t i = 0; i < n && bundle != 0; i++) {
		_cleanup_(json_decrefp) json_t *config = NULL;

		bundle = state_merge(bundle,
				     storage_read_bundle(root, stores[i].base, stores[i].below,
							 stores[i].uid_allowed, "libpod", query,
							 &config));
	}
	if (bundle < 0)
		return bundle;

	named = find_name(root, stores, n, query->link->id, &container);
	if (named == -ESRCH || named == -EAGAIN)
		return named == -EAGAIN ? named : -ENOENT;
	container.is_sandbox = container.name && is_infra(query, container.name);
	*ret = container;
	container = (struct container){ 0 };
	return 0;
}

static int inspect_system(const struct host_root *root, const struct runtime_query *query,
			  struct container *ret)
{
	struct storage_list found;
	struct store stores[STORAGES_MAX];

	storage_find(root, &found);
	for (size_t i = 0; i < found.n; i++)
		stores[i] = (struct store){ found.items[i], "", UID_NOBODY_ELSE };
	return inspect_stores(root, stores, found.n, query, ret);
}

/*
 * What the user's own storage.conf says of the place and the driver, if that is below the home: ""
 * or with a last slash. 0, or -EAGAIN: not yet.
 */
static int find_users_store(const struct host_root *root, uid_t uid, const char *home, char *ret,
			    size_t size)
{
	_cleanup_(freep) char *text = NULL;
	char place[STATE_PATH_MAX / 2], driver[32];
	const char *below;
	int n, r;

	ret[0] = 0;
	r = host_cache_read_text(root, home, ".config/containers/storage.conf", USERS_CONFIG_MAX,
				 uid, &text);
	if (r < 0)
		return r == -EAGAIN ? r : 0;
	if (!state_toml(text, "storage", "driver", driver, sizeof(driver)) ||
	    !host_root_id_is_safe(driver))
		strcpy(driver, "overlay");
	if (!state_toml(text, "storage", "graphroot", place, sizeof(place)))
		strcpy(place, "$HOME/" DEFAULT_STORE);

	if (strncmp(place, "$HOME/", strlen("$HOME/")) == 0)
		below = place + strlen("$HOME/");
	else
		below = state_below_home(home, place);
	if (!below)
		return 0;
	n = snprintf(ret, size, "%s/%s-containers/", below, driver);
	if (n < 0 || (size_t)n >= size)
		ret[0] = 0;
	return 0;
}

/* Rootless: below the home, where the user may put links as they please, and in /run/user. */
static int inspect_user(const struct host_root *root, uid_t uid, const struct runtime_query *query,
			struct container *ret)
{
	char home[STATE_PATH_MAX], run[STATE_PATH_MAX], configured[STATE_PATH_MAX];
	struct store stores[] = {
		{ home, DEFAULT_STORE "/overlay-containers/", uid },
		{ home, DEFAULT_STORE "/vfs-containers/", uid },
		{ run, "containers/overlay-containers/", uid },
		{ run, "containers/vfs-containers/", uid },
		{ home, configured, uid },
	};
	size_t n = sizeof(stores) / sizeof(stores[0]);
	int r;

	r = state_home(root, uid, home, sizeof(home));
	if (r < 0)
		return r;
	snprintf(run, sizeof(run), "/run/user/%u", (unsigned)uid);
	r = find_users_store(root, uid, home, configured, sizeof(configured));
	if (r < 0)
		return r;
	return inspect_stores(root, stores, configured[0] ? n : n - 1, query, ret);
}

static bool podman_match(const struct runtime_query *query)
{
	return query->link->hint == HINT_PODMAN ||
	       (query->link->hint == HINT_NONE && state_id_is_hash(query->link->id));
}

static int podman_inspect(const struct host_root *root, const struct runtime_query *query,
			  struct container *ret)
{
	uid_t uid;
	int r;

	if (!state_id_is_hash(query->link->id))
		return -ENOENT;
	r = inspect_system(root, query, ret);
	if (!state_user(query, &uid))
		return r;

	/* An id that the system's store knows is an imitation below a user's manager. */
	if (r == 0) {
		container_done(ret);
		return -EPERM;
	}
	return r == -ENOENT ? inspect_user(root, uid, query, ret) : r;
}

static void podman_roots(const struct host_root *root,
			 void (*found)(const char *path, int error, void *data), void *data)
{
	struct storage_list stores;

	storage_find(root, &stores);
	for (size_t i = 0; i < stores.n; i++)
		state_report_root(root, stores.items[i], found, data);
}

const struct runtime podman_runtime = {
	.name = "podman",
	.match = podman_match,
	.inspect = podman_inspect,
	.roots = podman_roots,
};
