/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup_tree.h"
#include "cleanup.h"
#include "host_root.h"
#include "notices.h"
#include "output.h"
#include "resolver.h"
#include "text.h"

#define PROC_CGROUP_MAX 65536

struct resolution {
	const struct options *options;
	FILE *out;
	FILE *err;
	struct host_root *root;
	struct cgroup_tree *tree; /* NULL: no cgroups are mounted, paths can be resolved still */
	struct resolver *resolver;
	/* Of our own cgroup namespace, by namespace_root(). */
	bool asked_for_root;
	int root_error;
	char namespace_root[CGROUP_PATH_MAX];
};

static void resolution_done(struct resolution *resolution)
{
	resolver_free(resolution->resolver);
	cgroup_tree_close(resolution->tree);
	host_root_close(resolution->root);
}

static int resolution_init(struct resolution *resolution)
{
	const char *dir = resolution->options->host_root;
	char error[2 * TEXT_SHOWN_SIZE];
	int r;

	r = host_root_open(dir, &resolution->root);
	if (r < 0) {
		fprintf(resolution->err, "cgscope: %s\n",
			notice_no_root(dir ? dir : host_root_default(), r, error, sizeof(error)));
		return r;
	}
	notice_host_root(resolution->root, NULL, resolution->options->verbose, resolution->err);
	r = cgroup_tree_open(resolution->root, &resolution->tree);
	if (r < 0 && resolution->options->verbose)
		fprintf(resolution->err,
			"cgscope: no cgroup hierarchy below \"%s\": %s, ignoring\n",
			text_shown(host_root_path(resolution->root)), strerror(-r));
	r = resolver_new(resolution->root, resolution->tree, &resolution->resolver);
	if (r < 0)
		fprintf(resolution->err, "cgscope: %s\n", strerror(-r));
	return r;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * "12", with @prefix before it if that is not "". What is too large becomes a number which no
 * cgroup and no process has.
 */
static bool parse_number(const char *text, const char *prefix, uint64_t *ret)
{
	size_t n = strlen(prefix);
	char *end;

	if (!has_prefix(text, prefix) || text[n] < '0' || text[n] > '9')
		return false;
	*ret = strtoull(text + n, &end, 10);
	return *end == 0;
}

/* Whether @line is of the hierarchy with @controller, NULL for v2's. */
static bool is_of(const char *line, const char *controller)
{
	const char *list = strchr(line, ':');
	size_t n;

	if (!list)
		return false;
	list++;
	n = strcspn(list, ":");
	if (!controller)
		return strncmp(line, "0::", 3) == 0;
	for (const char *p = list; p < list + n;) {
		size_t len = strcspn(p, ",:");

		if (len == strlen(controller) && strncmp(p, controller, len) == 0)
			return true;
		p += len + 1;
	}
	return false;
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

static const char *find_line(const char *lines, const char *controller)
{
	for (; *lines; lines = next_line(lines))
		if (is_of(lines, controller))
			return lines;
	return NULL;
}

static bool has_container(const char *line)
{
	struct cgroup_parse parse;

	cgroup_path_parse(cgroup_line_path(line, NULL), &parse);
	return parse.n_links > 0;
}

static bool is_of_host(const char *line)
{
	struct cgroup_parse parse;

	cgroup_path_parse(cgroup_line_path(line, NULL), &parse);
	return parse.is_root;
}

/* The line of the hierarchy that containers are identified in. */
static const char *line_of_hierarchy(const struct resolution *resolution, const char *lines)
{
	const struct cgroup_hierarchy *hierarchy =
		resolution->tree ? cgroup_tree_hierarchy(resolution->tree) : NULL;

	return find_line(lines, hierarchy && hierarchy->v1 ? hierarchy->controller : NULL);
}

/* After that hierarchy; NULL is v2's. */
static const char *const line_order[] = { "memory", "pids", "cpu", "name=systemd", NULL };

/*
 * The line of /proc/PID/cgroup that names a container; NULL: none does. A v1 process can be in a
 * container in some hierarchies and in none in others.
 */
static const char *line_of_container(const struct resolution *resolution, const char *lines)
{
	const char *own = line_of_hierarchy(resolution, lines);

	if (own && has_container(own))
		return own;
	for (size_t i = 0; i < sizeof(line_order) / sizeof(line_order[0]); i++) {
		const char *line = find_line(lines, line_order[i]);

		if (line && has_container(line))
			return line;
	}
	for (const char *line = lines; *line; line = next_line(line))
		if (has_container(line))
			return line;
	return NULL;
}

/* The line that tells most: of the text of such a file, whatever machine that is from. */
static const char *choose_line(const struct resolution *resolution, const char *lines)
{
	const char *best = line_of_container(resolution, lines);

	if (best)
		return best;
	best = line_of_hierarchy(resolution, lines);
	for (size_t i = 0; i < sizeof(line_order) / sizeof(line_order[0]); i++) {
		const char *line = find_line(lines, line_order[i]);

		if (line && (!best || is_of_host(best)) && !is_of_host(line))
			return line;
	}
	return best ? best : lines;
}

/* The whole of a small /proc file. Returns NULL and sets errno. */
static char *read_proc(const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	char *text;
	size_t n;

	if (!file)
		return NULL;
	text = malloc(PROC_CGROUP_MAX);
	if (!text)
		return NULL;
	n = fread(text, 1, PROC_CGROUP_MAX - 1, file);
	text[n] = 0;
	return text;
}

static bool climbs(const char *path)
{
	return strncmp(path, "/../", 4) == 0 || strcmp(path, "/..") == 0;
}

static char *path_of_line(const char *line)
{
	const char *path = cgroup_line_path(line, NULL);

	return strndup(path, strcspn(path, "\n"));
}

/* The path in the line that tells most. */
static char *path_of_lines(const struct resolution *resolution, const char *lines)
{
	return path_of_line(choose_line(resolution, lines));
}

/*
 * The same of a process of this machine: in none of the containers it is what the hierarchy that is
 * measured says, and what others say is not in there.
 */
static const char *choose_line_of_process(const struct resolution *resolution, const char *lines,
					  bool *ret_elsewhere)
{
	const char *own = line_of_hierarchy(resolution, lines);
	const char *best = line_of_container(resolution, lines);

	if (!best)
		best = own ? own : choose_line(resolution, lines);
	*ret_elsewhere = resolution->tree && best != own;
	return best;
}

/* What stands for a cgroup of which not even the container is known that it is in. */
#define NOWHERE "/.."

/* The root of our own cgroup namespace, which takes a walk of the whole tree, or NULL. */
static const char *namespace_root(struct resolution *resolution)
{
	if (!resolution->tree)
		return NULL;
	if (!resolution->asked_for_root)
		resolution->root_error =
			cgroup_tree_namespace_root(resolution->tree, resolution->namespace_root,
						   sizeof(resolution->namespace_root));
	resolution->asked_for_root = true;
	return resolution->root_error < 0 ? NULL : resolution->namespace_root;
}

/*
 * The path in the line of the hierarchy that containers are identified in, from the root of that
 * one: NULL if the place of our own namespace in it is not in sight. A process in the root of one
 * hierarchy may well be in a container by another, whose paths we cannot tell.
 */
static char *path_from_namespace(struct resolution *resolution, const char *lines)
{
	const char *line = line_of_hierarchy(resolution, lines), *path;
	const char *root = line ? namespace_root(resolution) : NULL;
	char joined[CGROUP_PATH_MAX];
	const struct cgroup_hierarchy *hierarchy;
	_cleanup_(freep) char *seen = NULL;

	if (!root)
		return NULL;
	path = cgroup_line_path(line, NULL);
	seen = strndup(path, strcspn(path, "\n"));
	if (!seen || cgroup_path_join(root, seen, joined, sizeof(joined)) < 0)
		return NULL;
	hierarchy = cgroup_tree_hierarchy(resolution->tree);
	if ((hierarchy->v1 || hierarchy->is_hybrid) && strcmp(joined, "/") == 0)
		return NULL;
	return strdup(joined);
}

/*
 * The path of the process whose cgroup file is @file. From within a namespace "/" may be any
 * container's that we are in; where that is not in sight, a path that leads out of it still has a
 * tail to tell by.
 */
static char *path_of_file(struct resolution *resolution, const char *file, bool *ret_elsewhere)
{
	_cleanup_(freep) char *lines = read_proc(file), *path = NULL;

	if (!lines || !lines[0])
		return NULL;
	if (cgroup_namespace_is_initial())
		return path_of_line(choose_line_of_process(resolution, lines, ret_elsewhere));
	path = path_from_namespace(resolution, lines);
	if (path)
		return TAKE_PTR(path);
	path = path_of_lines(resolution, lines);
	return path && climbs(path) ? TAKE_PTR(path) : strdup(NOWHERE);
}

static char *path_of_pid(struct resolution *resolution, uint64_t pid, bool *ret_elsewhere)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "/proc/%" PRIu64 "/cgroup", pid);
	return path_of_file(resolution, file, ret_elsewhere);
}

