/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ways of opening, by what is trusted. A base directory is a place that only the host's
 * administrator arranges: its symlinks count, resolved as if the host's root were ours. What lies
 * below a base follows no link at all, so that nobody who gets to write there can point us
 * elsewhere.
 */
#include "host_root.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "host_cache.h"
#include "json_text.h"
#include "pid_namespace.h"

#define SAFE_ID_MAX  128
#define EAGAIN_TRIES 8
#define LINKS_MAX    40 /* as the kernel's own limit */

/* As many values are allowed as so many of the bytes allowed go into: real documents have a tenth.
 */
#define BYTES_PER_VALUE 32

struct host_root {
	int fd;
	uid_t owner;
	char *path;
	enum host_root_evidence evidence;
	bool is_given;
	struct host_cache *cache;
};

static const char *const doubts[] = {
	[HOST_ROOT_KNOWN] = NULL,
	[HOST_ROOT_UNCERTAIN] = "process 1 does not show whether the host's root is here",
	[HOST_ROOT_ELSEWHERE] = "the host's root is that of process 1, and not what is seen "
				"here: to open it takes CAP_SYS_PTRACE, and that AppArmor, "
				"SELinux or a user namespace does not refuse",
};
_Static_assert(sizeof(doubts) / sizeof(doubts[0]) == HOST_ROOT_EVIDENCE_N_,
	       "all evidence has its words");

static bool stat_mounts(const char *proc, const char *process, struct stat *ret)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s/ns/mnt", proc, process);
	return stat(path, ret) == 0;
}

/* The id, unique on the machine, of what is mounted at a process's "/"; 0 if none is shown. */
static unsigned root_mount_id(const char *proc, const char *process)
{
	_cleanup_(fclosep) FILE *file = NULL;
	_cleanup_(freep) char *line = NULL;
	char path[PATH_MAX];
	unsigned found = 0;
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "%s/%s/mountinfo", proc, process);
	file = fopen(path, "re");
	/* "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"; the last one is on top. */
	while (file && getline(&line, &size, file) > 0) {
		unsigned id;
		int n = 0;

		if (sscanf(line, "%u %*s %*s %*s /%n", &id, &n) == 1 && n > 0 && line[n] == ' ')
			found = id;
	}
	return found;
}

const char *host_root_find(const char *proc, int pids_are_hosts,
			   enum host_root_evidence *ret_evidence)
{
	struct stat first, own;
	unsigned first_id, own_id;

	*ret_evidence = HOST_ROOT_KNOWN;
	if (pids_are_hosts == 0) /* process 1 is no host's */
		return "/";
	if (pids_are_hosts > 0 && stat_mounts(proc, "1", &first) && stat_mounts(proc, "self", &own))
		return first.st_dev == own.st_dev && first.st_ino == own.st_ino ? "/"
										: "/proc/1/root";

	/* The namespace of another takes CAP_SYS_PTRACE to see, its table of mounts does not. */
	first_id = root_mount_id(proc, "1");
	own_id = root_mount_id(proc, "self");
	if (pids_are_hosts < 0 || first_id == 0 || own_id == 0)
		*ret_evidence = HOST_ROOT_UNCERTAIN;
	else if (first_id != own_id)
		*ret_evidence = HOST_ROOT_ELSEWHERE;
	return "/";
}

static const char *find_default(enum host_root_evidence *ret_evidence)
{
	return host_root_find("/proc", pid_namespace_is_initial(), ret_evidence);
}

const char *host_root_default(void)
{
	enum host_root_evidence evidence;

	return find_default(&evidence);
}

int host_root_open(const char *dir, struct host_root **ret)
{
	_cleanup_(host_root_closep) struct host_root *root = NULL;
	struct stat st;
	int r;

	root = calloc(1, sizeof(*root));
	if (!root)
		return -ENOMEM;
	root->fd = -1;

	root->is_given = dir != NULL;
	if (!dir)
		dir = find_default(&root->evidence);
	root->path = strdup(dir);
	if (!root->path)
		return -ENOMEM;

	root->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root->fd < 0)
		return -errno;
	if (fstat(root->fd, &st) < 0)
		return -errno;
	root->owner = st.st_uid;

	r = host_cache_new(root, &root->cache);
	if (r < 0)
		return r;

	*ret = TAKE_PTR(root);
	return 0;
}

void host_root_close(struct host_root *root)
{
	if (!root)
		return;

	host_cache_free(root->cache);
	closep(&root->fd);
	free(root->path);
	free(root);
}

void host_root_closep(struct host_root **root)
{
	host_root_close(*root);
}

int host_root_fd(const struct host_root *root)
{
	return root->fd;
}

