/* SPDX-License-Identifier: BSD-2-Clause */
#include "ledger_row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A deficit that is this many ticks old is no fold on its way but a lost one. */
#define DEFICIT_TICKS_MAX 3

/* A group of buckets is one 64-bit word of a cell, and one bit of a row. */
#define GROUP_BUCKETS 4
#define GROUPS	      (HIST_BUCKETS / GROUP_BUCKETS)
_Static_assert(HIST_BUCKETS % GROUP_BUCKETS == 0, "buckets are looked at by groups");

/* Most buckets hold little: beyond this, they are kept apart. */
#define BUCKET_MAX INT16_MAX

/* What few rows have. */
struct row_rare {
	int64_t interrupted;
	int64_t denied;
	uint64_t max_ahead_ns;	  /* seen in the interval before, when its call was not yet */
	int64_t *high;		  /* of each bucket what its 16 bits could not hold; or NULL */
	struct row_errno *errnos; /* but for the first */
	uint32_t n_errnos;
};

void row_done(struct row_detail *detail)
{
	struct row_rare *rare = detail->rare;

	if (!rare)
		return;
	free(rare->high);
	free(rare->errnos);
	free(rare);
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

/* Keeps in the 16 bits of a bucket what fits there, and the rest apart. */
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
	detail->buckets[i] = fits ? (int16_t)balance : 0;
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

			if (balance <= BUCKET_MAX) {
				detail->buckets[i] = (int16_t)balance;
				continue;
			}
			r = bucket_set(detail, i, bucket_balance(detail, i) + cell->buckets[i]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

struct row_errno *row_errno_at(struct row_detail *detail, uint32_t i)
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

	for (uint32_t i = 0; (row_errno = row_errno_at(detail, i)); i++) {
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

int row_add_folded(struct row *row, struct row_detail *detail, const struct cell *cell)
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
	r = row_add_buckets(row, detail, cell);
	if (r < 0)
		return r;
	row_add_max(row, cell);
	return detail_add_errnos(detail, cell, false);
}

int row_add_live(struct row *row, struct row_detail *detail, struct call_stats *stats,
		 const struct cell *cell)
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
	row_add_max(row, cell);
	return detail_add_errnos(detail, cell, true);
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

bool row_has_news(const struct row *row, const struct row_detail *detail,
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

/* Returns whether @balance is behind; if @settle, it is not any more. */
static bool settle64(int64_t *balance, uint64_t live, bool settle)
{
	if (*balance + (int64_t)live >= 0)
		return false;
	if (settle)
		*balance = -(int64_t)live;
	return true;
}

static bool settle_details(struct row_detail *detail, const struct call_stats *live, bool settle)
{
	struct row_errno *row_errno;
	bool behind = false;

	if (detail->rare)
		behind |= settle64(&detail->rare->interrupted, live->interrupted, settle);
	for (int i = 0; i < HIST_BUCKETS; i++) {
		int64_t balance = bucket_balance(detail, i);

		if (!settle64(&balance, live->buckets[i], settle))
			continue;
		behind = true;
		/* Without memory it stays behind. */
		if (settle)
			(void)bucket_set(detail, i, balance);
	}
	for (uint32_t i = 0; (row_errno = row_errno_at(detail, i)); i++)
		behind |= settle64(&row_errno->balance, row_errno->live, settle);
	return behind;
}

void row_settle(struct row *row, struct row_detail *detail, const struct call_stats *live,
		bool tick)
{
	bool settle = row->behind_ticks >= DEFICIT_TICKS_MAX, behind;

	behind = settle64(&row->errors, live->errors, settle);
	behind |= settle64(&row->time_ns, live->time_ns, settle);
	behind |= settle64(&row->bytes, live->bytes, settle);
	behind |= settle_details(detail, live, settle);
	if (!behind || settle)
		row->behind_ticks = 0;
	else
		row->behind_ticks += tick;
}

/*
 * A cell is read while its owner writes, the count last: an error that is ahead of its call waits
 * for it.
 */
int row_take(struct row *row, struct row_detail *detail, uint32_t epoch, struct call_stats *stats)
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

uint64_t row_errno_take(struct row_errno *row_errno, uint64_t most)
{
	uint64_t delta = take64(&row_errno->balance, row_errno->live, most);

	row_errno->live = 0;
	return delta;
}

void row_pass(const struct row *row, struct row_detail *detail, uint32_t epoch)
{
	struct row_errno *row_errno;

	for (uint32_t i = 0; (row_errno = row_errno_at(detail, i)); i++)
		row_errno->live = 0;
	detail_keep_ahead(detail, row_max_since(row, epoch));
}

uint64_t row_deficit(const struct row *row, const struct row_detail *detail,
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

bool row_is_over(struct row *row, const struct row_detail *detail, uint64_t lost, bool tick)
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
