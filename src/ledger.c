/* SPDX-License-Identifier: BSD-2-Clause */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"

/*
 * A deficit that is this many ticks old is no fold on its way but a lost one. A tick is an
 * interval, but no less than this: a fold in the ring also waits for the one before it, whose
 * writer may be waiting for its CPU.
 */
#define DEFICIT_TICKS_MAX 3
#define TICK_NS		  500000000ull

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

/* A group of buckets is one 64-bit word of a cell, and one bit of a row. */
#define GROUP_BUCKETS 4
#define GROUPS	      (HIST_BUCKETS / GROUP_BUCKETS)
_Static_assert(HIST_BUCKETS % GROUP_BUCKETS == 0, "buckets are looked at by groups");

/* A bucket's balance is kept in 32 bits up to here: a cell adds no more than 16. */
#define BUCKET_MAX (1 << 30)

#define ROW_ALIGN 64

/*
 * Balances are folded − reported, and negative while reported calls are still live.
 *
 * A row takes four cache lines, and most cells touch two of them: all of struct row, and of its
 * details what comes before the buckets of slower calls. At tens of thousands of rows that is most
 * of the time that a cell takes.
 */
struct row {
	int64_t count;
	int64_t errors;
	int64_t time_ns;
	int64_t bytes;
	uint64_t max_ns[2];
	uint32_t max_epoch[2];
	uint32_t slot;	/* in this interval's snapshot, which has the live sums; or NO_SLOT */
	uint8_t groups; /* those of which some bucket, here or live, may not be 0 */
	uint8_t idle_ticks;
};
_Static_assert(sizeof(struct row) == ROW_ALIGN, "a row is a cache line");

struct row_errno {
	int64_t balance;
	uint64_t live;
	uint16_t number; /* 0: none */
};

/* What few rows have. */
struct row_rare {
	int64_t interrupted;
	int64_t denied;
	uint64_t max_ahead_ns;	  /* seen in the interval before, when its call was not yet */
	int64_t *high;		  /* of each bucket what its 32 bits could not hold; or NULL */
	struct row_errno *errnos; /* but for the first */
	uint32_t n_errnos;
};

struct row_detail {
	struct row_errno first_errno;
	struct row_rare *rare; /* or NULL */
	int32_t buckets[HIST_BUCKETS];
};
_Static_assert(sizeof(struct row_detail) == 2 * ROW_ALIGN, "details are two cache lines");

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

