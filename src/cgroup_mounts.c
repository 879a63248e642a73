/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mount table says where cgroup file systems should be, statfs() says whether they are: a
 * table can be another namespace's, and a later mount can hide an earlier one.
 */
#include "cgroup_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cleanup.h"

#define LINES_MAX 262144

/* One pass over one table: from where its paths are opened, and what it found. */
struct finder {
	struct cgroup_mounts *mounts;
	const struct host_root *root; /* NULL: our own root */
	const char *strip;	      /* only mounts below this; relative to it in @root */
	const char *only;	      /* and, in @root, only those at or below this */
};

struct mount_line {
	char *view;
	char *point;
	const char *type;
	const char *options;
};

const char *cgroup_mount_controller(enum cgroup_mount_kind kind)
{
	static const char *const names[] = {
		[CGROUP_MOUNT_V2] = "",
		[CGROUP_MOUNT_MEMORY] = "memory",
		[CGROUP_MOUNT_PIDS] = "pids",
		[CGROUP_MOUNT_CPUSET] = "cpuset",
	};

	return names[kind];
}

static void mount_done(struct cgroup_mount *mount)
{
	closep(&mount->fd);
	free(mount->path);
	free(mount->view);
	*mount = (struct cgroup_mount){ .fd = -1, .hierarchy_id = mount->hierarchy_id };
}

void cgroup_mounts_done(struct cgroup_mounts *mounts)
{
	for (int kind = 0; kind < CGROUP_MOUNT_KIND_N_; kind++)
		mount_done(&mounts->of[kind]);
}

