/* SPDX-License-Identifier: BSD-2-Clause */
#include "map.h"

#include <errno.h>
#include <stdlib.h>

struct map_slot {
	uint64_t key;
	uint32_t value; /* + 1; 0: free */
};

static struct map_slot *map_slot(const struct map *map, uint64_t key)
{
	uint64_t i = key * 0x9e3779b97f4a7c15;

	for (i ^= i >> 32;; i++) {
		struct map_slot *slot = &map->slots[i & (map->n_slots - 1)];

		if (slot->value == 0 || slot->key == key)
			return slot;
	}
}

bool map_find(const struct map *map, uint64_t key, uint32_t *ret)
{
	const struct map_slot *slot;

	if (map->n_used == 0)
		return false;
	slot = map_slot(map, key);
	if (slot->value == 0)
		return false;
	*ret = slot->value - 1;
	return true;
}

static int map_grow(struct map *map)
{
	struct map grown = { .n_slots = map->n_slots ? 4 * map->n_slots : 256 };

	grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;

	for (size_t i = 0; i < map->n_slots; i++) {
		if (map->slots[i].value)
			*map_slot(&grown, map->slots[i].key) = map->slots[i];
	}
	grown.n_used = map->n_used;
	free(map->slots);
	*map = grown;
	return 0;
}

int map_add(struct map *map, uint64_t key, uint32_t value)
{
	if (2 * map->n_used >= map->n_slots) {
		int r = map_grow(map);

		if (r < 0)
			return r;
	}
	*map_slot(map, key) = (struct map_slot){ .key = key, .value = value + 1 };
	map->n_used++;
	return 0;
}

void map_done(struct map *map)
{
	free(map->slots);
	*map = (struct map){ 0 };
}
