/* SPDX-License-Identifier: BSD-2-Clause */
#include "host_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

#define ITEMS_MAX	96
#define USERS_ITEMS_MAX 16
#define TEXT_MAX	(1u << 20) /* a configuration file */
#define LIST_MAX	(4u << 20) /* all names of a directory */

/* Users' documents: Podman's list of some 500 containers. */
#define USERS_JSON_MAX (512u << 10)

/* What is read of a user's in one go, and in a second after that; opening a file counts as well. */
#define USERS_BURST	 (4u << 20)
#define USERS_PER_SECOND (512u << 10)
#define USERS_OPEN_COST	 4096
#define USERS_MAX	 32

enum item_kind {
	ITEM_DIR,
	ITEM_TEXT,
	ITEM_LIST,
	ITEM_JSON,
};

struct item {
	enum item_kind kind;
	int error; /* -errno if it could not be had */
	char *name;
	int fd;
	char *text;
	json_t *json;
	struct file_stamp stamp; /* of the document */
};

struct pool {
	struct item items[ITEMS_MAX];
	size_t max;
	size_t n_items;
	size_t victim; /* the next one to make room, once all are in use */
};

/* How much may be read of what a user has written. */
struct allowance {
	uid_t uid;
	size_t left;
	uint64_t refilled_ns; /* 0: not in use */
};

struct host_cache {
	struct pool host;
	struct pool users; /* documents of others than root */
	struct allowance allowances[USERS_MAX];
};

int host_cache_new(const struct host_root *root, struct host_cache **ret)
{
	struct host_cache *cache;

	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->host.max = ITEMS_MAX;
	cache->users.max = USERS_ITEMS_MAX;
	*ret = cache;
	return 0;
}

static void item_done(struct item *item)
{
	free(item->name);
	free(item->text);
	json_decref(item->json);
	if (item->kind == ITEM_DIR && item->fd >= 0)
		close(item->fd);
	*item = (struct item){ .fd = -1 };
}

static void forget(struct pool *pool)
{
	for (size_t i = 0; i < pool->n_items; i++)
		item_done(&pool->items[i]);
	pool->n_items = 0;
	pool->victim = 0;
}

void host_cache_forget(struct host_cache *cache)
{
	forget(&cache->host);
	forget(&cache->users);
}

void host_cache_trim(struct host_cache *cache)
{
	struct pool *host = &cache->host;

	for (size_t i = 0; i < host->n_items;) {
		struct item *item = &host->items[i];

		if (item->kind != ITEM_JSON) {
			i++;
			continue;
		}
		item_done(item);
		*item = host->items[--host->n_items];
	}
	host->victim = 0;
	forget(&cache->users);
}

void host_cache_free(struct host_cache *cache)
{
	if (!cache)
		return;
	host_cache_forget(cache);
	free(cache);
}

static struct item *find(struct pool *pool, enum item_kind kind, const char *name)
{
	for (size_t i = 0; i < pool->n_items; i++) {
		struct item *item = &pool->items[i];

		if (item->kind == kind && strcmp(item->name, name) == 0)
			return item;
	}
	return NULL;
}

/* A new item, or NULL without memory: then there is nothing to remember it in. */
static struct item *add(struct pool *pool, enum item_kind kind, const char *name)
{
	struct item *item;
	char *copy;

	copy = strdup(name);
	if (!copy)
		return NULL;

	if (pool->n_items < pool->max) {
		item = &pool->items[pool->n_items++];
	} else {
		item = &pool->items[pool->victim];
		pool->victim = (pool->victim + 1) % pool->max;
		item_done(item);
	}
	*item = (struct item){ .kind = kind, .name = copy, .fd = -1 };
	return item;
}

int host_cache_dir(const struct host_root *root, const char *path)
{
	struct pool *pool = &host_root_cache(root)->host;
	struct item *item;

	item = find(pool, ITEM_DIR, path);
	if (!item) {
		item = add(pool, ITEM_DIR, path);
		if (!item)
			return -ENOMEM;
		item->fd = host_root_open_dir(root, path);
		if (item->fd < 0)
			item->error = item->fd;
	}
	return item->error < 0 ? item->error : item->fd;
}

const char *host_cache_text(const struct host_root *root, const char *path)
{
	struct pool *pool = &host_root_cache(root)->host;
	struct item *item;
	ssize_t n;

	item = find(pool, ITEM_TEXT, path);
	if (!item) {
		item = add(pool, ITEM_TEXT, path);
		if (!item)
			return NULL;
		n = host_root_read_config(root, path, TEXT_MAX, &item->text);
		item->error = n < 0 ? (int)n : 0;
		for (ssize_t i = 0; i < n; i++) {
			if (item->text[i] == '\0')
				item->text[i] = '\n';
		}
	}
	return item->text;
}

static int list_names(int fd, char **ret)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(fclosep) FILE *out = NULL;
	const struct dirent *entry;
	size_t size = 0;
	int dir_fd;

	dir_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	dir = fdopendir(dir_fd);
	if (!dir) {
		close(dir_fd);
		return -ENOMEM;
	}

	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;
	fputc('/', out);
	while ((entry = readdir(dir)) && ftell(out) < (long)LIST_MAX)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			fprintf(out, "%s/", entry->d_name);
	if (fclose(TAKE_PTR(out)) != 0)
		return -ENOMEM;

	*ret = TAKE_PTR(text);
	return 0;
}

const char *host_cache_list(const struct host_root *root, const char *path)
{
	struct pool *pool = &host_root_cache(root)->host;
	struct item *item;
	int fd;

	item = find(pool, ITEM_LIST, path);
	if (!item) {
		fd = host_cache_dir(root, path);
		item = add(pool, ITEM_LIST, path);
		if (!item)
			return NULL;
		item->error = fd < 0 ? fd : list_names(fd, &item->text);
	}
	return item->text;
}

