/* SPDX-License-Identifier: BSD-2-Clause */
/* What statistics of calls come to: sums of rows, and the percentiles that a histogram tells. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

void stats_add(struct call_stats *sum, const struct call_stats *stats);

/* How many calls the buckets hold, which are those that were timed. */
uint64_t hist_total(const uint64_t buckets[static HIST_BUCKETS]);

/*
 * The estimates of @n percentiles (0 < permille < 1000, ascending): within the bucket that holds
 * each, and never above @max_ns. @total is that of the buckets; 0 if nothing was counted.
 */
void hist_percentiles_ns(const uint64_t buckets[static HIST_BUCKETS], uint64_t total,
			 uint64_t max_ns, const unsigned *permilles, size_t n, uint64_t *ret_ns);

/* What is said of the calls that were timed. */
struct latencies {
	uint64_t timed; /* how many; 0: the others mean nothing, nor does the calls' max_ns */
	uint64_t avg_ns;
	uint64_t p50_ns;
	uint64_t p95_ns;
	uint64_t p99_ns;
};

/* The average, and percentiles as far as the histogram tells them. */
void stats_latencies(const struct call_stats *stats, struct latencies *ret);

/* Rows that are sums of others, with errnos of their own, in memory taken once. */
struct sums {
	struct snapshot_row *rows;
	size_t n_rows;
	struct errno_delta *errnos;
	size_t n_errnos;
};

/* Room for @n_rows sums of rows that have @n_errnos errnos all together. Returns 0 or -ENOMEM. */
int sums_init(struct sums *sums, size_t n_rows, size_t n_errnos);
void sums_done(struct sums *sums);

/* The next sum, of nothing yet: without a task, named as @row is. */
struct snapshot_row *sums_next(struct sums *sums, const struct snapshot_row *row);

/* Adds @row to the latest sum. */
void sums_add(struct sums *sums, const struct snapshot_row *row);
