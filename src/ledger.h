/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exact books: what every row (process in a cgroup, call) has come to, from what tasks have
 * folded and what their cells show live, and how much of it has been reported.
 *
 * A row reports folded + live − reported, never less than nothing. A fold that is still on its way
 * (gone from the cells, not yet read from the ring) makes that sum negative for a moment: the row
 * then waits. A fold that was lost leaves it negative for good: what had been reported of
 * it while it was live must not be reported as lost once more, so the ledger also works out the
 * losses. Thus the sum over all intervals and what is lost is the truth, whatever the timing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "snapshot.h"

struct ledger;

/*
 * Says whether calls of a number that no kernel knows are wanted, with @data; NULL: all are. The
 * others are left out before they are summed up with those.
 */
struct ledger_filter {
	bool (*takes_strange)(uint32_t nr, uint32_t abi, const void *data);
	const void *data;
};

/* @by_thread: a row is a thread's, not a process's. Returns 0 or -ENOMEM. */
int ledger_new(bool by_thread, const struct ledger_filter *filter, struct ledger **ret);
void ledger_free(struct ledger *ledger);

/* Adds what a task has handed over for good. @batch has @batch->n_cells cells. 0 or -ENOMEM. */
int ledger_fold(struct ledger *ledger, const struct batch *batch);

/* Adds what a task's @n_cells cells show in this dump. Returns 0 or -ENOMEM. */
int ledger_live(struct ledger *ledger, const struct batch *batch, uint32_t n_cells);

/*
 * Ends the interval of @epoch: works out each row's difference, and forgets the rows of tasks that
 * are gone. @ring_lost: the calls in lost folds since the start. @ret has the interval's duration;
 * fills its rows, and adds to its LOSS_RING_FULL; they are valid until the next call on the ledger.
 * Returns 0 or -ENOMEM.
 */
int ledger_close(struct ledger *ledger, uint32_t epoch, uint64_t ring_lost, struct snapshot *ret);

size_t ledger_rows(const struct ledger *ledger);

/* The task of @batch as rows name it. */
void ledger_task_of(const struct batch *batch, bool by_thread, struct snapshot_task *ret);
