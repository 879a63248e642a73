/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A container runtime: what it writes on the host about the containers it runs. One file per
 * runtime, ending in one const object; runtime/registry.c is their ordered list.
 *
 * A runtime reads files below the host's root and nothing else: no socket, no /proc, nothing
 * that a container could have written. It sees one link of a cgroup path and answers for it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "src/cgroup_path.h"
#include "src/host_root.h"
#include "src/identity.h"

/* What is asked for: the link @link of @path. */
struct runtime_query {
	const char *path; /* in the view of the host root: without a node's own prefix */
	const struct cgroup_link *link;
};

/* A file whose names can change while the container lives: it is looked at again when it does. */
struct container_watch {
	char *base;
	char *path; /* below @base */
	struct file_stamp stamp;
};

#define CONTAINER_WATCHES_MAX 2

/* What a runtime knows about a container; strings are owned, NULL where absent. */
struct container {
	bool is_sandbox;
	const char *source; /* static, printed as name_source */
	char *name;
	char *image_name;
	char *pod_name;
	char *pod_uid;
	char *namespace_name;
	char *k8s_container_name;
	struct container_watch watches[CONTAINER_WATCHES_MAX];
	size_t n_watches;
};

struct runtime {
	const char *name; /* as printed: container.runtime.name */
	bool by_name;	  /* ids are names, not unique: asked only about what looks like ours */

	/*
	 * Whether @query's link looks like ours. By the text only. The runtimes that say yes are
	 * asked first, and for a 64-digit id the others after them: a prefix can be imitated, and
	 * whoever knows the id refuses then.
	 */
	bool (*match)(const struct runtime_query *query);

	/*
	 * Reads what the runtime keeps about the link's id below @root. Returns 0 and fills @ret;
	 * -ENOENT if the runtime does not know it; -EPERM if it knows it under another cgroup, so
	 * that the path is an imitation; -EBADMSG if what it keeps is damaged; -EAGAIN if it
	 * is to be asked again later; -EACCES or another -errno if it cannot be read. @ret is
	 * untouched unless 0.
	 */
	int (*inspect)(const struct host_root *root, const struct runtime_query *query,
		       struct container *ret);

	/*
	 * Says which of the directories that the runtime keeps its state in exist, for `cgscope
	 * check` and -v: calls @found with each, and with 0 or the -errno of opening it.
	 */
	void (*roots)(const struct host_root *root,
		      void (*found)(const char *path, int error, void *data), void *data);
};

void container_done(struct container *container);

/* In the order in which they are asked. Ends with NULL. */
#define RUNTIMES_MAX 8
extern const struct runtime *const runtimes[RUNTIMES_MAX + 1];

/*
 * The kubelet's logs: names for what lies directly below a pod, whichever runtime runs it. They
 * say nothing about cgroups, so they never decide whose a path is; they only add what is missing
 * in @container for the pod @pod_uid and the container @id ("" for the pod alone). Returns whether
 * anything was added.
 */
bool kubelet_fill(const struct host_root *root, const char *pod_uid, const char *id,
		  struct container *container);
void kubelet_roots(const struct host_root *root,
		   void (*found)(const char *path, int error, void *data), void *data);
