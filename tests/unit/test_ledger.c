/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/ledger.h"

#define MS 1000000ull

enum {
	CALL_READ,
	CALL_WRITE = 1,
	CALL_FUTEX = 202,
};

/* A task as the kernel side keeps it, played by the test. */
struct actor {
	struct batch batch;
};

static void actor_init(struct actor *actor, int32_t pid, int32_t tid, uint64_t cgroup_id,
		       const char *comm)
{
	memset(actor, 0, sizeof(*actor));
	actor->batch.record_id = (uint64_t)tid;
	actor->batch.tgid = pid;
	actor->batch.tid = tid;
	actor->batch.vpid = pid % 100;
	actor->batch.process_start_ns = (uint64_t)pid * 1000;
	actor->batch.task_start_ns = (uint64_t)tid * 1000;
	actor->batch.cgroup_id = cgroup_id;
	memcpy(actor->batch.process_comm, comm, strnlen(comm, COMM_LEN - 1));
	memcpy(actor->batch.comm, comm, strnlen(comm, COMM_LEN - 1));
}

static struct cell *actor_cell(struct actor *actor, uint32_t nr)
{
	struct batch *batch = &actor->batch;

	for (uint32_t i = 0; i < batch->n_cells; i++) {
		if (batch->cells[i].nr == nr)
			return &batch->cells[i];
	}
	assert_true(batch->n_cells < CELLS_MAX);
	memset(&batch->cells[batch->n_cells], 0, sizeof(batch->cells[0]));
	batch->cells[batch->n_cells].nr = nr;
	return &batch->cells[batch->n_cells++];
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned bucket = 0;

	while (bucket < HIST_BUCKETS - 1 && ns >= (uint64_t)HIST_FIRST_END_NS << bucket)
		bucket++;
	return bucket;
}

static void actor_call(struct actor *actor, uint32_t nr, uint64_t ns, uint32_t epoch)
{
	struct cell *cell = actor_cell(actor, nr);
	uint32_t slot = epoch & 1;

	cell->count++;
	cell->time_ns += ns;
	cell->buckets[bucket_of(ns)]++;
	if (cell->max_epoch[slot] != epoch || cell->max_ns[slot] < ns)
		cell->max_ns[slot] = ns;
	cell->max_epoch[slot] = epoch;
}

static void actor_calls(struct actor *actor, uint32_t nr, unsigned n)
{
	while (n--)
		actor_call(actor, nr, 1000, 1);
}

static void cell_error(struct cell *cell, uint16_t number, uint16_t n)
{
	int i = 0;

	while (cell->errnos[i].number && cell->errnos[i].number != number)
		i++;
	assert_true(i < CELL_ERRNOS);
	cell->errnos[i].number = number;
	cell->errnos[i].count += n;
	cell->errors += n;
}

/* The message is read at once; if it is lost, it is not. */
static void actor_fold(struct actor *actor, struct ledger *ledger)
{
	if (ledger)
		assert_int_equal(ledger_fold(ledger, &actor->batch), 0);
	actor->batch.n_cells = 0;
	actor->batch.sequence++;
}

static void actor_dump(const struct actor *actor, struct ledger *ledger)
{
	assert_int_equal(ledger_live(ledger, &actor->batch, actor->batch.n_cells), 0);
}

static const struct snapshot_row *find(const struct snapshot *snapshot, uint32_t nr)
{
	const struct snapshot_row *found = NULL;

	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		if (snapshot->rows[i].nr == nr) {
			assert_null(found);
			found = &snapshot->rows[i];
		}
	}
	return found;
}

static uint64_t total_count(const struct snapshot *snapshot)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < snapshot->n_rows; i++)
		n += snapshot->rows[i].stats.count;
	return n;
}

static struct snapshot close_interval_of(struct ledger *ledger, uint32_t epoch, uint64_t ring_lost,
					 uint64_t duration_ns)
{
	struct snapshot snapshot = { .duration_ns = duration_ns };

	assert_int_equal(ledger_close(ledger, epoch, ring_lost, &snapshot), 0);
	return snapshot;
}

static struct snapshot close_interval(struct ledger *ledger, uint32_t epoch, uint64_t ring_lost)
{
	return close_interval_of(ledger, epoch, ring_lost, 1000 * MS);
}

static const struct ledger_filter all_calls = { 0 };

static int setup(void **state)
{
	struct ledger *ledger;

	if (ledger_new(false, &all_calls, &ledger) < 0)
		return -1;
	*state = ledger;
	return 0;
}

static int teardown(void **state)
{
	ledger_free(*state);
	return 0;
}

static void test_nothing(void **state)
{
	struct snapshot snapshot = close_interval(*state, 1, 0);

	assert_int_equal(snapshot.n_rows, 0);
	assert_int_equal(ledger_rows(*state), 0);
	ledger_free(NULL);
}

