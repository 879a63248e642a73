/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FNV-1a. Where others choose the keys, the seed must be one that they do not know, or they can
 * make keys that collide.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t fnv1a(uint64_t seed, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t hash = 0xcbf29ce484222325 ^ seed;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}
