/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime/machined.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/state.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

#define MACHINE_MAX 65536

/* The value of @key in KEY=VALUE lines and its length; machined quotes nothing that we read. */
static const char *find_value(const char *text, const char *key, size_t *ret_len)
{
	size_t n = strlen(key);

	for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
		if (strncmp(text, key, n) != 0 || text[n] != '=')
			continue;
		*ret_len = strcspn(text + n + 1, "\n");
		return text + n + 1;
	}
	return NULL;
}

int machined_inspect(const struct host_root *root, const struct runtime_query *query,
		     const char *name, struct container *ret)
{
	const struct cgroup_link *link = query->link;
	_cleanup_(freep) char *text = NULL, *copy = NULL;
	const char *unit;
	size_t len;
	ssize_t n;
	uid_t uid;
	int fd;

	if (!host_root_id_is_safe(name) || state_user(query, &uid))
		return -ENOENT;
	fd = host_cache_dir(root, MACHINES_DIR);
	if (fd < 0)
		return fd == -EACCES ? fd : -ENOENT;
	n = host_root_read_at(root, fd, name, MACHINE_MAX, UID_NOBODY_ELSE, &text, NULL);
	if (n < 0)
		return n == -ENOENT || n == -EACCES ? (int)n : -EBADMSG;

	unit = find_value(text, "UNIT", &len);
	if (unit &&
	    (len != link->end - link->start || memcmp(unit, query->path + link->start, len) != 0))
		return -EPERM;

	copy = strdup(link->id);
	if (!copy)
		return -ENOMEM;
	*ret = (struct container){ .source = "machined", .name = TAKE_PTR(copy) };
	return 0;
}