static void test_fold_is_reported_once(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;
	struct cell *cell;

	actor_init(&actor, 10, 10, 7, "app");
	actor_calls(&actor, CALL_READ, 5);
	cell = actor_cell(&actor, CALL_READ);
	cell->bytes = 5000;
	cell->interrupted = 1;
	cell->denied = 2;
	cell_error(cell, EAGAIN, 2);
	actor_calls(&actor, CALL_WRITE, 3);
	actor_fold(&actor, ledger);

	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 2);
	assert_int_equal(find(&snapshot, CALL_WRITE)->stats.count, 3);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.count, 5);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.bytes, 5000);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.errors, 2);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.interrupted, 1);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.denied, 2);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.time_ns, 5000);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.max_ns, 1000);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.buckets[1], 5);
	assert_int_equal(find(&snapshot, CALL_READ)->n_errnos, 1);
	assert_int_equal(find(&snapshot, CALL_READ)->errnos[0].number, EAGAIN);
	assert_int_equal(find(&snapshot, CALL_READ)->errnos[0].count, 2);
	assert_int_equal(find(&snapshot, CALL_READ)->task->pid, 10);
	assert_int_equal(find(&snapshot, CALL_READ)->task->vpid, 10);
	assert_int_equal(find(&snapshot, CALL_READ)->task->tid, 0);
	assert_int_equal(find(&snapshot, CALL_READ)->task->cgroup_id, 7);
	assert_string_equal(find(&snapshot, CALL_READ)->task->process_comm, "app");
	assert_string_equal(find(&snapshot, CALL_READ)->task->comm, "");

	assert_int_equal(close_interval(ledger, 2, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

/* Live cells are cumulative: what is new of them is the interval's. */
static void test_live_is_differenced(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	for (unsigned interval = 1; interval <= 5; interval++) {
		actor_calls(&actor, CALL_READ, interval);
		actor_dump(&actor, ledger);
		snapshot = close_interval(ledger, interval, 0);
		assert_int_equal(snapshot.n_rows, 1);
		assert_int_equal(snapshot.rows[0].stats.count, interval);
		assert_int_equal(snapshot.rows[0].stats.time_ns, interval * 1000);
		assert_int_equal(snapshot.rows[0].stats.buckets[1], interval);
	}
	/* Nothing new: no row, but the book stays open. */
	actor_dump(&actor, ledger);
	assert_int_equal(close_interval(ledger, 6, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 1);
	/* All of it was reported when it is handed over. */
	actor_fold(&actor, ledger);
	assert_int_equal(close_interval(ledger, 7, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

static void test_live_and_folded_come_together(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor one, two;

	/* Two threads of a process are one row. */
	actor_init(&one, 10, 10, 7, "app");
	actor_init(&two, 10, 11, 7, "app");
	actor_calls(&one, CALL_READ, 10);
	actor_fold(&one, ledger);
	actor_calls(&one, CALL_READ, 1);
	actor_calls(&two, CALL_READ, 100);
	actor_dump(&one, ledger);
	actor_dump(&two, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 111);

	/* One goes, the other goes on. */
	actor_fold(&one, ledger);
	actor_calls(&two, CALL_READ, 5);
	actor_dump(&two, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 5);
}

static void test_keys(void **state)
{
	struct ledger *ledger = *state;
	struct actor actors[6];
	struct snapshot snapshot;

	actor_init(&actors[0], 10, 10, 7, "app");
	actor_init(&actors[1], 11, 11, 7, "app");
	actor_init(&actors[2], 10, 10, 8, "app");
	actor_init(&actors[3], 10, 10, 7, "other");
	actor_init(&actors[4], 10, 10, 7, "app");
	actors[4].batch.process_start_ns++; /* a reused PID */
	actor_init(&actors[5], 10, 10, 7, "app");
	for (unsigned i = 0; i < 6; i++) {
		actor_calls(&actors[i], CALL_READ, 1u << i);
		if (i == 5)
			actors[i].batch.cells[0].abi = CALL_ABI_COMPAT;
		actor_fold(&actors[i], ledger);
	}
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 6);
	assert_int_equal(total_count(&snapshot), 0x3f);
}

/* What follows the NUL is left over from an earlier name. */
static void test_names_end_at_the_nul(void **state)
{
	struct ledger *ledger = *state;
	struct actor one, two;
	struct snapshot snapshot;

	actor_init(&one, 10, 10, 7, "app");
	actor_init(&two, 10, 11, 7, "app");
	memcpy(two.batch.process_comm + 4, "rubbish", 8);
	actor_calls(&one, CALL_READ, 1);
	actor_calls(&two, CALL_READ, 1);
	actor_fold(&one, ledger);
	actor_fold(&two, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 2);
}

static void test_by_thread(void **state)
{
	struct ledger *ledger;
	struct snapshot snapshot;
	struct actor one, two, again;

	(void)state;
	assert_int_equal(ledger_new(true, &all_calls, &ledger), 0);
	actor_init(&one, 10, 10, 7, "app");
	actor_init(&two, 10, 11, 7, "app");
	memcpy(two.batch.comm, "worker", 7);
	actor_init(&again, 10, 11, 7, "app");
	again.batch.task_start_ns++; /* a reused TID */
	actor_calls(&one, CALL_READ, 1);
	actor_calls(&two, CALL_READ, 2);
	actor_calls(&again, CALL_WRITE, 4);
	actor_dump(&one, ledger);
	actor_dump(&two, ledger);
	actor_fold(&again, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 3);
	assert_int_equal(find(&snapshot, CALL_WRITE)->stats.count, 4);
	assert_int_equal(find(&snapshot, CALL_WRITE)->task->tid, 11);
	assert_int_equal(total_count(&snapshot), 7);

	/* A thread that renames itself stays one, under its latest name. */
	memcpy(two.batch.comm, "renamed", 8);
	actor_calls(&two, CALL_READ, 8);
	actor_dump(&one, ledger);
	actor_dump(&two, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 8);
	assert_int_equal(snapshot.rows[0].task->tid, 11);
	assert_string_equal(snapshot.rows[0].task->comm, "renamed");
	assert_string_equal(snapshot.rows[0].task->process_comm, "app");
	ledger_free(ledger);
}

/* Gone from the cells, and its message not read yet: the row waits, and no total goes back. */
static void test_fold_on_its_way(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor, late;

	actor_init(&actor, 10, 10, 7, "app");
	actor_calls(&actor, CALL_READ, 100);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(total_count(&snapshot), 100);

	actor_calls(&actor, CALL_READ, 20);
	late = actor;
	actor_fold(&actor, NULL);
	actor_calls(&actor, CALL_READ, 30);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.n_rows, 0);
	assert_int_equal(snapshot.lost[LOSS_RING_FULL], 0);

	actor_fold(&late, ledger);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 3, 0);
	assert_int_equal(total_count(&snapshot), 50);
	assert_int_equal(snapshot.lost[LOSS_RING_FULL], 0);
}

/* As long as nothing was lost, a message may take its time, even if its task is gone. */
static void test_fold_long_on_its_way(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor, late;
	uint64_t count = 0, lost = 0;

	actor_init(&actor, 10, 10, 7, "app");
	actor_calls(&actor, CALL_READ, 100);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	count += total_count(&snapshot);
	actor_calls(&actor, CALL_READ, 20);
	late = actor;
	for (uint32_t epoch = 2; epoch < 30; epoch++) {
		snapshot = close_interval(ledger, epoch, 0);
		count += total_count(&snapshot);
		lost += snapshot.lost[LOSS_RING_FULL];
	}
	actor_fold(&late, ledger);
	snapshot = close_interval(ledger, 30, 0);
	count += total_count(&snapshot);
	assert_int_equal(count, 120);
	assert_int_equal(lost, 0);
	assert_int_equal(close_interval(ledger, 31, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

/* Nor is it taken for lost because others are, however many intervals end meanwhile. */
static void test_fold_on_its_way_while_others_are_lost(void **state)
{
	struct ledger *ledger = *state;
	uint64_t count = 0, lost = 0;
	struct actor actor, late;
	struct snapshot snapshot;
	uint32_t epoch;

	actor_init(&actor, 10, 10, 7, "app");
	actor_calls(&actor, CALL_READ, 100);
	actor_dump(&actor, ledger);
	snapshot = close_interval_of(ledger, 1, 0, 10 * MS);
	count += total_count(&snapshot);
	actor_calls(&actor, CALL_READ, 20);
	late = actor;
	for (epoch = 2; epoch < 50; epoch++) {
		snapshot = close_interval_of(ledger, epoch, 500, 10 * MS);
		count += total_count(&snapshot);
		lost += snapshot.lost[LOSS_RING_FULL];
	}
	actor_fold(&late, ledger);
	snapshot = close_interval_of(ledger, epoch, 500, 10 * MS);
	count += total_count(&snapshot);
	lost += snapshot.lost[LOSS_RING_FULL];
	assert_int_equal(count, 120);
	assert_int_equal(lost, 500);
}

/* What was reported while it was live is not reported as lost once more. */
static void test_lost_fold_of_reported_calls(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	uint64_t count = 0, lost = 0;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_calls(&actor, CALL_READ, 100);
	actor_cell(&actor, CALL_WRITE)->denied = 10;
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(total_count(&snapshot), 100);
	assert_int_equal(find(&snapshot, CALL_WRITE)->stats.denied, 10);

	/* 100 and 10 were reported; 20 and 5 more are in the message that is lost. */
	actor_calls(&actor, CALL_READ, 20);
	actor_cell(&actor, CALL_WRITE)->denied += 5;
	actor_fold(&actor, NULL);
	for (uint32_t epoch = 2; epoch < 20; epoch++) {
		snapshot = close_interval(ledger, epoch, 135);
		assert_int_equal(snapshot.n_rows, 0);
		lost += snapshot.lost[LOSS_RING_FULL];
	}
	assert_int_equal(lost, 25);
	/* And the row is forgotten. */
	assert_int_equal(ledger_rows(ledger), 0);

	/* A later loss of what had not been reported is one in full. */
	actor_calls(&actor, CALL_READ, 7);
	actor_fold(&actor, NULL);
	snapshot = close_interval(ledger, 20, 142);
	count += total_count(&snapshot);
	lost += snapshot.lost[LOSS_RING_FULL];
	assert_int_equal(count, 0);
	assert_int_equal(lost, 32);
}

/* A row that goes on makes up for what it had reported of the lost message. */
static void test_lost_fold_of_a_row_that_goes_on(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	uint64_t count = 0, lost = 0;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	for (uint32_t epoch = 1; epoch <= 50; epoch++) {
		actor_calls(&actor, CALL_READ, 10);
		if (epoch % 10 == 5)
			actor_fold(&actor, NULL); /* 50, then 100 each */
		actor_dump(&actor, ledger);
		snapshot = close_interval(ledger, epoch,
					  epoch < 5 ? 0 : 50 + 100 * ((epoch - 5) / 10));
		count += total_count(&snapshot);
		lost += snapshot.lost[LOSS_RING_FULL];
		assert_true(count + lost <= 10ull * epoch);
	}
	actor_fold(&actor, ledger);
	for (uint32_t epoch = 51; epoch < 60; epoch++) {
		snapshot = close_interval(ledger, epoch, 450);
		count += total_count(&snapshot);
		lost += snapshot.lost[LOSS_RING_FULL];
	}
	assert_int_equal(count + lost, 500);
}

/* What a lost message showed of a long call does not swallow the others' time for as long. */
static void test_lost_fold_of_a_long_call(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	uint64_t count, lost;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_FUTEX, 3600000 * MS, 1);
	actor_cell(&actor, CALL_FUTEX)->bytes = 1 << 30;
	cell_error(actor_cell(&actor, CALL_FUTEX), ETIMEDOUT, 1);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	count = total_count(&snapshot);
	lost = snapshot.lost[LOSS_RING_FULL];
	actor_fold(&actor, NULL);

	for (uint32_t epoch = 2; epoch < 10; epoch++) {
		const struct snapshot_row *row;

		for (int i = 0; i < 100; i++)
			actor_call(&actor, CALL_FUTEX, MS, epoch);
		actor_cell(&actor, CALL_FUTEX)->bytes += 5;
		cell_error(actor_cell(&actor, CALL_FUTEX), ETIMEDOUT, 2);
		actor_dump(&actor, ledger);
		snapshot = close_interval(ledger, epoch, 1);
		count += total_count(&snapshot);
		lost += snapshot.lost[LOSS_RING_FULL];
		row = find(&snapshot, CALL_FUTEX);
		if (epoch < 7)
			continue;
		assert_int_equal(row->stats.count, 100);
		assert_int_equal(row->stats.time_ns, 100 * MS);
		assert_int_equal(row->stats.bytes, 5);
		assert_int_equal(row->stats.errors, 2);
		assert_int_equal(row->stats.max_ns, MS);
		assert_int_equal(row->errnos[0].count, 2);
	}
	assert_int_equal(count + lost, 801);
}

/* Any order of calls, folds that arrive, are late or lost, and dumps. */
static void test_random_histories(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct ledger *ledger;
		struct actor actor, late;
		bool is_late = false, is_dumped = true;
		uint64_t truth = 0, count = 0, lost = 0, ring_lost = 0;
		unsigned random = seed;
		struct snapshot snapshot;

		assert_int_equal(ledger_new(false, &all_calls, &ledger), 0);
		actor_init(&actor, 10, 10, 7, "app");
		for (uint32_t epoch = 1; epoch <= 60; epoch++) {
			unsigned n = (unsigned)rand_r(&random) % 50;
			unsigned what = (unsigned)rand_r(&random) % 6;

			actor_calls(&actor, CALL_READ, n);
			truth += n;
			if (is_late)
				actor_fold(&late, ledger);
			is_late = false;
			if (what == 0 && actor.batch.n_cells) {
				actor_fold(&actor, ledger);
			} else if (what == 1 && actor.batch.n_cells) {
				late = actor;
				is_late = true;
				actor_fold(&actor, NULL);
			} else if (what == 2 && actor.batch.n_cells) {
				ring_lost += actor.batch.cells[0].count;
				actor_fold(&actor, NULL);
			}
			/* A dump sees every task, but leaves out what changes hands meanwhile. */
			is_dumped = what != 3 || !is_dumped;
			if (is_dumped)
				actor_dump(&actor, ledger);
			snapshot = close_interval(ledger, epoch, ring_lost);
			count += total_count(&snapshot);
			lost += snapshot.lost[LOSS_RING_FULL];
			assert_true(count + lost <= truth);
		}
		if (is_late)
			actor_fold(&late, ledger);
		actor_fold(&actor, ledger);
		for (uint32_t epoch = 61; epoch < 70; epoch++) {
			snapshot = close_interval(ledger, epoch, ring_lost);
			count += total_count(&snapshot);
			lost += snapshot.lost[LOSS_RING_FULL];
		}
		assert_int_equal(count + lost, truth);
		assert_int_equal(ledger_rows(ledger), 0);
		ledger_free(ledger);
	}
}

/* The owner counts the call last: a dump can see an error without its call. */
static void test_cell_read_in_mid_call(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;
	struct cell *cell;

	actor_init(&actor, 10, 10, 7, "app");
	cell = actor_cell(&actor, CALL_READ);
	cell_error(cell, EAGAIN, 1);
	cell->bytes = 10;
	actor_dump(&actor, ledger);
	assert_int_equal(close_interval(ledger, 1, 0).n_rows, 0);

	actor_calls(&actor, CALL_READ, 1);
	cell_error(cell, ENOENT, 1);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 1);
	assert_int_equal(snapshot.rows[0].stats.errors, 1);
	assert_int_equal(snapshot.rows[0].n_errnos, 1);
	assert_int_equal(snapshot.rows[0].errnos[0].count, 1);

	actor_calls(&actor, CALL_READ, 1);
	cell->interrupted++;
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 3, 0);
	assert_int_equal(snapshot.rows[0].stats.errors, 1);
	assert_int_equal(snapshot.rows[0].stats.interrupted, 0);
	assert_int_equal(snapshot.rows[0].errnos[0].count, 1);

	actor_calls(&actor, CALL_READ, 1);
	actor_fold(&actor, ledger);
	snapshot = close_interval(ledger, 4, 0);
	assert_int_equal(snapshot.rows[0].stats.errors, 0);
	assert_int_equal(snapshot.rows[0].stats.interrupted, 1);
	assert_int_equal(snapshot.rows[0].n_errnos, 0);
}

/* As full as a cell can be when it is folded. */
static void actor_fill(struct actor *actor, uint32_t nr)
{
	struct cell *cell;

	actor_call(actor, nr, 1000, 1);
	cell = actor_cell(actor, nr);
	cell->count = cell->denied = cell->buckets[1] = CELL_COUNT_MAX;
	cell->time_ns = 1000ull * CELL_COUNT_MAX;
	cell->errors = 0;
	cell->errnos[0] = (struct errno_count){ 0 };
	cell_error(cell, EAGAIN, CELL_COUNT_MAX);
}

/* Minutes of a busy call do: no counter of an interval has fewer than 64 bits. */
static void test_interval_of_billions(void **state)
{
	const uint64_t n_folds = 70000, n = n_folds * CELL_COUNT_MAX;
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	assert_true(n > UINT32_MAX);
	actor_init(&actor, 10, 10, 7, "app");
	actor_fill(&actor, CALL_READ);
	for (uint32_t epoch = 1; epoch <= 2; epoch++) {
		for (uint64_t i = 0; i < n_folds; i++)
			assert_int_equal(ledger_fold(ledger, &actor.batch), 0);
		snapshot = close_interval(ledger, epoch, 0);
		assert_int_equal(snapshot.n_rows, 1);
		assert_int_equal(snapshot.rows[0].stats.count, n);
		assert_int_equal(snapshot.rows[0].stats.errors, n);
		assert_int_equal(snapshot.rows[0].stats.denied, n);
		assert_int_equal(snapshot.rows[0].stats.time_ns, 1000 * n);
		for (unsigned i = 0; i < HIST_BUCKETS; i++)
			assert_int_equal(snapshot.rows[0].stats.buckets[i], i == 1 ? n : 0);
		assert_int_equal(snapshot.rows[0].n_errnos, 1);
		assert_int_equal(snapshot.rows[0].errnos[0].count, n);
	}
	assert_int_equal(close_interval(ledger, 3, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

static uint64_t calls_of_interval(struct ledger *ledger, uint32_t epoch)
{
	struct snapshot snapshot = close_interval(ledger, epoch, 0);
	const struct snapshot_row *row = find(&snapshot, CALL_READ);

	if (!row)
		return 0;
	assert_int_equal(row->stats.buckets[1], row->stats.count);
	return row->stats.count;
}

/* A row keeps little of a bucket in few bits, and the rest apart: nothing is lost in between. */
static void test_buckets_of_any_size(void **state)
{
	static const unsigned sizes[] = { 1, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff };
	const unsigned n_sizes = sizeof(sizes) / sizeof(sizes[0]);
	struct ledger *ledger = *state;
	struct actor actor;

	for (unsigned i = 0; i < n_sizes * n_sizes; i++) {
		unsigned folded = sizes[i / n_sizes], live = sizes[i % n_sizes];
		uint32_t epoch = 4 * i + 1;

		actor_init(&actor, 10, 10, 7, "app");
		actor_calls(&actor, CALL_READ, folded);
		actor_fold(&actor, ledger);
		actor_calls(&actor, CALL_READ, live);
		actor_dump(&actor, ledger);
		assert_int_equal(calls_of_interval(ledger, epoch), folded + live);
		actor_dump(&actor, ledger);
		assert_int_equal(calls_of_interval(ledger, epoch + 1), 0);
		actor_fold(&actor, ledger);
		actor_calls(&actor, CALL_READ, folded);
		actor_dump(&actor, ledger);
		assert_int_equal(calls_of_interval(ledger, epoch + 2), folded);
		actor_fold(&actor, ledger);
		assert_int_equal(calls_of_interval(ledger, epoch + 3), 0);
		assert_int_equal(ledger_rows(ledger), 0);
	}
}

/* What was reported while it was live is owed until it is folded, however much it is. */
static void test_threads_of_billions(void **state)
{
	const uint64_t n_threads = 70000, n = n_threads * CELL_COUNT_MAX;
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_fill(&actor, CALL_READ);
	for (uint64_t i = 0; i < n_threads; i++)
		actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, n);
	assert_int_equal(snapshot.rows[0].stats.buckets[1], n);
	assert_int_equal(snapshot.rows[0].errnos[0].count, n);

	/* Half of them exit, and one more call is made. */
	for (uint64_t i = 0; i < n_threads / 2; i++) {
		assert_int_equal(ledger_fold(ledger, &actor.batch), 0);
		actor_dump(&actor, ledger);
	}
	actor.batch.n_cells = 0;
	actor_call(&actor, CALL_READ, 1000, 2);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 1);
	assert_int_equal(snapshot.rows[0].stats.buckets[1], 1);
	assert_int_equal(snapshot.rows[0].stats.time_ns, 1000);
	assert_int_equal(snapshot.rows[0].n_errnos, 0);

	actor_fold(&actor, ledger);
	actor_fill(&actor, CALL_READ);
	for (uint64_t i = 0; i < n_threads / 2; i++)
		assert_int_equal(ledger_fold(ledger, &actor.batch), 0);
	assert_int_equal(close_interval(ledger, 3, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

static void test_errnos_of_many_rows(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;

	for (int32_t pid = 1; pid <= 500; pid++) {
		struct actor actor;

		actor_init(&actor, pid, pid, 7, "app");
		actor_calls(&actor, CALL_READ, 3);
		cell_error(actor_cell(&actor, CALL_READ), (uint16_t)(1 + pid % 100), 1);
		cell_error(actor_cell(&actor, CALL_READ), 1000, 2);
		actor_fold(&actor, ledger);
	}
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 500);
	for (uint32_t i = 0; i < snapshot.n_rows; i++) {
		const struct snapshot_row *row = &snapshot.rows[i];

		assert_int_equal(row->n_errnos, 2);
		assert_int_equal(row->errnos[0].number, 1 + row->task->pid % 100);
		assert_int_equal(row->errnos[0].count, 1);
		assert_int_equal(row->errnos[1].number, 1000);
		assert_int_equal(row->errnos[1].count, 2);
	}
}

/* More distinct errnos than one cell can hold come in several cells. */
static void test_errnos_of_many_cells(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	for (uint16_t number = 1; number <= 40; number++) {
		actor_calls(&actor, CALL_READ, number);
		cell_error(actor_cell(&actor, CALL_READ), number, number);
		if (number % CELL_ERRNOS == 0)
			actor_fold(&actor, ledger);
	}
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.errors, 40 * 41 / 2);
	assert_int_equal(snapshot.rows[0].n_errnos, 40);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(snapshot.rows[0].errnos[i].count,
				 snapshot.rows[0].errnos[i].number);
}

/* The maximum is the interval's: an old one does not come back. */
static void test_maximum_of_the_interval(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_FUTEX, 100 * MS, 1);
	actor_call(&actor, CALL_FUTEX, 1 * MS, 1);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 100 * MS);

	actor_call(&actor, CALL_FUTEX, 2 * MS, 2);
	actor_call(&actor, CALL_FUTEX, 3 * MS, 2);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 3 * MS);

	/* Two later, in the slot of the first. */
	actor_call(&actor, CALL_FUTEX, 1 * MS, 3);
	actor_fold(&actor, ledger);
	snapshot = close_interval(ledger, 3, 0);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 1 * MS);
}

