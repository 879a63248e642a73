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
	const char *path;
	const struct cgroup_parse *parse;
	const struct cgroup_link *link;
	const char *prefix; /* the node's own cgroup that tracepoint paths start with, or "" */
};

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
};

struct runtime {
	const char *name; /* as printed: container.runtime.name */

	/* Whether @query's link may be ours. Looks at the text only: cheap, and never wrong to say yes. */
	bool (*match)(const struct runtime_query *query);

	/*
	 * Reads what the runtime keeps about the link's id below @root. Returns 0 and fills @ret;
	 * -ENOENT if the runtime does not know it; -EPERM if it knows it under another cgroup, so
	 * that the path is an imitation; -EACCES or another -errno if its state cannot be read.
	 * @ret is untouched unless 0.
	 */
	int (*inspect)(const struct host_root *root, const struct runtime_query *query,
		       struct container *ret);

	/*
	 * Lists the state directories that exist below @root, for `cgscope check` and -v: calls
	 * @found with each. May be NULL.
	 */
	void (*roots)(const struct host_root *root,
		      void (*found)(const char *path, int error, void *data), void *data);
};

void container_done(struct container *container);

/* In the order in which they are asked. Ends with NULL. */
extern const struct runtime *const runtimes[];
