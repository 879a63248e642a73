/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cgroup_tree.h"
#include "cleanup.h"
#include "collector.h"
#include "host_root.h"
#include "identity.h"
#include "notices.h"
#include "pid_namespace.h"
#include "privileges.h"
#include "resolver.h"
#include "runtime/runtime.h"
#include "text.h"

struct check {
	FILE *out;
	bool failed;
	int n_roots;
};

enum verdict {
	VERDICT_OK,
	VERDICT_NOTE, /* it runs, but shows less */
	VERDICT_FAILED,
};

__attribute__((format(printf, 4, 5))) static void say(struct check *check, enum verdict verdict,
						      const char *what, const char *format, ...)
{
	static const char *const words[] = { "ok", "note", "FAILED" };
	va_list args;

	if (verdict == VERDICT_FAILED)
		check->failed = true;
	fprintf(check->out, "%-13s %-7s ", what, words[verdict]);
	va_start(args, format);
	(void)vfprintf(check->out, format, args);
	va_end(args);
	(void)fputc('\n', check->out);
}

static void check_kernel(struct check *check, const struct options *options)
{
	const char *btf = options->btf ? options->btf : "/sys/kernel/btf/vmlinux";
	struct utsname name;

	if (uname(&name) == 0)
		say(check, VERDICT_OK, "kernel", "Linux %s, %s (needed: %d.%d or newer)",
		    name.release, name.machine, KERNEL_MIN_MAJOR, KERNEL_MIN_MINOR);
	if (access(btf, R_OK) == 0)
		say(check, VERDICT_OK, "kernel types", "%s", text_shown(btf));
	else
		say(check, VERDICT_FAILED, "kernel types",
		    "%s: %s; mount /sys, or give the running kernel's BTF with --btf FILE",
		    text_shown(btf), strerror(errno));
}

static void check_capabilities(struct check *check, const char *root, int root_error)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	FILE *err = open_memstream(&text, &size);
	char *line, *rest;
	int n_missing;

	if (!err)
		return;
	n_missing = privileges_check(root, root_error, err);
	(void)fclose(err);
	if (n_missing == 0)
		say(check, VERDICT_OK, "privileges", "all capabilities are there");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		say(check, VERDICT_FAILED, "privileges", "%s",
		    strncmp(line, "cgscope: ", 9) == 0 ? line + 9 : line);
}

static void check_pid_namespace(struct check *check)
{
	int r = pid_namespace_is_initial();

	if (r < 0)
		say(check, VERDICT_FAILED, "processes", "/proc is not mounted");
	else if (r == 0)
		say(check, VERDICT_NOTE, "processes",
		    "not in the host's PID namespace: only tasks of this one can be shown in time; "
		    "run with --pid=host (Docker) or hostPID: true (Kubernetes)");
	else
		say(check, VERDICT_OK, "processes", "in the host's PID namespace");
}

static void check_root(struct check *check, const struct host_root *root)
{
	if (host_root_doubt(root))
		say(check, VERDICT_NOTE, "host root", "%s: %s; see --host-root",
		    text_shown(host_root_path(root)), host_root_doubt(root));
	else
		say(check, VERDICT_OK, "host root", "%s%s", text_shown(host_root_path(root)),
		    host_root_is_given(root) ? ", as given" : "");
}

static void check_cgroups(struct check *check, const struct cgroup_tree *tree)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	const char *problem = cgroup_tree_handle_problem(tree);
	const char *advice = notice_partial_view_advice(tree);
	char missing[512];

	say(check, VERDICT_OK, "cgroups", "%s%s at %s, %s", hierarchy->v1 ? "v1 " : "v2",
	    hierarchy->controller, text_shown(hierarchy->mount),
	    hierarchy->n_containers > 0 ? "where containers were found"
					: "the default of this layout");
	if (advice)
		say(check, VERDICT_NOTE, "cgroups",
		    "only this container's own are in sight, so others have no names: %s", advice);
	if (notice_missing(tree, missing, sizeof(missing)))
		say(check, VERDICT_NOTE, "cgroups", "%s", missing);
	if (problem)
		say(check, VERDICT_NOTE, "cgroup ids",
		    "%s: cgroups are found by walking the tree, which misses short-lived ones",
		    problem);
	else
		say(check, VERDICT_OK, "cgroup ids", "turned into paths by handle");
}

static void check_programs(struct check *check, const struct options *options,
			   const struct cgroup_tree *tree)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	const struct collector_options collector_options = {
		.cgroup_v1 = hierarchy->v1,
		.cgroup_controller = hierarchy->controller,
		.cgroup_hierarchy = hierarchy->hierarchy_id,
		.btf = options->btf,
		.verbose = options->verbose,
	};
	struct collector *collector = NULL;
	struct collector_stats stats;
	char error[2 * TEXT_SHOWN_SIZE] = "";
	int r;

	r = collector_open(&collector_options, NULL, &collector, error, sizeof(error));
	if (r < 0) {
		say(check, VERDICT_FAILED, "BPF programs", "%s", *error ? error : strerror(-r));
		return;
	}
	collector_stats(collector, &stats);
	say(check, VERDICT_OK, "BPF programs", "loaded and attached (libbpf %s)",
	    collector_libbpf_version());
	if (!stats.cgroup_paths)
		say(check, VERDICT_NOTE, "BPF programs",
		    "this kernel lets no program read its memory (lockdown): containers that live for "
		    "less than an interval may stay without a name");
	collector_close(collector);
}

