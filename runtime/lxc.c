/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LXC, and Incus and LXD on top of it, go by name: a directory for each. The names are not unique,
 * so only the places where the system's own LXC puts its cgroups count, at the top of the
 * hierarchy; below a user's manager it is that user's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/registry.h"
#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

static const char *const bases[] = {
	"/var/lib/lxc",
	"/var/lib/incus/containers",
	"/var/lib/lxd/containers",
	"/var/snap/lxd/common/lxd/containers",
};
#define N_BASES (sizeof(bases) / sizeof(bases[0]))

/* Their kind does not matter: Incus has links there. */
static bool exists(const struct host_root *root, const char *base, const char *below,
		   const char *name)
{
	char path[STATE_PATH_MAX];
	struct file_stamp stamp;
	int fd;

	snprintf(path, sizeof(path), "%s%s", below, name);
	fd = host_cache_dir(root, base);
	return fd >= 0 && host_root_stat_at(fd, path, &stamp) == 0;
}

static bool is_known(const struct host_root *root, const struct runtime_query *query,
		     const char *name)
{
	char home[STATE_PATH_MAX];
	uid_t uid;

	if (state_user(query, &uid))
		return state_home(root, uid, home, sizeof(home)) == 0 &&
		       exists(root, home, ".local/share/lxc/", name);
	for (size_t i = 0; i < N_BASES; i++)
		if (exists(root, bases[i], "", name))
			return true;
	return false;
}

/* "/lxc.payload.<name>", "/lxc/<name>", "/lxc.payload/<name>". */
static bool is_at_top(const struct runtime_query *query)
{
	return state_is_in(query, "") || state_is_in(query, "lxc/") ||
	       state_is_in(query, "lxc.payload/");
}

/* Where a cgroup of that name was there already LXC appends "-1" and so on. */
static bool strip_number(char *name)
{
	char *dash = strrchr(name, '-');

	if (!dash || dash == name || dash[1] == 0 || dash[1 + strspn(dash + 1, "0123456789")])
		return false;
	*dash = 0;
	return true;
}

static bool lxc_match(const struct runtime_query *query)
{
	return query->link->hint == HINT_LXC;
}

static int lxc_inspect(const struct host_root *root, const struct runtime_query *query,
		       struct container *ret)
{
	_cleanup_(freep) char *name = NULL;
	uid_t uid;

	if (!host_root_id_is_safe(query->link->id))
		return -ENOENT;
	if (!is_at_top(query) && !state_user(query, &uid))
		return -ENOENT;
	name = strdup(query->link->id);
	if (!name)
		return -ENOMEM;
	if (!is_known(root, query, name) && (!strip_number(name) || !is_known(root, query, name)))
		return -ENOENT;

	*ret = (struct container){ .source = "lxc", .name = TAKE_PTR(name) };
	return 0;
}

static void lxc_roots(const struct host_root *root,
		      void (*found)(const char *path, int error, void *data), void *data)
{
	for (size_t i = 0; i < N_BASES; i++)
		state_report_root(root, bases[i], found, data);
}

const struct runtime lxc_runtime = {
	.name = "lxc",
	.by_name = true,
	.match = lxc_match,
	.inspect = lxc_inspect,
	.roots = lxc_roots,
};
