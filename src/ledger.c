/* SPDX-License-Identifier: BSD-2-Clause */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"

/* A deficit that is this many intervals old is no fold on its way but a lost one. */
#define DEFICIT_INTERVALS_MAX 3

#define SLOTS_MIN 256

/*
 * What strangers can make up without end, names, PIDs and call numbers, is kept apart up to here
 * and summed up beyond: sums stay exact, and memory bounded. Once something is summed up in a row,
 * all that is new joins it until the row is over: what a row showed live must not show in another.
 */
#define ENTRIES_MAX	   98304
#define CGROUP_ENTRIES_MAX 32768
#define STRANGE_CALLS_MAX  64
#define CALL_NR_STRANGE	   600 /* above all numbers in use */

/* Cgroups share a count where their hashes meet, which only lets the bound come sooner. */
#define CGROUP_COUNTS 1024

#define NO_SLOT	    UINT32_MAX
#define SLOT_FOLDED (UINT32_MAX - 1) /* reported, and no cell shows it any more */

/* Signed: folded − reported is negative while reported calls are still live. */
struct sums {
	int64_t count;
	int64_t errors;
	int64_t interrupted;
	int64_t denied;
	int64_t time_ns;
	int64_t bytes;
	/* 32 bits do: they hold one interval's calls and a few thousand live cells' */
	int32_t buckets[HIST_BUCKETS];
};

struct row_errno {
	uint16_t number;
	int32_t balance;
	int32_t live;
};

struct row {
	struct sums balance; /* folded − reported */
	uint64_t max_ns[2];
	uint32_t max_epoch[2];
	struct row_errno *errnos;
	uint16_t n_errnos;
	uint16_t idle_intervals;
	uint32_t slot; /* in this interval's snapshot, which has the live sums; or NO_SLOT */
};

struct row_key {
	uint32_t nr;
	uint32_t abi;
};

struct entry {
	struct snapshot_task task;
	uint64_t task_start_ns; /* by thread; else 0 */
	uint64_t hash;
	struct row_key *keys; /* beside rows, so that a search stays in few cache lines */
	struct row *rows;
	uint32_t n_rows;
	uint32_t rows_size;
	uint32_t n_strange; /* rows of numbers from CALL_NR_STRANGE on */
};

struct ledger {
	bool by_thread;
	uint64_t seed; /* names are strangers' choice: they must not choose the slots as well */
	uint32_t cgroup_entries[CGROUP_COUNTS];
	struct entry **slots; /* open addressing, linear; a power of two */
	size_t n_slots;
	size_t n_entries;
	size_t n_rows;
	/* Handed out by ledger_close(). */
	struct snapshot_row *snapshot_rows;
	size_t snapshot_rows_size;
	size_t n_slots_used;
	struct errno_delta *errnos;
	size_t errnos_size;
	uint64_t settled; /* calls reported, then lost with a fold: deficits of forgotten rows */
	uint64_t lost_reported;
};

int ledger_new(bool by_thread, struct ledger **ret)
{
	_cleanup_(freep) struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	ledger->slots = calloc(SLOTS_MIN, sizeof(*ledger->slots));
	if (!ledger->slots)
		return -ENOMEM;
	ledger->n_slots = SLOTS_MIN;
	ledger->by_thread = by_thread;
	if (getrandom(&ledger->seed, sizeof(ledger->seed), GRND_NONBLOCK) < 0)
		ledger->seed = (uintptr_t)ledger;
	*ret = TAKE_PTR(ledger);
	return 0;
}

static void entry_free(struct entry *entry)
{
	for (uint32_t i = 0; i < entry->n_rows; i++)
		free(entry->rows[i].errnos);
	free(entry->keys);
	free(entry->rows);
	free(entry);
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	for (size_t i = 0; i < ledger->n_slots; i++) {
		if (ledger->slots[i])
			entry_free(ledger->slots[i]);
	}
	free(ledger->slots);
	free(ledger->snapshot_rows);
	free(ledger->errnos);
	free(ledger);
}

size_t ledger_rows(const struct ledger *ledger)
{
	return ledger->n_rows;
}

