/* SPDX-License-Identifier: BSD-2-Clause */
/* When a guessed hierarchy is said to be wrong, look by look (see __wrap_ below). */
#include "src/hierarchy_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/cgroup_tree.h"

/* Measured is /memory. What a look finds, a letter each. */
static const struct cgroup_hierarchy views[] = {
	['-'] = { .mount = "/memory", .v1 = true, .is_hybrid = true },
	['m'] = { .mount = "/memory", .v1 = true, .is_hybrid = true, .by_evidence = true },
	['2'] = { .mount = "/unified", .is_hybrid = true, .by_evidence = true },
	['b'] = { .mount = "/unified", .is_hybrid = true, .by_evidence = true, .n_other = 1 },
};

static const char *looks; /* what is to be found yet */
static uint64_t population;

/* A tree is what it has found. */
static const struct cgroup_tree *tree_of(char view)
{
	return (const struct cgroup_tree *)&views[(unsigned char)view];
}

int __wrap_cgroup_tree_open(const struct host_root *root, struct cgroup_tree **ret);
int __wrap_cgroup_tree_open(const struct host_root *root, struct cgroup_tree **ret)
{
	assert_true(*looks);
	*ret = (struct cgroup_tree *)tree_of(*looks++);
	return 0;
}

void __wrap_cgroup_tree_close(struct cgroup_tree *tree);
void __wrap_cgroup_tree_close(struct cgroup_tree *tree)
{
}

const struct cgroup_hierarchy *__wrap_cgroup_tree_hierarchy(const struct cgroup_tree *tree);
const struct cgroup_hierarchy *__wrap_cgroup_tree_hierarchy(const struct cgroup_tree *tree)
{
	return (const struct cgroup_hierarchy *)tree;
}

uint64_t __wrap_cgroup_tree_population(const struct host_root *root);
uint64_t __wrap_cgroup_tree_population(const struct host_root *root)
{
	return population;
}

/* The next check comes when it may look again. Returns whether it said something. */
static bool check(struct hierarchy_watch *watch)
{
	char *text = NULL;
	size_t size;
	FILE *err = open_memstream(&text, &size);
	bool said;

	watch->checked_ns = watch->look_ns = 0;
	hierarchy_watch_check(watch, NULL, (struct cgroup_tree *)tree_of('-'), err);
	fclose(err);
	said = size > 0;
	if (said) {
		assert_non_null(strstr(text, "/unified"));
		assert_non_null(strstr(text, "/memory"));
	}
	free(text);
	return said;
}

static void test_looks(void **state)
{
	static const struct {
		const char *looks;
		unsigned said_at; /* the number of the look; 0: never */
	} cases[] = {
		{ "222", 3 },
		{ "2-2--2", 6 },
		{ "--222", 5 },
		/* A container that is made or ends is in one before the other. */
		{ "2", 0 },
		{ "2b", 0 },
		{ "2m", 0 },
		{ "22-b", 0 },
		{ "b", 0 },
		{ "m", 0 },
		{ "----", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hierarchy_watch watch;

		looks = cases[i].looks;
		population = 1;
		hierarchy_watch_begin(&watch, NULL);
		for (unsigned n = 1; *looks; n++) {
			population++;
			assert_int_equal(check(&watch), n == cases[i].said_at);
		}
		/* Once it is known there is nothing more to look for. */
		if (cases[i].said_at || strpbrk(cases[i].looks, "bm")) {
			population++;
			assert_false(check(&watch));
		}
	}
}

/* Where no cgroup comes or goes it does not look, unless it suspects something. */
static void test_population(void **state)
{
	struct hierarchy_watch watch;

	population = 1;
	hierarchy_watch_begin(&watch, NULL);
	looks = "";
	assert_false(check(&watch));
	population++;
	looks = "2";
	assert_false(check(&watch));
	looks = "2";
	assert_false(check(&watch));
	looks = "2";
	assert_true(check(&watch));
	looks = "";
	assert_false(check(&watch));

	/* What was made lately may have had no process yet: once more. */
	hierarchy_watch_begin(&watch, NULL);
	population++;
	looks = "--";
	assert_false(check(&watch));
	assert_false(check(&watch));
	assert_string_equal(looks, "");
	assert_false(check(&watch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_population),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
