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

/* The value of @key in KEY=VALUE lines and its length, as written. */
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

/*
 * Whether what is written as @value is @name. machined doubles the backslashes in the names of
 * units, and newer ones put quotes around it as well.
 */
static bool value_is(const char *value, size_t len, const char *name, size_t name_len)
{
	const char *end = value + len;
	size_t n = 0;

	if (len >= 2 && value[0] == '"' && end[-1] == '"') {
		value++;
		end--;
	}
	for (; value < end; n++) {
		value += value[0] == '\\' && end - value > 1 && value[1] == '\\';
		if (n == name_len || *value++ != name[n])
			return false;
	}
	return n == name_len;
}

/* Whether machined keeps the machine of @text in the link's unit: its file calls every unit a
 * scope. */
static bool is_of_unit(const char *text, const struct cgroup_link *link, const char *path)
{
	static const char *const keys[] = { "SCOPE", "UNIT" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t len;
		const char *unit = find_value(text, keys[i], &len);

		if (unit)
			return value_is(unit, len, path + link->start, link->end - link->start);
	}
	return true;
}

int machined_inspect(const struct host_root *root, const struct runtime_query *query,
		     const char *name, struct container *ret)
{
	const struct cgroup_link *link = query->link;
	_cleanup_(freep) char *text = NULL, *copy = NULL;
	ssize_t n;
	uid_t uid;
	int fd;

	/* Further down anybody can make a directory of that name. */
	if (!host_root_id_is_safe(name) || state_user(query, &uid) || !state_is_in_slices(query))
		return -ENOENT;
	fd = host_cache_dir(root, MACHINES_DIR);
	if (fd < 0)
		return fd == -EACCES ? fd : -ENOENT;
	n = host_root_read_at(root, fd, name, MACHINE_MAX, UID_NOBODY_ELSE, &text, NULL);
	if (n < 0)
		return n == -ENOENT || n == -EACCES ? (int)n : -EBADMSG;

	if (!is_of_unit(text, link, query->path))
		return -EPERM;

	copy = strdup(link->id);
	if (!copy)
		return -ENOMEM;
	*ret = (struct container){ .source = "machined", .name = TAKE_PTR(copy) };
	return 0;
}
