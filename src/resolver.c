/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of cgroups. A cgroup is known by its id; whose it is, is its claim's business
 * (src/claims.h), so that a new cgroup below a known container costs no look at any file.
 */
#include "resolver.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "clock.h"
#include "host_cache.h"
#include "identify.h"
#include "table.h"

#define N_BUCKETS   16384
#define ENTRIES_MAX 16384

#define S NSEC_PER_SEC

#define GONE_KEEP_NS (30 * S)
#define GONE_TICKS   2	       /* the last interval has to be printed first */
#define IDLE_KEEP_NS (600 * S) /* found again by its handle if it wakes up */
#define PATH_TRY_NS  (5 * S)
#define ALL_NAMES_NS (2 * S)

struct entry {
	struct table_link by_id;
	struct list recent; /* in entries, least recently used first, or in gone */
	uint64_t id;
	char *path;	      /* NULL: not known */
	struct claim *claim;  /* NULL: in no container by its text */
	struct subject *own;  /* if no claim holds; made when it is first needed */
	uint64_t path_due_ns; /* when to look for the path again */
	uint64_t used_ns;
	uint64_t used_tick;
	uint64_t gone_ns;
	uint64_t gone_tick;
	bool is_gone;
};

struct resolver {
	const struct host_root *root;
	struct cgroup_tree *tree;
	struct claims *claims;
	struct table by_id;
	struct list entries;
	struct list gone;
	uint64_t now_ns; /* of the last call that told */
	uint64_t tick;
	uint64_t ticked_ns;
	uint64_t evicted;
	struct identity nobody; /* what is left to say without memory */
};

int resolver_new(const struct host_root *root, struct cgroup_tree *tree, struct resolver **ret)
{
	struct resolver *resolver;
	int r;

	resolver = calloc(1, sizeof(*resolver));
	if (!resolver)
		return -ENOMEM;
	resolver->root = root;
	resolver->tree = tree;
	list_init(&resolver->entries);
	list_init(&resolver->gone);

	r = table_init(&resolver->by_id, N_BUCKETS);
	if (r == 0)
		r = claims_new(root, tree, &resolver->claims);
	if (r == 0) {
		resolver->nobody.key = strdup("unknown");
		r = resolver->nobody.key ? 0 : -ENOMEM;
	}
	if (r < 0) {
		resolver_free(resolver);
		return r;
	}
	*ret = resolver;
	return 0;
}

static uint64_t hash_of(const struct resolver *resolver, uint64_t id)
{
	return table_hash(&resolver->by_id, &id, sizeof(id));
}

static struct entry *find_entry(const struct resolver *resolver, uint64_t id)
{
	struct table_link *link;

	for (link = table_first(&resolver->by_id, hash_of(resolver, id)); link; link = link->next) {
		struct entry *entry = container_of(link, struct entry, by_id);

		if (entry->id == id)
			return entry;
	}
	return NULL;
}

static void forget_owner(struct resolver *resolver, struct entry *entry)
{
	claim_release(resolver->claims, entry->claim);
	subject_release(resolver->claims, entry->own);
	entry->claim = NULL;
	entry->own = NULL;
}

static void drop_entry(struct resolver *resolver, struct entry *entry)
{
	table_remove(&resolver->by_id, &entry->by_id);
	list_remove(&entry->recent);
	forget_owner(resolver, entry);
	free(entry->path);
	free(entry);
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;

	while (!list_is_empty(&resolver->entries))
		drop_entry(resolver, container_of(resolver->entries.next, struct entry, recent));
	while (!list_is_empty(&resolver->gone))
		drop_entry(resolver, container_of(resolver->gone.next, struct entry, recent));
	claims_free(resolver->claims);
	table_done(&resolver->by_id);
	identity_done(&resolver->nobody);
	free(resolver);
}

static void mark_gone(struct resolver *resolver, struct entry *entry)
{
	if (entry->is_gone)
		return;
	entry->is_gone = true;
	entry->gone_ns = resolver->now_ns;
	entry->gone_tick = resolver->tick;
	list_remove(&entry->recent);
	list_insert_after(resolver->gone.prev, &entry->recent);
}

/* What has gone makes room first, then what has been silent for longest. */
static void make_room(struct resolver *resolver)
{
	struct list *victims = &resolver->gone;

	if (resolver->by_id.n < ENTRIES_MAX)
		return;
	if (list_is_empty(victims)) {
		victims = &resolver->entries;
		resolver->evicted++;
	}
	drop_entry(resolver, container_of(victims->next, struct entry, recent));
}

