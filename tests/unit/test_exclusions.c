/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/exclusions.h"

#define ROOM 100

/* A kernel with room for so many. */
struct kernel {
	uint64_t ids[ROOM];
	size_t n;
	unsigned asked;
	int error;
	int include_error;
};

static int exclude(uint64_t id, void *data)
{
	struct kernel *kernel = data;

	kernel->asked++;
	if (kernel->error)
		return kernel->error;
	if (kernel->n == ROOM)
		return -E2BIG;
	kernel->ids[kernel->n++] = id;
	return 0;
}

static size_t find(const struct kernel *kernel, uint64_t id)
{
	size_t i = 0;

	while (i < kernel->n && kernel->ids[i] != id)
		i++;
	return i;
}

static int include(uint64_t id, void *data)
{
	struct kernel *kernel = data;
	size_t i = find(kernel, id);

	if (kernel->include_error)
		return kernel->include_error;
	assert_true(i < kernel->n);
	kernel->ids[i] = kernel->ids[--kernel->n];
	return 0;
}

static struct kernel kernel;

static int setup(void **state)
{
	const struct exclusions_kernel ours = { exclude, include, &kernel };

	kernel = (struct kernel){ 0 };
	return exclusions_new(&ours, (struct exclusions **)state);
}

static int teardown(void **state)
{
	exclusions_free(*state);
	return 0;
}

static void test_once(void **state)
{
	for (int i = 0; i < 3; i++) {
		assert_int_equal(exclusions_add(*state, 7), 0);
		assert_int_equal(exclusions_add(*state, UINT64_MAX), 0);
		assert_int_equal(exclusions_add(*state, 0), 0);
	}
	assert_int_equal(kernel.n, 3);
	assert_int_equal(kernel.asked, 3);
	exclusions_remove(*state, UINT64_MAX);
	exclusions_remove(*state, UINT64_MAX);
	exclusions_remove(*state, 12345);
	assert_int_equal(kernel.n, 2);
	assert_int_equal(find(&kernel, UINT64_MAX), 2);
	assert_int_equal(exclusions_add(*state, UINT64_MAX), 0);
	assert_int_equal(kernel.n, 3);
}

static void test_full(void **state)
{
	int said = 0;

	for (uint64_t id = 0; id < 2 * ROOM; id++) {
		int r = exclusions_add(*state, id);

		assert_true(r == 0 || r == 1);
		assert_true(r == 0 || id >= ROOM);
		said += r;
	}
	assert_int_equal(said, 1);
	assert_int_equal(kernel.n, ROOM);
	/* What had no room is not taken for left out: it is as soon as there is. */
	exclusions_remove(*state, 5);
	assert_int_equal(exclusions_add(*state, 2 * ROOM - 1), 0);
	assert_true(find(&kernel, 2 * ROOM - 1) < kernel.n);
	assert_int_equal(exclusions_add(*state, 5), 0);
	assert_int_equal(find(&kernel, 5), kernel.n);
}

static void test_errors(void **state)
{
	static const int errors[] = { -EPERM, -ENOMEM, -EBADF, -EINVAL };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		kernel.error = errors[i];
		assert_int_equal(exclusions_add(*state, 1), errors[i]);
	}
	/* Busy is no answer. */
	kernel.error = -EBUSY;
	assert_int_equal(exclusions_add(*state, 1), 0);
	kernel.error = 0;
	assert_int_equal(kernel.n, 0);
	assert_int_equal(exclusions_add(*state, 1), 0);
	assert_int_equal(kernel.n, 1);
}

static bool is_odd(uint64_t id, void *data)
{
	unsigned *calls = data;

	(*calls)++;
	return id & 1;
}

static void test_review(void **state)
{
	unsigned calls = 0;

	assert_int_equal(exclusions_review(*state, is_odd, &calls), 0);
	assert_int_equal(calls, 0);
	for (uint64_t id = 0; id < ROOM; id++)
		assert_int_equal(exclusions_add(*state, id), 0);
	assert_int_equal(exclusions_review(*state, is_odd, &calls), 0);
	assert_int_equal(calls, ROOM);
	assert_int_equal(kernel.n, ROOM / 2);
	for (size_t i = 0; i < kernel.n; i++)
		assert_int_equal(kernel.ids[i] & 1, 1);
}

/* What could not be taken back is tried again, by whoever asks next. */
static void test_include_fails(void **state)
{
	static const struct {
		int error;
		int said;
	} cases[] = { { -EBUSY, 0 }, { -EPERM, -EPERM }, { -ENOMEM, -ENOMEM } };
	unsigned calls = 0;

	for (uint64_t id = 0; id < 4; id++)
		assert_int_equal(exclusions_add(*state, id), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kernel.include_error = cases[i].error;
		exclusions_remove(*state, 1);
		calls = 0;
		assert_int_equal(exclusions_review(*state, is_odd, &calls), cases[i].said);
		assert_int_equal(calls, 4);
		assert_int_equal(kernel.n, 4);
		/* It is left out still, so that there is nothing to ask. */
		assert_int_equal(exclusions_add(*state, 2), 0);
		assert_int_equal(kernel.asked, 4);
	}
	kernel.include_error = 0;
	assert_int_equal(exclusions_review(*state, is_odd, &calls), 0);
	assert_int_equal(kernel.n, 2);
	exclusions_remove(*state, 1);
	assert_int_equal(kernel.n, 1);
	assert_int_equal(kernel.ids[0], 3);

	/* What the kernel does not know is no more left out: it can be again. */
	kernel.n = 0;
	kernel.include_error = -ENOENT;
	exclusions_remove(*state, 3);
	assert_int_equal(exclusions_add(*state, 3), 0);
	assert_int_equal(kernel.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_review, setup, teardown),
		cmocka_unit_test_setup_teardown(test_include_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
