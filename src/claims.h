/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every link of a cgroup path claims to be a container. A claim is checked once for all cgroups
 * below it, kept while one of them is, and asked again while nobody knows the answer or names may
 * change. Claims with the same key share one subject, whose identity is what callers see.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup_tree.h"
#include "host_root.h"
#include "identity.h"

struct claims;
struct claim;
struct subject;

/* Borrows @root and @tree, which may be NULL. Returns 0 or -errno. */
int claims_new(const struct host_root *root, struct cgroup_tree *tree, struct claims **ret);
void claims_free(struct claims *claims);

/*
 * The innermost claim of @path that matters, referenced, or NULL if the path has none. Asks the
 * runtimes about those that are new, within the budget. Returns 0 or -ENOMEM.
 */
int claims_take(struct claims *claims, const char *path, uint64_t now_ns, struct claim **ret);
void claim_release(struct claims *claims, struct claim *claim);

/*
 * The subject of the outermost claim that holds, from @claim outwards, borrowed; NULL if none does
 * (or without memory).
 */
struct subject *claim_subject(struct claims *claims, struct claim *claim);

/* The subject of @path and cgroup @id, which is in no container, referenced; NULL without memory.
 */
struct subject *claims_take_own(struct claims *claims, const char *path, uint64_t id);
void subject_release(struct claims *claims, struct subject *subject);

const struct identity *subject_identity(const struct subject *subject);

/* Tells @subject that the cgroup @id at @path is one of its own or lies below it. */
void subject_seen(struct claims *claims, struct subject *subject, const char *path, uint64_t id);

/*
 * Refills the budget, asks again what is due, and frees what was released: identities seen
 * before are no longer valid. @all_names: also looks at every name that may have changed.
 */
void claims_tick(struct claims *claims, uint64_t now_ns, bool all_names);

/*
 * When claims_tick() has something to ask again, or earlier if what was due has gone since;
 * UINT64_MAX if never.
 */
uint64_t claims_due_ns(const struct claims *claims);

/* Lets @n lookups through, however long they take: at start there is nobody waiting. */
void claims_grant(struct claims *claims, uint32_t n);

uint64_t claims_lookups(const struct claims *claims);
uint32_t claims_unresolved(const struct claims *claims);