/* What comes in front of the path of an event where the tree is the view of a node in a container.
 */
static const char *without_prefix(const struct resolver *resolver, const char *path)
{
	const char *prefix = resolver->tree ? cgroup_tree_prefix(resolver->tree) : "";
	size_t n = strlen(prefix);

	if (n == 0 || strncmp(path, prefix, n) != 0)
		return path;
	if (path[n] == 0)
		return "/";
	return path[n] == '/' ? path + n : path;
}

/* Takes over @path. */
static void set_path(struct resolver *resolver, struct entry *entry, char *path)
{
	forget_owner(resolver, entry);
	free(entry->path);
	entry->path = path;
	if (path)
		(void)claims_take(resolver->claims, path, resolver->now_ns, &entry->claim);
}

/* Asks the hierarchy for the path; what is not found is asked for again after a while. */
static void find_path(struct resolver *resolver, struct entry *entry)
{
	char path[CGROUP_PATH_MAX];
	int r;

	if (!resolver->tree || resolver->now_ns < entry->path_due_ns)
		return;
	entry->path_due_ns = resolver->now_ns + PATH_TRY_NS;

	r = cgroup_tree_path(resolver->tree, entry->id, path, sizeof(path));
	/* Longer than any path that we keep: then its nearest ancestor speaks for it. */
	if (r == 0 || r == -ENAMETOOLONG || (r == -ESTALE && path[0]))
		set_path(resolver, entry, strdup(path));
	if (r == -ESTALE)
		mark_gone(resolver, entry);
}

static struct entry *add_entry(struct resolver *resolver, uint64_t id, const char *path)
{
	struct entry *entry;

	make_room(resolver);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->id = id;
	entry->used_ns = resolver->now_ns;
	entry->used_tick = resolver->tick;
	table_add(&resolver->by_id, &entry->by_id, hash_of(resolver, id));
	list_insert_after(resolver->entries.prev, &entry->recent);

	if (path)
		set_path(resolver, entry, strdup(path));
	else
		find_path(resolver, entry);
	return entry;
}

/*
 * The path of an event as one of the tree, or NULL if it means nothing here: the kernel says it
 * from the hierarchy's root, and where that is above ours is not always known.
 */
static const char *event_path(struct resolver *resolver, uint64_t id, const char *path)
{
	if (!path || !resolver->tree || cgroup_tree_is_whole(resolver->tree))
		return path;
	if (cgroup_tree_prefix(resolver->tree)[0] == 0)
		cgroup_tree_learn_prefix(resolver->tree, id, path);
	if (cgroup_tree_prefix(resolver->tree)[0] == 0)
		return NULL;
	return without_prefix(resolver, path);
}

void resolver_cgroup_made(struct resolver *resolver, uint64_t id, const char *path)
{
	struct entry *entry = find_entry(resolver, id);

	path = event_path(resolver, id, path);
	if (!entry)
		add_entry(resolver, id, path);
	else if (!entry->path && path)
		set_path(resolver, entry, strdup(path));
}

void resolver_cgroup_removed(struct resolver *resolver, uint64_t id)
{
	struct entry *entry = find_entry(resolver, id);

	if (entry)
		mark_gone(resolver, entry);
}

static int prime_one(const char *path, uint64_t id, void *data)
{
	struct resolver *resolver = data;

	if (resolver->by_id.n == ENTRIES_MAX)
		return 1;
	if (!find_entry(resolver, id) && !add_entry(resolver, id, path))
		return -ENOMEM;
	return 0;
}

int resolver_prime(struct resolver *resolver, uint64_t now_ns)
{
	int r;

	resolver->now_ns = now_ns;
	if (!resolver->tree)
		return 0;
	claims_grant(resolver->claims, ENTRIES_MAX);
	r = cgroup_tree_walk(resolver->tree, prime_one, resolver);
	return r < 0 ? r : 0;
}

static void drop_gone(struct resolver *resolver)
{
	struct list *item, *next;

	/* In the order in which they went, so that the first one which is too young ends it. */
	for (item = resolver->gone.next; item != &resolver->gone; item = next) {
		struct entry *entry = container_of(item, struct entry, recent);

		next = item->next;
		if (resolver->now_ns - entry->gone_ns < GONE_KEEP_NS)
			break;
		if (resolver->tick - entry->gone_tick >= GONE_TICKS &&
		    resolver->tick - entry->used_tick >= GONE_TICKS)
			drop_entry(resolver, entry);
	}
}

