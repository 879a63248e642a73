/* SPDX-License-Identifier: BSD-2-Clause */
/* What --cgroup and the filters by name come to, on a tree that is a table (see __wrap_ below). */
#include "src/selection.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *path;
	uint64_t id;
} cgroups[] = {
	{ "/", 1 },	   { "/docker", 5 }, { "/docker/a", 6 }, { "/docker/a/b", 7 },
	{ "/docker2", 8 }, { "/123", 9 },    { "/we[ird", 10 },	 { "/max", UINT64_MAX },
	{ "/other", 11 }, /* not in the first hierarchy */
};

static struct cgroup_hierarchy hierarchy;

/* Beside it: a second one, with all but the first cgroups of the table. */
static struct cgroup_hierarchy other_hierarchy;
static struct cgroup_tree *const other_tree = (struct cgroup_tree *)&other_hierarchy;

#define FIRST_COMMON 5

/* In place of src/cgroup_tree.c, which needs the kernel's. */
const struct cgroup_hierarchy *__wrap_cgroup_tree_hierarchy(const struct cgroup_tree *tree);
const struct cgroup_hierarchy *__wrap_cgroup_tree_hierarchy(const struct cgroup_tree *tree)
{
	return tree == other_tree ? &other_hierarchy : &hierarchy;
}

/* Whether @tree has the cgroup @i of the table. */
static bool has(const struct cgroup_tree *tree, size_t i)
{
	return tree == other_tree ? i >= FIRST_COMMON : i != N(cgroups) - 1;
}

int __wrap_cgroup_tree_path(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size);
int __wrap_cgroup_tree_path(struct cgroup_tree *tree, uint64_t id, char *ret, size_t size)
{
	for (size_t i = 0; i < N(cgroups); i++) {
		if (cgroups[i].id == id && has(tree, i))
			return snprintf(ret, size, "%s", cgroups[i].path) < (int)size ? 0 : -1;
	}
	return -ESTALE;
}

int __wrap_cgroup_tree_id(struct cgroup_tree *tree, const char *path, uint64_t *ret);
int __wrap_cgroup_tree_id(struct cgroup_tree *tree, const char *path, uint64_t *ret)
{
	for (size_t i = 0; i < N(cgroups); i++) {
		if (strcmp(cgroups[i].path, path) == 0 && has(tree, i)) {
			*ret = cgroups[i].id;
			return 0;
		}
	}
	return strstr(path, "..") ? -EINVAL : -ENOENT;
}

int __wrap_cgroup_tree_walk(struct cgroup_tree *tree,
			    int (*visit)(const char *path, uint64_t id, void *data), void *data);
int __wrap_cgroup_tree_walk(struct cgroup_tree *tree,
			    int (*visit)(const char *path, uint64_t id, void *data), void *data)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < N(cgroups); i++)
		r = has(tree, i) ? visit(cgroups[i].path, cgroups[i].id, data) : 0;
	return r;
}

static int setup_v2(void **state)
{
	hierarchy = (struct cgroup_hierarchy){ .mount = "/sys/fs/cgroup" };
	return 0;
}

static char error[8192];

static int make(const char **patterns, size_t n, struct options *options, struct selection **ret)
{
	options->cgroups = (struct string_list){ .items = patterns, .n = n };
	error[0] = '\0';
	return selection_new(options, NULL, ret, error, sizeof(error));
}

