/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The id that BPF reports is the inode number of the cgroup's directory, and its file handle at
 * the same time: one open_by_handle_at() leads from the id to the directory, and the kernel's
 * name for that file descriptor is the path. Nothing is cached, and nothing that a container
 * writes takes part.
 */
#include "cgroup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_evidence.h"
#include "cgroup_mounts.h"
#include "cgroup_path.h"
#include "cgroup_walk.h"
#include "cleanup.h"
#include "clock.h"
#include "fnv.h"
#include "glob.h"

#define FILEID_KERNFS	    0xfe	/* not in the C library's headers */
#define CGROUP_NS_INITIAL   4026531835U /* PROC_CGROUP_INIT_INO, the same on every kernel */
#define CLIMB_LEVELS	    512
#define OWN_CGROUP_LINE_MAX 8192

struct cgroup_tree {
	struct cgroup_hierarchy hierarchy;
	int fd; /* of the mount, for reading: handles refuse one that is O_PATH */
	dev_t dev;
	uint64_t root_id;
	char base[CGROUP_PATH_MAX]; /* what the kernel calls @fd; paths start behind it */
	size_t base_length;
	char prefix[CGROUP_PATH_MAX];
	char problem[128]; /* why handles are not used; "" if they are */
	struct cgroup_index *index;
};

/* The kernel's path of @fd, as long as it fits a page. */
static int link_of(int fd, char ret[static CGROUP_PATH_MAX])
{
	char proc[64];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = readlink(proc, ret, CGROUP_PATH_MAX);
	if (n < 0)
		return -errno;
	if (n == CGROUP_PATH_MAX)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}

static int open_by_id(const struct cgroup_tree *tree, uint64_t id)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(uint64_t)];
	} u = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
	int fd;

	memcpy(u.space + sizeof(u.handle), &id, sizeof(id));
	fd = open_by_handle_at(tree->fd, &u.handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_refusal(int error)
{
	return error == -EPERM || error == -EACCES || error == -ENOSYS || error == -EOPNOTSUPP;
}

static void refuse_handles(struct cgroup_tree *tree, const char *why)
{
	snprintf(tree->problem, sizeof(tree->problem), "open_by_handle_at: %s", why);
}

static bool has_dotdot(const char *path)
{
	while (*path != '\0') {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 2 && memcmp(path, "..", 2) == 0)
			return true;
		path += n;
	}
	return false;
}

/* What is behind @dir in @path ("" for itself); NULL if that is not at or below it. */
static const char *path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 0 && dir[n - 1] == '/')
		n--;
	if (n == 0 || strncmp(path, dir, n) != 0 || (path[n] != '\0' && path[n] != '/'))
		return NULL;
	return path + n;
}

/*
 * Whether the @n bytes at @name are a hierarchy's place below /sys/fs/cgroup: "unified", "systemd",
 * or the controllers of one, as the kernel has had them; or a glob that means one of these.
 */
static bool is_hierarchy(const char *name, size_t n)
{
	static const char *const names[] = {
		"unified", "systemd", "cpu",	  "cpuacct", "cpuset",	   "memory",  "devices",
		"freezer", "net_cls", "net_prio", "blkio",   "perf_event", "hugetlb", "pids",
		"rdma",	   "misc",    "debug",	  "dmem",    "elogind",	   "openrc",
	};
	char copy[128], *part, *rest;

	if (n == 0 || n >= sizeof(copy))
		return false;
	memcpy(copy, name, n);
	copy[n] = '\0';
	for (part = strtok_r(copy, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
		bool found = false;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			found |= glob_match(part, names[i]);
		if (!found)
			return false;
	}
	return copy[0] != ',';
}

const char *cgroup_hierarchy_path(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	static const char usual[] = "/sys/fs/cgroup";
	const char *rest = path_below(path, hierarchy->mount);
	const char *level;

	if (!rest) {
		rest = path_below(path, usual);
		if (!rest)
			return path;
		/* Below a host root's mount point it is the same. */
		level = strstr(hierarchy->mount, usual);
		if (hierarchy->v1 || (level && level[strlen(usual)] == '/')) {
			const char *first = rest + strspn(rest, "/");
			size_t n = strcspn(first, "/");

			if (is_hierarchy(first, n))
				rest = first + n;
		}
	}
	return *rest ? rest : "/";
}

int cgroup_tree_id(struct cgroup_tree *tree, const char *path, uint64_t *ret)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (has_dotdot(path))
		return -EINVAL;

	path += strspn(path, "/");
	fd = openat(tree->fd, *path != '\0' ? path : ".",
		    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != tree->dev) /* something is mounted on it */
		return -ENOENT;

	*ret = st.st_ino;
	return 0;
}

