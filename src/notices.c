/* SPDX-License-Identifier: BSD-2-Clause */
#include "notices.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "cleanup.h"
#include "pid_namespace.h"
#include "text.h"

const char *notice_no_cgroups(const struct host_root *root, int error, char *ret, size_t size)
{
	const char *reason = strerror(-error);

	if (error == -ENOENT && host_root_is_given(root))
		reason = "it is not the host's root, or lacks what is mounted there";
	snprintf(ret, size, "no cgroup file system found below %s: %s",
		 text_shown(host_root_path(root)), reason);
	return ret;
}

const char *notice_no_root(const char *dir, int error, char *ret, size_t size)
{
	snprintf(
		ret, size,
		"cannot open the host's root \"%s\": %s; give the directory where it is mounted as "
		"--host-root",
		text_shown(dir), strerror(-error));
	return ret;
}

void notice_hierarchy(struct cgroup_tree *tree, FILE *err)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	const char *problem = cgroup_tree_handle_problem(tree);

	fprintf(err, "cgscope: cgroups: %s%s at %s (%s)\n", hierarchy->v1 ? "v1 " : "v2",
		hierarchy->controller, text_shown(hierarchy->mount),
		hierarchy->n_containers > 0 ? "containers were found there" : "the default here");
	if (hierarchy->n_other > 0)
		fprintf(err, "cgscope: cgroups: containers with processes: %zu there, %zu in %s\n",
			hierarchy->n_containers, hierarchy->n_other, hierarchy->other);
	if (problem)
		fprintf(err, "cgscope: cgroup handles cannot be used (%s), walking instead\n",
			problem);
}

const char *notice_missing(const struct cgroup_tree *tree, char *ret, size_t size)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);

	if (hierarchy->n_missing == 0)
		return NULL;
	snprintf(ret, size,
		 "containers (%zu) in the %s cgroups are not in the %s%s ones, which are measured, "
		 "and so are not told apart; for them start another cgscope with --cgroup and the "
		 "path of one",
		 hierarchy->n_missing, hierarchy->other, hierarchy->v1 ? "v1 " : "v2",
		 hierarchy->controller);
	return ret;
}

/*
 * In a container's own cgroup namespace all others are out of sight, and the host's root, which
 * shows them, was not to be had. A node in a container has its pods below; that is as it should be.
 * In v1 engines mount the container's own cgroups only, whatever the namespace.
 */
const char *notice_partial_view_advice(const struct cgroup_tree *tree)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);

	if (cgroup_tree_is_whole(tree) || hierarchy->by_evidence)
		return NULL;
	if (hierarchy->v1 || hierarchy->is_hybrid)
		return "mount the host's root and give it as --host-root";
	return "mount the host's root and give it as --host-root, or start the container with "
	       "--cgroupns=host";
}

void notice_partial_view(struct cgroup_tree *tree, FILE *err)
{
	const char *advice = notice_partial_view_advice(tree);

	if (advice)
		fprintf(err,
			"cgscope: only this container's own cgroups are in sight at %s, so others have no "
			"names: %s\n",
			text_shown(cgroup_tree_hierarchy(tree)->mount), advice);
}

void notice_host_root(const struct host_root *root, struct cgroup_tree *tree, bool verbose,
		      FILE *err)
{
	enum host_root_evidence evidence = host_root_evidence(root);

	if (tree && notice_partial_view_advice(tree) && !verbose)
		return;
	if (evidence == HOST_ROOT_ELSEWHERE || (evidence == HOST_ROOT_UNCERTAIN && verbose))
		fprintf(err, "cgscope: %s: names may be missing; see --host-root\n",
			host_root_doubt(root));
}

/*
 * In a PID namespace of our own, nothing outside of it is in sight. A node in a container has its
 * pods in there; that is as it should be.
 */
static void notice_own_pids(const struct options *options, struct cgroup_tree *tree, FILE *err)
{
	bool named = options->n_pids;

	if (!named && cgroup_tree_hierarchy(tree)->by_evidence)
		return;
	fprintf(err,
		"cgscope: %sonly the processes of cgscope's own PID namespace are in sight: start it "
		"with --pid=host (Docker) or hostPID: true (Kubernetes)\n",
		named ? "--pid takes PIDs as the host has them, and " : "");
}

/* Whose thread @tid is; 0 if that cannot be told. */
static int process_of(int tid)
{
	_cleanup_(fclosep) FILE *file = NULL;
	char path[64], line[256];
	int process = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", tid);
	file = fopen(path, "re");
	while (file && process == 0 && fgets(line, sizeof(line), file))
		(void)sscanf(line, "Tgid: %d", &process);
	return process;
}

/* Not an error, since PIDs come and go; but mostly a typing error. */
void notice_pids(const struct options *options, struct cgroup_tree *tree, FILE *err)
{
	if (pid_namespace_is_initial() == 0) {
		/* PIDs are others here, so that there is nothing to ask. */
		notice_own_pids(options, tree, err);
		return;
	}
	for (size_t i = 0; i < options->n_pids; i++) {
		int pid = options->pids[i], process = process_of(pid);

		if (kill(pid, 0) < 0 && errno == ESRCH)
			fprintf(err, "cgscope: --pid %d: there is no such process now\n", pid);
		else if (process > 0 && process != pid)
			fprintf(err,
				"cgscope: --pid %d: is a thread of process %d, which is what to "
				"give; --by thread tells its threads apart\n",
				pid, process);
	}
}

/* What "(…)" holds behind the cause. */
static const char *const losses[] = {
	[LOSS_NO_MEMORY] =
		"the kernel had no memory for the record of a thread: give it some, in a "
		"container by a higher memory limit, or narrow what is watched",
	[LOSS_RING_FULL] =
		"threads end and change faster than cgscope reads: give it more CPU, see "
		"that its output is read, or narrow what is watched",
	[LOSS_RECURSION] =
		"the kernel left a program out, since it was running on that CPU already: "
		"a few of them are no reason to do anything",
	[LOSS_BYTES_UNREAD] =
		"their bytes are missing, no call is: the memory was paged out, or more "
		"than 1024 of them came in one call",
};
_Static_assert(sizeof(losses) / sizeof(losses[0]) == LOSS_N_, "each has its words");

void notice_losses(const struct report *report, unsigned *said, FILE *err)
{
	for (unsigned i = 0; i < LOSS_N_; i++) {
		const char *cause = loss_cause_name((enum loss_cause)i);

		if (report->lost[i] == 0 || *said >> i & 1)
			continue;
		*said |= 1u << i;
		if (i == LOSS_BYTES_UNREAD)
			fprintf(err,
				"cgscope: lengths of %" PRIu64
				" messages could not be read in this interval: %s (%s)\n",
				report->lost[i], cause, losses[i]);
		else
			fprintf(err,
				"cgscope: %" PRIu64 " calls were lost in this interval: %s (%s)\n",
				report->lost[i], cause, losses[i]);
	}
}