const char *host_root_path(const struct host_root *root)
{
	return root->path;
}

bool host_root_is_given(const struct host_root *root)
{
	return root->is_given;
}

enum host_root_evidence host_root_evidence(const struct host_root *root)
{
	return root->evidence;
}

const char *host_root_doubt(const struct host_root *root)
{
	return doubts[root->evidence];
}

struct host_cache *host_root_cache(const struct host_root *root)
{
	return root->cache;
}

/* EAGAIN: a rename or mount elsewhere raced with the walk and the kernel could not be sure. */
static int open_resolved(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)flags, .resolve = resolve };
	long fd = -1;

	for (int i = 0; i < EAGAIN_TRIES; i++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* Older kernels do not have openat2, and seccomp profiles that do not know it say EPERM. */
static bool openat2_refused(int error)
{
	return error == -ENOSYS || error == -EPERM;
}

/* The next component of @path at *@pos, skipping slashes; its length, 0 at the end. */
static size_t next_component(const char *path, size_t *pos)
{
	*pos += strspn(path + *pos, "/");
	return strcspn(path + *pos, "/");
}

/* Opens one component; -ELOOP if it is a symlink. O_PATH, since only the last one is for reading.
 */
static int open_component(int dirfd, const char *name, bool is_last, int flags)
{
	int fd;

	if (!is_last)
		flags = O_PATH | O_DIRECTORY;
	fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR) {
		struct stat st;

		/* With O_DIRECTORY a symlink is ENOTDIR rather than ELOOP. */
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
			return -ELOOP;
		return -ENOTDIR;
	}
	return fd < 0 ? -errno : fd;
}

/*
 * Walks @path component by component without following a link. On failure *@ret_at is the offset
 * and *@ret_parent_fd, if wanted, the open parent of the component that failed.
 */
static int walk_nofollow(int dirfd, const char *path, int flags, size_t *ret_at, int *ret_parent_fd)
{
	_cleanup_(closep) int fd = -1;
	char name[NAME_MAX + 1];
	size_t pos = 0, len;

	for (;;) {
		int parent = fd >= 0 ? fd : dirfd, next;
		size_t behind;

		len = next_component(path, &pos);
		if (len == 0)
			break;
		if (ret_at)
			*ret_at = pos;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path + pos, len);
		name[len] = 0;

		behind = pos + len;
		next = strcmp(name, "..") == 0
			       ? -EXDEV
			       : open_component(parent, name, next_component(path, &behind) == 0,
						flags);
		if (next < 0) {
			if (ret_parent_fd)
				*ret_parent_fd = fcntl(parent, F_DUPFD_CLOEXEC, 0);
			return next;
		}
		closep(&fd);
		fd = next;
		pos += len;
	}
	if (fd < 0)
		return open_component(dirfd, ".", true, flags);
	return TAKE_FD(fd);
}

/* Puts @target in the place of the component at @at; an absolute one starts over at the root. */
static int splice_link(char path[static PATH_MAX], size_t at, const char *target)
{
	_cleanup_(freep) char *joined = NULL;
	size_t len = strcspn(path + at, "/");
	int n;

	n = asprintf(&joined, "%.*s%s%s", target[0] == '/' ? 0 : (int)at, path, target,
		     path + at + len);
	if (n < 0) {
		joined = NULL;
		return -ENOMEM;
	}
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;

	memcpy(path, joined, (size_t)n + 1);
	return 0;
}

/* Drops the ".." at @at and the component before it; at the root ".." is the root. */
static void drop_parent(char *path, size_t at)
{
	size_t start = at;

	while (start > 0 && path[start - 1] == '/')
		start--;
	while (start > 0 && path[start - 1] != '/')
		start--;
	memmove(path + start, path + at + 2, strlen(path + at + 2) + 1);
}

/*
 * What RESOLVE_IN_ROOT does. Everything before the component that stopped the walk is free of
 * links, so that dropping a parent by text is right there.
 */