/* Copies what is behind the base in @link. Another path: the kernel could not reach our mount. */
static int path_in_view(const struct cgroup_tree *tree, const char *link, char *ret, size_t size)
{
	size_t n = tree->base_length;

	if (strncmp(link, tree->base, n) != 0 || (link[n] != '\0' && link[n] != '/'))
		return -ENODATA;
	if (strlen(link + n) + 2 > size)
		return -ENAMETOOLONG;

	snprintf(ret, size, "%s", link[n] != '\0' ? link + n : "/");
	return 0;
}

/*
 * The kernel marks the path of a removed directory. A living cgroup can have a name that reads
 * the same; then there is one at the path as it stands.
 */
static int strip_deleted(struct cgroup_tree *tree, uint64_t id, char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), n_deleted = strlen(deleted);
	uint64_t found;

	if (n <= n_deleted || strcmp(path + n - n_deleted, deleted) != 0)
		return 0;
	if (cgroup_tree_id(tree, path, &found) == 0 && found == id)
		return 0;

	path[n - n_deleted] = '\0';
	return -ESTALE;
}

/* Opens the cgroup @levels above @fd; -EXDEV if that is above the mount. */
static int climb(const struct cgroup_tree *tree, int fd, size_t levels)
{
	_cleanup_(closep) int above = -1;
	char dots[3 * CLIMB_LEVELS + 1];
	struct stat st;

	for (size_t i = 0; i < levels; i++)
		memcpy(dots + 3 * i, "../", 3);
	dots[3 * levels] = '\0';

	above = openat(fd, dots, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (above < 0)
		return -errno;
	if (fstat(above, &st) < 0)
		return -errno;
	return st.st_dev == tree->dev ? TAKE_FD(above) : -EXDEV;
}

/*
 * The nearest ancestor of @fd whose path fits. Climbs in strides as long as the path is too long,
 * and in shorter ones at the end, so that thousands of levels cost a few dozen calls.
 */
static int nearest_ancestor(const struct cgroup_tree *tree, int fd,
			    char ret_link[static CGROUP_PATH_MAX])
{
	_cleanup_(closep) int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (at < 0)
		return -errno;
	for (size_t stride = CLIMB_LEVELS; stride > 0;) {
		_cleanup_(closep) int above = climb(tree, at, stride);
		int r = above < 0 ? above : link_of(above, ret_link);

		if (r == -ENAMETOOLONG) {
			close(at);
			at = TAKE_FD(above);
		} else if (stride > 1) {
			stride /= 2;
		} else {
			return r;
		}
	}
	return -ENAMETOOLONG; /* not reached */
}

static int path_by_handle(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size)
{
	char link[CGROUP_PATH_MAX];
	_cleanup_(closep) int fd = open_by_id(tree, id);
	int r;

	if (fd < 0)
		return fd;

	r = link_of(fd, link);
	if (r == -ENAMETOOLONG) {
		r = nearest_ancestor(tree, fd, link);
		if (r == 0)
			r = path_in_view(tree, link, ret, size);
		return r < 0 ? r : -ENAMETOOLONG;
	}
	if (r == 0)
		r = path_in_view(tree, link, ret, size);
	if (r < 0)
		return r;
	return strip_deleted(tree, id, ret);
}

static int path_by_walk(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size)
{
	const char *path;
	uint64_t found;
	int r;

	if (!tree->index) {
		r = cgroup_index_new(&tree->index);
		if (r < 0)
			return r;
	}
	path = cgroup_index_path(tree->index, tree->fd, id, monotonic_ns());
	if (!path)
		return -EPERM;
	if (strlen(path) + 1 > size)
		return -ENAMETOOLONG;

	snprintf(ret, size, "%s", path);
	r = cgroup_tree_id(tree, path, &found);
	return r == 0 && found == id ? 0 : -ESTALE;
}

int cgroup_tree_path(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size)
{
	int r;

	if (size == 0)
		return -ENAMETOOLONG;
	ret[0] = '\0';

	if (tree->problem[0] == '\0') {
		r = path_by_handle(tree, id, ret, size);
		if (!is_refusal(r))
			return r;
		refuse_handles(tree, strerror(-r));
	}
	return path_by_walk(tree, id, ret, size);
}

int cgroup_tree_walk(struct cgroup_tree *tree,
		     int (*visit)(const char *path, uint64_t id, void *data), void *data)
{
	return cgroup_walk(tree->fd, visit, data);
}

bool cgroup_tree_is_populated(struct cgroup_tree *tree, const char *path)
{
	if (has_dotdot(path))
		return false;
	path += strspn(path, "/");
	return cgroup_is_populated(tree->fd, *path != '\0' ? path : ".");
}

static void test_handle(struct cgroup_tree *tree, uint64_t id)
{
	_cleanup_(closep) int fd = open_by_id(tree, id);
	struct stat st;

	if (tree->problem[0] != '\0')
		return;
	if (fd < 0)
		refuse_handles(tree, strerror(-fd));
	else if (fstat(fd, &st) < 0 || st.st_ino != id)
		refuse_handles(tree, "it opened another cgroup than asked for");
}

/* The path of our own cgroup as /proc says it. */
static int own_path(const struct cgroup_tree *tree, char *ret, size_t size)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/cgroup", "re");
	char line[OWN_CGROUP_LINE_MAX];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		int hierarchy;
		const char *path = cgroup_line_path(line, &hierarchy);

		if (hierarchy != (int)tree->hierarchy.hierarchy_id)
			continue;
		snprintf(ret, size, "%.*s", (int)strcspn(path, "\n"), path);
		return 0;
	}
	return -ENOENT;
}