static char *path_of_id(const struct resolution *resolution, uint64_t id)
{
	char path[CGROUP_PATH_MAX];
	int r;

	if (!resolution->tree)
		return NULL;
	r = cgroup_tree_path(resolution->tree, id, path, sizeof(path));
	return r == 0 || r == -ENAMETOOLONG ? strdup(path) : NULL;
}

/*
 * "/proc/4711", "/proc/self/cgroup", "/proc/4711/task/4712/cgroup": the file of a process or
 * thread, into @ret. All else is no such file.
 */
static bool parse_proc(const char *target, char *ret, size_t size)
{
	static const char proc[] = "/proc/", self[] = "self", task[] = "/task/", file[] = "/cgroup";
	const char *s, *rest;
	size_t digits;

	if (strncmp(target, proc, strlen(proc)) != 0)
		return false;
	s = target + strlen(proc);
	digits = strspn(s, "0123456789");
	if (digits == 0 && strncmp(s, self, strlen(self)) == 0)
		digits = strlen(self);
	rest = s + digits;
	if (digits > 0 && strncmp(rest, task, strlen(task)) == 0) {
		digits = strspn(rest + strlen(task), "0123456789");
		rest += strlen(task) + digits;
	}
	if (digits == 0 || (*rest && strcmp(rest, file) != 0))
		return false;
	return (size_t)snprintf(ret, size, "%.*s%s", (int)(rest - target), target, file) < size;
}