static void found_root(const char *path, int error, void *data)
{
	struct check *check = data;

	check->n_roots++;
	if (error)
		say(check, VERDICT_NOTE, "  state", "%s: %s", text_shown(path), strerror(-error));
	else
		say(check, VERDICT_OK, "  state", "%s", text_shown(path));
}

static void check_runtimes(struct check *check, const struct host_root *root)
{
	for (size_t i = 0; runtimes[i]; i++) {
		check->n_roots = 0;
		if (!runtimes[i]->roots)
			continue;
		fprintf(check->out, "%s\n", runtimes[i]->name);
		runtimes[i]->roots(root, found_root, check);
		if (check->n_roots == 0)
			fprintf(check->out, "  no state below %s\n",
				text_shown(host_root_path(root)));
	}
	fprintf(check->out, "kubelet\n");
	check->n_roots = 0;
	kubelet_roots(root, found_root, check);
	if (check->n_roots == 0)
		fprintf(check->out, "  no state below %s\n", text_shown(host_root_path(root)));
}

struct nameless {
	struct resolver *resolver;
	struct cgroup_tree *tree;
	size_t n_containers;
	size_t n;
	char *first;
};

/* What a container that ended has left is none; in v1 that shows in the host's namespace only. */
static bool is_running(struct cgroup_tree *tree, const char *path)
{
	if (cgroup_tree_hierarchy(tree)->v1 && pid_namespace_is_initial() <= 0)
		return true;
	return cgroup_tree_is_populated(tree, path);
}

static int count_nameless(const char *path, uint64_t id, void *data)
{
	struct nameless *nameless = data;
	const struct identity *identity = resolver_identify(nameless->resolver, id, 0);

	/* Once a container: what is below one has the same identity. */
	if (!identity_in_container(identity) || !identity->cgroup_path ||
	    strcmp(identity->cgroup_path, path) != 0 || !is_running(nameless->tree, path))
		return 0;
	nameless->n_containers++;
	if (!identity->resolved && nameless->n++ == 0)
		nameless->first = strdup(path);
	return 0;
}

/* Who could not be asked about the container at @path; NULL: whoever was, does not know it. */
static const struct resolve_attempt *find_refusal(const struct resolve_trace *trace)
{
	for (size_t i = 0; i < trace->n_attempts; i++) {
		const struct resolve_attempt *attempt = &trace->attempts[i];

		if (strcmp(attempt->answer, "known") != 0 &&
		    strcmp(attempt->answer, "not known") != 0)
			return attempt;
	}
	return NULL;
}

static void say_nameless(struct check *check, const struct nameless *nameless)
{
	_cleanup_(identity_done) struct identity identity = { 0 };
	const struct resolve_attempt *refusal = NULL;
	struct resolve_trace trace = { 0 };
	char path[CGROUP_PATH_MAX] = "?";

	if (nameless->first) {
		(void)text_to_word(nameless->first, strlen(nameless->first), path, sizeof(path));
		if (resolver_resolve_path(nameless->resolver, nameless->first, &identity, &trace) ==
		    0)
			refusal = find_refusal(&trace);
	}
	if (refusal)
		say(check, VERDICT_NOTE, "names",
		    "of %zu containers %zu are known by id only, such as %s: %s: %s",
		    nameless->n_containers, nameless->n, path, refusal->source, refusal->answer);
	else
		say(check, VERDICT_NOTE, "names",
		    "of %zu containers %zu are known by id only, such as %s: their runtime's state "
		    "is in none of the places above; if its data are elsewhere, say so in the runtime's "
		    "configuration file (Docker: data-root in /etc/docker/daemon.json)",
		    nameless->n_containers, nameless->n, path);
}

/* The most frequent complaint about tools of this kind is that only ids are shown. */
static void check_names(struct check *check, const struct host_root *root, struct cgroup_tree *tree)
{
	struct nameless nameless = { .tree = tree };

	if (resolver_new(root, tree, &nameless.resolver) < 0)
		return;
	(void)resolver_prime(nameless.resolver, 0);
	(void)cgroup_tree_walk(tree, count_nameless, &nameless);
	if (nameless.n > 0)
		say_nameless(check, &nameless);
	else if (nameless.n_containers > 0)
		say(check, VERDICT_OK, "names", "%zu containers, all known", nameless.n_containers);
	else
		say(check, VERDICT_OK, "names", "no container is in sight");
	free(nameless.first);
	resolver_free(nameless.resolver);
}

int check_machine(const struct options *options, FILE *out)
{
	_cleanup_(host_root_closep) struct host_root *root = NULL;
	_cleanup_(cgroup_tree_closep) struct cgroup_tree *tree = NULL;
	struct check check = { .out = out };
	const char *dir = options->host_root ? options->host_root : host_root_default();
	char error[2 * TEXT_SHOWN_SIZE];
	int r;

	check_kernel(&check, options);
	r = host_root_open(options->host_root, &root);
	check_capabilities(&check, dir, r);
	check_pid_namespace(&check);
	if (r < 0) {
		say(&check, VERDICT_FAILED, "host root", "%s",
		    notice_no_root(dir, r, error, sizeof(error)));
	} else {
		check_root(&check, root);
		r = cgroup_tree_open(root, &tree);
		if (r < 0) {
			say(&check, VERDICT_FAILED, "cgroups", "%s",
			    notice_no_cgroups(root, r, error, sizeof(error)));
		} else {
			check_cgroups(&check, tree);
			if (!check.failed)
				check_programs(&check, options, tree);
		}
		check_runtimes(&check, root);
		if (tree)
			check_names(&check, root, tree);
	}
	return check.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
