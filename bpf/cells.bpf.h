/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The cells of a record: found or made by call, and what is counted in one. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "control.bpf.h"
#include "record.bpf.h"

/* Returns the index of the cell of @nr, made if there is none, after a fold if there is no room. */
__noinline u32 cell_search(struct task_record *record, u32 nr, u32 abi)
{
	struct cell *cell;
	u32 n;

	if (!record)
		return 0;
	n = record->batch.n_cells;
	for (u32 i = 0; i < CELLS_MAX; i++) {
		if (i >= n)
			break;
		if (record->batch.cells[i].nr == nr && record->batch.cells[i].abi == abi) {
			record->hints[nr % HINTS] = i;
			return i;
		}
	}

	if (n >= CELLS_MAX) {
		fold(record);
		n = 0;
	}
	cell = &record->batch.cells[n];
	__builtin_memset(cell, 0, sizeof(*cell));
	cell->nr = nr;
	cell->abi = abi;
	/* The dump takes a cell for set up once it is counted in. */
	add_ordered(&record->batch.n_cells);
	record->hints[nr % HINTS] = n;
	return n;
}

static __always_inline struct cell *cell_find(struct task_record *record, u32 nr, u32 abi)
{
	u32 i = record->hints[nr % HINTS];

	if (i < CELLS_MAX && i < record->batch.n_cells) {
		struct cell *cell = &record->batch.cells[i];

		if (cell->nr == nr && cell->abi == abi)
			return cell;
	}
	i = cell_search(record, nr, abi);
	return &record->batch.cells[i < CELLS_MAX ? i : 0];
}

/* floor(log2(ns)) - 8, from 0 to the last bucket. */
static __always_inline u32 bucket_of(u64 ns)
{
	u64 value = ns >> 8;
	u32 bucket = 0;

	if (value >> 16) {
		value >>= 16;
		bucket = 16;
	}
	if (value >> 8) {
		value >>= 8;
		bucket += 8;
	}
	if (value >> 4) {
		value >>= 4;
		bucket += 4;
	}
	if (value >> 2) {
		value >>= 2;
		bucket += 2;
	}
	bucket += value >> 1 ? 1 : 0;
	return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

/* Returns whether the cell has a place for it. */
static __always_inline bool cell_count_errno(struct cell *cell, u16 number)
{
#pragma unroll
	for (int i = 0; i < CELL_ERRNOS; i++) {
		if (cell->errnos[i].number == number || cell->errnos[i].number == 0) {
			cell->errnos[i].number = number;
			cell->errnos[i].count++;
			return true;
		}
	}
	return false;
}

static __always_inline void cell_time(struct cell *cell, u64 ns)
{
	u32 epoch = control.epoch;
	u32 slot = epoch & 1;

	if (cell->max_epoch[slot] != epoch) {
		cell->max_ns[slot] = ns;
		cell->max_epoch[slot] = epoch;
	} else if (ns > cell->max_ns[slot]) {
		cell->max_ns[slot] = ns;
	}
	cell->buckets[bucket_of(ns)]++;
	cell->time_ns += ns;
}