static void test_maximum_of_several_tasks(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor one, two, three;

	actor_init(&one, 10, 10, 7, "app");
	actor_init(&two, 10, 11, 7, "app");
	actor_init(&three, 10, 12, 7, "app");
	actor_call(&one, CALL_FUTEX, 5 * MS, 1);
	actor_call(&two, CALL_FUTEX, 9 * MS, 1);
	actor_call(&three, CALL_FUTEX, 7 * MS, 1);
	actor_fold(&one, ledger);
	actor_fold(&two, ledger);
	actor_dump(&three, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].stats.count, 3);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 9 * MS);
}

/* It ended after the change of epoch, and before its cell was read. */
static void test_maximum_of_a_straggler(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_FUTEX, 1 * MS, 1);
	actor_call(&actor, CALL_FUTEX, 100 * MS, 2);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.rows[0].stats.count, 2);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 100 * MS);

	/* Nor is it the next one's, as far as the buckets can tell. */
	actor_call(&actor, CALL_FUTEX, 1 * MS, 2);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.rows[0].stats.count, 1);
	assert_true(snapshot.rows[0].stats.max_ns >= 1 * MS);
	assert_true(snapshot.rows[0].stats.max_ns < 2 * MS);
	assert_int_equal(bucket_of(snapshot.rows[0].stats.max_ns), bucket_of(1 * MS));
}

