/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cleanup.h"
#include "src/host_cache.h"

/* In the order of the configured ones. */
static const char *const default_roots[] = {
	"/run/containers/storage",
	"/var/lib/containers/storage",
};

/* Without a configured one, the first that the file system bears, or whose store is there. */
static const char *const default_drivers[] = { "overlay", "vfs", "btrfs", "zfs" };

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define CRIO_PARTS "/etc/crio/crio.conf.d"

/* Where they are configured: which file, in which table. The later ones are the distribution's. */
static const struct {
	const char *file;
	const char *table;
	const char *keys[2];
	const char *driver;
} configs[] = {
	{ "/etc/crio/crio.conf", "crio", { "runroot", "root" }, "storage_driver" },
	{ "/etc/containers/storage.conf", "storage", { "runroot", "graphroot" }, "driver" },
	{ "/usr/share/containers/storage.conf", "storage", { "runroot", "graphroot" }, "driver" },
};

static void add(struct storage_list *list, const char *dir, const char *driver)
{
	char *item = list->items[list->n];
	int n;

	if (list->n == STORAGES_MAX || dir[0] != '/')
		return;
	n = snprintf(item, STATE_PATH_MAX, "%s/%s-containers", dir, driver);
	if (n < 0 || n >= STATE_PATH_MAX)
		return;
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], item) == 0)
			return;
	list->n++;
}

static void add_configured(const struct host_root *root, size_t i, const char *file,
			   struct storage_list *ret)
{
	const char *text = host_cache_text(root, file);
	char dir[STATE_PATH_MAX - 64], driver[32];
	bool chosen;

	chosen = state_toml(text, configs[i].table, configs[i].driver, driver, sizeof(driver)) &&
		 host_root_id_is_safe(driver);
	for (size_t k = 0; k < N_ELEMENTS(default_roots); k++) {
		if (state_toml(text, configs[i].table, configs[i].keys[k], dir, sizeof(dir)))
			add(ret, dir, chosen ? driver : default_drivers[0]);
		else if (chosen)
			add(ret, default_roots[k], driver);
	}
}

/* CRI-O's file may be in parts; each that names a place adds it. */
static void add_dropped_in(const struct host_root *root, struct storage_list *ret)
{
	const char *listed = host_cache_list(root, CRIO_PARTS);
	_cleanup_(freep) char *names =
		listed ? strdup(listed) : NULL; /* what is read may displace it */
	char *name, *rest;

	for (name = names ? strtok_r(names, "/", &rest) : NULL; name && ret->n < STORAGES_MAX;
	     name = strtok_r(NULL, "/", &rest)) {
		char path[STATE_PATH_MAX];

		if (host_root_id_is_safe(name) &&
		    snprintf(path, sizeof(path), CRIO_PARTS "/%s", name) < (int)sizeof(path))
			add_configured(root, 0, path, ret);
	}
}

void storage_find(const struct host_root *root, struct storage_list *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < N_ELEMENTS(configs); i++)
		add_configured(root, i, configs[i].file, ret);
	add_dropped_in(root, ret);
	for (size_t i = 0; i < N_ELEMENTS(default_drivers); i++)
		for (size_t k = 0; k < N_ELEMENTS(default_roots); k++)
			add(ret, default_roots[k], default_drivers[i]);
}

int storage_read_bundle(const struct host_root *root, const char *base, const char *below,
			uid_t uid_allowed, const char *manager, const struct runtime_query *query,
			json_t **ret)
{
	_cleanup_(json_decrefp) json_t *config = NULL;
	_cleanup_(freep) char *is = NULL;
	char path[STATE_PATH_MAX];
	int refused, r;

	snprintf(path, sizeof(path), "%s%s/userdata/config.json", below, query->link->id);
	r = host_cache_read_json(root, base, path, STATE_FILE_MAX, uid_allowed, &config, NULL);
	if (r < 0)
		return r;
	/* The other one's containers are in the same store. */
	is = state_string(json_object_get(config, "annotations"), "io.container.manager");
	if (is && strcmp(is, manager) != 0)
		return -ENOENT;

	refused = state_check_bundle(config, query);
	if (refused < 0)
		return refused;
	*ret = TAKE_PTR(config);
	return 0;
}