static void test_takes_path(void **state)
{
	static const struct {
		const char *given;
		const char *path;
		bool taken;
	} cases[] = {
		{ "/docker", "/docker", true },
		{ "/docker", "/docker/a", true },
		{ "/docker", "/docker/a/b", true },
		{ "/docker", "/docker2", false },
		{ "/docker", "/docke", false },
		{ "/docker", "/", false },
		{ "/docker", "", false },
		{ "/docker", "docker", false },
		{ "/docker", "/x/docker", false },
		{ "/docker", NULL, false },
		{ "docker", "/docker/a", true },
		{ "docker/", "/docker/a", true },
		{ "/docker///", "/docker/a", true },
		{ "/", "/", true },
		{ "/", "/anything/at/all", true },
		{ "/", NULL, false },
		{ "///", "/docker", true },
		{ "//docker//a//", "/docker/a/b", true },
		{ "/sys/fs/cgroup//docker", "/docker/a", true },
		{ "//docker//*", "/docker/a", true },
		{ "/we[ird", "/we[ird/x", true },
		/* As pasted from a shell. */
		{ "/sys/fs/cgroup", "/docker", true },
		{ "/sys/fs/cgroup/", "/docker", true },
		{ "/sys/fs/cgroup/docker/a", "/docker/a/b", true },
		{ "/sys/fs/cgroup/docker/a", "/docker", false },
		/* By id; a path of digits takes a slash. */
		{ "5", "/docker/a", true },
		{ "5", "/5", false },
		{ "005", "/docker/a", true },
		{ "1", "/docker2", true },
		{ "18446744073709551615", "/max/x", true },
		{ "/123", "/123", true },
		/* Globs match a cgroup or any above it. */
		{ "/docker/*", "/docker/a", true },
		{ "/docker/*", "/docker/a/b/c", true },
		{ "/docker/*", "/docker", false },
		{ "/docker/?", "/docker/xy/z", false },
		{ "/docker/?", "/docker/x/z", true },
		{ "*/b", "/docker/a/b/c", true },
		{ "*", "/", true },
		{ "*", "", false },
		{ "*", NULL, false },
		{ "/[d]ocker", "/docker/a", true },
		{ "/[!d]ocker", "/docker/a", false },
		{ "/*", "/docker", true },
		{ "/?", "/", false },
	};

	for (size_t i = 0; i < N(cases); i++) {
		const char *patterns[] = { cases[i].given };
		struct options options = { 0 };
		struct selection *selection;

		assert_int_equal(make(patterns, 1, &options, &selection), 0);
		assert_true(selection_is_active(selection));
		if (selection_takes_path(selection, cases[i].path) != cases[i].taken)
			fail_msg("%s %s %s", cases[i].given, cases[i].taken ? "takes not" : "takes",
				 cases[i].path ? cases[i].path : "(none)");
		selection_free(selection);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *given;
		int r;
		const char *words[3]; /* in what is said */
	} cases[] = {
		{ "/nosuch", -ENOENT, { "\"/nosuch\"", "no such cgroup", "/sys/fs/cgroup" } },
		{ "/docker/", 0, { NULL } },
		{ "/dock", -ENOENT, { "no such cgroup" } },
		{ "/docker/../docker", -EINVAL, { "Invalid argument" } },
		{ "/etc", -ENOENT, { "\"/etc\"" } },
		{ "12345",
		  -ESTALE,
		  { "--cgroup 12345: no cgroup has this id in the cgroup v2 "
		    "hierarchy at /sys/fs/cgroup; ids are those of that hierarchy" } },
		{ "/\x1b[2J\xff", -ENOENT, { "\"/\\x1b[2J\xef\xbf\xbd\"" } },
		{ "0", -ESTALE, { "id" } },
		{ "18446744073709551616", -ERANGE, { "18446744073709551616", "id" } },
		{ "99999999999999999999999999999999", -ERANGE, { "id" } },
		{ "-5", -ENOENT, { "\"-5\"" } },
		{ "+5", -ENOENT, { "\"+5\"" } },
		{ "5 ", -ENOENT, { "\"5\\x20\"" } },
		{ "0x5", -ENOENT, { "\"0x5\"" } },
		{ "/no[such", -ENOENT, { "\"/no[such\"", "no such cgroup" } },
		{ "/nosuch*", 0, { NULL } }, /* may come */
	};

	for (size_t i = 0; i < N(cases); i++) {
		const char *patterns[] = { "/docker", cases[i].given };
		struct selection *const untouched = (struct selection *)&hierarchy;
		struct selection *selection = untouched;
		struct options options = { 0 };

		if (make(patterns, 2, &options, &selection) != cases[i].r)
			fail_msg("%s: %s", cases[i].given, error);
		for (size_t w = 0; w < N(cases[i].words) && cases[i].words[w]; w++) {
			if (!strstr(error, cases[i].words[w]))
				fail_msg("\"%s\" does not say '%s'", error, cases[i].words[w]);
		}
		assert_null(strstr(error, "Stale"));
		assert_null(strstr(error, "\x1b"));
		if (cases[i].r == 0) {
			assert_string_equal(error, "");
			selection_free(selection);
		} else {
			assert_ptr_equal(selection, untouched);
		}
	}
}

