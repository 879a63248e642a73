/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers to indices: open addressing, grows, forgets nothing. A zeroed struct is an empty map. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
	struct map_slot *slots;
	size_t n_slots; /* a power of two, or 0 */
	size_t n_used;
};

bool map_find(const struct map *map, uint64_t key, uint32_t *ret);

/* @key must not be there yet; @value is less than UINT32_MAX. Returns 0 or -ENOMEM. */
int map_add(struct map *map, uint64_t key, uint32_t value);
void map_done(struct map *map);