/* It ended before the change of epoch, and its cell was read only after the next one. */
static void test_maximum_of_a_late_one(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_FUTEX, 1 * MS, 1);
	actor_dump(&actor, ledger);
	(void)close_interval(ledger, 1, 0);
	actor_call(&actor, CALL_FUTEX, 100 * MS, 1);
	actor_call(&actor, CALL_FUTEX, 2 * MS, 2);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.rows[0].stats.count, 2);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 100 * MS);
}

/*
 * Its cell was read between its maximum and the rest of it, and then again when the slot of the
 * maximum had been used for the next epoch but one.
 */
static void test_maximum_ahead_of_its_call(void **state)
{
	for (int n_others = 0; n_others < 2; n_others++) {
		struct ledger *ledger = *state;
		struct snapshot snapshot;
		struct actor actor;
		struct cell *cell;

		actor_init(&actor, 20 + n_others, 20 + n_others, 7, "app");
		if (n_others)
			actor_call(&actor, CALL_FUTEX, 1 * MS, 1);
		cell = actor_cell(&actor, CALL_FUTEX);
		cell->max_ns[1] = 100 * MS;
		cell->max_epoch[1] = 1;
		actor_dump(&actor, ledger);
		(void)close_interval(ledger, 1, 0);

		actor_call(&actor, CALL_FUTEX, 100 * MS, 1);
		cell->max_ns[1] = 0;
		actor_call(&actor, CALL_FUTEX, 2 * MS, 2);
		actor_call(&actor, CALL_FUTEX, 3 * MS, 3);
		actor_dump(&actor, ledger);
		snapshot = close_interval(ledger, 2, 0);
		assert_int_equal(snapshot.rows[0].stats.count, 3);
		assert_int_equal(snapshot.rows[0].stats.max_ns, 100 * MS);
		actor_fold(&actor, ledger);
		(void)close_interval(ledger, 3, 0);
	}
}