/* As long as may be, and longer. */
static void test_length(void **state)
{
	char *given = malloc(2 * CGROUP_PATH_MAX);

	assert_non_null(given);
	for (size_t n = CGROUP_PATH_MAX - 3; n < CGROUP_PATH_MAX + 3; n++) {
		const char *patterns[] = { given };
		struct options options = { 0 };
		struct selection *selection;
		int r;

		memset(given, 'a', n);
		given[0] = '/';
		given[n - 1] = '*';
		given[n] = '\0';
		r = make(patterns, 1, &options, &selection);
		assert_int_equal(r, n < CGROUP_PATH_MAX ? 0 : -ENAMETOOLONG);
		if (r < 0) {
			assert_non_null(strstr(error, "too long"));
			continue;
		}
		given[n - 1] = 'b';
		assert_true(selection_takes_path(selection, given));
		given[1] = 'b';
		assert_false(selection_takes_path(selection, given));
		/* What is asked for may be of any length. */
		memset(given + 1, 'a', 2 * CGROUP_PATH_MAX - 2);
		given[2 * CGROUP_PATH_MAX - 1] = '\0';
		(void)selection_takes_path(selection, given);
		selection_free(selection);
	}
	free(given);
}

static void test_several(void **state)
{
	const char *patterns[] = { "/docker/a", "8", "/k8s/*" };
	struct options options = { 0 };
	struct selection *selection;

	assert_int_equal(make(patterns, 3, &options, &selection), 0);
	assert_true(selection_takes_path(selection, "/docker/a"));
	assert_true(selection_takes_path(selection, "/docker2/x"));
	assert_true(selection_takes_path(selection, "/k8s/pod"));
	assert_false(selection_takes_path(selection, "/docker"));
	assert_false(selection_takes_path(selection, "/k8s"));
	selection_free(selection);

	assert_int_equal(make(NULL, 0, &options, &selection), 0);
	assert_false(selection_is_active(selection));
	assert_true(selection_takes_path(selection, "/docker"));
	assert_true(selection_takes_path(selection, NULL));
	selection_free(selection);
	selection_free(NULL);
}

static void test_v1(void **state)
{
	const char *patterns[] = { "/sys/fs/cgroup/pids/docker/a" };
	struct options options = { 0 };
	struct selection *selection;

	hierarchy = (struct cgroup_hierarchy){
		.v1 = true,
		.hierarchy_id = 4,
		.controller = "memory",
		.mount = "/sys/fs/cgroup/memory",
	};
	assert_int_equal(make(patterns, 1, &options, &selection), 0);
	assert_true(selection_takes_path(selection, "/docker/a/b"));
	assert_false(selection_takes_path(selection, "/docker"));
	selection_free(selection);
	patterns[0] = "/nosuch";
	assert_int_equal(make(patterns, 1, &options, &selection), -ENOENT);
	assert_non_null(strstr(error, "v1 memory"));
}

/* Where each of them is in a hierarchy, but no hierarchy has all of them. */
static void test_spans(void **state)
{
	static const struct {
		const char *patterns[3];
		bool spans;
	} cases[] = {
		{ { "/docker", "/other" }, true },
		{ { "/other", "/docker" }, true },
		{ { "5", "/max", "11" }, true },
		{ { "/docker/*", "/docker", "/other" }, true },
		{ { "/docker", "/nosuch" }, false },
		{ { "/nosuch", "/docker", "/other" }, false },
		{ { "/docker", "/max" }, false }, /* in one */
		{ { "/max", "/other", "/x*" }, false },
	};

	other_hierarchy = (struct cgroup_hierarchy){ .v1 = true,
						     .controller = "memory",
						     .mount = "/mnt/\xff" };
	for (size_t i = 0; i < N(cases); i++) {
		const char *patterns[3];
		struct options options = { .cgroups.items = patterns };

		for (; options.cgroups.n < 3 && cases[i].patterns[options.cgroups.n];
		     options.cgroups.n++)
			patterns[options.cgroups.n] = cases[i].patterns[options.cgroups.n];
		strcpy(error, "as before");
		assert_int_equal(selection_spans(&options, NULL, other_tree, error, sizeof(error)),
				 cases[i].spans);
		if (!cases[i].spans) {
			assert_string_equal(error, "as before");
			continue;
		}
		assert_non_null(strstr(error, "one hierarchy"));
		assert_non_null(strstr(error, "the cgroup v2 hierarchy at /sys/fs/cgroup"));
		assert_non_null(strstr(error, "v1 memory hierarchy at /mnt/\xef\xbf\xbd"));
	}
}