/* Our own cgroup, if the tree shows it. */
static int own_id(struct cgroup_tree *tree, uint64_t *ret)
{
	char path[OWN_CGROUP_LINE_MAX];
	int r;

	r = own_path(tree, path, sizeof(path));
	return r < 0 ? r : cgroup_tree_id(tree, path, ret);
}

/* Handles may be refused by the kernel, by a sandbox, or only look as if they worked. */
static void test_handles(struct cgroup_tree *tree)
{
	uint64_t id;

	test_handle(tree, tree->root_id);
	if (own_id(tree, &id) == 0)
		test_handle(tree, id);
}

/*
 * In v1 a container has an id in each hierarchy. A controller that /proc/cgroups places nowhere
 * is disabled or in v2, and what is mounted under its name is dead.
 */
static enum cgroup_mount_kind first_v1(const struct cgroup_mounts *mounts)
{
	int kind = CGROUP_MOUNT_V2 + 1;

	while (kind < CGROUP_MOUNT_KIND_N_ &&
	       (mounts->of[kind].fd < 0 || mounts->of[kind].hierarchy_id == 0))
		kind++;
	return kind;
}

/* What users made tells nothing where others have containers: it takes no privileges. */
static bool count_containers(const struct cgroup_place places[2], struct cgroup_evidence found[2],
			     size_t ret_n[2])
{
	bool others;

	cgroup_evidence_count(&places[0], &places[1], &found[0]);
	cgroup_evidence_count(&places[1], &places[0], &found[1]);
	others = found[0].n > 0 || found[1].n > 0;
	for (size_t i = 0; i < 2; i++)
		ret_n[i] = others ? found[i].n : found[i].n_claims;
	return others;
}

/*
 * With both versions there, only some runtimes join v2, and in the others' containers the v2 id
 * is that of the daemon or of the root: plausible, and wrong. So v2 needs proof. Most of those that
 * are in both are where v2 is the better one, since runc joins both from 1.1 on.
 */
