/* SPDX-License-Identifier: BSD-2-Clause */
#include "selection.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup_path.h"
#include "cleanup.h"
#include "glob.h"
#include "report.h"
#include "text.h"

enum pattern_kind {
	PATTERN_PATH,
	PATTERN_GLOB,
};

struct pattern {
	enum pattern_kind kind;
	const char *given;
	char text[CGROUP_PATH_MAX]; /* from the hierarchy's root, no slash at the end */
};

struct selection {
	const struct options *options;
	struct pattern *patterns;
	size_t n_patterns;
};

static bool is_number(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (!isdigit((unsigned char)*c))
			return false;
	}
	return *text;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static int normalise(const char *text, char *ret, size_t size)
{
	int r = snprintf(ret, size, "%s%s", *text == '/' ? "" : "/", text);

	if (r < 0 || (size_t)r >= size)
		return -ENAMETOOLONG;
	cgroup_path_squeeze(ret);
	return 0;
}

#define PLACE_SIZE (TEXT_SHOWN_SIZE + 96)

static void describe(const struct cgroup_hierarchy *hierarchy, char *ret, size_t size)
{
	if (hierarchy->v1)
		(void)snprintf(ret, size, "the v1 %s hierarchy at %s", hierarchy->controller,
			       text_shown(hierarchy->mount));
	else
		(void)snprintf(ret, size, "the cgroup v2 hierarchy at %s",
			       text_shown(hierarchy->mount));
}

/* Gone, never there, of a file, or more than an id can be. */
static bool is_absent(int error)
{
	return error == -ESTALE || error == -ENOENT || error == -ENOTDIR || error == -ERANGE;
}

static int pattern_init(struct pattern *pattern, const char *given, struct cgroup_tree *tree,
			char *ret_error, size_t error_size)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	char place[PLACE_SIZE];
	uint64_t id;
	int r;

	describe(hierarchy, place, sizeof(place));
	pattern->given = given;
	if (is_number(given)) {
		errno = 0;
		id = strtoull(given, NULL, 10);
		r = errno ? -errno
			  : cgroup_tree_path(tree, id, pattern->text, sizeof(pattern->text));
		if (is_absent(r))
			(void)snprintf(ret_error, error_size,
				       "--cgroup %s: no cgroup has this id in %s; ids are those of "
				       "that hierarchy",
				       text_shown(given), place);
		else if (r < 0)
			(void)snprintf(ret_error, error_size,
				       "--cgroup %s: the cgroup with this id in %s cannot be "
				       "opened: %s",
				       text_shown(given), place, strerror(-r));
		return r;
	}

	r = normalise(cgroup_hierarchy_path(hierarchy, given), pattern->text,
		      sizeof(pattern->text));
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "--cgroup: the path is too long");
		return r;
	}
	if (glob_has_magic(given)) {
		pattern->kind = PATTERN_GLOB;
		return 0;
	}
	r = cgroup_tree_id(tree, pattern->text, &id);
	if (r < 0)
		(void)snprintf(ret_error, error_size,
			       "--cgroup \"%s\": %s in %s; check the path there, or give a glob to "
			       "wait for it to appear",
			       text_shown(given), r == -ENOENT ? "no such cgroup" : strerror(-r),
			       place);
	return r;
}

static void selection_freep(struct selection **selection)
{
	selection_free(*selection);
}

int selection_new(const struct options *options, struct cgroup_tree *tree, struct selection **ret,
		  char *ret_error, size_t error_size)
{
	_cleanup_(selection_freep) struct selection *selection = calloc(1, sizeof(*selection));
	int r;

	if (!selection)
		return -ENOMEM;
	selection->options = options;
	selection->patterns = calloc(options->cgroups.n + 1, sizeof(*selection->patterns));
	if (!selection->patterns)
		return -ENOMEM;
	for (size_t i = 0; i < options->cgroups.n; i++) {
		r = pattern_init(&selection->patterns[i], options->cgroups.items[i], tree,
				 ret_error, error_size);
		if (r < 0)
			return r;
		selection->n_patterns++;
	}
	*ret = TAKE_PTR(selection);
	return 0;
}

