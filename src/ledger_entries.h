/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows of the ledger by whose they are: an entry is a process in a cgroup, or a thread, with
 * its calls. What strangers can make up without end is told apart up to a bound, and summed up
 * beyond it, as LEDGER_OTHERS and CALL_NR_OTHERS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger_row.h"
#include "map.h"
#include "snapshot.h"

struct row_key {
	uint32_t nr;
	uint32_t abi;
};

struct entry {
	struct snapshot_task task;
	uint64_t task_start_ns; /* by thread; else 0 */
	struct row *rows;	/* the block that has all three */
	struct row_detail *details;
	struct row_key *keys; /* apart, so that a search stays in few cache lines */
	uint32_t n_rows;
	uint32_t rows_size;
	uint32_t n_strange; /* rows of numbers from CALL_NR_STRANGE on */
	uint32_t next_row;  /* behind that of the latest cell */
};

/* With the hash, since each look at an entry is a cache miss. */
struct slot {
	uint64_t hash;
	struct entry *entry; /* or NULL */
};

/* Cgroups share a count where their hashes meet, which only lets the bound come sooner. */
#define CGROUP_COUNTS 1024

/* For how many ticks a task whose cells were summed up may still owe the fold of them. */
#define JOINED_TICKS 4

/* Embedded in the ledger, which goes through the slots. */
struct entries {
	uint64_t seed; /* names are strangers' choice: they must not choose the slots as well */
	uint32_t cgroup_entries[CGROUP_COUNTS];
	/* Hashes of the tasks whose cells were shown live in a sum, by tick; newest at joined_now.
	 */
	struct map joined[JOINED_TICKS];
	unsigned joined_now;
	struct slot *slots; /* open addressing, linear; a power of two */
	size_t n_slots;
	size_t n_entries;
	size_t n_rows;
};

/* Returns 0 or -ENOMEM. */
int entries_init(struct entries *entries);
void entries_done(struct entries *entries);

/*
 * The entry of @task, made if there is none; or, where there are too many, that of what is summed
 * up. @live: its cells are shown live there, and their fold must come to the same entry. Returns 0
 * or -ENOMEM.
 */
int entries_find(struct entries *entries, const struct snapshot_task *task, uint64_t task_start_ns,
		 bool live, struct entry **ret);

/* Ends a tick: of a task that was not shown live for JOINED_TICKS, nothing is owed any more. */
void entries_tick(struct entries *entries);

/*
 * The index of the row of @cell's call, made if there is none. @guess: what a task calls in a row
 * it mostly called in that row before. Returns 0 or -ENOMEM.
 */
int entries_find_row(struct entries *entries, struct entry *entry, const struct cell *cell,
		     uint32_t guess, uint32_t *ret);

/* The last row takes the place of row @i. */
void entries_drop_row(struct entries *entries, struct entry *entry, uint32_t i);

/*
 * For loops over all entries, from 0 to n_slots: the one in slot @s, or NULL. Fetches what the loop
 * comes to soon, since entries lie about in memory.
 */
struct entry *entries_at(const struct entries *entries, size_t s);

/* Removes the entry in slot @s. Nothing may be looked for until the slots have closed up. */
void entries_remove(struct entries *entries, size_t s);

/* Linear probing bears no holes. Returns 0 or -ENOMEM. */
int entries_close_up(struct entries *entries);