/* What follows the NUL may be left over from an earlier name. */
static void copy_comm(char ret[static COMM_LEN], const char comm[static COMM_LEN])
{
	size_t n = strnlen(comm, COMM_LEN - 1);

	memcpy(ret, comm, n);
	memset(ret + n, 0, COMM_LEN - n);
}

void ledger_task_of(const struct batch *batch, bool by_thread, struct snapshot_task *ret)
{
	*ret = (struct snapshot_task){
		.cgroup_id = batch->cgroup_id,
		.process_start_ns = batch->process_start_ns,
		.pid = batch->tgid,
		.vpid = batch->vpid,
		.tid = by_thread ? batch->tid : 0,
	};
	copy_comm(ret->process_comm, batch->process_comm);
	if (by_thread)
		copy_comm(ret->comm, batch->comm);
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

static void slots_insert(struct entry **slots, size_t n_slots, struct entry *entry)
{
	size_t i = entry->hash & (n_slots - 1);

	while (slots[i])
		i = (i + 1) & (n_slots - 1);
	slots[i] = entry;
}

static int slots_rehash(struct ledger *ledger, size_t n_slots)
{
	struct entry **slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < ledger->n_slots; i++) {
		if (ledger->slots[i])
			slots_insert(slots, n_slots, ledger->slots[i]);
	}
	free(ledger->slots);
	ledger->slots = slots;
	ledger->n_slots = n_slots;
	return 0;
}

static struct entry *look_up(const struct ledger *ledger, const struct snapshot_task *task,
			     uint64_t task_start_ns, uint64_t hash)
{
	size_t mask = ledger->n_slots - 1;

	for (size_t i = hash & mask; ledger->slots[i]; i = (i + 1) & mask) {
		struct entry *entry = ledger->slots[i];

		if (entry->hash == hash && task_equal(entry, task, task_start_ns))
			return entry;
	}
	return NULL;
}

static uint32_t *cgroup_entries(struct ledger *ledger, uint64_t cgroup_id)
{
	return &ledger->cgroup_entries[hash_mix(ledger->seed, cgroup_id) % CGROUP_COUNTS];
}

