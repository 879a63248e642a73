/* SPDX-License-Identifier: BSD-2-Clause */
/* What the runtimes have in common when they read their state. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/runtime.h"

#define STATE_FILE_MAX (4u << 20) /* one container's file; real ones have some 10 KB */
#define STATE_PATH_MAX 1024

/* Whether @id is 64 lower-case hex digits. */
bool state_id_is_hash(const char *id);

/*
 * A copy of the string at @key, or NULL: it is missing, empty, longer than any real name, or has
 * a NUL in it.
 */
char *state_string(const json_t *object, const char *key);

/* Whether Docker or Podman may have called a container so: letters, digits, "_", "." and "-". */
bool state_is_name(const char *name);

/* As above, for the names of Kubernetes objects: lower-case letters, digits, dots and dashes. */
char *state_k8s_name(const json_t *object, const char *key);
bool state_is_k8s_name(const char *name);

/*
 * Splits "<namespace>_<pod>_<uid>", the name of a pod's log directory, whose parts hold no
 * underscore. Returns 0 and two copies; -EINVAL if it is not one or not of @uid (NULL: any).
 */
int state_split_log_name(const char *name, size_t len, const char *uid, char **ret_namespace,
			 char **ret_pod);

/* Whether an OCI config's linux.cgroupsPath names the link's cgroup (see there). */
bool state_names_path(const char *cgroups_path, const struct runtime_query *query);

/*
 * Whether an OCI @config agrees with the link's cgroup. Returns 0, -EPERM if it names another one,
 * -EBADMSG if it is no config.
 */
int state_check_bundle(const json_t *config, const struct runtime_query *query);

/*
 * Reads the OCI bundle's config.json at @path below @base. Returns 0, -EPERM if its cgroupsPath
 * names another cgroup, or what host_cache_read_json() does.
 */
int state_read_bundle(const struct host_root *root, const char *base, const char *path,
		      uid_t uid_allowed, const struct runtime_query *query, json_t **ret);

/*
 * Whether the link lies where only the host's own programs make cgroups: below nothing but
 * systemd's slices, or right in the directory @top ("lxc/"; "": the root). In a service, or
 * whatever else is given away, anybody may have made it.
 */
bool state_is_in_slices(const struct runtime_query *query);
bool state_is_in(const struct runtime_query *query, const char *top);

/*
 * The user whose service manager the link is below (user@N.service), whose own runtime alone can
 * have made it. Returns false if it is below none.
 */
bool state_user(const struct runtime_query *query, uid_t *ret);

/* The home directory of @uid by the host's /etc/passwd. Returns 0 or -ENOENT. */
int state_home(const struct host_root *root, uid_t uid, char *ret, size_t size);

/*
 * What a user's own configuration says of a place, from the @home on; NULL if that is elsewhere,
 * where it is not looked at: a user could name any place of the system.
 */
const char *state_below_home(const char *home, const char *place);

/*
 * The string at @key in the TOML @text (may be NULL): in [@table], or before the first table if
 * that is NULL. Only what configuration files of runtimes need: `key = "value"`, no escapes.
 */
bool state_toml(const char *text, const char *table, const char *key, char *ret, size_t size);

/* Of the answers of two places the one that says more: 0, -EPERM, -EBADMSG, -EAGAIN, others,
 * -ENOENT. */
int state_merge(int a, int b);

/* Reports the directory @path to @found if it exists or cannot be opened. */
void state_report_root(const struct host_root *root, const char *path,
		       void (*found)(const char *path, int error, void *data), void *data);

/* Adds a file to look at again; the container may be renamed in it. Returns 0 or -errno. */
int state_watch(struct container *container, const char *base, const char *path,
		const struct file_stamp *stamp);

/* jansson brings json_decrefp() for the same use. */
static inline void containerp_done(struct container *container)
{
	container_done(container);
}
