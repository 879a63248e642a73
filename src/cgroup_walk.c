/* SPDX-License-Identifier: BSD-2-Clause */
#include "cgroup_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"

#define PATH_SIZE    4096
#define VISITS_MAX   1000000
#define INDEX_MAX    131072
#define INDEX_BYTES  (32 << 20)
#define MISSING_MAX  64
#define WALK_REST_NS (5 * NSEC_PER_SEC)

struct walk {
	int (*visit)(const char *path, uint64_t id, void *data);
	void *data;
	dev_t dev;
	size_t n_visits;
	size_t depth;
	char path[PATH_SIZE];
};

static int walk_directory(struct walk *walk, int fd, size_t length);

/* A cgroup that goes away meanwhile is no error. */
static int descend(struct walk *walk, int parent_fd, const char *name, size_t length)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;
	int r;

	if (walk->depth == CGROUP_WALK_DEPTH_MAX)
		return 0;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != walk->dev)
		return 0;

	walk->depth++;
	r = walk_directory(walk, TAKE_FD(fd), length);
	walk->depth--;
	return r;
}

/* Visits what is below walk->path, @length long, open as @fd, which it takes. */
static int walk_directory(struct walk *walk, int fd, size_t length)
{
	_cleanup_(closedirp) DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		close(fd);
		return 0;
	}
	while ((entry = readdir(directory))) {
		size_t n = strlen(entry->d_name);
		int r;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (length + 1 + n >= sizeof(walk->path) || walk->n_visits == VISITS_MAX)
			continue;

		walk->n_visits++;
		walk->path[length] = '/';
		memcpy(walk->path + length + 1, entry->d_name, n + 1);
		r = walk->visit(walk->path, entry->d_ino, walk->data);
		if (r == CGROUP_WALK_PASS_BY)
			continue;
		if (r == 0)
			r = descend(walk, dirfd(directory), entry->d_name, length + 1 + n);
		if (r != 0)
			return r;
	}
	return 0;
}

int cgroup_walk(int fd, int (*visit)(const char *path, uint64_t id, void *data), void *data)
{
	_cleanup_(freep) struct walk *walk = NULL;
	int own_fd, r;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = visit("/", st.st_ino, data);
	if (r != 0)
		return r == CGROUP_WALK_PASS_BY ? 0 : r;

	walk = malloc(sizeof(*walk));
	if (!walk)
		return -ENOMEM;
	*walk = (struct walk){ .visit = visit, .data = data, .dev = st.st_dev };

	own_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own_fd < 0)
		return -errno;
	return walk_directory(walk, own_fd, 0);
}

struct cgroup_entry {
	uint64_t id;
	char *path;
};

struct cgroup_index {
	struct cgroup_entry *entries; /* by id */
	size_t n_entries;
	size_t n_allocated;
	size_t n_bytes;
	uint64_t walked_ns; /* 0: never */
	/* Ids are not used twice: what a walk did not find will not be found by the next one. */
	uint64_t missing[MISSING_MAX];
	size_t n_missing; /* ever; the oldest is overwritten */
};

int cgroup_index_new(struct cgroup_index **ret)
{
	struct cgroup_index *index = calloc(1, sizeof(*index));

	if (!index)
		return -ENOMEM;
	*ret = index;
	return 0;
}

static void index_clear(struct cgroup_index *index)
{
	for (size_t i = 0; i < index->n_entries; i++)
		free(index->entries[i].path);
	index->n_entries = 0;
	index->n_bytes = 0;
}

void cgroup_index_free(struct cgroup_index *index)
{
	if (!index)
		return;

	index_clear(index);
	free(index->entries);
	free(index);
}

static int index_add(const char *path, uint64_t id, void *data)
{
	struct cgroup_index *index = data;
	size_t size = strlen(path) + 1;
	char *copy;

	if (index->n_entries == INDEX_MAX || index->n_bytes + size > INDEX_BYTES)
		return 1;
	if (index->n_entries == index->n_allocated) {
		size_t n = index->n_allocated ? index->n_allocated * 2 : 256;
		struct cgroup_entry *entries;

		entries = reallocarray(index->entries, n, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		index->entries = entries;
		index->n_allocated = n;
	}

	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	index->entries[index->n_entries++] = (struct cgroup_entry){ id, copy };
	index->n_bytes += size;
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct cgroup_entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static const char *index_find(const struct cgroup_index *index, uint64_t id)
{
	const struct cgroup_entry key = { .id = id }, *found = NULL;

	if (index->n_entries > 0)
		found = bsearch(&key, index->entries, index->n_entries, sizeof(key),
				compare_entries);
	return found ? found->path : NULL;
}

static bool is_missing(const struct cgroup_index *index, uint64_t id)
{
	size_t n = index->n_missing < MISSING_MAX ? index->n_missing : MISSING_MAX;

	for (size_t i = 0; i < n; i++)
		if (index->missing[i] == id)
			return true;
	return false;
}

const char *cgroup_index_path(struct cgroup_index *index, int fd, uint64_t id, uint64_t now_ns)
{
	const char *path = index_find(index, id);

	if (path || is_missing(index, id))
		return path;
	if (index->walked_ns != 0 && now_ns - index->walked_ns < WALK_REST_NS)
		return NULL;

	index_clear(index);
	(void)cgroup_walk(fd, index_add, index); /* what fits is better than nothing */
	if (index->n_entries > 0)
		qsort(index->entries, index->n_entries, sizeof(index->entries[0]), compare_entries);
	index->walked_ns = now_ns;

	path = index_find(index, id);
	if (!path)
		index->missing[index->n_missing++ % MISSING_MAX] = id;
	return path;
}
