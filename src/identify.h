/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose a cgroup path is. A container can make any path below its own cgroup, so the answer goes
 * from the outside in: the outermost link that a runtime of the host knows, under this very
 * path, is the one; all below is part of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cgroup_path.h"
#include "host_root.h"
#include "identity.h"
#include "resolver.h"
#include "runtime/runtime.h"

enum link_verdict {
	LINK_UNASKED,  /* or not to be had yet: by id only, and nothing below it meanwhile */
	LINK_ABSENT,   /* no runtime has metadata: by id only, and the next link may be known */
	LINK_ACCEPTED, /* a runtime has, and names this path */
	LINK_REFUSED,  /* a runtime has, under another path: an imitation */
	LINK_OPAQUE,   /* by id only, and nothing below it is believed */
};

struct link_answer {
	enum link_verdict verdict;
	bool is_known; /* something is kept about it here, be it damaged or of another cgroup */
	const struct runtime *runtime; /* who accepted; else NULL */
	struct container container;
};

void link_answer_done(struct link_answer *answer);

/* A link of a path, and what kind of question it is. */
struct candidate {
	struct cgroup_link link;
	bool is_guess; /* "/<namespace>/<name>": a container only if containerd says so */
	bool is_pod;   /* the pod itself: no id, only the kubelet's names */
};

#define CANDIDATES_MAX (CGROUP_LINKS_MAX + 1)

/* The questions to ask about @path, outermost first. Returns their number, 0 for the host's own. */
size_t identify_candidates(const char *path, const struct cgroup_parse *parse,
			   struct candidate ret[static CANDIDATES_MAX]);

/*
 * Asks the runtimes about one. @is_outermost: no other link is further out; only then may the
 * kubelet's logs lend it names. What was asked is noted in @trace, which may be NULL.
 */
void identify_ask(const struct host_root *root, const char *path, const struct candidate *candidate,
		  bool is_outermost, struct resolve_trace *trace, struct link_answer *ret);

/* Which of the answers counts, by the rule above; CHOSEN_NONE: the path is in no container. */
size_t identify_choose(const enum link_verdict *verdicts, const struct candidate *candidates,
		       size_t n);
#define CHOSEN_NONE ((size_t)-1)

/* The identity of what was asked for and answered. Returns 0 or -ENOMEM. */
int identify_make(const char *path, const struct candidate *candidate,
		  const struct link_answer *answer, struct identity *ret);

/* The identity of a path that is no container's: a unit, the host, or unknown. */
int identify_make_own(const char *path, const struct cgroup_parse *parse, struct identity *ret);

/*
 * All of it at once, without a cache. @text_only: no such cgroup exists here, the path is a text
 * from elsewhere. Returns 0 or -ENOMEM.
 */
int identify_path(const struct host_root *root, const char *path, bool text_only,
		  struct resolve_trace *trace, struct identity *ret);
