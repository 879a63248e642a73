/* SPDX-License-Identifier: BSD-2-Clause */
/* Hand-made snapshots and identities, for the tests of the report and the outputs. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/report.h"

struct fixture_cgroup {
	uint64_t id;
	struct identity identity;
};

struct fixture {
	struct snapshot snapshot;
	struct snapshot_row *rows; /* behind snapshot.rows */
	struct snapshot_in_flight *in_flight;
	struct fixture_cgroup *cgroups;
	size_t n_cgroups;
	uint64_t unselected; /* a cgroup that --cgroup leaves out */
};

/* Room for one more than @n; only at powers of two, since sanitizers copy at every realloc(). */
static inline void *fixture_grow(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	array = reallocarray(array, n ? 2 * n : 1, size);
	if (!array)
		abort();
	return array;
}

static inline void fixture_init(struct fixture *fixture)
{
	*fixture = (struct fixture){
		/* 2026-11-22T13:00:10.000999Z */
		.snapshot = { .timestamp_ns = 1795352410000999000, .duration_ns = 10000400000 },
	};
}

static inline void fixture_done(struct fixture *fixture)
{
	free(fixture->rows);
	free(fixture->in_flight);
	free(fixture->cgroups);
}

static inline void fixture_cgroup(struct fixture *fixture, uint64_t id, struct identity identity)
{
	fixture->cgroups =
		fixture_grow(fixture->cgroups, fixture->n_cgroups, sizeof(*fixture->cgroups));
	fixture->cgroups[fixture->n_cgroups++] =
		(struct fixture_cgroup){ .id = id, .identity = identity };
}

/* The row is valid until the next one is added. */
static inline struct snapshot_row *
fixture_row(struct fixture *fixture, const struct snapshot_task *task, uint32_t nr, uint64_t count)
{
	struct snapshot *snapshot = &fixture->snapshot;
	struct snapshot_row *row;

	fixture->rows = fixture_grow(fixture->rows, snapshot->n_rows, sizeof(*fixture->rows));
	snapshot->rows = fixture->rows;
	row = &fixture->rows[snapshot->n_rows++];
	*row = (struct snapshot_row){ .task = task, .nr = nr, .stats = { .count = count } };
	return row;
}

/* Adds @n calls of @ns each to what the row has timed. */
static inline void fixture_time(struct snapshot_row *row, uint32_t n, uint64_t ns)
{
	size_t bucket = 0;

	while (bucket < HIST_BUCKETS - 1 && ns >= (uint64_t)HIST_FIRST_END_NS << bucket)
		bucket++;
	row->stats.buckets[bucket] += n;
	row->stats.time_ns += n * ns;
	if (row->stats.max_ns < ns)
		row->stats.max_ns = ns;
}

static inline struct snapshot_in_flight *
fixture_in_flight(struct fixture *fixture, struct snapshot_task task, uint32_t nr, uint64_t age_ns)
{
	struct snapshot *snapshot = &fixture->snapshot;
	struct snapshot_in_flight *call;

	fixture->in_flight = fixture_grow(fixture->in_flight, snapshot->n_in_flight,
					  sizeof(*fixture->in_flight));
	snapshot->in_flight = fixture->in_flight;
	call = &fixture->in_flight[snapshot->n_in_flight++];
	*call = (struct snapshot_in_flight){ .task = task, .nr = nr, .age_ns = age_ns };
	return call;
}

static inline const struct identity *fixture_identify(uint64_t id, void *data)
{
	static const struct identity unknown = { .kind = IDENTITY_UNKNOWN, .key = (char *)"?" };
	const struct fixture *fixture = data;

	for (size_t i = 0; i < fixture->n_cgroups; i++) {
		if (fixture->cgroups[i].id == id)
			return &fixture->cgroups[i].identity;
	}
	return &unknown;
}

static inline bool fixture_selected(uint64_t id, void *data)
{
	return id != ((const struct fixture *)data)->unselected;
}

static inline struct report *fixture_report(struct fixture *fixture, const struct options *options)
{
	const struct report_source source = { fixture_identify, fixture_selected, fixture };
	struct report *report = NULL;

	if (report_build(&fixture->snapshot, &source, options, &report) < 0)
		abort();
	return report;
}