/* Calls without a latency have no maximum, whatever the row had before. */
static void test_no_maximum_without_timed_calls(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_FUTEX, 100 * MS, 1);
	actor_dump(&actor, ledger);
	(void)close_interval(ledger, 1, 0);
	actor_cell(&actor, CALL_FUTEX)->denied = 3;
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 2, 0);
	assert_int_equal(snapshot.rows[0].stats.count, 0);
	assert_int_equal(snapshot.rows[0].stats.denied, 3);
	assert_int_equal(snapshot.rows[0].stats.max_ns, 0);
	assert_int_equal(snapshot.rows[0].stats.time_ns, 0);
}

/* The first and the last bucket are open to one side. */
static void test_maximum_at_the_ends(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor_call(&actor, CALL_READ, 0, 1);
	actor_call(&actor, CALL_WRITE, 100, 1);
	actor_call(&actor, CALL_FUTEX, 3600 * 1000 * MS, 1);
	actor_fold(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(find(&snapshot, CALL_READ)->stats.max_ns, 0);
	assert_int_equal(find(&snapshot, CALL_WRITE)->stats.max_ns, 100);
	assert_int_equal(find(&snapshot, CALL_FUTEX)->stats.max_ns, 3600 * 1000 * MS);
}

#define MANY 20000

static void test_many_rows_come_and_go(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;

	for (uint32_t epoch = 1; epoch <= 3; epoch++) {
		for (int32_t pid = 1; pid <= MANY; pid++) {
			struct actor actor;

			actor_init(&actor, pid, pid, (uint64_t)pid % 100, "app");
			for (uint32_t nr = 0; nr < 3; nr++)
				actor_calls(&actor, nr, 2);
			actor_fold(&actor, ledger);
		}
		snapshot = close_interval(ledger, epoch, 0);
		assert_int_equal(snapshot.n_rows, 3 * MANY);
		assert_int_equal(total_count(&snapshot), 6 * MANY);
	}
	assert_int_equal(close_interval(ledger, 4, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
	/* The books are as good as new. */
	test_fold_is_reported_once(state);
}

/* One of very many processes is left, and is found again. */
static void test_a_survivor_keeps_its_book(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor survivor;

	actor_init(&survivor, 424242, 424242, 7, "app");
	for (uint32_t epoch = 1; epoch <= 6; epoch++) {
		for (int32_t pid = 1; epoch < 3 && pid <= MANY; pid++) {
			struct actor actor;

			actor_init(&actor, pid, pid, 7, "app");
			actor_calls(&actor, CALL_READ, 1);
			actor_fold(&actor, ledger);
		}
		actor_calls(&survivor, CALL_WRITE, 1);
		actor_dump(&survivor, ledger);
		snapshot = close_interval(ledger, epoch, 0);
		assert_int_equal(find(&snapshot, CALL_WRITE)->stats.count, 1);
	}
	assert_int_equal(ledger_rows(ledger), 1);
}

/* More names than are told apart, in one cgroup, as one process gives itself. */
static void flood(struct ledger *ledger, uint64_t cgroup_id)
{
	for (int i = 0; i < 33000; i++) {
		struct actor actor;
		char name[COMM_LEN];

		(void)snprintf(name, sizeof(name), "n%d", i);
		actor_init(&actor, 10, 10, cgroup_id, name);
		actor_calls(&actor, CALL_WRITE, 1);
		actor_fold(&actor, ledger);
	}
}

static const struct snapshot_row *row_of(const struct snapshot *snapshot, int32_t pid, uint32_t nr)
{
	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		if (snapshot->rows[i].task->pid == pid && snapshot->rows[i].nr == nr)
			return &snapshot->rows[i];
	}
	return NULL;
}

/* Summed up is who comes too late, in that cgroup, and only as long as it must be. */
static void test_too_many_names(void **state)
{
	struct actor sleeper, other, victim;
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	const struct snapshot_row *row;

	flood(ledger, 7);
	actor_init(&sleeper, 11, 11, 7, "sleeper");
	actor_calls(&sleeper, CALL_READ, 5);
	actor_dump(&sleeper, ledger);
	actor_init(&other, 12, 12, 8, "other");
	actor_calls(&other, CALL_READ, 3);
	actor_dump(&other, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(total_count(&snapshot), 33008);
	assert_null(row_of(&snapshot, 11, CALL_READ));
	row = row_of(&snapshot, 0, CALL_READ);
	assert_non_null(row);
	assert_string_equal(row->task->process_comm, LEDGER_OTHERS);
	assert_int_equal(row->stats.count, 5);
	assert_int_equal(row_of(&snapshot, 12, CALL_READ)->stats.count, 3);

	/* The flood is forgotten; whose cells stand in the sum stays there. */
	actor_dump(&sleeper, ledger);
	actor_dump(&other, ledger);
	assert_int_equal(close_interval(ledger, 2, 0).n_rows, 0);
	actor_init(&victim, 13, 13, 7, "victim");
	for (uint32_t epoch = 3; epoch < 20; epoch++) {
		actor_calls(&victim, CALL_READ, 1);
		actor_dump(&victim, ledger);
		actor_dump(&sleeper, ledger);
		snapshot = close_interval(ledger, epoch, 0);
		assert_int_equal(snapshot.n_rows, 1);
		assert_string_equal(snapshot.rows[0].task->process_comm, "victim");
		assert_int_equal(snapshot.rows[0].stats.count, 1);
	}

	actor_calls(&sleeper, CALL_READ, 2);
	actor_fold(&sleeper, ledger);
	snapshot = close_interval(ledger, 20, 0);
	assert_int_equal(snapshot.n_rows, 1);
	assert_int_equal(snapshot.rows[0].task->pid, 0);
	assert_int_equal(snapshot.rows[0].stats.count, 2);
	for (uint32_t epoch = 21; epoch < 30; epoch++)
		assert_int_equal(close_interval(ledger, epoch, 0).n_rows, 0);

	actor_calls(&sleeper, CALL_READ, 4);
	actor_dump(&sleeper, ledger);
	snapshot = close_interval(ledger, 30, 0);
	assert_int_equal(snapshot.rows[0].task->pid, 11);
	assert_int_equal(snapshot.rows[0].stats.count, 4);
}

/* A fold that is held up belongs to what was shown live, even if there is room by now. */
static void test_too_many_names_and_a_late_fold(void **state)
{
	struct ledger *ledger = *state;
	struct snapshot snapshot;
	struct actor actor, late;

	flood(ledger, 7);
	actor_init(&actor, 11, 11, 7, "app");
	actor_calls(&actor, CALL_READ, 5);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(total_count(&snapshot), 33005);

	actor_calls(&actor, CALL_READ, 2);
	late = actor;
	actor_fold(&actor, NULL);
	assert_int_equal(close_interval(ledger, 2, 0).n_rows, 0);
	assert_int_equal(close_interval(ledger, 3, 0).n_rows, 0);
	actor_fold(&late, ledger);
	snapshot = close_interval(ledger, 4, 0);
	assert_int_equal(total_count(&snapshot), 2);
	for (uint32_t epoch = 5; epoch < 12; epoch++)
		assert_int_equal(close_interval(ledger, epoch, 0).n_rows, 0);
	assert_int_equal(ledger_rows(ledger), 0);
}

static bool takes_only(uint32_t nr, uint32_t abi, const void *data)
{
	(void)abi;
	return nr == *(const uint32_t *)data;
}

/* Strange numbers that nobody asked for take no place from one that somebody did. */
static void test_strange_calls(void **state)
{
	static const uint32_t wanted = 9999;
	const struct ledger_filter filter = { takes_only, &wanted };
	struct snapshot snapshot;
	struct ledger *ledger;
	struct actor actor;
	(void)state;

	assert_int_equal(ledger_new(false, &filter, &ledger), 0);
	for (uint32_t nr = 2000; nr < 2100; nr++) {
		actor_init(&actor, 10, 10, 7, "app");
		actor_calls(&actor, nr, 1);
		actor_calls(&actor, CALL_READ, 1);
		actor_fold(&actor, ledger);
	}
	actor_calls(&actor, wanted, 500);
	actor_dump(&actor, ledger);
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 2);
	assert_int_equal(row_of(&snapshot, 10, wanted)->stats.count, 500);
	assert_int_equal(row_of(&snapshot, 10, CALL_READ)->stats.count, 100);
	ledger_free(ledger);

	assert_int_equal(ledger_new(false, &all_calls, &ledger), 0);
	for (uint32_t nr = 2000; nr < 2100; nr++) {
		actor_init(&actor, 10, 10, 7, "app");
		actor_calls(&actor, nr, 1);
		actor_fold(&actor, ledger);
	}
	snapshot = close_interval(ledger, 1, 0);
	assert_int_equal(snapshot.n_rows, 65);
	assert_int_equal(row_of(&snapshot, 10, CALL_NR_OTHERS)->stats.count, 36);
	ledger_free(ledger);
}

static void test_too_many_cells(void **state)
{
	struct actor actor;

	actor_init(&actor, 10, 10, 7, "app");
	actor.batch.n_cells = CELLS_MAX + 1;
	assert_int_equal(ledger_fold(*state, &actor.batch), -EINVAL);
	assert_int_equal(ledger_live(*state, &actor.batch, CELLS_MAX + 1), -EINVAL);
	actor.batch.n_cells = 0;
	assert_int_equal(ledger_fold(*state, &actor.batch), 0);
	assert_int_equal(close_interval(*state, 1, 0).n_rows, 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_fold_is_reported_once),
		TEST(test_live_is_differenced),
		TEST(test_live_and_folded_come_together),
		TEST(test_keys),
		TEST(test_names_end_at_the_nul),
		TEST(test_by_thread),
		TEST(test_fold_on_its_way),
		TEST(test_fold_long_on_its_way),
		TEST(test_fold_on_its_way_while_others_are_lost),
		TEST(test_lost_fold_of_reported_calls),
		TEST(test_lost_fold_of_a_row_that_goes_on),
		TEST(test_lost_fold_of_a_long_call),
		TEST(test_random_histories),
		TEST(test_cell_read_in_mid_call),
		TEST(test_interval_of_billions),
		TEST(test_buckets_of_any_size),
		TEST(test_threads_of_billions),
		TEST(test_errnos_of_many_rows),
		TEST(test_errnos_of_many_cells),
		TEST(test_maximum_of_the_interval),
		TEST(test_maximum_of_several_tasks),
		TEST(test_maximum_of_a_straggler),
		TEST(test_maximum_of_a_late_one),
		TEST(test_maximum_ahead_of_its_call),
		TEST(test_no_maximum_without_timed_calls),
		TEST(test_maximum_at_the_ends),
		TEST(test_many_rows_come_and_go),
		TEST(test_a_survivor_keeps_its_book),
		TEST(test_too_many_names),
		TEST(test_too_many_names_and_a_late_fold),
		TEST(test_strange_calls),
		TEST(test_too_many_cells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