/* Undoes "\040" and the like in place. */
static void unescape_octal(char *s)
{
	char *out = s;

	while (*s != '\0') {
		if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/*
 * 41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
 * Any number of fields may stand between the options and the dash.
 */
static bool parse_mount_line(char *line, struct mount_line *ret)
{
	char *behind = strstr(line, " - "), *fields[5], *s = line;

	if (!behind)
		return false;
	*behind = '\0';
	behind += strlen(" - ");
	behind[strcspn(behind, "\n")] = '\0';

	for (size_t i = 0; i < 5; i++) {
		fields[i] = strsep(&s, " ");
		if (!fields[i])
			return false;
	}
	ret->view = fields[3];
	ret->point = fields[4];
	ret->type = strsep(&behind, " ");
	(void)strsep(&behind, " "); /* the source is free text */
	ret->options = behind ? behind : "";
	unescape_octal(ret->view);
	unescape_octal(ret->point);
	return true;
}

static bool has_option(const char *options, const char *wanted)
{
	size_t n = strlen(wanted);

	for (const char *s = options; *s != '\0';) {
		size_t length = strcspn(s, ",");

		if (length == n && memcmp(s, wanted, n) == 0)
			return true;
		s += length + (s[length] == ',');
	}
	return false;
}

static int open_mount_point(const struct finder *finder, const char *path)
{
	int fd;

	if (finder->root)
		return host_root_open_dir(finder->root, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static char *seen_path(const struct finder *finder, const char *path)
{
	const char *root = finder->root ? host_root_path(finder->root) : "/";
	size_t n = strlen(root);
	char *ret;

	while (n > 0 && root[n - 1] == '/')
		n--;
	return asprintf(&ret, "%.*s%s", (int)n, root, path) < 0 ? NULL : ret;
}

static bool is_cgroup(int fd, enum cgroup_mount_kind kind)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	return fs.f_type == (kind == CGROUP_MOUNT_V2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

/* The first mount of a kind stands, unless it shows a part and this one the whole. */
static int consider(struct finder *finder, enum cgroup_mount_kind kind, const char *path,
		    const char *view)
{
	struct cgroup_mount *mount = &finder->mounts->of[kind];
	_cleanup_(freep) char *path_copy = NULL, *view_copy = NULL;
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (mount->fd >= 0 && mount->root_id == 1)
		return 0;
	fd = open_mount_point(finder, path);
	if (fd < 0 || !is_cgroup(fd, kind) || fstat(fd, &st) < 0)
		return 0;
	if (mount->fd >= 0 && st.st_ino != 1)
		return 0;

	path_copy = seen_path(finder, path);
	view_copy = view ? strdup(view) : NULL;
	if (!path_copy || (view && !view_copy))
		return -ENOMEM;

	mount_done(mount);
	mount->fd = TAKE_FD(fd);
	mount->root_id = st.st_ino;
	mount->path = TAKE_PTR(path_copy);
	mount->view = TAKE_PTR(view_copy);
	return 0;
}

static int consider_line(struct finder *finder, const struct mount_line *line)
{
	const char *point = line->point;
	size_t n = strlen(finder->strip);
	int r;

	if (strncmp(point, finder->strip, n) != 0 || (point[n] != '/' && n > 0))
		return 0;
	point += n;
	n = strlen(finder->only);
	if (strncmp(point, finder->only, n) != 0 || (point[n] && point[n] != '/' && n > 0))
		return 0;

	if (strcmp(line->type, "cgroup2") == 0)
		return consider(finder, CGROUP_MOUNT_V2, point, line->view);
	if (strcmp(line->type, "cgroup") != 0)
		return 0;
	for (int kind = CGROUP_MOUNT_V2 + 1; kind < CGROUP_MOUNT_KIND_N_; kind++) {
		if (!has_option(line->options, cgroup_mount_controller(kind)))
			continue;
		r = consider(finder, kind, point, line->view);
		if (r < 0)
			return r;
	}
	return 0;
}

static FILE *open_text(int dirfd, const char *path)
{
	_cleanup_(closep) int fd =
		openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *file;

	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (file)
		(void)TAKE_FD(fd);
	return file;
}

/* A table that cannot be read has no mounts. */
static int read_table(struct finder *finder, int dirfd, const char *path)
{
	_cleanup_(fclosep) FILE *file = open_text(dirfd, path);
	_cleanup_(freep) char *line = NULL;
	size_t capacity = 0;
	int r;

	if (!file)
		return 0;
	for (size_t i = 0; i < LINES_MAX && getline(&line, &capacity, file) > 0; i++) {
		struct mount_line mount;

		if (!parse_mount_line(line, &mount))
			continue;
		r = consider_line(finder, &mount);
		if (r < 0)
			return r;
	}
	return 0;
}

static int try_usual_places(struct finder *finder)
{
	static const struct {
		enum cgroup_mount_kind kind;
		const char *path;
	} places[] = {
		{ CGROUP_MOUNT_V2, "/sys/fs/cgroup" },
		{ CGROUP_MOUNT_V2, "/sys/fs/cgroup/unified" },
		{ CGROUP_MOUNT_V2, "/sys/fs/cgroup/systemd" },
		{ CGROUP_MOUNT_MEMORY, "/sys/fs/cgroup/memory" },
		{ CGROUP_MOUNT_PIDS, "/sys/fs/cgroup/pids" },
		{ CGROUP_MOUNT_CPUSET, "/sys/fs/cgroup/cpuset" },
	};
	int r;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		r = consider(finder, places[i].kind, places[i].path, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool found_any(const struct cgroup_mounts *mounts)
{
	for (int kind = 0; kind < CGROUP_MOUNT_KIND_N_; kind++)
		if (mounts->of[kind].fd >= 0)
			return true;
	return false;
}

static bool is_own_root(const struct host_root *root)
{
	struct stat own, host;

	return stat("/", &own) == 0 && fstat(host_root_fd(root), &host) == 0 &&
	       own.st_dev == host.st_dev && own.st_ino == host.st_ino;
}

static int find_in_own(struct cgroup_mounts *mounts)
{
	struct finder finder = { .mounts = mounts, .strip = "", .only = "" };
	int r;

	r = read_table(&finder, AT_FDCWD, "/proc/self/mountinfo");
	if (r < 0)
		return r;
	return try_usual_places(&finder);
}

/*
 * The host's own table first. Where its /proc is out of reach, our table has the same mounts
 * below the directory that its root is mounted on; but what is mounted elsewhere than hosts have
 * their cgroups may be anybody's.
 */
static int find_in_host(const struct host_root *root, struct cgroup_mounts *mounts)
{
	struct finder finder = { .mounts = mounts, .root = root, .strip = "", .only = "" };
	char link[64], directory[4096];
	ssize_t n;
	int r;

	r = read_table(&finder, host_root_fd(root), "proc/1/mountinfo");
	if (r < 0)
		return r;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", host_root_fd(root));
	n = readlink(link, directory, sizeof(directory) - 1);
	/* A root in another mount namespace reads as "/", which is ours in our table. */
	if (!found_any(mounts) && n > 1) {
		directory[n] = '\0';
		finder.strip = directory;
		finder.only = "/sys/fs/cgroup";
		r = read_table(&finder, AT_FDCWD, "/proc/self/mountinfo");
		if (r < 0)
			return r;
	}
	return try_usual_places(&finder);
}

/* #subsys_name	hierarchy	num_cgroups	enabled */
static void read_hierarchies(const struct host_root *root, struct cgroup_mounts *mounts)
{
	_cleanup_(fclosep) FILE *file = open_text(host_root_fd(root), "proc/cgroups");
	_cleanup_(freep) char *line = NULL;
	size_t capacity = 0;

	/* The table is the kernel's, the same in every container. */
	if (!file)
		file = open_text(AT_FDCWD, "/proc/cgroups");
	if (!file)
		return;
	for (size_t i = 0; i < LINES_MAX && getline(&line, &capacity, file) > 0; i++) {
		char *s = line, *name = strsep(&s, "\t"), *number = strsep(&s, "\t");

		if (!s)
			continue;
		for (int kind = CGROUP_MOUNT_V2 + 1; kind < CGROUP_MOUNT_KIND_N_; kind++) {
			if (strcmp(name, cgroup_mount_controller(kind)) != 0)
				continue;
			mounts->of[kind].hierarchy_id = (uint32_t)strtoul(number, NULL, 10);
			mounts->of[kind].n_cgroups = strtoull(s, NULL, 10);
		}
	}
}

/* "nr_descendants 12": the first line of cgroup.stat (4.14). */
static void read_n_descendants(struct cgroup_mount *v2)
{
	_cleanup_(fclosep) FILE *file = v2->fd < 0 ? NULL : open_text(v2->fd, "cgroup.stat");
	unsigned long long n;

	if (file && fscanf(file, "nr_descendants %llu", &n) == 1)
		v2->n_cgroups = n + 1;
}

int cgroup_mounts_find(const struct host_root *root, struct cgroup_mounts *ret)
{
	_cleanup_(cgroup_mounts_done) struct cgroup_mounts mounts = CGROUP_MOUNTS_NONE;
	int r = 0;

	if (!is_own_root(root))
		r = find_in_host(root, &mounts);
	/* What is given and has none is no host's root; with our own it would pass for one. */
	if (r == 0 && !found_any(&mounts) && (is_own_root(root) || !host_root_is_given(root)))
		r = find_in_own(&mounts);
	if (r < 0)
		return r;
	if (!found_any(&mounts))
		return -ENOENT;

	read_hierarchies(root, &mounts);
	read_n_descendants(&mounts.of[CGROUP_MOUNT_V2]);
	*ret = mounts;
	mounts = (struct cgroup_mounts)CGROUP_MOUNTS_NONE;
	return 0;
}
