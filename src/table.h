/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table and a list whose links lie in the items, so that keeping an item allocates nothing
 * and cannot fail. The number of buckets is fixed: the users are capped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_link {
	struct table_link *next;
	uint64_t hash;
};

struct table {
	struct table_link **buckets;
	size_t n_buckets; /* a power of two */
	size_t n;
	uint64_t seed; /* so that nobody can choose names which fall into one bucket */
};

#define container_of(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

/* Returns 0 or -ENOMEM. */
int table_init(struct table *table, size_t n_buckets);
void table_done(struct table *table); /* the buckets, not the items */

uint64_t table_hash(const struct table *table, const void *bytes, size_t n);
void table_add(struct table *table, struct table_link *link, uint64_t hash);
void table_remove(struct table *table, struct table_link *link);

/* The first link of the bucket of @hash; the caller follows next and compares. */
struct table_link *table_first(const struct table *table, uint64_t hash);

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_insert_after(struct list *at, struct list *item)
{
	item->prev = at;
	item->next = at->next;
	at->next->prev = item;
	at->next = item;
}

/* Leaves @item an empty list of its own, so that removing it again does no harm. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}