/* A file that is not what a runtime would have left there says nothing, but is not absent. */
static int as_damaged(int error)
{
	switch (error) {
	case -EPERM: /* a foreign owner */
	case -ELOOP:
	case -EXDEV:
	case -EINVAL:
	case -EFBIG:
	case -ENXIO: /* a socket */
		return -EBADMSG;
	default:
		return error;
	}
}

/* The user's allowance; whose was not used for longest makes room. */
static struct allowance *find_allowance(struct host_cache *cache, uid_t uid)
{
	struct allowance *oldest = cache->allowances;

	for (size_t i = 0; i < USERS_MAX; i++) {
		struct allowance *allowance = &cache->allowances[i];

		if (allowance->refilled_ns != 0 && allowance->uid == uid)
			return allowance;
		if (allowance->refilled_ns < oldest->refilled_ns)
			oldest = allowance;
	}
	*oldest = (struct allowance){ .uid = uid, .left = USERS_BURST };
	return oldest;
}

/* Takes what reading @size bytes costs. Returns whether there was so much left. */
static bool charge(struct host_cache *cache, uid_t uid, size_t size)
{
	struct allowance *allowance = find_allowance(cache, uid);
	uint64_t now_ns = monotonic_ns(), grown;

	if (allowance->refilled_ns != 0) {
		grown = (now_ns - allowance->refilled_ns) / 1000 * USERS_PER_SECOND / 1000000;
		grown += allowance->left;
		allowance->left = grown < USERS_BURST ? (size_t)grown : USERS_BURST;
	}
	allowance->refilled_ns = now_ns;

	if (allowance->left < size + USERS_OPEN_COST)
		return false;
	allowance->left -= size + USERS_OPEN_COST;
	return true;
}

/* Returns 0; -ENOENT if it is not there; -EBADMSG if it cannot be what was asked for; -EACCES. */
static int stat_file(const struct host_root *root, const char *base, const char *path,
		     struct file_stamp *ret)
{
	int fd, r;

	fd = host_cache_dir(root, base);
	if (fd < 0)
		return fd == -EACCES ? fd : -ENOENT;
	r = host_root_stat_at(fd, path, ret);
	if (r == 0 || r == -EACCES || as_damaged(r) == -EBADMSG)
		return as_damaged(r);
	return -ENOENT;
}

/* As host_cache_read_json(), with @stamp of what is there. */
static int read_json(const struct host_root *root, const char *base, const char *path,
		     size_t max_bytes, uid_t uid_allowed, const struct file_stamp *stamp,
		     json_t **ret, struct file_stamp *ret_stamp)
{
	if (uid_allowed != UID_NOBODY_ELSE) {
		max_bytes = max_bytes < USERS_JSON_MAX ? max_bytes : USERS_JSON_MAX;
		if ((uint64_t)stamp->size > max_bytes)
			return -EBADMSG;
		if (!charge(host_root_cache(root), uid_allowed, (size_t)stamp->size))
			return -EAGAIN;
	}
	return as_damaged(host_root_read_json_at(root, host_cache_dir(root, base), path, max_bytes,
						 uid_allowed, ret, ret_stamp));
}

int host_cache_read_json(const struct host_root *root, const char *base, const char *path,
			 size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
			 struct file_stamp *ret_stamp)
{
	struct file_stamp stamp;
	int r;

	r = stat_file(root, base, path, &stamp);
	if (r < 0)
		return r;
	return read_json(root, base, path, max_bytes, uid_allowed, &stamp, ret, ret_stamp);
}

int host_cache_read_text(const struct host_root *root, const char *base, const char *path,
			 size_t max_bytes, uid_t uid_allowed, char **ret)
{
	struct file_stamp stamp;
	ssize_t n;
	int r;

	r = stat_file(root, base, path, &stamp);
	if (r < 0)
		return r;
	if ((uint64_t)stamp.size > max_bytes)
		return -EBADMSG;
	if (uid_allowed != UID_NOBODY_ELSE &&
	    !charge(host_root_cache(root), uid_allowed, (size_t)stamp.size))
		return -EAGAIN;
	n = host_root_read_at(root, host_cache_dir(root, base), path, max_bytes, uid_allowed, ret,
			      NULL);
	return n < 0 ? as_damaged((int)n) : 0;
}

int host_cache_json(const struct host_root *root, const char *base, const char *path,
		    size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
		    struct file_stamp *ret_stamp)
{
	struct host_cache *cache = host_root_cache(root);
	struct pool *pool = uid_allowed == UID_NOBODY_ELSE ? &cache->host : &cache->users;
	_cleanup_(freep) char *name = NULL;
	struct file_stamp stamp;
	struct item *item;
	int r;

	if (asprintf(&name, "%s/%s", base, path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	r = stat_file(root, base, path, &stamp);
	if (r < 0)
		return r;

	item = find(pool, ITEM_JSON, name);
	if (!item) {
		item = add(pool, ITEM_JSON, name);
		if (!item)
			return -ENOMEM;
	}
	if (item->error == -EAGAIN || !file_stamp_equal(&item->stamp, &stamp)) {
		json_decref(item->json);
		item->json = NULL;
		item->stamp = stamp;
		item->error = read_json(root, base, path, max_bytes, uid_allowed, &stamp,
					&item->json, &item->stamp);
	}
	if (item->error < 0)
		return item->error;
	*ret = item->json;
	if (ret_stamp)
		*ret_stamp = item->stamp;
	return 0;
}
