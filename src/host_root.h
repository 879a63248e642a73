/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's file system, as seen from where cgscope runs, read safely: what lies below a
 * container's reach may be a symlink, a FIFO, huge, or gone between two calls.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct host_cache;
struct host_root;
struct json_t;

#define UID_NOBODY_ELSE ((uid_t)-1)

/* What the evidence says of the root that was found. */
enum host_root_evidence {
	HOST_ROOT_KNOWN,
	HOST_ROOT_UNCERTAIN, /* it may be another's than the host's */
	HOST_ROOT_ELSEWHERE, /* it is, and the host's cannot be opened */
	HOST_ROOT_EVIDENCE_N_,
};

/*
 * Where the host's root is, by what @proc, as /proc, shows of process 1: "/", or "/proc/1/root" if
 * that one lives in other mounts. @pids_are_hosts is as pid_namespace_is_initial() has it.
 */
const char *host_root_find(const char *proc, int pids_are_hosts,
			   enum host_root_evidence *ret_evidence);

/* The same for where we are. */
const char *host_root_default(void);

/* Opens @dir as the host's root. NULL: the default one. Returns 0 or -errno. */
int host_root_open(const char *dir, struct host_root **ret);
void host_root_close(struct host_root *root);
void host_root_closep(struct host_root **root);

int host_root_fd(const struct host_root *root);			  /* borrowed */
const char *host_root_path(const struct host_root *root);	  /* as given, for messages */
struct host_cache *host_root_cache(const struct host_root *root); /* src/host_cache.h */

/* Whether it was named, and not found by evidence. */
bool host_root_is_given(const struct host_root *root);

/* What was found of it; HOST_ROOT_KNOWN also where it was given. */
enum host_root_evidence host_root_evidence(const struct host_root *root);

/* That in words: why it may not be the host's root; NULL: it is. */
const char *host_root_doubt(const struct host_root *root);

/*
 * Opens the directory @path below the root, symlinks resolved within the root
 * (openat2 RESOLVE_IN_ROOT). For well-known base directories only. Returns an fd, an O_PATH one
 * where the directory may be searched but not listed, or -errno.
 */
int host_root_open_dir(const struct host_root *root, const char *path);

/* What a file looked like when it was read; a change of any field means: read it again. */
struct file_stamp {
	dev_t dev;
	ino_t ino;
	int64_t mtime_ns;
	int64_t size;
};

/* Whether two stamps are of the same unchanged file. */
int file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

/*
 * Reads the regular file @path below @base_fd whole, no symlink followed on any component, of at
 * most @max_bytes, owned by root, the owner of the host root's directory, or @uid_allowed
 * (UID_NOBODY_ELSE: nobody else). Returns the length and a NUL-terminated buffer to free(), or
 * -errno: -ENOENT; -ELOOP a symlink; -EFBIG; -EINVAL not a regular file; -EPERM a foreign owner.
 */
ssize_t host_root_read_at(const struct host_root *root, int base_fd, const char *path,
			  size_t max_bytes, uid_t uid_allowed, char **ret,
			  struct file_stamp *ret_stamp);

/*
 * As above, parsed as JSON (an object or an array; the caller decrefs). A file that does not parse,
 * or has more values than one of its size would, is -EBADMSG: no names from it, never a wrong one.
 */
int host_root_read_json_at(const struct host_root *root, int base_fd, const char *path,
			   size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
			   struct file_stamp *ret_stamp);

/*
 * As host_root_read_at(), for the host's own configuration: @path is below the root, and symlinks
 * are resolved within it, since distributions link these files about.
 */
ssize_t host_root_read_config(const struct host_root *root, const char *path, size_t max_bytes,
			      char **ret);

/*
 * The stamp of @path below @base_fd, which may itself be a symlink, but not be behind one where
 * others than root could have put it. Returns 0 or -errno.
 */
int host_root_stat_at(int base_fd, const char *path, struct file_stamp *ret);

/* Whether @id may become a component of a path: [A-Za-z0-9_.-]{1,128}, not starting with '.'. */
int host_root_id_is_safe(const char *id);
