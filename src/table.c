/* SPDX-License-Identifier: BSD-2-Clause */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "fnv.h"

int table_init(struct table *table, size_t n_buckets)
{
	*table = (struct table){ .n_buckets = n_buckets };
	table->buckets = calloc(n_buckets, sizeof(*table->buckets));
	if (!table->buckets)
		return -ENOMEM;
	/* Early at boot there may be no random bytes; then the seed is a fixed one. */
	if (getrandom(&table->seed, sizeof(table->seed), GRND_NONBLOCK) != sizeof(table->seed))
		table->seed = 0x9e3779b97f4a7c15;
	return 0;
}

void table_done(struct table *table)
{
	free(table->buckets);
	*table = (struct table){ 0 };
}

/* With a last mix, since the buckets are taken from the low bits. */
uint64_t table_hash(const struct table *table, const void *bytes, size_t n)
{
	uint64_t hash = fnv1a(table->seed, bytes, n);

	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

static struct table_link **bucket_of(const struct table *table, uint64_t hash)
{
	return &table->buckets[hash & (table->n_buckets - 1)];
}

void table_add(struct table *table, struct table_link *link, uint64_t hash)
{
	struct table_link **bucket = bucket_of(table, hash);

	link->hash = hash;
	link->next = *bucket;
	*bucket = link;
	table->n++;
}

void table_remove(struct table *table, struct table_link *link)
{
	struct table_link **p = bucket_of(table, link->hash);

	while (*p && *p != link)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = link->next;
	table->n--;
}

struct table_link *table_first(const struct table *table, uint64_t hash)
{
	return *bucket_of(table, hash);
}
