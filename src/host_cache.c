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

#define ITEMS_MAX 96
#define TEXT_MAX  (1u << 20) /* a configuration file */
#define LIST_MAX  (4u << 20) /* all names of a directory */

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

struct host_cache {
	struct item items[ITEMS_MAX];
	size_t n_items;
	size_t victim; /* the next one to make room, once all are in use */
};

int host_cache_new(const struct host_root *root, struct host_cache **ret)
{
	struct host_cache *cache;

	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
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

void host_cache_forget(struct host_cache *cache)
{
	for (size_t i = 0; i < cache->n_items; i++)
		item_done(&cache->items[i]);
	cache->n_items = 0;
	cache->victim = 0;
}

void host_cache_trim(struct host_cache *cache)
{
	for (size_t i = 0; i < cache->n_items;) {
		struct item *item = &cache->items[i];

		if (item->kind != ITEM_JSON) {
			i++;
			continue;
		}
		item_done(item);
		*item = cache->items[--cache->n_items];
	}
	cache->victim = 0;
}

void host_cache_free(struct host_cache *cache)
{
	if (!cache)
		return;
	host_cache_forget(cache);
	free(cache);
}

static struct item *find(struct host_cache *cache, enum item_kind kind, const char *name)
{
	for (size_t i = 0; i < cache->n_items; i++) {
		struct item *item = &cache->items[i];

		if (item->kind == kind && strcmp(item->name, name) == 0)
			return item;
	}
	return NULL;
}

/* A new item, or NULL without memory: then there is nothing to remember it in. */
static struct item *add(struct host_cache *cache, enum item_kind kind, const char *name)
{
	struct item *item;
	char *copy;

	copy = strdup(name);
	if (!copy)
		return NULL;

	if (cache->n_items < ITEMS_MAX) {
		item = &cache->items[cache->n_items++];
	} else {
		item = &cache->items[cache->victim];
		cache->victim = (cache->victim + 1) % ITEMS_MAX;
		item_done(item);
	}
	*item = (struct item){ .kind = kind, .name = copy, .fd = -1 };
	return item;
}

int host_cache_dir(const struct host_root *root, const char *path)
{
	struct host_cache *cache = host_root_cache(root);
	struct item *item;

	item = find(cache, ITEM_DIR, path);
	if (!item) {
		item = add(cache, ITEM_DIR, path);
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
	struct host_cache *cache = host_root_cache(root);
	struct item *item;

	item = find(cache, ITEM_TEXT, path);
	if (!item) {
		item = add(cache, ITEM_TEXT, path);
		if (!item)
			return NULL;
		item->error = (int)host_root_read_config(root, path, TEXT_MAX, &item->text);
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
	struct host_cache *cache = host_root_cache(root);
	struct item *item;
	int fd;

	item = find(cache, ITEM_LIST, path);
	if (!item) {
		fd = host_cache_dir(root, path);
		item = add(cache, ITEM_LIST, path);
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

int host_cache_read_json(const struct host_root *root, const char *base, const char *path,
			 size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
			 struct file_stamp *ret_stamp)
{
	struct file_stamp stamp;
	int fd, r;

	fd = host_cache_dir(root, base);
	if (fd < 0)
		return fd == -EACCES ? fd : -ENOENT;
	r = host_root_stat_at(fd, path, &stamp);
	if (r < 0)
		return r == -EACCES ? r : -ENOENT;
	return as_damaged(
		host_root_read_json_at(root, fd, path, max_bytes, uid_allowed, ret, ret_stamp));
}

int host_cache_json(const struct host_root *root, const char *base, const char *path,
		    size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
		    struct file_stamp *ret_stamp)
{
	struct host_cache *cache = host_root_cache(root);
	_cleanup_(freep) char *name = NULL;
	struct item *item;

	if (asprintf(&name, "%s/%s", base, path) < 0) {
		name = NULL;
		return -ENOMEM;
	}

	item = find(cache, ITEM_JSON, name);
	if (!item) {
		struct file_stamp stamp = { 0 };
		json_t *json = NULL;
		int r;

		r = host_cache_read_json(root, base, path, max_bytes, uid_allowed, &json, &stamp);
		item = add(cache, ITEM_JSON, name);
		if (!item) {
			json_decref(json);
			return -ENOMEM;
		}
		item->error = r;
		item->json = json;
		item->stamp = stamp;
	}
	if (item->error < 0)
		return item->error;
	*ret = item->json;
	if (ret_stamp)
		*ret_stamp = item->stamp;
	return 0;
}
