/* SPDX-License-Identifier: BSD-2-Clause */
#include "ledger_entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS_MIN 256

/*
 * What strangers can make up without end, names, PIDs and call numbers, is kept apart up to here
 * and summed up beyond: sums stay exact, and memory bounded. What a row showed live must not show
 * in another: a task whose cells are summed up stays there as long as they are shown. Calls with
 * numbers that no kernel knows stay in their process's sum until that is over.
 */
#define ENTRIES_MAX	   98304
#define CGROUP_ENTRIES_MAX 32768
#define STRANGE_CALLS_MAX  64
#define CALL_NR_STRANGE	   600 /* above all numbers in use */

int entries_init(struct entries *entries)
{
	entries->slots = calloc(SLOTS_MIN, sizeof(*entries->slots));
	if (!entries->slots)
		return -ENOMEM;
	entries->n_slots = SLOTS_MIN;
	if (getrandom(&entries->seed, sizeof(entries->seed), GRND_NONBLOCK) < 0)
		entries->seed = (uintptr_t)entries;
	return 0;
}

static void entry_free(struct entry *entry)
{
	for (uint32_t i = 0; i < entry->n_rows; i++)
		row_done(&entry->details[i]);
	free(entry->rows);
	free(entry);
}

void entries_done(struct entries *entries)
{
	for (size_t i = 0; i < entries->n_slots; i++) {
		if (entries->slots[i].entry)
			entry_free(entries->slots[i].entry);
	}
	for (int i = 0; i < JOINED_TICKS; i++)
		map_done(&entries->joined[i]);
	free(entries->slots);
}

static uint64_t hash_mix(uint64_t hash, uint64_t value)
{
	hash ^= value;
	hash *= 0x9e3779b97f4a7c15ull;
	return hash ^ (hash >> 29);
}

/* The thread's own name is no part of the key: a thread that renames itself stays one. */
static uint64_t task_hash(uint64_t seed, const struct snapshot_task *task, uint64_t task_start_ns)
{
	uint64_t words[COMM_LEN / 8];
	uint64_t hash;

	memcpy(words, task->process_comm, sizeof(words));
	hash = hash_mix(seed ^ task->cgroup_id, task->process_start_ns);
	hash = hash_mix(hash, (uint64_t)(uint32_t)task->pid << 32 | (uint32_t)task->tid);
	hash = hash_mix(hash, task_start_ns);
	hash = hash_mix(hash, words[0]);
	return hash_mix(hash, words[1]);
}

static bool task_equal(const struct entry *entry, const struct snapshot_task *task,
		       uint64_t task_start_ns)
{
	const struct snapshot_task *own = &entry->task;

	return own->cgroup_id == task->cgroup_id &&
	       own->process_start_ns == task->process_start_ns && own->pid == task->pid &&
	       own->tid == task->tid && entry->task_start_ns == task_start_ns &&
	       memcmp(own->process_comm, task->process_comm, COMM_LEN) == 0;
}

static void slots_insert(struct slot *slots, size_t n_slots, struct slot slot)
{
	size_t i = slot.hash & (n_slots - 1);

	while (slots[i].entry)
		i = (i + 1) & (n_slots - 1);
	slots[i] = slot;
}

static int slots_rehash(struct entries *entries, size_t n_slots)
{
	struct slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < entries->n_slots; i++) {
		if (entries->slots[i].entry)
			slots_insert(slots, n_slots, entries->slots[i]);
	}
	free(entries->slots);
	entries->slots = slots;
	entries->n_slots = n_slots;
	return 0;
}

static struct entry *look_up(const struct entries *entries, const struct snapshot_task *task,
			     uint64_t task_start_ns, uint64_t hash)
{
	size_t mask = entries->n_slots - 1;

	for (size_t i = hash & mask; entries->slots[i].entry; i = (i + 1) & mask) {
		const struct slot *slot = &entries->slots[i];

		if (slot->hash != hash)
			continue;
		__builtin_prefetch(&slot->entry->rows);
		if (task_equal(slot->entry, task, task_start_ns))
			return slot->entry;
	}
	return NULL;
}

