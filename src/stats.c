/* SPDX-License-Identifier: BSD-2-Clause */
#include "stats.h"

#include <errno.h>
#include <stdlib.h>

void stats_add(struct call_stats *sum, const struct call_stats *stats)
{
	sum->count += stats->count;
	sum->errors += stats->errors;
	sum->interrupted += stats->interrupted;
	sum->denied += stats->denied;
	sum->time_ns += stats->time_ns;
	sum->bytes += stats->bytes;
	if (stats->max_ns > sum->max_ns)
		sum->max_ns = stats->max_ns;
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		sum->buckets[i] += stats->buckets[i];
}

uint64_t hist_total(const uint64_t buckets[static HIST_BUCKETS])
{
	uint64_t sum = 0;

	for (size_t i = 0; i < HIST_BUCKETS; i++)
		sum += buckets[i];
	return sum;
}

/* The @rank-th of the @n calls in bucket @i, as if they were evenly spread over it. */
static uint64_t rank_ns(size_t i, uint64_t n, uint64_t rank, uint64_t max_ns)
{
	uint64_t low = i == 0 ? 0 : (uint64_t)HIST_FIRST_END_NS << (i - 1);
	uint64_t high = i == HIST_BUCKETS - 1 ? max_ns : (uint64_t)HIST_FIRST_END_NS << i;
	uint64_t product;

	if (high > max_ns)
		high = max_ns;
	/* A maximum below its own bucket is believed all the same. */
	if (high < low || rank == n)
		return high;
	if (!__builtin_mul_overflow(high - low, rank, &product))
		return low + product / n;
	return low + (uint64_t)((unsigned __int128)(high - low) * rank / n);
}

void hist_percentiles_ns(const uint64_t buckets[static HIST_BUCKETS], uint64_t total,
			 uint64_t max_ns, const unsigned *permilles, size_t n, uint64_t *ret_ns)
{
	uint64_t before = 0;
	size_t i = 0;

	for (size_t k = 0; k < n; k++) {
		uint64_t rank = (total * permilles[k] + 999) / 1000; /* 1 to total */

		if (total == 0) {
			ret_ns[k] = 0;
			continue;
		}
		while (before + buckets[i] < rank)
			before += buckets[i++];
		ret_ns[k] = rank_ns(i, buckets[i], rank - before, max_ns);
	}
}

void stats_latencies(const struct call_stats *stats, struct latencies *ret)
{
	static const unsigned permilles[] = { 500, 950, 990 };
	uint64_t percentiles[3];

	*ret = (struct latencies){ .timed = hist_total(stats->buckets) };
	if (ret->timed == 0)
		return;
	ret->avg_ns = stats->time_ns / ret->timed;
	hist_percentiles_ns(stats->buckets, ret->timed, stats->max_ns, permilles, 3, percentiles);
	ret->p50_ns = percentiles[0];
	ret->p95_ns = percentiles[1];
	ret->p99_ns = percentiles[2];
}

int sums_init(struct sums *sums, size_t n_rows, size_t n_errnos)
{
	sums->rows = calloc(n_rows + 1, sizeof(*sums->rows));
	sums->errnos = calloc(n_errnos + 1, sizeof(*sums->errnos));
	return sums->rows && sums->errnos ? 0 : -ENOMEM;
}

void sums_done(struct sums *sums)
{
	free(sums->rows);
	free(sums->errnos);
	*sums = (struct sums){ 0 };
}

struct snapshot_row *sums_next(struct sums *sums, const struct snapshot_row *row)
{
	struct snapshot_row *sum = &sums->rows[sums->n_rows++];

	*sum = (struct snapshot_row){
		.nr = row->nr,
		.abi = row->abi,
		.errnos = &sums->errnos[sums->n_errnos],
	};
	return sum;
}

static void add_errno(struct sums *sums, struct snapshot_row *sum, struct errno_delta delta)
{
	struct errno_delta *errnos = &sums->errnos[sums->n_errnos - sum->n_errnos];

	for (uint32_t i = 0; i < sum->n_errnos; i++) {
		if (errnos[i].number == delta.number) {
			errnos[i].count += delta.count;
			return;
		}
	}
	errnos[sum->n_errnos++] = delta;
	sums->n_errnos++;
}

void sums_add(struct sums *sums, const struct snapshot_row *row)
{
	struct snapshot_row *sum = &sums->rows[sums->n_rows - 1];

	stats_add(&sum->stats, &row->stats);
	for (uint32_t i = 0; i < row->n_errnos; i++)
		add_errno(sums, sum, row->errnos[i]);
}
