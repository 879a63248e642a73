/* SPDX-License-Identifier: BSD-2-Clause */
#include "src/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define N_KEYS 20000

/* Keys that a hash of few bits would put into one slot; that of numbers in a row is the usual. */
static const struct {
	const char *name;
	uint64_t first;
	uint64_t step;
} series[] = {
	{ "in a row", 0, 1 },
	{ "backwards, around 0", 5000, -1ull },
	{ "low half the same", 7, 1ull << 32 },
	{ "few low bits", 0, 1ull << 16 },
	{ "high bits only", 1, 1ull << 48 },
	{ "undoing the multiplication", 0, 0xf1de83e19937733d },
	{ "odd", 3, 0x9e3779b97f4a7c15 },
};

static void test_series(void **state)
{
	for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++) {
		struct map map = { 0 };
		uint64_t key = series[i].first;
		uint32_t value = 4711;

		for (uint32_t n = 0; n < N_KEYS; n++, key += series[i].step) {
			assert_false(map_find(&map, key, &value));
			assert_int_equal(map_add(&map, key, n), 0);
		}
		assert_int_equal(value, 4711); /* untouched where there is nothing */
		assert_int_equal(map.n_used, N_KEYS);
		assert_true(map.n_slots >= 2 * N_KEYS);
		assert_int_equal(map.n_slots & (map.n_slots - 1), 0);

		key = series[i].first;
		for (uint32_t n = 0; n < N_KEYS; n++, key += series[i].step) {
			if (!map_find(&map, key, &value) || value != n)
				fail_msg("%s: key %u has %u", series[i].name, n, value);
		}
		assert_false(map_find(&map, key, &value));
		map_done(&map);
	}
}

static void test_extremes(void **state)
{
	static const struct {
		uint64_t key;
		uint32_t value;
	} rows[] = {
		{ 0, 0 },
		{ UINT64_MAX, UINT32_MAX - 1 }, /* the largest that may be given */
		{ 1, 0 },
		{ 1ull << 63, UINT32_MAX - 1 },
		{ UINT32_MAX, 1 },
		{ (uint64_t)UINT32_MAX + 1, 2 },
	};
	struct map map = { 0 };
	uint32_t value;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(map_add(&map, rows[i].key, rows[i].value), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(map_find(&map, rows[i].key, &value));
		assert_int_equal(value, rows[i].value);
		assert_false(map_find(&map, rows[i].key ^ 0x10, &value));
	}
	map_done(&map);
}

static void test_empty(void **state)
{
	struct map map = { 0 };
	uint32_t value;

	assert_false(map_find(&map, 0, &value));
	map_done(&map);

	/* Done, it is empty, and may be used again. */
	assert_int_equal(map_add(&map, 7, 1), 0);
	map_done(&map);
	assert_false(map_find(&map, 7, &value));
	assert_int_equal(map_add(&map, 7, 2), 0);
	assert_true(map_find(&map, 7, &value));
	assert_int_equal(value, 2);
	map_done(&map);
	map_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_series),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
