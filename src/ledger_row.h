/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One row of the ledger: its balances, and what of them is news in an interval. Arithmetic only;
 * a row does not know whose it is. The bodies are here because rows lie in blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "snapshot.h"

#define ROW_ALIGN 64

#define NO_SLOT	    UINT32_MAX
#define SLOT_FOLDED (UINT32_MAX - 1) /* reported, and no cell shows it any more */

/*
 * Balances are folded − reported, and negative while reported calls are still live.
 *
 * At tens of thousands of rows most of the time that a cell takes goes to cache misses: most touch
 * all of struct row, and of its details no more than a cache line or two.
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
	uint8_t behind_ticks;
};
_Static_assert(sizeof(struct row) == ROW_ALIGN, "a row is a cache line");

struct row_errno {
	int64_t balance;
	uint64_t live;
	uint16_t number; /* 0: none */
};

struct row_rare; /* what few rows have */

struct row_detail {
	struct row_errno first_errno;
	struct row_rare *rare;	       /* or NULL */
	int16_t buckets[HIST_BUCKETS]; /* as far as that holds them; see struct row_rare */
};

/* Adds what has been folded, or what is live and also adds up in @stats. Returns 0 or -ENOMEM. */
int row_add_folded(struct row *row, struct row_detail *detail, const struct cell *cell);
int row_add_live(struct row *row, struct row_detail *detail, struct call_stats *stats,
		 const struct cell *cell);

/* Whether there are calls to report: @live are those that its cells show. */
bool row_has_news(const struct row *row, const struct row_detail *detail,
		  const struct call_stats *live);

/*
 * Settles what a lost fold has left behind, to be asked once folds have been lost, before the row's
 * news are taken: what was reported of it while it was live is owed by the calls that follow. Their
 * number makes up for itself, and so the sum is the truth; but a call of an hour would swallow the
 * time of all others for an hour. What else than the number of calls is behind for long starts
 * anew.
 */
void row_settle(struct row *row, struct row_detail *detail, const struct call_stats *live,
		bool tick);

/* Turns the live sums in @stats into the row's difference in @epoch. Returns 0 or -ENOMEM. */
int row_take(struct row *row, struct row_detail *detail, uint32_t epoch, struct call_stats *stats);

/* The @i-th errno of a row; NULL if there are no more. */
struct row_errno *row_errno_at(struct row_detail *detail, uint32_t i);

/* The errno's difference, @most at the most. */
uint64_t row_errno_take(struct row_errno *row_errno, uint64_t most);

/* Ends the interval of @epoch for a row that has no news. */
void row_pass(const struct row *row, struct row_detail *detail, uint32_t epoch);

/* How many calls were reported while live and are neither @live nor folded any more. */
uint64_t row_deficit(const struct row *row, const struct row_detail *detail,
		     const struct call_stats *live);

/*
 * Whether nothing more can come of it. A deficit that stays is a fold that was lost, if as much
 * was: @lost is what no other deficit has explained. Else the message is only held up.
 */
bool row_is_over(struct row *row, const struct row_detail *detail, uint64_t lost, bool tick);

void row_done(struct row_detail *detail);