/* Without events nobody says that a cgroup has gone; then silence has to do. */
static void drop_idle(struct resolver *resolver)
{
	while (!list_is_empty(&resolver->entries)) {
		struct entry *entry = container_of(resolver->entries.next, struct entry, recent);

		if (resolver->now_ns - entry->used_ns < IDLE_KEEP_NS ||
		    resolver->tick - entry->used_tick < GONE_TICKS)
			break;
		drop_entry(resolver, entry);
	}
}

void resolver_tick(struct resolver *resolver, uint64_t now_ns)
{
	/* Names that are printed rarely are then up to date; else their turns come often enough. */
	bool all_names = now_ns - resolver->ticked_ns >= ALL_NAMES_NS;

	resolver->now_ns = resolver->ticked_ns = now_ns;
	resolver->tick++;
	drop_gone(resolver);
	drop_idle(resolver);
	claims_tick(resolver->claims, now_ns, all_names);
}

void resolver_work(struct resolver *resolver, uint64_t now_ns)
{
	resolver->now_ns = now_ns;
	claims_tick(resolver->claims, now_ns, false);
}

uint64_t resolver_due_ns(const struct resolver *resolver)
{
	return claims_due_ns(resolver->claims);
}

static struct entry *use_entry(struct resolver *resolver, uint64_t id)
{
	struct entry *entry = find_entry(resolver, id);

	if (!entry) {
		entry = add_entry(resolver, id, NULL);
		if (!entry)
			return NULL;
	} else if (!entry->path && !entry->is_gone) {
		find_path(resolver, entry);
	}

	entry->used_ns = resolver->now_ns;
	entry->used_tick = resolver->tick;
	if (!entry->is_gone) {
		list_remove(&entry->recent);
		list_insert_after(resolver->entries.prev, &entry->recent);
	}
	return entry;
}

bool resolver_is_gone(const struct resolver *resolver, uint64_t id)
{
	const struct entry *entry = find_entry(resolver, id);

	return entry && entry->is_gone;
}

const struct identity *resolver_identify(struct resolver *resolver, uint64_t id, uint64_t now_ns)
{
	struct subject *subject;
	struct entry *entry;

	resolver->now_ns = now_ns;
	entry = use_entry(resolver, id);
	if (!entry)
		return &resolver->nobody;

	subject = claim_subject(resolver->claims, entry->claim);
	if (!subject) {
		if (!entry->own)
			entry->own = claims_take_own(resolver->claims, entry->path, id);
		subject = entry->own;
	}
	if (!subject)
		return &resolver->nobody;

	subject_seen(resolver->claims, subject, entry->path, id);
	return subject_identity(subject);
}

const char *resolver_path(struct resolver *resolver, uint64_t id)
{
	const struct entry *entry = use_entry(resolver, id);

	return entry ? entry->path : NULL;
}

int resolver_resolve_path(struct resolver *resolver, const char *path, struct identity *ret,
			  struct resolve_trace *tried)
{
	uint64_t id = 0;
	int r;

	path = without_prefix(resolver, path);
	if (resolver->tree && cgroup_tree_id(resolver->tree, path, &id) < 0)
		id = 0;
	if (tried)
		tried->n_attempts = tried->n_chain = 0;

	host_cache_forget(host_root_cache(resolver->root));
	r = identify_path(resolver->root, path, id == 0, tried, ret);
	if (r < 0)
		return r;
	/* The top of a view is somebody's cgroup, and no claim to be the host. */
	if (ret->kind == IDENTITY_HOST && resolver->tree && !cgroup_tree_is_whole(resolver->tree)) {
		ret->kind = IDENTITY_UNKNOWN;
		ret->resolved = false;
	}
	if (!resolver->tree ||
	    cgroup_tree_id(resolver->tree, ret->cgroup_path, &ret->cgroup_id) < 0)
		ret->cgroup_id = id;
	return 0;
}

void resolver_stats(const struct resolver *resolver, struct resolver_stats *ret)
{
	*ret = (struct resolver_stats){
		.cgroups = (uint32_t)resolver->by_id.n,
		.unresolved = claims_unresolved(resolver->claims),
		.lookups = claims_lookups(resolver->claims),
		.evicted = resolver->evicted,
	};
}