static uint32_t *cgroup_entries(struct entries *entries, uint64_t cgroup_id)
{
	return &entries->cgroup_entries[hash_mix(entries->seed, cgroup_id) % CGROUP_COUNTS];
}

static int add_entry(struct entries *entries, const struct snapshot_task *task,
		     uint64_t task_start_ns, uint64_t hash, struct entry **ret)
{
	struct entry *entry;
	int r;

	if ((entries->n_entries + 1) * 4 > entries->n_slots * 3) {
		r = slots_rehash(entries, entries->n_slots * 2);
		if (r < 0)
			return r;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->task = *task;
	entry->task_start_ns = task_start_ns;
	slots_insert(entries->slots, entries->n_slots,
		     (struct slot){ .hash = hash, .entry = entry });
	entries->n_entries++;
	(*cgroup_entries(entries, task->cgroup_id))++;
	*ret = entry;
	return 0;
}

/* Of the tasks of @cgroup_id that are too many to tell apart. */
static void others_of(uint64_t cgroup_id, struct snapshot_task *ret)
{
	*ret = (struct snapshot_task){ .cgroup_id = cgroup_id, .process_comm = LEDGER_OTHERS };
}

static bool has_joined(const struct entries *entries, uint64_t hash)
{
	uint32_t ignored;

	for (int i = 0; i < JOINED_TICKS; i++) {
		if (map_find(&entries->joined[i], hash, &ignored))
			return true;
	}
	return false;
}

static int keep_joined(struct entries *entries, uint64_t hash)
{
	struct map *now = &entries->joined[entries->joined_now];
	uint32_t ignored;

	return map_find(now, hash, &ignored) ? 0 : map_add(now, hash, 0);
}

void entries_tick(struct entries *entries)
{
	entries->joined_now = (entries->joined_now + 1) % JOINED_TICKS;
	map_done(&entries->joined[entries->joined_now]);
	entries->joined[entries->joined_now] = (struct map){ 0 };
}

static bool is_full(struct entries *entries, uint64_t cgroup_id)
{
	return entries->n_entries >= ENTRIES_MAX ||
	       *cgroup_entries(entries, cgroup_id) >= CGROUP_ENTRIES_MAX;
}

static int join_others(struct entries *entries, uint64_t cgroup_id, struct entry **ret)
{
	struct snapshot_task others;
	uint64_t hash;

	others_of(cgroup_id, &others);
	hash = task_hash(entries->seed, &others, 0);
	*ret = look_up(entries, &others, 0, hash);
	return *ret ? 0 : add_entry(entries, &others, 0, hash, ret);
}

int entries_find(struct entries *entries, const struct snapshot_task *task, uint64_t task_start_ns,
		 bool live, struct entry **ret)
{
	uint64_t hash = task_hash(entries->seed, task, task_start_ns);
	struct entry *entry = look_up(entries, task, task_start_ns, hash);
	int r;

	if (entry) {
		memcpy(entry->task.comm, task->comm, COMM_LEN);
		*ret = entry;
		return 0;
	}
	if (!is_full(entries, task->cgroup_id) && !has_joined(entries, hash))
		return add_entry(entries, task, task_start_ns, hash, ret);
	r = live ? keep_joined(entries, hash) : 0;
	return r < 0 ? r : join_others(entries, task->cgroup_id, ret);
}

static int entry_grow(struct entry *entry)
{
	size_t size = entry->rows_size + (entry->rows_size / 8 & ~3u) + 4;
	struct row_detail *details;
	struct row_key *keys;
	struct row *rows;
	void *block;

	if (posix_memalign(&block, ROW_ALIGN,
			   size * (sizeof(*rows) + sizeof(*details) + sizeof(*keys))))
		return -ENOMEM;
	rows = block;
	details = (struct row_detail *)(rows + size);
	keys = (struct row_key *)(details + size);
	if (entry->n_rows) {
		memcpy(rows, entry->rows, entry->n_rows * sizeof(*rows));
		memcpy(details, entry->details, entry->n_rows * sizeof(*details));
		memcpy(keys, entry->keys, entry->n_rows * sizeof(*keys));
	}
	free(entry->rows);
	entry->rows = rows;
	entry->details = details;
	entry->keys = keys;
	entry->rows_size = (uint32_t)size;
	return 0;
}

static bool key_is(const struct row_key *key, uint32_t nr, uint32_t abi)
{
	return key->nr == nr && key->abi == abi;
}

static bool entry_has(const struct entry *entry, uint32_t nr, uint32_t abi, uint32_t *ret)
{
	for (uint32_t i = 0; i < entry->n_rows; i++) {
		if (key_is(&entry->keys[i], nr, abi)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

int entries_find_row(struct entries *entries, struct entry *entry, const struct cell *cell,
		     uint32_t guess, uint32_t *ret)
{
	uint32_t nr = cell->nr, abi = cell->abi;
	int r;

	if (guess < entry->n_rows && key_is(&entry->keys[guess], nr, abi)) {
		*ret = guess;
		return 0;
	}
	if (entry_has(entry, nr, abi, ret))
		return 0;
	if (nr >= CALL_NR_STRANGE) {
		if (entry_has(entry, CALL_NR_OTHERS, CALL_ABI_NATIVE, ret))
			return 0;
		if (entry->n_strange >= STRANGE_CALLS_MAX) {
			nr = CALL_NR_OTHERS;
			abi = CALL_ABI_NATIVE;
		}
		entry->n_strange++;
	}
	if (entry->n_rows == entry->rows_size) {
		r = entry_grow(entry);
		if (r < 0)
			return r;
	}
	*ret = entry->n_rows++;
	entry->keys[*ret] = (struct row_key){ .nr = nr, .abi = abi };
	entry->rows[*ret] = (struct row){ .slot = NO_SLOT };
	entry->details[*ret] = (struct row_detail){ 0 };
	entries->n_rows++;
	return 0;
}

void entries_drop_row(struct entries *entries, struct entry *entry, uint32_t i)
{
	uint32_t last = --entry->n_rows;

	if (entry->keys[i].nr >= CALL_NR_STRANGE)
		entry->n_strange--;
	row_done(&entry->details[i]);
	if (i != last) {
		entry->rows[i] = entry->rows[last];
		entry->details[i] = entry->details[last];
		entry->keys[i] = entry->keys[last];
	}
	entries->n_rows--;
}

static void fetch_ahead(const struct entries *entries, size_t s)
{
	const struct entry *far = s + 8 < entries->n_slots ? entries->slots[s + 8].entry : NULL;
	const struct entry *near = s + 4 < entries->n_slots ? entries->slots[s + 4].entry : NULL;

	if (far) {
		__builtin_prefetch(far);
		__builtin_prefetch(&far->rows);
	}
	if (near && near->n_rows) {
		__builtin_prefetch(near->rows, 1);
		__builtin_prefetch(near->details, 1);
	}
}

struct entry *entries_at(const struct entries *entries, size_t s)
{
	fetch_ahead(entries, s);
	return entries->slots[s].entry;
}

void entries_remove(struct entries *entries, size_t s)
{
	struct entry *entry = entries->slots[s].entry;

	(*cgroup_entries(entries, entry->task.cgroup_id))--;
	entry_free(entry);
	entries->slots[s].entry = NULL;
	entries->n_entries--;
}

int entries_close_up(struct entries *entries)
{
	size_t n_slots = entries->n_slots;

	while (n_slots > SLOTS_MIN && entries->n_entries * 8 < n_slots)
		n_slots /= 2;
	return slots_rehash(entries, n_slots);
}