static int choose(const struct cgroup_mounts *mounts, bool other, enum cgroup_mount_kind *ret_kind,
		  struct cgroup_hierarchy *hierarchy)
{
	enum cgroup_mount_kind v1 = first_v1(mounts), kind = CGROUP_MOUNT_V2, rest;
	const struct cgroup_place places[2] = {
		{ .fd = mounts->of[CGROUP_MOUNT_V2].fd },
		{ .fd = v1 == CGROUP_MOUNT_KIND_N_ ? -1 : mounts->of[v1].fd, .v1 = true },
	};
	bool has_v1 = places[1].fd >= 0, has_v2 = places[0].fd >= 0;
	struct cgroup_evidence found[2], *rest_found;
	size_t n[2];
	bool others;

	if ((!has_v1 && !has_v2) || (other && !(has_v1 && has_v2)))
		return -ENOENT;
	others = count_containers(places, found, n);
	if (has_v1 && (n[0] == 0 || n[1] > n[0]))
		kind = v1;
	if (other)
		kind = kind == CGROUP_MOUNT_V2 ? v1 : CGROUP_MOUNT_V2;
	rest = kind == CGROUP_MOUNT_V2 ? v1 : CGROUP_MOUNT_V2;

	hierarchy->v1 = kind != CGROUP_MOUNT_V2;
	hierarchy->is_hybrid = has_v1 && has_v2;
	hierarchy->n_containers = n[hierarchy->v1];
	hierarchy->by_evidence = others && hierarchy->n_containers > 0;
	if (hierarchy->is_hybrid) {
		rest_found = &found[!hierarchy->v1];
		hierarchy->n_other = n[!hierarchy->v1];
		hierarchy->n_missing = rest_found->n_only + rest_found->n_claims_only;
		snprintf(hierarchy->other, sizeof(hierarchy->other), "%s%s",
			 hierarchy->v1 ? "v2" : "v1 ", cgroup_mount_controller(rest));
	}
	hierarchy->hierarchy_id = mounts->of[kind].hierarchy_id;
	snprintf(hierarchy->controller, sizeof(hierarchy->controller), "%s",
		 cgroup_mount_controller(kind));
	*ret_kind = kind;
	return 0;
}

bool cgroup_namespace_is_initial(void)
{
	struct stat ns;

	return stat("/proc/self/ns/cgroup", &ns) == 0 && ns.st_ino == CGROUP_NS_INITIAL;
}

/*
 * The mount table names the cgroup that is mounted, in terms of the reader's cgroup namespace: only
 * in the initial one is that its full path.
 */
static void find_prefix(struct cgroup_tree *tree, const char *view)
{
	if (tree->root_id == 1 || !view || strcmp(view, "/") == 0 || has_dotdot(view))
		return;
	if (!cgroup_namespace_is_initial())
		return;
	if (strlen(view) < sizeof(tree->prefix))
		strcpy(tree->prefix, view);
}

uint64_t cgroup_tree_population(const struct host_root *root)
{
	_cleanup_(cgroup_mounts_done) struct cgroup_mounts mounts = CGROUP_MOUNTS_NONE;
	uint64_t numbers[CGROUP_MOUNT_KIND_N_] = { 0 }, any = 0;

	if (cgroup_mounts_find(root, &mounts) < 0)
		return 0;
	for (int kind = 0; kind < CGROUP_MOUNT_KIND_N_; kind++) {
		if (mounts.of[kind].fd >= 0)
			numbers[kind] = mounts.of[kind].n_cgroups;
		any |= numbers[kind];
	}
	/* No sum: a unit that ends in one hierarchy would hide a container that begins in another.
	 */
	return any ? fnv1a(1, (const char *)numbers, sizeof(numbers)) | 1 : 0;
}

static int open_tree(const struct host_root *root, bool other, struct cgroup_tree **ret)
{
	_cleanup_(cgroup_tree_closep) struct cgroup_tree *tree = NULL;
	_cleanup_(cgroup_mounts_done) struct cgroup_mounts mounts = CGROUP_MOUNTS_NONE;
	enum cgroup_mount_kind kind;
	struct stat st;
	int r;

	tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	tree->fd = -1;

	r = cgroup_mounts_find(root, &mounts);
	if (r < 0)
		return r;
	r = choose(&mounts, other, &kind, &tree->hierarchy);
	if (r < 0)
		return r;

	tree->fd = TAKE_FD(mounts.of[kind].fd);
	snprintf(tree->hierarchy.mount, sizeof(tree->hierarchy.mount), "%s", mounts.of[kind].path);
	if (fstat(tree->fd, &st) < 0)
		return -errno;
	tree->dev = st.st_dev;
	tree->root_id = st.st_ino;
	r = link_of(tree->fd, tree->base);
	if (r < 0)
		return r;
	tree->base_length = strlen(tree->base);

	find_prefix(tree, mounts.of[kind].view);
	test_handles(tree);
	*ret = TAKE_PTR(tree);
	return 0;
}