static void test_unmatched(void **state)
{
	static const struct {
		const char *patterns[2];
		const char *unmatched;
	} cases[] = {
		{ { "/docker/*", "/docker" }, NULL },
		{ { "/docker/?", "/nosuch/*" }, "/nosuch/*" },
		{ { "/nosuch*", "/never*" }, "/nosuch*" },
		{ { "5", "/docker2" }, NULL },
		{ { "/sys/fs/cgroup/x*", "*" }, "/sys/fs/cgroup/x*" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		const char *patterns[] = { cases[i].patterns[0], cases[i].patterns[1] };
		struct options options = { 0 };
		struct selection *selection;
		const char *unmatched;

		assert_int_equal(make(patterns, 2, &options, &selection), 0);
		unmatched = selection_unmatched_glob(selection, NULL);
		if (cases[i].unmatched) {
			assert_non_null(unmatched);
			assert_string_equal(unmatched, cases[i].unmatched);
		} else {
			assert_null(unmatched);
		}
		selection_free(selection);
	}
}

/* Only what can no longer change is left to the kernel to leave out. */
static void test_excludes(void **state)
{
	char name[] = "web", other[] = "db";
	const struct identity web = { .kind = IDENTITY_CONTAINER,
				      .resolved = true,
				      .container_name = name };
	const struct identity db = { .kind = IDENTITY_CONTAINER,
				     .resolved = true,
				     .container_name = other };
	const struct identity host = { .kind = IDENTITY_HOST, .resolved = true };
	const struct identity unknown = { .kind = IDENTITY_CONTAINER };
	const char *globs[] = { "w*" }, *patterns[] = { "/docker" };
	struct options options = { .containers = { .items = globs, .n = 1 } };
	struct selection *selection;

	assert_int_equal(make(NULL, 0, &options, &selection), 0);
	assert_true(selection_is_active(selection));
	assert_false(selection_excludes(selection, "/docker/a", &web));
	assert_false(selection_excludes(selection, NULL, &web));
	assert_true(selection_excludes(selection, "/docker/a", &db));
	assert_true(selection_excludes(selection, NULL, &db));
	assert_true(selection_excludes(selection, "/", &host));
	assert_false(selection_excludes(selection, "/docker/a", &unknown));
	selection_free(selection);

	/* Both must agree. */
	assert_int_equal(make(patterns, 1, &options, &selection), 0);
	assert_false(selection_excludes(selection, "/docker/a", &web));
	assert_true(selection_excludes(selection, "/docker2", &web));
	assert_true(selection_excludes(selection, "/docker/a", &db));
	assert_true(selection_excludes(selection, "/docker2", &unknown));
	assert_false(selection_excludes(selection, NULL, &unknown)); /* its path may be learned */
	selection_free(selection);

	options = (struct options){ .containers_only = true };
	assert_int_equal(make(NULL, 0, &options, &selection), 0);
	assert_true(selection_is_active(selection));
	assert_true(selection_excludes(selection, "/", &host));
	assert_false(selection_excludes(selection, "/docker/a", &web));
	selection_free(selection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_takes_path, setup_v2),
		cmocka_unit_test_setup(test_refused, setup_v2),
		cmocka_unit_test_setup(test_length, setup_v2),
		cmocka_unit_test_setup(test_several, setup_v2),
		cmocka_unit_test_setup(test_v1, setup_v2),
		cmocka_unit_test_setup(test_spans, setup_v2),
		cmocka_unit_test_setup(test_unmatched, setup_v2),
		cmocka_unit_test_setup(test_excludes, setup_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