static int open_in_root_by_hand(int root_fd, const char *given, int flags)
{
	char path[PATH_MAX], target[PATH_MAX];

	if (strlen(given) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, given);

	for (int links = 0; links < LINKS_MAX; links++) {
		_cleanup_(closep) int parent_fd = -1;
		char name[NAME_MAX + 1];
		size_t at = 0, len;
		ssize_t n;
		int r;

		r = walk_nofollow(root_fd, path, flags, &at, &parent_fd);
		if (r == -EXDEV) {
			drop_parent(path, at);
			continue;
		}
		if (r != -ELOOP)
			return r;

		len = strcspn(path + at, "/");
		snprintf(name, sizeof(name), "%.*s", (int)len, path + at);
		n = readlinkat(parent_fd, name, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = 0;
		r = splice_link(path, at, target);
		if (r < 0)
			return r;
	}
	return -ELOOP;
}

static int open_in_root(const struct host_root *root, const char *path, int flags)
{
	int fd;

	fd = open_resolved(root->fd, path, flags | O_CLOEXEC, RESOLVE_IN_ROOT);
	if (openat2_refused(fd))
		fd = open_in_root_by_hand(root->fd, path, flags);
	return fd;
}

int host_root_open_dir(const struct host_root *root, const char *path)
{
	int fd;

	fd = open_in_root(root, path, O_RDONLY | O_DIRECTORY);
	if (fd == -EACCES)
		fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
	return fd;
}

/* O_NONBLOCK: a FIFO in the place of a file must not make us wait for a writer. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

static int open_beneath(int base_fd, const char *path, int flags)
{
	int fd;

	fd = open_resolved(base_fd, path, flags | O_NOFOLLOW | O_CLOEXEC,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (openat2_refused(fd))
		fd = path[0] == '/' ? -EXDEV : walk_nofollow(base_fd, path, flags, NULL, NULL);
	return fd;
}

static void stamp_of(const struct stat *st, struct file_stamp *ret)
{
	*ret = (struct file_stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.mtime_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec,
		.size = st->st_size,
	};
}

int file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns &&
	       a->size == b->size;
}

/* Reads what is there, up to @max_bytes: the size that fstat() told is a hint, files grow. */
static ssize_t read_bounded(int fd, size_t hint, size_t max_bytes, char **ret)
{
	_cleanup_(freep) char *buffer = NULL;
	size_t size = hint + 2, len = 0;

	for (;;) {
		char *grown;
		ssize_t n;

		grown = realloc(buffer, size);
		if (!grown)
			return -ENOMEM;
		buffer = grown;

		n = read(fd, buffer + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max_bytes)
			return -EFBIG;
		if (len == size - 1)
			size *= 2;
	}

	buffer[len] = 0;
	*ret = TAKE_PTR(buffer);
	return (ssize_t)len;
}

static ssize_t read_checked(const struct host_root *root, int fd, size_t max_bytes,
			    uid_t uid_allowed, char **ret, struct file_stamp *ret_stamp)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_uid != 0 && st.st_uid != root->owner &&
	    (uid_allowed == UID_NOBODY_ELSE || st.st_uid != uid_allowed))
		return -EPERM;
	if ((uint64_t)st.st_size > max_bytes)
		return -EFBIG;

	n = read_bounded(fd, (size_t)st.st_size, max_bytes, ret);
	if (n >= 0 && ret_stamp)
		stamp_of(&st, ret_stamp);
	return n;
}

ssize_t host_root_read_at(const struct host_root *root, int base_fd, const char *path,
			  size_t max_bytes, uid_t uid_allowed, char **ret,
			  struct file_stamp *ret_stamp)
{
	_cleanup_(closep) int fd = -1;

	fd = open_beneath(base_fd, path, READ_FLAGS);
	if (fd < 0)
		return fd;
	return read_checked(root, fd, max_bytes, uid_allowed, ret, ret_stamp);
}

ssize_t host_root_read_config(const struct host_root *root, const char *path, size_t max_bytes,
			      char **ret)
{
	_cleanup_(closep) int fd = -1;

	fd = open_in_root(root, path, READ_FLAGS);
	if (fd < 0)
		return fd;
	return read_checked(root, fd, max_bytes, UID_NOBODY_ELSE, ret, NULL);
}

int host_root_read_json_at(const struct host_root *root, int base_fd, const char *path,
			   size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
			   struct file_stamp *ret_stamp)
{
	_cleanup_(freep) char *text = NULL;
	json_t *json;
	ssize_t n;

	n = host_root_read_at(root, base_fd, path, max_bytes, uid_allowed, &text, ret_stamp);
	if (n < 0)
		return (int)n;

	json = json_text_load(text, (size_t)n, max_bytes / BYTES_PER_VALUE + 1);
	if (!json)
		return -EBADMSG;

	*ret = json;
	return 0;
}

int host_root_stat_at(int base_fd, const char *path, struct file_stamp *ret)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	/*
	 * In a directory of root's nobody else puts links, and thousands of files below them are
	 * looked at again and again.
	 */
	if (fstat(base_fd, &st) == 0 && st.st_uid == 0) {
		if (fstatat(base_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	} else {
		fd = open_beneath(base_fd, path, O_PATH);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return -errno;
	}
	stamp_of(&st, ret);
	return 0;
}

int host_root_id_is_safe(const char *id)
{
	size_t len =
		strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return len > 0 && len <= SAFE_ID_MAX && id[len] == 0 && id[0] != '.';
}
