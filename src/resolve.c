/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup_tree.h"
#include "cleanup.h"
#include "host_root.h"
#include "output.h"
#include "resolver.h"

#define PROC_CGROUP_MAX 65536

struct resolution {
	const struct options *options;
	FILE *out;
	FILE *err;
	struct host_root *root;
	struct cgroup_tree *tree; /* NULL: no cgroups are mounted, paths can be resolved still */
	struct resolver *resolver;
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
	int r;

	r = host_root_open(dir, &resolution->root);
	if (r < 0) {
		fprintf(resolution->err, "cgscope: cannot open the host's root '%s': %s\n",
			dir ? dir : "/", strerror(-r));
		return r;
	}
	r = cgroup_tree_open(resolution->root, &resolution->tree);
	if (r < 0 && resolution->options->verbose)
		fprintf(resolution->err, "cgscope: no cgroup hierarchy below '%s': %s, ignoring\n",
			host_root_path(resolution->root), strerror(-r));
	r = resolver_new(resolution->root, resolution->tree, &resolution->resolver);
	if (r < 0)
		fprintf(resolution->err, "cgscope: %s\n", strerror(-r));
	return r;
}

/* "12", with @prefix before it if that is not "". */
static bool parse_number(const char *text, const char *prefix, uint64_t *ret)
{
	size_t n = strlen(prefix);
	char *end;

	if (strncmp(text, prefix, n) != 0 || text[n] < '0' || text[n] > '9')
		return false;
	errno = 0;
	*ret = strtoull(text + n, &end, 10);
	return errno == 0 && *end == 0;
}

/* /sys/fs/cgroup/x is /x. */
static const char *without_mount(const struct resolution *resolution, const char *path)
{
	const char *mount;
	size_t n;

	if (!resolution->tree)
		return path;
	mount = cgroup_tree_hierarchy(resolution->tree)->mount;
	n = strlen(mount);
	while (n > 1 && mount[n - 1] == '/')
		n--;
	if (strncmp(path, mount, n) != 0 || (path[n] != '/' && path[n] != 0))
		return path;
	return path[n] ? path + n : "/";
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

/*
 * The line of /proc/PID/cgroup that tells most. The hierarchy that containers are identified in
 * comes first; a v1 process can be in a container in some hierarchies and in none in others.
 */
static const char *choose_line(const struct resolution *resolution, const char *lines)
{
	static const char *const order[] = { "memory", "pids", "cpu", "name=systemd", NULL };
	const struct cgroup_hierarchy *hierarchy =
		resolution->tree ? cgroup_tree_hierarchy(resolution->tree) : NULL;
	const char *best = hierarchy && hierarchy->v1 ? find_line(lines, hierarchy->controller)
						      : find_line(lines, NULL);

	if (best && has_container(best))
		return best;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const char *line = find_line(lines, order[i]);

		if (line && has_container(line))
			return line;
	}
	for (const char *line = lines; *line; line = next_line(line))
		if (has_container(line))
			return line;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const char *line = find_line(lines, order[i]);

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

/* The path in the line that tells most. */
static char *path_of_lines(const struct resolution *resolution, const char *lines)
{
	const char *path = cgroup_line_path(choose_line(resolution, lines), NULL);

	return strndup(path, strcspn(path, "\n"));
}

/* What /proc says is relative to the cgroup namespace of the process that reads it, ours. */
static char *path_of_pid(const struct resolution *resolution, uint64_t pid)
{
	_cleanup_(freep) char *lines = NULL, *own_lines = NULL, *path = NULL, *own = NULL;
	char name[64], joined[CGROUP_PATH_MAX];

	snprintf(name, sizeof(name), "/proc/%" PRIu64 "/cgroup", pid);
	lines = read_proc(name);
	path = lines && lines[0] ? path_of_lines(resolution, lines) : NULL;
	if (!path || !climbs(path))
		return TAKE_PTR(path);

	own_lines = read_proc("/proc/self/cgroup");
	own = own_lines ? path_of_lines(resolution, own_lines) : NULL;
	if (own && cgroup_path_join(own, path, joined, sizeof(joined)) == 0)
		return strdup(joined);
	return TAKE_PTR(path);
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

/* The path that @target stands for; NULL if it is an id or process that does not exist. */
static char *path_of_target(const struct resolution *resolution, const char *target)
{
	const char *path;
	uint64_t number;
	char *found;

	if (parse_number(target, "cgroup:", &number))
		return path_of_id(resolution, number);
	if (parse_number(target, "pid:", &number))
		return path_of_pid(resolution, number);
	if (parse_number(target, "", &number)) {
		found = path_of_id(resolution, number);
		return found ? found : path_of_pid(resolution, number);
	}

	if (strchr(target, '\n'))
		return path_of_lines(resolution, target);
	path = cgroup_line_path(target, NULL);
	return strdup(path == target ? without_mount(resolution, path) : path);
}

/* Returns whether @target is known, -ESRCH if there is no such thing, or another -errno. */
static int resolve_one(const struct resolution *resolution, const char *target)
{
	_cleanup_(identity_done) struct identity identity = { 0 };
	_cleanup_(freep) char *path = path_of_target(resolution, target);
	struct resolve_trace trace;
	int r;

	if (!path) {
		fprintf(resolution->err, "cgscope: '%s': no such cgroup or process\n", target);
		return -ESRCH;
	}
	r = resolver_resolve_path(resolution->resolver, path, &identity, &trace);
	if (r < 0)
		return r;
	/* Seen from another cgroup's namespace, it is not the path from the root. */
	if (climbs(path)) {
		free(identity.cgroup_path);
		identity.cgroup_path = NULL;
	}
	r = output_identity(target, &identity, &trace, resolution->out);
	return r < 0 ? r : identity.kind != IDENTITY_UNKNOWN;
}

int resolve_targets(const struct options *options, FILE *out, FILE *err)
{
	_cleanup_(resolution_done) struct resolution resolution = { options, out,  err,
								    NULL,    NULL, NULL };
	bool any = false, all_found = true;

	if (resolution_init(&resolution) < 0)
		return EXIT_FAILURE;

	for (size_t i = 0; i < options->targets.n; i++) {
		int r = resolve_one(&resolution, options->targets.items[i]);

		if (r == -EPIPE)
			return EXIT_SUCCESS;
		if (r == -ESRCH) {
			all_found = false;
			continue;
		}
		if (r < 0) {
			fprintf(err, "cgscope: cannot resolve '%s': %s\n",
				options->targets.items[i], strerror(-r));
			return EXIT_FAILURE;
		}
		any |= r > 0;
	}
	if (!any && all_found)
		fprintf(err,
			"cgscope: no container, pod, unit or host: \"tried\" says who was asked\n");
	return any ? EXIT_SUCCESS : EXIT_FAILURE;
}