/*
 * The path that @target stands for; NULL if it is an id or process that does not exist, and what
 * of them in @ret_missing. @ret_elsewhere is whether it is a path of another hierarchy.
 */
static char *path_of_target(struct resolution *resolution, const char *target,
			    const char **ret_missing, bool *ret_elsewhere)
{
	static const char no_process[] = "no such process";
	const struct cgroup_hierarchy *hierarchy =
		resolution->tree ? cgroup_tree_hierarchy(resolution->tree) : NULL;
	const char *path;
	uint64_t number;
	char file[64], *found;

	*ret_missing = no_process;
	if (parse_number(target, "pid:", &number))
		return path_of_pid(resolution, number, ret_elsewhere);
	if (parse_proc(target, file, sizeof(file)))
		return path_of_file(resolution, file, ret_elsewhere);
	*ret_missing = "no cgroup with this id";
	if (parse_number(target, "cgroup:", &number))
		return path_of_id(resolution, number);
	*ret_missing = "no cgroup with this id, and no process with this PID";
	if (parse_number(target, "", &number)) {
		found = path_of_id(resolution, number);
		return found ? found : path_of_pid(resolution, number, ret_elsewhere);
	}

	*ret_missing = NULL;
	path = cgroup_line_path(target, NULL);
	if (path == target && hierarchy)
		path = cgroup_hierarchy_path(hierarchy, path);
	found = strchr(target, '\n') ? path_of_lines(resolution, target) : strdup(path);
	if (found)
		cgroup_path_squeeze(found);
	return found;
}

