/* SPDX-License-Identifier: BSD-2-Clause */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "ledger_entries.h"
#include "ledger_row.h"

/*
 * A tick is an interval, but no less than this: a fold in the ring also waits for the one before
 * it, whose writer may be waiting for its CPU.
 */
#define TICK_NS 500000000ull

#define LEFT_OUT UINT32_MAX /* no row */

struct ledger {
	bool by_thread;
	struct ledger_filter filter;
	struct entries entries;
	/* Handed out by ledger_close(). */
	struct snapshot_row *snapshot_rows;
	size_t snapshot_rows_size;
	size_t n_slots_used;
	size_t n_slots_before; /* in the interval before */
	struct errno_delta *errnos;
	size_t errnos_size;
	uint64_t settled; /* calls reported, then lost with a fold: deficits of forgotten rows */
	uint64_t lost_reported;
	uint64_t tick_ns; /* since the latest tick */
};

int ledger_new(bool by_thread, const struct ledger_filter *filter, struct ledger **ret)
{
	_cleanup_(freep) struct ledger *ledger = calloc(1, sizeof(*ledger));
	int r;

	if (!ledger)
		return -ENOMEM;
	r = entries_init(&ledger->entries);
	if (r < 0)
		return r;
	ledger->by_thread = by_thread;
	ledger->filter = *filter;
	*ret = TAKE_PTR(ledger);
	return 0;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	entries_done(&ledger->entries);
	free(ledger->snapshot_rows);
	free(ledger->errnos);
	free(ledger);
}

size_t ledger_rows(const struct ledger *ledger)
{
	return ledger->entries.n_rows;
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

/* What an interval like the latest will not need: one with more rows than usual is no measure. */
static void give_slots_back(struct ledger *ledger)
{
	size_t n = ledger->n_slots_before + ledger->n_slots_before / 16 + 64;
	struct snapshot_row *rows;

	if (ledger->snapshot_rows_size <= n + n / 16)
		return;
	rows = realloc(ledger->snapshot_rows, n * sizeof(*rows));
	if (!rows)
		return;
	ledger->snapshot_rows = rows;
	ledger->snapshot_rows_size = n;
}

/* The row's place in this interval's snapshot, where its live sums add up. */
static int row_take_slot(struct ledger *ledger, const struct entry *entry, uint32_t i)
{
	if (ledger->n_slots_used == 0)
		give_slots_back(ledger);
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
		return row_add_live(row, detail, &ledger->snapshot_rows[row->slot].stats, cell);
	}
	return row_add_folded(row, detail, cell);
}

static bool takes_call(const struct ledger *ledger, const struct cell *cell)
{
	const struct ledger_filter *filter = &ledger->filter;

	/* The kernel side has asked for all lesser ones. */
	return cell->nr < CALLS_MAX || !filter->takes_strange ||
	       filter->takes_strange(cell->nr, cell->abi, filter->data);
}

/* Rows are looked up before any of them is touched: so their cache misses come all at once. */
static int ledger_add(struct ledger *ledger, const struct batch *batch, uint32_t n_cells, bool live)
{
	uint64_t task_start_ns = ledger->by_thread ? batch->task_start_ns : 0;
	uint32_t indices[CELLS_MAX];
	struct snapshot_task task;
	struct entry *entry;
	int r;

	if (n_cells == 0)
		return 0;
	if (n_cells > CELLS_MAX)
		return -EINVAL;
	ledger_task_of(batch, ledger->by_thread, &task);
	r = entries_find(&ledger->entries, &task, task_start_ns, live, &entry);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n_cells; i++) {
		indices[i] = LEFT_OUT;
		if (!takes_call(ledger, &batch->cells[i]))
			continue;
		r = entries_find_row(&ledger->entries, entry, &batch->cells[i], entry->next_row,
				     &indices[i]);
		if (r < 0)
			return r;
		entry->next_row = indices[i] + 1 < entry->n_rows ? indices[i] + 1 : 0;
		__builtin_prefetch(&entry->rows[indices[i]], 1);
		__builtin_prefetch(&entry->details[indices[i]], 1);
	}
	for (uint32_t i = 0; i < n_cells; i++) {
		r = indices[i] == LEFT_OUT
			    ? 0
			    : add_cell(ledger, entry, indices[i], &batch->cells[i], live);
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
	for (uint32_t i = 0; (row_errno = row_errno_at(detail, i)); i++) {
		uint64_t delta = row_errno_take(row_errno, n_errors);
		int r;

		n_errors -= delta;
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

/* What there is to know of the interval that ends. */
struct closing {
	uint32_t epoch;
	uint64_t ring_lost;
	bool tick;
};

/* A row that has nothing to report gives its place in the snapshot back (no task). */
static int entry_close(struct ledger *ledger, struct entry *entry, const struct closing *closing,
		       size_t *n_errnos, uint64_t *deficit)
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
			row_pass(row, detail, closing->epoch);
			continue;
		}
		if (!live)
			r = row_take_slot(ledger, entry, i);
		if (r < 0)
			return r;
		out = &ledger->snapshot_rows[row->slot];
		if (closing->ring_lost)
			row_settle(row, detail, &out->stats, closing->tick);
		r = row_take(row, detail, closing->epoch, &out->stats);
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

/*
 * Forgets rows, and entries without any. An entry that was reported in this interval stays for
 * another: the snapshot points to it.
 */
static int forget(struct ledger *ledger, const struct closing *closing)
{
	struct entries *entries = &ledger->entries;
	bool removed = false;

	for (size_t s = 0; s < entries->n_slots; s++) {
		struct entry *entry = entries_at(entries, s);

		if (!entry)
			continue;
		if (entry->n_rows == 0) {
			entries_remove(entries, s);
			removed = true;
			continue;
		}
		for (uint32_t i = entry->n_rows; i-- > 0;) {
			const struct row_detail *detail = &entry->details[i];
			struct row *row = &entry->rows[i];

			if (row_is_over(row, detail, closing->ring_lost - ledger->settled,
					closing->tick)) {
				ledger->settled += row_deficit(row, detail, NULL);
				entries_drop_row(entries, entry, i);
			} else {
				row->slot = NO_SLOT;
			}
		}
	}
	return removed ? entries_close_up(entries) : 0;
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
	struct closing closing = { .epoch = epoch, .ring_lost = ring_lost };
	size_t n_errnos = 0;
	uint64_t deficit = 0, lost;
	int r;

	ledger->tick_ns += ret->duration_ns;
	closing.tick = ledger->tick_ns >= TICK_NS;
	if (closing.tick)
		ledger->tick_ns = 0;
	for (size_t s = 0; s < ledger->entries.n_slots; s++) {
		struct entry *entry = entries_at(&ledger->entries, s);

		if (!entry)
			continue;
		r = entry_close(ledger, entry, &closing, &n_errnos, &deficit);
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
	ledger->n_slots_before = ledger->n_slots_used;
	ledger->n_slots_used = 0;
	r = forget(ledger, &closing);
	if (closing.tick)
		entries_tick(&ledger->entries);
	return r;
}