int cgroup_tree_open(const struct host_root *root, struct cgroup_tree **ret)
{
	return open_tree(root, false, ret);
}

int cgroup_tree_open_other(const struct host_root *root, struct cgroup_tree **ret)
{
	return open_tree(root, true, ret);
}

void cgroup_tree_close(struct cgroup_tree *tree)
{
	if (!tree)
		return;

	cgroup_index_free(tree->index);
	closep(&tree->fd);
	free(tree);
}

void cgroup_tree_closep(struct cgroup_tree **tree)
{
	cgroup_tree_close(*tree);
}

const struct cgroup_hierarchy *cgroup_tree_hierarchy(const struct cgroup_tree *tree)
{
	return &tree->hierarchy;
}

bool cgroup_tree_is_whole(const struct cgroup_tree *tree)
{
	return tree->root_id == 1;
}

const char *cgroup_tree_prefix(const struct cgroup_tree *tree)
{
	return tree->prefix;
}

struct search {
	int fd;
	char pid[16]; /* a line of cgroup.procs */
	char path[CGROUP_PATH_MAX];
};

/* The kernel writes pids as we know them, whatever namespace the tree is from. */
static int look_for_process(const char *path, uint64_t id, void *data)
{
	_cleanup_(freep) char *line = NULL;
	_cleanup_(fclosep) FILE *file = NULL;
	char name[CGROUP_PATH_MAX + 32];
	struct search *search = data;
	size_t capacity = 0;
	int fd;

	snprintf(name, sizeof(name), ".%s/cgroup.procs", path);
	fd = openat(search->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		closep(&fd);
		return 0;
	}
	while (getline(&line, &capacity, file) > 0) {
		if (strcmp(line, search->pid) != 0)
			continue;
		snprintf(search->path, sizeof(search->path), "%s", path);
		return 1;
	}
	return 0;
}

int cgroup_tree_namespace_root(struct cgroup_tree *tree, char *ret, size_t size)
{
	struct search search = { 0 };
	char seen[OWN_CGROUP_LINE_MAX];
	size_t n, n_seen;
	int r;

	r = own_path(tree, seen, sizeof(seen));
	if (r < 0)
		return r;

	search.fd = tree->fd;
	snprintf(search.pid, sizeof(search.pid), "%d\n", (int)getpid());
	r = cgroup_walk(tree->fd, look_for_process, &search);
	if (r <= 0)
		return r < 0 ? r : -ENODATA;

	/* Of where we are the root is what is before that which it shows. */
	n = strlen(search.path);
	n_seen = strcmp(seen, "/") == 0 ? 0 : strlen(seen);
	if (n < n_seen || memcmp(search.path + n - n_seen, seen, n_seen) != 0)
		return -ENODATA;
	search.path[n - n_seen] = '\0';
	if (n - n_seen + 2 > size)
		return -ENAMETOOLONG;
	snprintf(ret, size, "%s", search.path[0] != '\0' ? search.path : "/");
	return 0;
}

void cgroup_tree_learn_prefix(struct cgroup_tree *tree, uint64_t id, const char *event_path)
{
	size_t n = strlen(event_path), n_path;
	char path[CGROUP_PATH_MAX];

	if (tree->root_id == 1 || tree->prefix[0] != '\0')
		return;
	if (cgroup_tree_path(tree, id, path, sizeof(path)) < 0 || strcmp(path, "/") == 0)
		return;

	n_path = strlen(path);
	if (n <= n_path || n - n_path >= sizeof(tree->prefix) ||
	    strcmp(event_path + n - n_path, path) != 0)
		return;
	memcpy(tree->prefix, event_path, n - n_path);
	tree->prefix[n - n_path] = '\0';
}

const char *cgroup_tree_handle_problem(const struct cgroup_tree *tree)
{
	return tree->problem[0] != '\0' ? tree->problem : NULL;
}
