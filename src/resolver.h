/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a cgroup id to the container, pod, unit or host that it belongs to: a cache of identities,
 * filled from kernel events, handles and the runtimes' state files, in bounded steps. Never
 * waits, never fails: what is not known yet is answered by id and path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cgroup_path.h"
#include "cgroup_tree.h"
#include "host_root.h"
#include "identity.h"

struct resolver;

struct resolver_stats {
	uint32_t cgroups;    /* cached */
	uint32_t unresolved; /* containers without metadata */
	uint64_t lookups;    /* metadata reads since start */
	uint64_t evicted;    /* live entries that had to make room */
};

/*
 * Borrows @root and @tree, which must outlive it. @tree may be NULL: then only paths can be
 * resolved. Returns 0 or -errno.
 */
int resolver_new(const struct host_root *root, struct cgroup_tree *tree, struct resolver **ret);
void resolver_free(struct resolver *resolver);

/* A cgroup was made (@path as the kernel says it, or NULL) or removed. */
void resolver_cgroup_made(struct resolver *resolver, uint64_t id, const char *path);
void resolver_cgroup_removed(struct resolver *resolver, uint64_t id);

/*
 * Fills the cache with what exists, at start. @now_ns is CLOCK_MONOTONIC, here and below: tests
 * pass a clock of their own.
 */
int resolver_prime(struct resolver *resolver, uint64_t now_ns);

/*
 * Once an interval, before the lookups: retries what is pending, revalidates names that can
 * change, forgets what is long gone. Bounded work.
 */
void resolver_tick(struct resolver *resolver, uint64_t now_ns);

/*
 * Between two intervals: the same retries, nothing forgotten. resolver_due_ns() says when there
 * will be something to do, UINT64_MAX if never.
 */
void resolver_work(struct resolver *resolver, uint64_t now_ns);
uint64_t resolver_due_ns(const struct resolver *resolver);

/*
 * The identity of @id; never NULL. Valid until the next resolver_tick() or resolver_work().
 * Identities with equal keys belong together, and the same key gives the same pointer within one
 * tick.
 */
const struct identity *resolver_identify(struct resolver *resolver, uint64_t id, uint64_t now_ns);

/* Whether @id is known to have been removed. Does not count as a use. */
bool resolver_is_gone(const struct resolver *resolver, uint64_t id);

/* The path of @id as far as known, else NULL. Valid until the next call. */
const char *resolver_path(struct resolver *resolver, uint64_t id);

/*
 * Resolves a path, with a cgroup behind it or not, and notes in @tried (may be NULL) which sources
 * were looked at and what each said. Without a cache: what is on disk now is what counts. Fills
 * @ret, to be released with identity_done(). Returns 0 or -ENOMEM.
 */
struct resolve_attempt {
	char source[64];
	char answer[192];
};
struct resolve_trace {
	struct resolve_attempt attempts[80]; /* all that there can be */
	size_t n_attempts;
	/* The ids of all links that the text has, outermost first. */
	char chain[CGROUP_LINKS_MAX][CONTAINER_ID_MAX + 1];
	size_t n_chain;
};
int resolver_resolve_path(struct resolver *resolver, const char *path, struct identity *ret,
			  struct resolve_trace *tried);

void resolver_stats(const struct resolver *resolver, struct resolver_stats *ret);