static int add_entry(struct ledger *ledger, const struct snapshot_task *task,
		     uint64_t task_start_ns, uint64_t hash, struct entry **ret)
{
	struct entry *entry;
	int r;

	if ((ledger->n_entries + 1) * 4 > ledger->n_slots * 3) {
		r = slots_rehash(ledger, ledger->n_slots * 2);
		if (r < 0)
			return r;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->task = *task;
	entry->task_start_ns = task_start_ns;
	entry->hash = hash;
	slots_insert(ledger->slots, ledger->n_slots, entry);
	ledger->n_entries++;
	(*cgroup_entries(ledger, task->cgroup_id))++;
	*ret = entry;
	return 0;
}

/* Of the tasks of @cgroup_id that are too many to tell apart. */
static void others_of(uint64_t cgroup_id, struct snapshot_task *ret)
{
	*ret = (struct snapshot_task){ .cgroup_id = cgroup_id, .process_comm = LEDGER_OTHERS };
}

static int find_entry(struct ledger *ledger, const struct batch *batch, struct entry **ret)
{
	uint64_t task_start_ns = ledger->by_thread ? batch->task_start_ns : 0;
	struct snapshot_task task, others;
	struct entry *entry;
	uint64_t hash, others_hash;

	ledger_task_of(batch, ledger->by_thread, &task);
	hash = task_hash(ledger->seed, &task, task_start_ns);
	entry = look_up(ledger, &task, task_start_ns, hash);
	if (entry) {
		memcpy(entry->task.comm, task.comm, COMM_LEN);
		*ret = entry;
		return 0;
	}

	others_of(task.cgroup_id, &others);
	others_hash = task_hash(ledger->seed, &others, 0);
	entry = look_up(ledger, &others, 0, others_hash);
	if (entry) {
		*ret = entry;
		return 0;
	}
	if (ledger->n_entries >= ENTRIES_MAX ||
	    *cgroup_entries(ledger, task.cgroup_id) >= CGROUP_ENTRIES_MAX)
		return add_entry(ledger, &others, 0, others_hash, ret);
	return add_entry(ledger, &task, task_start_ns, hash, ret);
}

static int entry_grow(struct entry *entry)
{
	uint32_t size = entry->rows_size + entry->rows_size / 2 + 4;
	struct row_key *keys = realloc(entry->keys, size * sizeof(*keys));
	struct row *rows;

	if (!keys)
		return -ENOMEM;
	entry->keys = keys;
	rows = realloc(entry->rows, size * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	entry->rows = rows;
	entry->rows_size = size;
	return 0;
}

static bool entry_has(const struct entry *entry, uint32_t nr, uint32_t abi, uint32_t *ret)
{
	for (uint32_t i = 0; i < entry->n_rows; i++) {
		if (entry->keys[i].nr == nr && entry->keys[i].abi == abi) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static int find_row(struct ledger *ledger, struct entry *entry, const struct cell *cell,
		    uint32_t *ret)
{
	uint32_t nr = cell->nr, abi = cell->abi;
	int r;

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
	ledger->n_rows++;
	return 0;
}

/* Most cells of a short interval hold a few calls in one or two buckets: skip the empty ones. */
#define ADD_BUCKETS(ret, cell)                                                                     \
	do {                                                                                       \
		for (int word_ = 0; word_ < HIST_BUCKETS; word_ += 4) {                            \
			uint64_t four_;                                                            \
                                                                                                   \
			memcpy(&four_, &(cell)->buckets[word_], sizeof(four_));                    \
			if (!four_)                                                                \
				continue;                                                          \
			for (int i_ = word_; i_ < word_ + 4; i_++)                                 \
				(ret)[i_] += (cell)->buckets[i_];                                  \
		}                                                                                  \
	} while (0)

static void sums_add_cell(struct sums *sums, const struct cell *cell)
{
	sums->count += cell->count;
	sums->errors += cell->errors;
	sums->interrupted += cell->interrupted;
	sums->denied += cell->denied;
	sums->time_ns += (int64_t)cell->time_ns;
	sums->bytes += (int64_t)cell->bytes;
	ADD_BUCKETS(sums->buckets, cell);
}

static void stats_add_cell(struct call_stats *stats, const struct cell *cell)
{
	stats->count += cell->count;
	stats->errors += cell->errors;
	stats->interrupted += cell->interrupted;
	stats->denied += cell->denied;
	stats->time_ns += cell->time_ns;
	stats->bytes += cell->bytes;
	ADD_BUCKETS(stats->buckets, cell);
}

/* The row's place in this interval's snapshot, where its live sums add up. */
static int row_take_slot(struct ledger *ledger, const struct entry *entry, uint32_t i)
{
	if (ledger->n_slots_used == ledger->snapshot_rows_size) {
		size_t size = ledger->snapshot_rows_size + ledger->snapshot_rows_size / 2 + 64;
		struct snapshot_row *rows = realloc(ledger->snapshot_rows, size * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		ledger->snapshot_rows = rows;
		ledger->snapshot_rows_size = size;
	}
	ledger->snapshot_rows[ledger->n_slots_used] = (struct snapshot_row){
		.task = &entry->task,
		.nr = entry->keys[i].nr,
		.abi = entry->keys[i].abi,
	};
	entry->rows[i].slot = (uint32_t)ledger->n_slots_used++;
	return 0;
}

static int row_find_errno(struct row *row, uint16_t number, struct row_errno **ret)
{
	struct row_errno *errnos;

	for (uint32_t i = 0; i < row->n_errnos; i++) {
		if (row->errnos[i].number == number) {
			*ret = &row->errnos[i];
			return 0;
		}
	}
	errnos = realloc(row->errnos, (row->n_errnos + 1) * sizeof(*errnos));
	if (!errnos)
		return -ENOMEM;
	row->errnos = errnos;
	*ret = &errnos[row->n_errnos++];
	**ret = (struct row_errno){ .number = number };
	return 0;
}

static int row_add_errnos(struct row *row, const struct cell *cell, bool live)
{
	for (int i = 0; i < CELL_ERRNOS && cell->errnos[i].number; i++) {
		struct row_errno *row_errno;
		int r;

		r = row_find_errno(row, cell->errnos[i].number, &row_errno);
		if (r < 0)
			return r;
		if (live)
			row_errno->live += cell->errnos[i].count;
		else
			row_errno->balance += cell->errnos[i].count;
	}
	return 0;
}

static void row_add_max(struct row *row, const struct cell *cell)
{
	for (int i = 0; i < 2; i++) {
		uint32_t epoch = cell->max_epoch[i];

		if (epoch > row->max_epoch[i]) {
			row->max_epoch[i] = epoch;
			row->max_ns[i] = cell->max_ns[i];
		} else if (epoch && epoch == row->max_epoch[i] &&
			   cell->max_ns[i] > row->max_ns[i]) {
			row->max_ns[i] = cell->max_ns[i];
		}
	}
}

static int ledger_add(struct ledger *ledger, const struct batch *batch, uint32_t n_cells, bool live)
{
	struct entry *entry;
	int r;

	if (n_cells == 0)
		return 0;
	if (n_cells > CELLS_MAX)
		return -EINVAL;
	r = find_entry(ledger, batch, &entry);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n_cells; i++) {
		const struct cell *cell = &batch->cells[i];
		struct row *row;
		uint32_t index;

		r = find_row(ledger, entry, cell, &index);
		if (r < 0)
			return r;
		row = &entry->rows[index];
		if (!live) {
			sums_add_cell(&row->balance, cell);
		} else {
			if (row->slot == NO_SLOT)
				r = row_take_slot(ledger, entry, index);
			if (r < 0)
				return r;
			stats_add_cell(&ledger->snapshot_rows[row->slot].stats, cell);
		}
		r = row_add_errnos(row, cell, live);
		if (r < 0)
			return r;
		row_add_max(row, cell);
	}
	return 0;
}

int ledger_fold(struct ledger *ledger, const struct batch *batch)
{
	return ledger_add(ledger, batch, batch->n_cells, false);
}

int ledger_live(struct ledger *ledger, const struct batch *batch, uint32_t n_cells)
{
	return ledger_add(ledger, batch, n_cells, true);
}

/*
 * What @balance and @live come to, as far as it is new, but @most; @balance has it reported
 * afterwards. A sum of cells is unsigned, and far from the sign bit.
 */
static uint64_t take64(int64_t *balance, uint64_t live, uint64_t most)
{
	int64_t delta = *balance + (int64_t)live;

	if (delta <= 0)
		return 0;
	if ((uint64_t)delta > most)
		delta = (int64_t)most;
	*balance -= delta;
	return (uint64_t)delta;
}

static uint32_t take32(int32_t *balance, uint32_t live, uint64_t most)
{
	int32_t delta = *balance + (int32_t)live;

	if (delta <= 0)
		return 0;
	if ((uint32_t)delta > most)
		delta = (int32_t)most;
	*balance -= delta;
	return (uint32_t)delta;
}

/*
 * The maximum of the calls counted in the interval of @epoch. Calls that end between the change
 * of epoch and the reading of their cell are counted already and carry the next epoch, so both
 * are looked at; the histogram then says which of the two it can have been.
 */
static uint64_t row_max(const struct row *row, uint32_t epoch, const struct call_stats *stats)
{
	uint64_t timed = 0, max_ns = 0, low_ns, high_ns;
	int top = -1;

	for (int i = 0; i < HIST_BUCKETS; i++) {
		timed += stats->buckets[i];
		if (stats->buckets[i])
			top = i;
	}
	if (timed == 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		if (row->max_epoch[i] >= epoch && row->max_ns[i] > max_ns)
			max_ns = row->max_ns[i];
	}
	low_ns = top == 0 ? 0 : (uint64_t)HIST_FIRST_END_NS << (top - 1);
	high_ns = top == HIST_BUCKETS - 1 ? UINT64_MAX : ((uint64_t)HIST_FIRST_END_NS << top) - 1;
	if (low_ns < stats->time_ns / timed)
		low_ns = stats->time_ns / timed;
	if (max_ns > high_ns)
		max_ns = high_ns;
	return max_ns < low_ns ? low_ns : max_ns;
}

/* Whether there are calls to report: @live are those that its cells show. */
static bool row_has_news(const struct row *row, const struct call_stats *live)
{
	return row->balance.count + (int64_t)live->count > 0 ||
	       row->balance.denied + (int64_t)live->denied > 0;
}

/*
 * Turns the live sums in @stats into the row's difference. A cell is read while its owner writes,
 * the count last: an error that is ahead of its call waits for it.
 */
static void row_take(struct row *row, uint32_t epoch, struct call_stats *stats)
{
	struct sums *balance = &row->balance;

	stats->count = take64(&balance->count, stats->count, UINT64_MAX);
	stats->errors = take64(&balance->errors, stats->errors, stats->count);
	stats->interrupted =
		take64(&balance->interrupted, stats->interrupted, stats->count - stats->errors);
	stats->denied = take64(&balance->denied, stats->denied, UINT64_MAX);
	stats->time_ns = take64(&balance->time_ns, stats->time_ns, UINT64_MAX);
	stats->bytes = take64(&balance->bytes, stats->bytes, UINT64_MAX);
	for (int i = 0; i < HIST_BUCKETS; i++)
		stats->buckets[i] = take32(&balance->buckets[i], stats->buckets[i], UINT32_MAX);
	stats->max_ns = row_max(row, epoch, stats);
}

/* How many calls were reported while live and are neither live nor folded any more. */
static uint64_t row_deficit(const struct row *row, const struct call_stats *live)
{
	int64_t count = row->balance.count + (live ? (int64_t)live->count : 0);
	int64_t denied = row->balance.denied + (live ? (int64_t)live->denied : 0);

	return (uint64_t)(count < 0 ? -count : 0) + (uint64_t)(denied < 0 ? -denied : 0);
}

static bool sums_are_zero(const struct sums *sums)
{
	static const struct sums zero;

	return memcmp(sums, &zero, sizeof(zero)) == 0;
}

/*
 * Whether nothing more can come of it. A deficit that stays is a fold that was lost, if as much
 * was:
 * @lost is what no other deficit has explained. Else the message is only held up.
 */
static bool row_is_over(struct row *row, uint64_t lost)
{
	if (row->slot != NO_SLOT && row->slot != SLOT_FOLDED) {
		row->idle_intervals = 0;
		return false;
	}
	if (sums_are_zero(&row->balance))
		return true;
	if (row->idle_intervals < DEFICIT_INTERVALS_MAX) {
		row->idle_intervals++;
		return false;
	}
	return row_deficit(row, NULL) <= lost;
}

static void entry_drop_row(struct entry *entry, uint32_t i)
{
	uint32_t last = --entry->n_rows;

	if (entry->keys[i].nr >= CALL_NR_STRANGE)
		entry->n_strange--;
	free(entry->rows[i].errnos);
	if (i != last) {
		entry->rows[i] = entry->rows[last];
		entry->keys[i] = entry->keys[last];
	}
}

static int take_errnos(struct ledger *ledger, struct row *row, uint64_t n_errors, size_t *n_errnos,
		       uint32_t *ret_n)
{
	*ret_n = 0;
	for (uint32_t i = 0; i < row->n_errnos; i++) {
		struct row_errno *row_errno = &row->errnos[i];
		uint32_t delta = take32(&row_errno->balance, (uint32_t)row_errno->live, n_errors);

		n_errors -= delta;
		row_errno->live = 0;
		if (!delta)
			continue;
		if (*n_errnos == ledger->errnos_size) {
			size_t size = ledger->errnos_size ? ledger->errnos_size * 2 : 256;
			struct errno_delta *errnos;

			errnos = realloc(ledger->errnos, size * sizeof(*errnos));
			if (!errnos)
				return -ENOMEM;
			ledger->errnos = errnos;
			ledger->errnos_size = size;
		}
		ledger->errnos[(*n_errnos)++] =
			(struct errno_delta){ .number = row_errno->number, .count = delta };
		(*ret_n)++;
	}
	return 0;
}

/*
 * A row that has nothing to report gives its place in the snapshot back (no task).
 */
static int entry_close(struct ledger *ledger, struct entry *entry, uint32_t epoch, size_t *n_errnos,
		       uint64_t *deficit)
{
	static const struct call_stats nothing;

	for (uint32_t i = 0; i < entry->n_rows; i++) {
		struct row *row = &entry->rows[i];
		bool live = row->slot != NO_SLOT;
		const struct call_stats *shown =
			live ? &ledger->snapshot_rows[row->slot].stats : &nothing;
		struct snapshot_row *out;
		int r = 0;

		*deficit += row_deficit(row, shown);
		if (!row_has_news(row, shown)) {
			if (live)
				ledger->snapshot_rows[row->slot].task = NULL;
			for (uint32_t k = 0; k < row->n_errnos; k++)
				row->errnos[k].live = 0;
			continue;
		}
		if (!live)
			r = row_take_slot(ledger, entry, i);
		if (r < 0)
			return r;
		out = &ledger->snapshot_rows[row->slot];
		row_take(row, epoch, &out->stats);
		out->first_errno = (uint32_t)*n_errnos;
		r = take_errnos(ledger, row, out->stats.errors, n_errnos, &out->n_errnos);
		if (r < 0)
			return r;
		if (!live)
			row->slot = SLOT_FOLDED;
	}
	return 0;
}

/*
 * Forgets rows, and entries without any. An entry that was reported in this interval stays for
 * another: the snapshot points to it.
 */
static int forget(struct ledger *ledger, uint64_t ring_lost)
{
	size_t n_slots = ledger->n_slots;
	bool removed = false;

	for (size_t s = 0; s < ledger->n_slots; s++) {
		struct entry *entry = ledger->slots[s];

		if (!entry)
			continue;
		if (entry->n_rows == 0) {
			(*cgroup_entries(ledger, entry->task.cgroup_id))--;
			entry_free(entry);
			ledger->slots[s] = NULL;
			ledger->n_entries--;
			removed = true;
			continue;
		}
		for (uint32_t i = entry->n_rows; i-- > 0;) {
			struct row *row = &entry->rows[i];

			if (row_is_over(row, ring_lost - ledger->settled)) {
				ledger->settled += row_deficit(row, NULL);
				entry_drop_row(entry, i);
				ledger->n_rows--;
			} else {
				row->slot = NO_SLOT;
			}
		}
	}
	if (!removed)
		return 0;

	/* Linear probing bears no holes. */
	while (n_slots > SLOTS_MIN && ledger->n_entries * 8 < n_slots)
		n_slots /= 2;
	return slots_rehash(ledger, n_slots);
}

/*
 * Closes up the places given back, and lets the rows point into the array of errnos, which has its
 * final place only then. Errnos lie in the order in which entries were closed, places in the
 * order in which rows were first seen: n_errnos and the first one are kept in each.
 */
static size_t snapshot_compact(struct ledger *ledger)
{
	size_t n = 0;

	for (size_t i = 0; i < ledger->n_slots_used; i++) {
		struct snapshot_row *row = &ledger->snapshot_rows[i];

		if (!row->task)
			continue;
		row->errnos = ledger->errnos ? ledger->errnos + row->first_errno : NULL;
		if (n != i)
			ledger->snapshot_rows[n] = *row;
		n++;
	}
	return n;
}

int ledger_close(struct ledger *ledger, uint32_t epoch, uint64_t ring_lost, struct snapshot *ret)
{
	size_t n_errnos = 0;
	uint64_t deficit = 0, lost;
	int r;

	for (size_t s = 0; s < ledger->n_slots; s++) {
		if (!ledger->slots[s])
			continue;
		r = entry_close(ledger, ledger->slots[s], epoch, &n_errnos, &deficit);
		if (r < 0)
			return r;
	}
	ret->n_rows = (uint32_t)snapshot_compact(ledger);
	ret->rows = ledger->snapshot_rows;

	lost = ring_lost > ledger->settled + deficit ? ring_lost - ledger->settled - deficit : 0;
	if (lost > ledger->lost_reported) {
		ret->lost[LOSS_RING_FULL] += lost - ledger->lost_reported;
		ledger->lost_reported = lost;
	}
	ledger->n_slots_used = 0;
	return forget(ledger, ring_lost);
}