__attribute__((format(printf, 3, 4))) static void
complain(const struct resolution *resolution, const char *target, const char *format, ...)
{
	char word[256];
	va_list args;

	text_to_word(target, SIZE_MAX, word, sizeof(word));
	fprintf(resolution->err, "cgscope: \"%s\": ", word);
	va_start(args, format);
	vfprintf(resolution->err, format, args);
	va_end(args);
	fputc('\n', resolution->err);
}

/* Whether it stands for a cgroup or a process: "12", "pid:12", "cgroup:12". */
static bool is_number(const char *target)
{
	uint64_t number;

	return parse_number(target, "", &number) || parse_number(target, "pid:", &number) ||
	       parse_number(target, "cgroup:", &number);
}

/* Why nothing is known about @target. */
static const char *why_unknown(const struct resolution *resolution, const char *target,
			       const char *path, const struct identity *identity,
			       const struct resolve_trace *tried)
{
	bool exists = identity->cgroup_id != 0;

	if (strcmp(path, NOWHERE) == 0 && strcmp(target, NOWHERE) != 0)
		return "it is seen from a cgroup namespace, and where that is among the host's "
		       "cgroups is not in sight";
	if (!exists && !strchr(target, '/') && !is_number(target))
		return "a TARGET is a path, a line of /proc/PID/cgroup, the id of a cgroup or a "
		       "PID, not the name or id of a container";
	if (!exists && resolution->tree)
		return "no such cgroup is there, nor known to have been";
	if (tried->n_attempts > 0)
		return "no container, pod, unit or host: \"tried\" says who was asked";
	return "no container, pod, unit or host";
}

/* Returns whether @target is known, and else says why not; -errno: nothing can be said any more. */
static int resolve_one(struct resolution *resolution, const char *target)
{
	_cleanup_(identity_done) struct identity identity = { 0 };
	const char *missing;
	bool elsewhere = false;
	_cleanup_(freep) char *path = path_of_target(resolution, target, &missing, &elsewhere);
	struct resolve_trace trace;
	int r;

	if (!path && missing) {
		complain(resolution, target, "%s", missing);
		return 0;
	}
	r = path ? resolver_resolve_path(resolution->resolver, path, &identity, &trace) : -ENOMEM;
	if (r < 0) {
		complain(resolution, target, "cannot be resolved: %s", strerror(-r));
		return r;
	}
	/* Seen from another cgroup's namespace, it is not the path from the root. */
	if (climbs(path)) {
		free(identity.cgroup_path);
		identity.cgroup_path = NULL;
	}
	r = output_identity(target, &identity, &trace, resolution->out);
	if (r < 0) {
		if (r != -EPIPE)
			complain(resolution, target, "cannot be printed: %s", strerror(-r));
		return r;
	}
	/* Said of what is known, too: it will not be found in what is measured. */
	if (elsewhere && identity.cgroup_id == 0)
		complain(resolution, target,
			 "its cgroup is in another hierarchy than the one measured, at %s",
			 text_shown(cgroup_tree_hierarchy(resolution->tree)->mount));
	else if (identity.kind == IDENTITY_UNKNOWN)
		complain(resolution, target, "%s",
			 why_unknown(resolution, target, path, &identity, &trace));
	return identity.kind != IDENTITY_UNKNOWN;
}

int resolve_targets(const struct options *options, FILE *out, FILE *err)
{
	_cleanup_(resolution_done) struct resolution resolution = {
		.options = options,
		.out = out,
		.err = err,
	};
	bool any = false;

	if (resolution_init(&resolution) < 0)
		return EXIT_FAILURE;

	for (size_t i = 0; i < options->targets.n; i++) {
		int r = resolve_one(&resolution, options->targets.items[i]);

		if (r < 0)
			return r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
		any |= r > 0;
	}
	return any ? EXIT_SUCCESS : EXIT_FAILURE;
}