struct ledger {
	bool by_thread;
	uint64_t seed; /* names are strangers' choice: they must not choose the slots as well */
	uint32_t cgroup_entries[CGROUP_COUNTS];
	struct slot *slots; /* open addressing, linear; a power of two */
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
	uint64_t tick_ns; /* since the latest tick */
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

static void rare_free(struct row_rare *rare)
{
	if (!rare)
		return;
	free(rare->high);
	free(rare->errnos);
	free(rare);
}

static void entry_free(struct entry *entry)
{
	for (uint32_t i = 0; i < entry->n_rows; i++)
		rare_free(entry->details[i].rare);
	free(entry->rows);
	free(entry);
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	for (size_t i = 0; i < ledger->n_slots; i++) {
		if (ledger->slots[i].entry)
			entry_free(ledger->slots[i].entry);
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
	/* A process's name is its main thread's; a batch is sent when that may have another
	 * already. */
	if (by_thread)
		copy_comm(ret->comm, batch->tid == batch->tgid ? batch->process_comm : batch->comm);
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

static int slots_rehash(struct ledger *ledger, size_t n_slots)
{
	struct slot *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < ledger->n_slots; i++) {
		if (ledger->slots[i].entry)
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

	for (size_t i = hash & mask; ledger->slots[i].entry; i = (i + 1) & mask) {
		const struct slot *slot = &ledger->slots[i];

		if (slot->hash != hash)
			continue;
		__builtin_prefetch(&slot->entry->rows);
		if (task_equal(slot->entry, task, task_start_ns))
			return slot->entry;
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
	slots_insert(ledger->slots, ledger->n_slots, (struct slot){ .hash = hash, .entry = entry });
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

/* @guess: what a task calls in a row it mostly called in that row before. */
static int find_row(struct ledger *ledger, struct entry *entry, const struct cell *cell,
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
	ledger->n_rows++;
	return 0;
}

static int detail_rare(struct row_detail *detail, struct row_rare **ret)
{
	if (!detail->rare)
		detail->rare = calloc(1, sizeof(*detail->rare));
	*ret = detail->rare;
	return detail->rare ? 0 : -ENOMEM;
}

static int64_t bucket_balance(const struct row_detail *detail, int i)
{
	int64_t high = detail->rare && detail->rare->high ? detail->rare->high[i] : 0;

	return high + detail->buckets[i];
}

/* Keeps in the 32 bits of a bucket what fits there, and the rest apart. */
static int bucket_set(struct row_detail *detail, int i, int64_t balance)
{
	bool fits = balance >= -BUCKET_MAX && balance <= BUCKET_MAX;
	struct row_rare *rare;
	int r;

	if (!fits || (detail->rare && detail->rare->high)) {
		r = detail_rare(detail, &rare);
		if (r < 0)
			return r;
		if (!rare->high)
			rare->high = calloc(HIST_BUCKETS, sizeof(*rare->high));
		if (!rare->high)
			return -ENOMEM;
		rare->high[i] = fits ? 0 : balance;
	}
	detail->buckets[i] = fits ? (int32_t)balance : 0;
	return 0;
}

/* Most cells of a short interval hold a few calls in one or two buckets. */
static bool cell_has_group(const struct cell *cell, int group)
{
	uint64_t word;

	_Static_assert(sizeof(word) == GROUP_BUCKETS * sizeof(cell->buckets[0]), "a word each");
	memcpy(&word, &cell->buckets[group * GROUP_BUCKETS], sizeof(word));
	return word != 0;
}

static int row_add_buckets(struct row *row, struct row_detail *detail, const struct cell *cell)
{
	for (int group = 0; group < GROUPS; group++) {
		if (!cell_has_group(cell, group))
			continue;
		row->groups |= (uint8_t)(1 << group);
		for (int i = group * GROUP_BUCKETS; i < (group + 1) * GROUP_BUCKETS; i++) {
			int32_t balance = detail->buckets[i] + cell->buckets[i];
			int r;

			detail->buckets[i] = balance;
			if (balance <= BUCKET_MAX)
				continue;
			r = bucket_set(detail, i, bucket_balance(detail, i));
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int row_add_folded(struct row *row, struct row_detail *detail, const struct cell *cell)
{
	struct row_rare *rare;
	int r;

	row->count += cell->count;
	row->errors += cell->errors;
	row->time_ns += (int64_t)cell->time_ns;
	row->bytes += (int64_t)cell->bytes;
	if (cell->interrupted || cell->denied) {
		r = detail_rare(detail, &rare);
		if (r < 0)
			return r;
		rare->interrupted += cell->interrupted;
		rare->denied += cell->denied;
	}
	return row_add_buckets(row, detail, cell);
}

static void row_add_live(struct row *row, struct call_stats *stats, const struct cell *cell)
{
	stats->count += cell->count;
	stats->errors += cell->errors;
	stats->interrupted += cell->interrupted;
	stats->denied += cell->denied;
	stats->time_ns += cell->time_ns;
	stats->bytes += cell->bytes;
	for (int group = 0; group < GROUPS; group++) {
		if (!cell_has_group(cell, group))
			continue;
		row->groups |= (uint8_t)(1 << group);
		for (int i = group * GROUP_BUCKETS; i < (group + 1) * GROUP_BUCKETS; i++)
			stats->buckets[i] += cell->buckets[i];
	}
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

/* The @i-th errno of a row, the first of which is at hand; NULL if there are no more. */
static struct row_errno *detail_errno(struct row_detail *detail, uint32_t i)
{
	if (i == 0)
		return detail->first_errno.number ? &detail->first_errno : NULL;
	return detail->rare && i <= detail->rare->n_errnos ? &detail->rare->errnos[i - 1] : NULL;
}

static int detail_find_errno(struct row_detail *detail, uint16_t number, struct row_errno **ret)
{
	struct row_errno *row_errno, *errnos;
	struct row_rare *rare;
	int r;

	for (uint32_t i = 0; (row_errno = detail_errno(detail, i)); i++) {
		if (row_errno->number == number) {
			*ret = row_errno;
			return 0;
		}
	}
	if (!detail->first_errno.number) {
		*ret = &detail->first_errno;
	} else {
		r = detail_rare(detail, &rare);
		if (r < 0)
			return r;
		errnos = reallocarray(rare->errnos, rare->n_errnos + 1, sizeof(*errnos));
		if (!errnos)
			return -ENOMEM;
		rare->errnos = errnos;
		*ret = &errnos[rare->n_errnos++];
	}
	**ret = (struct row_errno){ .number = number };
	return 0;
}

static int detail_add_errnos(struct row_detail *detail, const struct cell *cell, bool live)
{
	for (int i = 0; i < CELL_ERRNOS && cell->errnos[i].number; i++) {
		struct row_errno *row_errno;
		int r;

		r = detail_find_errno(detail, cell->errnos[i].number, &row_errno);
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

static int add_cell(struct ledger *ledger, struct entry *entry, uint32_t index,
		    const struct cell *cell, bool live)
{
	struct row_detail *detail = &entry->details[index];
	struct row *row = &entry->rows[index];
	int r;

	if (live) {
		if (row->slot == NO_SLOT) {
			r = row_take_slot(ledger, entry, index);
			if (r < 0)
				return r;
		}
		row_add_live(row, &ledger->snapshot_rows[row->slot].stats, cell);
	} else {
		r = row_add_folded(row, detail, cell);
		if (r < 0)
			return r;
	}
	row_add_max(row, cell);
	return detail_add_errnos(detail, cell, live);
}

/* Rows are looked up before any of them is touched: so their cache misses come all at once. */
static int ledger_add(struct ledger *ledger, const struct batch *batch, uint32_t n_cells, bool live)
{
	uint32_t indices[CELLS_MAX];
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
		r = find_row(ledger, entry, &batch->cells[i], entry->next_row, &indices[i]);
		if (r < 0)
			return r;
		entry->next_row = indices[i] + 1 < entry->n_rows ? indices[i] + 1 : 0;
		__builtin_prefetch(&entry->rows[indices[i]], 1);
		__builtin_prefetch(&entry->details[indices[i]], 1);
	}
	for (uint32_t i = 0; i < n_cells; i++) {
		r = add_cell(ledger, entry, indices[i], &batch->cells[i], live);
		if (r < 0)
			return r;
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

/* Of calls that ended in @epoch or later. */
static uint64_t row_max_since(const struct row *row, uint32_t epoch)
{
	uint64_t max_ns = 0;

	for (int i = 0; i < 2; i++) {
		if (row->max_epoch[i] >= epoch && row->max_ns[i] > max_ns)
			max_ns = row->max_ns[i];
	}
	return max_ns;
}

/* Without memory for it the histogram has to do. */
static void detail_keep_ahead(struct row_detail *detail, uint64_t max_ns)
{
	struct row_rare *rare;

	if (!detail->rare && max_ns == 0)
		return;
	if (detail_rare(detail, &rare) == 0)
		rare->max_ahead_ns = max_ns;
}

/*
 * The maximum of the calls counted in the interval of @epoch. Calls that end between the change
 * of epoch and the reading of their cell are counted already and carry the next epoch, so both
 * are looked at; the histogram then says which of the two it can have been. A call whose cell was
 * read while it was written may be counted in the interval behind its epoch: its maximum is that of
 * the epoch before, or was ahead of it.
 */
static uint64_t row_max(const struct row *row, struct row_detail *detail, uint32_t epoch,
			const struct call_stats *stats)
{
	uint64_t late_ns = detail->rare ? detail->rare->max_ahead_ns : 0;
	uint64_t timed = 0, max_ns = row_max_since(row, epoch), low_ns, high_ns;
	int top = -1;

	for (int i = 0; i < HIST_BUCKETS; i++) {
		if (!stats->buckets[i])
			continue;
		timed += stats->buckets[i];
		top = i;
	}
	for (int i = 0; i < 2; i++) {
		if (row->max_epoch[i] + 1 == epoch && row->max_ns[i] > late_ns)
			late_ns = row->max_ns[i];
	}
	if (timed == 0) {
		detail_keep_ahead(detail, max_ns);
		return 0;
	}
	low_ns = top == 0 ? 0 : (uint64_t)HIST_FIRST_END_NS << (top - 1);
	high_ns = top == HIST_BUCKETS - 1 ? UINT64_MAX : ((uint64_t)HIST_FIRST_END_NS << top) - 1;
	detail_keep_ahead(detail, max_ns > high_ns ? max_ns : 0);
	if (max_ns < low_ns)
		max_ns = late_ns;
	if (low_ns < stats->time_ns / timed)
		low_ns = stats->time_ns / timed;
	if (max_ns > high_ns)
		max_ns = high_ns;
	return max_ns < low_ns ? low_ns : max_ns;
}

static int64_t denied_balance(const struct row_detail *detail)
{
	return detail->rare ? detail->rare->denied : 0;
}

/* Whether there are calls to report: @live are those that its cells show. */
static bool row_has_news(const struct row *row, const struct row_detail *detail,
			 const struct call_stats *live)
{
	return row->count + (int64_t)live->count > 0 ||
	       denied_balance(detail) + (int64_t)live->denied > 0;
}

/* Of calls that few rows have: @live becomes the difference. */
static int take_rare(struct row_detail *detail, uint64_t n_returned, struct call_stats *live)
{
	struct row_rare *rare = detail->rare;
	int r;

	if (!rare && (live->interrupted || live->denied)) {
		r = detail_rare(detail, &rare);
		if (r < 0)
			return r;
	}
	if (!rare)
		return 0;
	live->interrupted = take64(&rare->interrupted, live->interrupted, n_returned);
	live->denied = take64(&rare->denied, live->denied, UINT64_MAX);
	return 0;
}

static int take_buckets(struct row *row, struct row_detail *detail, struct call_stats *live)
{
	uint8_t groups = row->groups;

	row->groups = 0;
	for (int i = 0; i < HIST_BUCKETS; i++) {
		uint8_t bit = (uint8_t)(1 << (i / GROUP_BUCKETS));
		int64_t balance;
		int r;

		if (!(groups & bit))
			continue;
		balance = bucket_balance(detail, i);
		live->buckets[i] = take64(&balance, live->buckets[i], UINT64_MAX);
		if (balance)
			row->groups |= bit;
		r = bucket_set(detail, i, balance);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Turns the live sums in @stats into the row's difference. A cell is read while its owner writes,
 * the count last: an error that is ahead of its call waits for it.
 */
static int row_take(struct row *row, struct row_detail *detail, uint32_t epoch,
		    struct call_stats *stats)
{
	int r;

	stats->count = take64(&row->count, stats->count, UINT64_MAX);
	stats->errors = take64(&row->errors, stats->errors, stats->count);
	stats->time_ns = take64(&row->time_ns, stats->time_ns, UINT64_MAX);
	stats->bytes = take64(&row->bytes, stats->bytes, UINT64_MAX);
	r = take_rare(detail, stats->count - stats->errors, stats);
	if (r == 0)
		r = take_buckets(row, detail, stats);
	if (r == 0)
		stats->max_ns = row_max(row, detail, epoch, stats);
	return r;
}

/* How many calls were reported while live and are neither live nor folded any more. */
static uint64_t row_deficit(const struct row *row, const struct row_detail *detail,
			    const struct call_stats *live)
{
	int64_t count = row->count + (live ? (int64_t)live->count : 0);
	int64_t denied = denied_balance(detail) + (live ? (int64_t)live->denied : 0);

	return (uint64_t)(count < 0 ? -count : 0) + (uint64_t)(denied < 0 ? -denied : 0);
}

static bool row_is_balanced(const struct row *row, const struct row_detail *detail)
{
	if (row->count || row->errors || row->time_ns || row->bytes)
		return false;
	if (detail->rare && (detail->rare->interrupted || detail->rare->denied))
		return false;
	for (int i = 0; row->groups && i < HIST_BUCKETS; i++) {
		if (bucket_balance(detail, i))
			return false;
	}
	return true;
}

/*
 * Whether nothing more can come of it. A deficit that stays is a fold that was lost, if as much
 * was: @lost is what no other deficit has explained. Else the message is only held up.
 */
static bool row_is_over(struct row *row, const struct row_detail *detail, uint64_t lost, bool tick)
{
	if (row->slot != NO_SLOT && row->slot != SLOT_FOLDED) {
		row->idle_ticks = 0;
		return false;
	}
	if (row_is_balanced(row, detail))
		return true;
	if (row->idle_ticks < DEFICIT_TICKS_MAX) {
		row->idle_ticks += tick;
		return false;
	}
	return row_deficit(row, detail, NULL) <= lost;
}

static void entry_drop_row(struct entry *entry, uint32_t i)
{
	uint32_t last = --entry->n_rows;

	if (entry->keys[i].nr >= CALL_NR_STRANGE)
		entry->n_strange--;
	rare_free(entry->details[i].rare);
	if (i != last) {
		entry->rows[i] = entry->rows[last];
		entry->details[i] = entry->details[last];
		entry->keys[i] = entry->keys[last];
	}
}

static int add_errno(struct ledger *ledger, size_t *n_errnos, struct errno_delta delta)
{
	if (*n_errnos == ledger->errnos_size) {
		size_t size = ledger->errnos_size ? ledger->errnos_size * 2 : 256;
		struct errno_delta *errnos;

		errnos = reallocarray(ledger->errnos, size, sizeof(*errnos));
		if (!errnos)
			return -ENOMEM;
		ledger->errnos = errnos;
		ledger->errnos_size = size;
	}
	ledger->errnos[(*n_errnos)++] = delta;
	return 0;
}

static int take_errnos(struct ledger *ledger, struct row_detail *detail, uint64_t n_errors,
		       size_t *n_errnos, uint32_t *ret_n)
{
	struct row_errno *row_errno;

	*ret_n = 0;
	for (uint32_t i = 0; (row_errno = detail_errno(detail, i)); i++) {
		uint64_t delta = take64(&row_errno->balance, row_errno->live, n_errors);
		int r;

		n_errors -= delta;
		row_errno->live = 0;
		if (!delta)
			continue;
		r = add_errno(ledger, n_errnos,
			      (struct errno_delta){ .number = row_errno->number, .count = delta });
		if (r < 0)
			return r;
		(*ret_n)++;
	}
	return 0;
}

static void drop_live_errnos(struct row_detail *detail)
{
	struct row_errno *row_errno;

	for (uint32_t i = 0; (row_errno = detail_errno(detail, i)); i++)
		row_errno->live = 0;
}

/* A row that has nothing to report gives its place in the snapshot back (no task). */
static int entry_close(struct ledger *ledger, struct entry *entry, uint32_t epoch, size_t *n_errnos,
		       uint64_t *deficit)
{
	static const struct call_stats nothing;

	for (uint32_t i = 0; i < entry->n_rows; i++) {
		struct row_detail *detail = &entry->details[i];
		struct row *row = &entry->rows[i];
		bool live = row->slot != NO_SLOT;
		const struct call_stats *shown =
			live ? &ledger->snapshot_rows[row->slot].stats : &nothing;
		struct snapshot_row *out;
		int r = 0;

		*deficit += row_deficit(row, detail, shown);
		if (!row_has_news(row, detail, shown)) {
			if (live)
				ledger->snapshot_rows[row->slot].task = NULL;
			drop_live_errnos(detail);
			detail_keep_ahead(detail, row_max_since(row, epoch));
			continue;
		}
		if (!live)
			r = row_take_slot(ledger, entry, i);
		if (r < 0)
			return r;
		out = &ledger->snapshot_rows[row->slot];
		r = row_take(row, detail, epoch, &out->stats);
		if (r < 0)
			return r;
		out->first_errno = (uint32_t)*n_errnos;
		r = take_errnos(ledger, detail, out->stats.errors, n_errnos, &out->n_errnos);
		if (r < 0)
			return r;
		if (!live)
			row->slot = SLOT_FOLDED;
	}
	return 0;
}

/* For loops over all entries: fetches what they come to soon, since entries lie about in memory. */
static void fetch_ahead(const struct ledger *ledger, size_t s)
{
	const struct entry *far = s + 8 < ledger->n_slots ? ledger->slots[s + 8].entry : NULL;
	const struct entry *near = s + 4 < ledger->n_slots ? ledger->slots[s + 4].entry : NULL;

	if (far) {
		__builtin_prefetch(far);
		__builtin_prefetch(&far->rows);
	}
	if (near && near->n_rows) {
		__builtin_prefetch(near->rows, 1);
		__builtin_prefetch(near->details, 1);
	}
}

/*
 * Forgets rows, and entries without any. An entry that was reported in this interval stays for
 * another: the snapshot points to it.
 */
static int forget(struct ledger *ledger, uint64_t ring_lost, uint64_t duration_ns)
{
	size_t n_slots = ledger->n_slots;
	bool removed = false, tick;

	ledger->tick_ns += duration_ns;
	tick = ledger->tick_ns >= TICK_NS;
	if (tick)
		ledger->tick_ns = 0;
	for (size_t s = 0; s < ledger->n_slots; s++) {
		struct entry *entry = ledger->slots[s].entry;

		fetch_ahead(ledger, s);
		if (!entry)
			continue;
		if (entry->n_rows == 0) {
			(*cgroup_entries(ledger, entry->task.cgroup_id))--;
			entry_free(entry);
			ledger->slots[s].entry = NULL;
			ledger->n_entries--;
			removed = true;
			continue;
		}
		for (uint32_t i = entry->n_rows; i-- > 0;) {
			const struct row_detail *detail = &entry->details[i];
			struct row *row = &entry->rows[i];

			if (row_is_over(row, detail, ring_lost - ledger->settled, tick)) {
				ledger->settled += row_deficit(row, detail, NULL);
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
		fetch_ahead(ledger, s);
		if (!ledger->slots[s].entry)
			continue;
		r = entry_close(ledger, ledger->slots[s].entry, epoch, &n_errnos, &deficit);
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
	return forget(ledger, ring_lost, ret->duration_ns);
}