/* The first of --cgroup that @tree does not have; NULL: it has them all. */
static const char *missing_in(const struct options *options, struct cgroup_tree *tree,
			      struct pattern *pattern)
{
	char error[1];

	for (size_t i = 0; i < options->cgroups.n; i++) {
		const char *given = options->cgroups.items[i];

		if (pattern_init(pattern, given, tree, error, sizeof(error)) < 0)
			return given;
	}
	return NULL;
}

bool selection_spans(const struct options *options, struct cgroup_tree *tree,
		     struct cgroup_tree *other, char *ret_error, size_t error_size)
{
	_cleanup_(freep) struct pattern *pattern = calloc(1, sizeof(*pattern));
	char place[PLACE_SIZE], other_place[PLACE_SIZE], error[1];
	const char *missing, *missing_in_other;

	if (!pattern)
		return false;
	for (size_t i = 0; i < options->cgroups.n; i++) {
		const char *given = options->cgroups.items[i];

		if (pattern_init(pattern, given, tree, error, sizeof(error)) < 0 &&
		    pattern_init(pattern, given, other, error, sizeof(error)) < 0)
			return false;
	}
	missing = missing_in(options, tree, pattern);
	missing_in_other = missing_in(options, other, pattern);
	if (!missing || !missing_in_other)
		return false;
	describe(cgroup_tree_hierarchy(tree), place, sizeof(place));
	describe(cgroup_tree_hierarchy(other), other_place, sizeof(other_place));
	(void)snprintf(ret_error, error_size,
		       "--cgroup: all must lie in one hierarchy, but \"%s\" is in %s only, and "
		       "\"%s\" in %s only; start cgscope once for each hierarchy",
		       text_shown(missing_in_other), place, text_shown(missing), other_place);
	return true;
}

void selection_free(struct selection *selection)
{
	if (!selection)
		return;
	free(selection->patterns);
	free(selection);
}

bool selection_is_active(const struct selection *selection)
{
	const struct options *options = selection->options;

	return selection->n_patterns || options->containers_only || options->containers.n ||
	       options->pods.n || options->namespaces.n;
}

/* Whether the glob matches @path or any cgroup above it. */
static bool glob_takes(const char *glob, const char *path)
{
	char prefix[CGROUP_PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(prefix))
		return false;
	if (glob_match(glob, path))
		return true;
	memcpy(prefix, path, n + 1);
	while (n > 1) {
		if (prefix[--n] != '/')
			continue;
		prefix[n] = '\0';
		if (n && glob_match(glob, prefix))
			return true;
	}
	return false;
}

static bool pattern_takes(const struct pattern *pattern, const char *path)
{
	if (pattern->kind == PATTERN_GLOB)
		return glob_takes(pattern->text, path);
	return strcmp(pattern->text, "/") == 0 || is_below(path, pattern->text);
}

bool selection_takes_path(const struct selection *selection, const char *path)
{
	if (selection->n_patterns == 0)
		return true;
	for (size_t i = 0; path && i < selection->n_patterns; i++) {
		if (pattern_takes(&selection->patterns[i], path))
			return true;
	}
	return false;
}

bool selection_excludes(const struct selection *selection, const char *path,
			const struct identity *identity)
{
	if (path && !selection_takes_path(selection, path))
		return true;
	/* Only what is settled: an unknown cgroup may turn out to be a container. */
	return identity->resolved && !report_takes_identity(identity, selection->options);
}

struct search {
	const char *glob;
	bool found;
};

static int match_one(const char *path, uint64_t id, void *data)
{
	struct search *search = data;

	search->found = glob_match(search->glob, path);
	return search->found;
}

const char *selection_unmatched_glob(const struct selection *selection, struct cgroup_tree *tree)
{
	for (size_t i = 0; i < selection->n_patterns; i++) {
		struct search search = { .glob = selection->patterns[i].text };

		if (selection->patterns[i].kind != PATTERN_GLOB)
			continue;
		(void)cgroup_tree_walk(tree, match_one, &search);
		if (!search.found)
			return selection->patterns[i].given;
	}
	return NULL;
}
