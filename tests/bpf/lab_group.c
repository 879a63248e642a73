/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's cgroup hierarchies, and groups of our own in them. */
#include "lab_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cleanup.h"
#include "src/clock.h"

/* The number of the hierarchy that v1's @controller is in; 0 if it is in none or in v2's. */
static uint32_t controller_number(const char *controller)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/cgroups", "re");
	char line[256], name[64];
	unsigned number;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %u", name, &number) == 2 && strcmp(name, controller) == 0)
			return number;
	}
	return 0;
}

static bool has_option(const char *options, const char *name)
{
	size_t length = strlen(name);

	for (const char *p = options; (p = strstr(p, name)); p += length) {
		if ((p == options || p[-1] == ',') && (p[length] == ',' || p[length] == '\0'))
			return true;
	}
	return false;
}

/* Where cgroup v2 is mounted, or with @controller that one of v1. */
static bool find_mount(const char *controller, char ret_path[static 256])
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], path[256], type[32], options[1024];

	while (file && fgets(line, sizeof(line), file)) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*d %*d %*s %*s %255s", path) != 1 ||
		    sscanf(rest, " - %31s %*s %1023s", type, options) != 2 ||
		    strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
		    (controller && !has_option(options, controller)))
			continue;
		memcpy(ret_path, path, sizeof(path));
		return true;
	}
	return false;
}

const struct hierarchy *lab_find_hierarchy(bool v1)
{
	/* Not cpuset, whose new groups take nobody in until they are set up. */
	static const char *const controllers[] = { "memory", "pids", "freezer", "cpu", "devices" };
	static struct hierarchy found_v1, found_v2;

	if (!v1)
		return find_mount(NULL, found_v2.path) ? &found_v2 : NULL;
	for (size_t i = 0; i < N_ELEMENTS(controllers); i++) {
		uint32_t number = controller_number(controllers[i]);

		if (!number || !find_mount(controllers[i], found_v1.path))
			continue;
		found_v1.v1 = true;
		found_v1.number = number;
		(void)snprintf(found_v1.controller, sizeof(found_v1.controller), "%s",
			       controllers[i]);
		return &found_v1;
	}
	return NULL;
}

void lab_choose(const struct hierarchy *hierarchy, struct collector_options *options)
{
	options->cgroup_v1 = hierarchy->v1;
	options->cgroup_controller = hierarchy->v1 ? hierarchy->controller : NULL;
	options->cgroup_hierarchy = hierarchy->number;
}

int lab_write_number(const char *path, long number)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%ld\n", number) < 0)
		return -errno;
	return 0;
}

int lab_group_make(const char *parent_path, const char *name, struct lab_group **ret)
{
	_cleanup_(freep) struct lab_group *group = calloc(1, sizeof(*group));
	struct stat status;
	int n;

	if (!group)
		return -ENOMEM;
	n = snprintf(group->path, sizeof(group->path), "%s/%s", parent_path, name);
	if (n < 0 || (size_t)n >= sizeof(group->path))
		return -ENAMETOOLONG;
	if (mkdir(group->path, 0755) < 0 || stat(group->path, &status) < 0)
		return -errno;
	group->id = status.st_ino;
	*ret = TAKE_PTR(group);
	return 0;
}

struct lab_group *lab_group_new(struct lab *lab, const struct lab_group *parent, const char *name)
{
	static unsigned n_made;
	const char *parent_path = parent ? parent->path : lab->hierarchy.path;
	char unique[128];
	int r;

	(void)snprintf(unique, sizeof(unique), "%s-%d-%u", name, getpid(), n_made++);
	assert_true(lab->n_groups < GROUPS_MAX);
	r = lab_group_make(parent_path, unique, &lab->groups[lab->n_groups]);
	if (r < 0)
		fail_msg("cannot make a cgroup in %s: %s", parent_path, strerror(-r));
	return lab->groups[lab->n_groups++];
}

/* Whoever is still in there was started by a test that has failed. */
static void group_kill(const struct lab_group *group)
{
	_cleanup_(fclosep) FILE *file = NULL;
	char path[512];
	int pid;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1) {
		if (pid > 1)
			(void)kill(pid, SIGKILL);
	}
}

static int group_rmdir(struct lab_group *group)
{
	uint64_t end_ns = monotonic_ns() + PATIENCE_NS / 10;

	while (rmdir(group->path) < 0 && errno != ENOENT) {
		if (errno != EBUSY || monotonic_ns() > end_ns)
			return -errno;
		group_kill(group);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(1000);
	}
	return 0;
}

void lab_group_remove(struct lab_group *group)
{
	int r = group_rmdir(group);

	if (r < 0)
		fail_msg("cannot remove the cgroup %s: %s", group->path, strerror(-r));
}

int lab_groups_remove(struct lab *lab)
{
	int result = 0;

	while (lab->n_groups) {
		struct lab_group *group = lab->groups[--lab->n_groups];
		int r = group_rmdir(group);

		if (r < 0)
			result = r;
		free(group);
	}
	return result;
}

void lab_group_join(const struct lab_group *group, pid_t pid)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fprintf(file, "%d\n", pid) > 0);
	assert_int_equal(fclose(file), 0);
}

struct lab_group *lab_group(struct lab *lab)
{
	if (lab->n_groups == 0)
		(void)lab_group_new(lab, NULL, "cgscope-lab");
	return lab->groups[0];
}

bool lab_group_is_ours(const struct lab *lab, uint64_t id)
{
	for (size_t i = 0; i < lab->n_groups; i++) {
		if (lab->groups[i]->id == id)
			return true;
	}
	return id == lab->also_id;
}

void lab_also(struct lab *lab, const struct lab_group *group)
{
	lab->also_id = group->id;
}
