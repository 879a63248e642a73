/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libvirt's containers and virtual machines: known to machined with driver and number before their
 * names ("lxc-969-web"), and to libvirt itself by an XML file while they run, whose name is enough.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/machined.h"
#include "runtime/registry.h"
#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

#define LXC_DIR	 "/run/libvirt/lxc"
#define QEMU_DIR "/run/libvirt/qemu"

static int unhex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "machine-lxc\x2d969\x2dweb.scope" is the machine "lxc-969-web". */
static bool machine_name(const struct runtime_query *query, char *ret, size_t size)
{
	const char *p = query->path + query->link->start, *end = query->path + query->link->end;
	size_t n = 0;

	if (end - p <= 14 || strncmp(p, "machine-", 8) != 0 || strncmp(end - 6, ".scope", 6) != 0)
		return false;
	for (p += 8, end -= 6; p < end; n++) {
		if (n + 1 >= size)
			return false;
		if (end - p >= 4 && p[0] == '\\' && p[1] == 'x' && unhex(p[2]) >= 0 &&
		    unhex(p[3]) >= 0) {
			ret[n] = (char)(unhex(p[2]) * 16 + unhex(p[3]));
			p += 4;
		} else {
			ret[n] = *p++;
		}
	}
	ret[n] = 0;
	return n > 0;
}

static int inspect_own(const struct host_root *root, const char *dir, const char *name,
		       struct container *ret)
{
	_cleanup_(freep) char *copy = NULL;
	char path[STATE_PATH_MAX];
	struct file_stamp stamp;
	int fd;

	if (!host_root_id_is_safe(name))
		return -ENOENT;
	fd = host_cache_dir(root, dir);
	snprintf(path, sizeof(path), "%s.xml", name);
	if (fd < 0 || host_root_stat_at(fd, path, &stamp) < 0)
		return fd == -EACCES ? fd : -ENOENT;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret = (struct container){ .source = "libvirt", .name = TAKE_PTR(copy) };
	return 0;
}

/* Names are not unique: only where libvirt, or machined for it, puts its cgroups. */
static bool is_at_top(const struct runtime_query *query)
{
	return state_is_in_slices(query) || state_is_in(query, "machine/") ||
	       state_is_in(query, "libvirt/lxc/") || state_is_in(query, "libvirt/qemu/");
}

static int inspect(const struct host_root *root, const char *dir, const struct runtime_query *query,
		   struct container *ret)
{
	char name[STATE_PATH_MAX];
	int r = -ENOENT;
	uid_t uid;

	if (state_user(query, &uid) || !is_at_top(query))
		return -ENOENT;
	if (machine_name(query, name, sizeof(name)))
		r = machined_inspect(root, query, name, ret);
	if (r == -ENOENT)
		r = inspect_own(root, dir, query->link->id, ret);
	return r;
}

static bool lxc_match(const struct runtime_query *query)
{
	return query->link->hint == HINT_LIBVIRT_LXC;
}

static int lxc_inspect(const struct host_root *root, const struct runtime_query *query,
		       struct container *ret)
{
	return inspect(root, LXC_DIR, query, ret);
}

static void lxc_roots(const struct host_root *root,
		      void (*found)(const char *path, int error, void *data), void *data)
{
	state_report_root(root, LXC_DIR, found, data);
}

const struct runtime libvirt_lxc_runtime = {
	.name = "libvirt-lxc",
	.by_name = true,
	.match = lxc_match,
	.inspect = lxc_inspect,
	.roots = lxc_roots,
};

static bool qemu_match(const struct runtime_query *query)
{
	return query->link->hint == HINT_LIBVIRT_QEMU;
}

static int qemu_inspect(const struct host_root *root, const struct runtime_query *query,
			struct container *ret)
{
	return inspect(root, QEMU_DIR, query, ret);
}

static void qemu_roots(const struct host_root *root,
		       void (*found)(const char *path, int error, void *data), void *data)
{
	state_report_root(root, QEMU_DIR, found, data);
}

const struct runtime libvirt_qemu_runtime = {
	.name = "libvirt-qemu",
	.by_name = true,
	.match = qemu_match,
	.inspect = qemu_inspect,
	.roots = qemu_roots,
};
