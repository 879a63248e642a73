/* SPDX-License-Identifier: BSD-2-Clause */
/* With the kernel's own cgroups: needs root and a cgroup file system to write to. */
#include "src/cgroup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/pid_namespace.h"

#define H    "5aaf9eb7648eeb1459d86eaa0ace8bcfa93089642e5c3113a14250dae3238aaf"
#define SKIP 77

#define REVERSE_H "faa8323eadc05241a3115c2e5193980afbec8aeca0fea68d9541bee8467bf9aa"

static struct host_root *host;
static struct cgroup_tree *tree;
static char top[64];  /* our test cgroup, from the hierarchy's root */
static char fake[64]; /* a directory to build host roots in */
static int own_cgroup_ns = -1;

static void full(const char *path, char ret[static 2 * CGROUP_PATH_MAX])
{
	snprintf(ret, 2 * CGROUP_PATH_MAX, "%s%s%s", cgroup_tree_hierarchy(tree)->mount, top, path);
}

static uint64_t make(const char *path)
{
	char name[2 * CGROUP_PATH_MAX];
	struct stat st;

	full(path, name);
	assert_int_equal(mkdir(name, 0755), 0);
	assert_int_equal(stat(name, &st), 0);
	return st.st_ino;
}

static void drop(const char *path)
{
	char name[2 * CGROUP_PATH_MAX];

	full(path, name);
	assert_int_equal(rmdir(name), 0);
}

static void assert_path(uint64_t id, const char *below_top)
{
	char path[CGROUP_PATH_MAX], expected[2 * CGROUP_PATH_MAX];

	snprintf(expected, sizeof(expected), "%s%s", top, below_top);
	assert_int_equal(cgroup_tree_path(tree, id, path, sizeof(path)), 0);
	assert_string_equal(path, expected);
}

static void assert_no_path(uint64_t id, int error)
{
	char path[CGROUP_PATH_MAX] = "old";

	assert_int_equal(cgroup_tree_path(tree, id, path, sizeof(path)), error);
	assert_string_equal(path, "");
}

static void test_hierarchy(void **state)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	struct statfs fs;

	assert_int_equal(statfs(hierarchy->mount, &fs), 0);
	assert_int_equal(fs.f_type, hierarchy->v1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC);
	assert_int_equal(hierarchy->v1, hierarchy->hierarchy_id != 0);
	assert_int_equal(hierarchy->v1, hierarchy->controller[0] != '\0');
	assert_null(cgroup_tree_handle_problem(tree));
}

static void test_root(void **state)
{
	char path[CGROUP_PATH_MAX];
	uint64_t id;

	assert_int_equal(cgroup_tree_id(tree, "/", &id), 0);
	assert_int_equal(cgroup_tree_is_whole(tree), id == 1);
	assert_int_equal(cgroup_tree_path(tree, id, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	if (cgroup_tree_is_whole(tree))
		assert_string_equal(cgroup_tree_prefix(tree), "");
}

static void test_life(void **state)
{
	char path[CGROUP_PATH_MAX];
	uint64_t id, found;

	id = make("/a");
	assert_path(id, "/a");
	snprintf(path, sizeof(path), "%s/a", top);
	assert_int_equal(cgroup_tree_id(tree, path, &found), 0);
	assert_int_equal(found, id);
	assert_int_equal(cgroup_tree_id(tree, path + 1, &found), 0);
	assert_int_equal(found, id);

	drop("/a");
	assert_no_path(id, -ESTALE);
	assert_int_equal(cgroup_tree_id(tree, path, &found), -ENOENT);
}

static void test_no_id(void **state)
{
	char name[2 * CGROUP_PATH_MAX];
	struct stat st;
	uint64_t id;

	assert_no_path(0, -ESTALE);
	assert_no_path(UINT64_MAX, -ESTALE);

	full("/cgroup.procs", name);
	assert_int_equal(stat(name, &st), 0);
	assert_no_path(st.st_ino, -ENOTDIR);

	snprintf(name, sizeof(name), "%s/cgroup.procs", top);
	assert_int_equal(cgroup_tree_id(tree, name, &id), -ENOTDIR);
	assert_int_equal(cgroup_tree_id(tree, "/../..", &id), -EINVAL);
	assert_int_equal(cgroup_tree_id(tree, "a/../b", &id), -EINVAL);
	assert_int_equal(cgroup_tree_id(tree, "/..x", &id), -ENOENT);
}

static void test_odd_names(void **state)
{
	static const char *const names[] = {
		"/\033[31m",   "/\xff\xfe", "/a b\"'", "/x (deleted)",
		"/ (deleted)", "/..x",	    "/\\x2d",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t id = make(names[i]);

		assert_path(id, names[i]);
		drop(names[i]);
		assert_no_path(id, -ESTALE);
	}
}

/* Makes @levels nested cgroups of @length characters each below @fd; returns the innermost's id. */
static uint64_t nest(int fd, size_t levels, size_t length)
{
	char name[256];
	struct stat st;
	int at = dup(fd);

	memset(name, 'n', length);
	name[length] = '\0';
	for (size_t i = 0; i < levels; i++) {
		int next;

		assert_int_equal(mkdirat(at, name, 0755), 0);
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	assert_int_equal(fstat(at, &st), 0);
	close(at);
	return st.st_ino;
}

static void unnest(int fd, size_t levels, size_t length)
{
	char name[256];
	int at = dup(fd);

	memset(name, 'n', length);
	name[length] = '\0';
	for (size_t i = 1; i < levels; i++) {
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_true(next >= 0);
		close(at);
		at = next;
	}
	for (size_t i = 0; i < levels; i++) {
		int above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(unlinkat(at, name, AT_REMOVEDIR), 0);
		close(at);
		at = above;
	}
	close(at);
}

/* The ancestor is the nearest: one more level would not fit in what the kernel can tell. */
static void check_long_path(size_t levels, size_t length)
{
	char name[2 * CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
	_cleanup_(closep) int fd = -1;
	uint64_t id, found;
	size_t full_length;
	int r;

	full("", name);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	id = nest(fd, levels, length);
	r = cgroup_tree_path(tree, id, path, sizeof(path));
	full_length = strlen(cgroup_tree_hierarchy(tree)->mount) + strlen(path);
	unnest(fd, levels, length);

	assert_int_equal(r, -ENAMETOOLONG);
	assert_memory_equal(path, top, strlen(top));
	assert_int_equal((strlen(path) - strlen(top)) % (length + 1), 0);
	assert_true(full_length < CGROUP_PATH_MAX);
	assert_true(full_length + length + 1 >= CGROUP_PATH_MAX - 1);
	assert_int_equal(cgroup_tree_id(tree, path, &found), -ENOENT);
}

static void test_long_path(void **state)
{
	check_long_path(20, 250);
	check_long_path(700, 7);
}

static void test_small_buffer(void **state)
{
	uint64_t id = make("/a");
	char path[4];

	assert_int_equal(cgroup_tree_path(tree, id, path, sizeof(path)), -ENAMETOOLONG);
	drop("/a");
}

struct seen {
	size_t n;
	size_t n_top;
	bool found_parent;
	uint64_t parent;
	uint64_t child;
};

static int see(const char *path, uint64_t id, void *data)
{
	struct seen *seen = data;

	if (seen->n++ == 0)
		assert_string_equal(path, "/");
	if (strncmp(path, top, strlen(top)) == 0)
		seen->n_top++;
	if (id == seen->parent)
		seen->found_parent = true;
	if (id != seen->child)
		return 0;
	return seen->found_parent ? 42 : 43;
}

static void test_walk(void **state)
{
	struct seen seen = { .parent = make("/p"), .child = make("/p/c") };
	char name[2 * CGROUP_PATH_MAX];
	_cleanup_(closep) int fd = -1;

	assert_int_equal(cgroup_tree_walk(tree, see, &seen), 42);
	assert_true(seen.n >= 4);

	full("/p/c", name);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	nest(fd, 100, 1);
	seen = (struct seen){ 0 };
	assert_int_equal(cgroup_tree_walk(tree, see, &seen), 0);
	unnest(fd, 100, 1);
	drop("/p/c");
	drop("/p");
	assert_true(seen.n_top >= 60 && seen.n_top <= 66); /* the rest is too deep */
}

static void set_handles_allowed(bool allowed)
{
	cap_value_t cap = CAP_DAC_READ_SEARCH;
	cap_t caps = cap_get_proc();

	assert_non_null(caps);
	assert_int_equal(cap_set_flag(caps, CAP_EFFECTIVE, 1, &cap, allowed ? CAP_SET : CAP_CLEAR),
			 0);
	assert_int_equal(cap_set_proc(caps), 0);
	cap_free(caps);
}

/* A process in the cgroup whose directory is @name, until leave(). */
static pid_t join_directory(const char *name)
{
	char file[2 * CGROUP_PATH_MAX + 16], self[16];
	_cleanup_(closep) int fd = -1;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	snprintf(file, sizeof(file), "%s/cgroup.procs", name);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	snprintf(self, sizeof(self), "%d", (int)pid);
	assert_int_equal(write(fd, self, strlen(self)), (ssize_t)strlen(self));
	return pid;
}

static pid_t join(const char *path)
{
	char name[2 * CGROUP_PATH_MAX];

	full(path, name);
	return join_directory(name);
}

static void leave(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool is_populated(const char *below_top)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", top, below_top);
	return cgroup_tree_is_populated(tree, path);
}

/* In it or anywhere below. */
static void test_populated(void **state)
{
	pid_t pid;

	make("/a");
	make("/a/b");
	make("/a/b/c");
	make("/d");
	assert_false(is_populated("/a"));
	assert_true(cgroup_tree_is_populated(tree, "/"));
	assert_false(is_populated("/none"));
	assert_false(is_populated("/a/../.."));

	pid = join("/a/b/c");
	assert_true(is_populated("/a"));
	assert_true(is_populated("/a/b/c"));
	assert_false(is_populated("/d"));
	leave(pid);
	assert_false(is_populated("/a"));
	drop("/a/b/c");
	drop("/a/b");
	drop("/a");
	drop("/d");
}

/* What a failed test left behind. */
static int remove_directory(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_DP)
		(void)rmdir(path);
	return 0;
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_directory, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A fake host root: directories, files, and cgroups bound from elsewhere. */

static void fake_path(const char *path, char ret[static CGROUP_PATH_MAX])
{
	snprintf(ret, CGROUP_PATH_MAX, "%s%s", fake, path);
	for (char *s = ret + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		(void)mkdir(ret, 0755);
		*s = '/';
	}
}

static void fake_file(const char *path, const char *text)
{
	char name[CGROUP_PATH_MAX];
	FILE *file;

	fake_path(path, name);
	file = fopen(name, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void fake_mount(const char *source, const char *path)
{
	char name[CGROUP_PATH_MAX];

	fake_path(path, name);
	(void)mkdir(name, 0755);
	assert_int_equal(mount(source, name, NULL, MS_BIND, NULL), 0);
}

static void fake_umount(const char *path)
{
	char name[CGROUP_PATH_MAX];

	fake_path(path, name);
	assert_int_equal(umount2(name, MNT_DETACH), 0);
}

static struct cgroup_tree *fake_open(int expected)
{
	struct cgroup_tree *ret = NULL;
	struct host_root *root;

	assert_int_equal(host_root_open(fake, &root), 0);
	assert_int_equal(cgroup_tree_open(root, &ret), expected);
	host_root_close(root);
	return ret;
}

static int fake_setup(void **state)
{
	strcpy(fake, "/tmp/cgscope-test-XXXXXX");
	if (!mkdtemp(fake))
		return -1;
	/* Otherwise our own mounts would be taken where the fake has none. */
	return mount("tmpfs", fake, "tmpfs", 0, "mode=755");
}

static int fake_teardown(void **state)
{
	umount2(fake, MNT_DETACH);
	return rmdir(fake);
}

static const char *version(const struct cgroup_tree *of)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(of);
	static char text[128];
	int n;

	n = snprintf(text, sizeof(text), "%s%s%s", hierarchy->v1 ? hierarchy->controller : "v2",
		     hierarchy->is_hybrid ? " hybrid" : "",
		     hierarchy->by_evidence ? " proven" : "");
	assert_true(!hierarchy->by_evidence || hierarchy->n_containers > 0);
	if (hierarchy->n_other > 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %zu to %zu in %s",
			      hierarchy->n_containers, hierarchy->n_other, hierarchy->other);
	if (hierarchy->n_missing > 0)
		snprintf(text + n, sizeof(text) - (size_t)n, ", lacks %zu", hierarchy->n_missing);
	return text;
}

static void assert_choice(const char *expected)
{
	struct cgroup_tree *chosen = fake_open(0);

	assert_string_equal(version(chosen), expected);
	cgroup_tree_close(chosen);
}

static bool is_mounted(const char *point, long magic)
{
	struct statfs fs;

	return statfs(point, &fs) == 0 && fs.f_type == magic;
}

static const char *const part_mounts[] = {
	"/sys/fs/cgroup/unified",
	"/sys/fs/cgroup/memory",
	"/sys/fs/cgroup/pids",
};
static char parts[3][64]; /* a cgroup of ours in each */

static void make_part(size_t i)
{
	snprintf(parts[i], sizeof(parts[i]), "%s/cgscope-part-%d", part_mounts[i], (int)getpid());
	assert_int_equal(mkdir(parts[i], 0755), 0);
}

static int choice_teardown(void **state)
{
	for (size_t i = 0; i < 3; i++)
		if (parts[i][0] != '\0')
			remove_tree(parts[i]);
	return fake_teardown(state);
}

static void mkdir_in(const char *directory, const char *name, bool add)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(add ? mkdir(path, 0755) : rmdir(path), 0);
}

#define DOCKER_A "docker-" H ".scope"
#define DOCKER_B "docker-" REVERSE_H ".scope"
#define MACHINE	 "machine.slice/machine-qemu\\x2d1\\x2dvm.scope"

static pid_t join_in(const char *directory, const char *name)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return join_directory(path);
}

/* The hierarchy with more containers, that have processes: v2 if it has as many. */
static void check_both(const char *v2, const char *memory)
{
	pid_t in_memory, also_in_memory, in_v2, nested;

	mkdir_in(memory, DOCKER_A, true);
	mkdir_in(memory, DOCKER_B, true);
	mkdir_in(v2, DOCKER_A, true);
	mkdir_in(v2, DOCKER_A "/" DOCKER_A, true);
	mkdir_in(v2, DOCKER_B, true);
	in_memory = join_in(memory, DOCKER_A);
	/* Elsewhere, what is empty counts if nobody can see who is in it. */
	if (pid_namespace_is_initial() <= 0) {
		leave(in_memory);
		goto out;
	}
	assert_choice("memory hybrid proven");

	/* The same in both, however often it makes others below itself. */
	in_v2 = join_in(v2, DOCKER_A);
	assert_choice("v2 hybrid proven 1 to 1 in v1 memory");
	nested = join_in(v2, DOCKER_A "/" DOCKER_A);
	assert_choice("v2 hybrid proven 1 to 1 in v1 memory");
	also_in_memory = join_in(memory, DOCKER_B);
	assert_choice("memory hybrid proven 2 to 1 in v2");
	leave(in_memory);
	leave(in_v2);
	leave(nested);

	/* Each has one of its own. */
	assert_choice("memory hybrid proven");
	in_v2 = join_in(v2, DOCKER_A);
	assert_choice("v2 hybrid proven 1 to 1 in v1 memory, lacks 1");
	leave(also_in_memory);
	assert_choice("v2 hybrid proven");
	leave(in_v2);
out:
	mkdir_in(memory, DOCKER_A, false);
	mkdir_in(memory, DOCKER_B, false);
	mkdir_in(v2, DOCKER_A "/" DOCKER_A, false);
	mkdir_in(v2, DOCKER_A, false);
	mkdir_in(v2, DOCKER_B, false);
}

/* What a user has made decides nothing as soon as there are others' containers. */
static void check_users(const char *v2, const char *memory)
{
	pid_t users, others;

	if (pid_namespace_is_initial() <= 0)
		return;
	mkdir_in(v2, "user@1000.service", true);
	mkdir_in(v2, "user@1000.service/" DOCKER_A, true);
	mkdir_in(memory, DOCKER_B, true);
	users = join_in(v2, "user@1000.service/" DOCKER_A);
	assert_choice("v2 hybrid");
	others = join_in(memory, DOCKER_B);
	assert_choice("memory hybrid proven, lacks 1");
	leave(users);
	leave(others);
	mkdir_in(v2, "user@1000.service/" DOCKER_A, false);
	mkdir_in(v2, "user@1000.service", false);
	mkdir_in(memory, DOCKER_B, false);
}

static void test_choice(void **state)
{
	const char *v2 = parts[0], *memory = parts[1], *pids = parts[2];
	pid_t pid;

	if (!is_mounted(part_mounts[0], CGROUP2_SUPER_MAGIC) ||
	    !is_mounted(part_mounts[1], CGROUP_SUPER_MAGIC) ||
	    !is_mounted(part_mounts[2], CGROUP_SUPER_MAGIC)) {
		print_message("needs a hybrid layout with memory and pids in v1\n");
		skip();
	}
	for (size_t i = 0; i < 3; i++)
		make_part(i);

	/* v2 only: nothing else to choose. A process makes a container, not the directory. */
	fake_mount(v2, "/sys/fs/cgroup");
	assert_choice("v2");
	mkdir_in(v2, DOCKER_A, true);
	mkdir_in(v2, DOCKER_A "/payload", true);
	assert_choice("v2");
	pid = join_in(v2, DOCKER_A "/payload");
	assert_choice("v2 proven");
	leave(pid);
	mkdir_in(v2, DOCKER_A "/payload", false);
	mkdir_in(v2, DOCKER_A, false);
	fake_umount("/sys/fs/cgroup");

	/* v1 only. */
	fake_mount(memory, "/sys/fs/cgroup/memory");
	fake_mount(pids, "/sys/fs/cgroup/pids");
	assert_choice("memory");

	/* Both: v2 by proof only, of a container and not of a pod, a machine or a service. */
	fake_mount(v2, "/sys/fs/cgroup/unified");
	mkdir_in(v2, "ssh.service", true);
	mkdir_in(v2, "machine.slice", true);
	mkdir_in(v2, MACHINE, true);
	pid = join_in(v2, MACHINE);
	assert_choice("memory hybrid");
	leave(pid);
	check_both(v2, memory);
	check_users(v2, memory);

	/* A controller that is not in v1 is passed over, even if something is mounted. */
	fake_file("/proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
				   "memory\t0\t1\t0\npids\t8\t1\t1\ncpuset\t3\t1\t1\n");
	assert_choice("pids hybrid");
	fake_umount("/sys/fs/cgroup/pids");
	assert_choice("v2");

	mkdir_in(v2, MACHINE, false);
	mkdir_in(v2, "machine.slice", false);
	mkdir_in(v2, "ssh.service", false);
	fake_umount("/sys/fs/cgroup/unified");
	fake_umount("/sys/fs/cgroup/memory");
}

/* The host's own table, with a mount at an unusual place and lines that are none. */
static void test_mount_table(void **state)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(tree);
	_cleanup_(freep) char *table = NULL;
	struct cgroup_tree *found;
	char expected[CGROUP_PATH_MAX];

	assert_true(asprintf(&table,
			     "\n - \n- - -\n1 2 3\n1 2 3 4 5 - cgroup2\n"
			     "31 23 0:28 / /nowhere rw - cgroup2 cgroup2 rw\n"
			     "31 23 0:28 / /etc rw - %s none rw,%s\n"
			     "31 23 0:28 / /odd\\040place\\ rw shared:1 master:2 - %s a b rw,%s\n"
			     "31 23 0:28 / /odd\\040place rw shared:1 master:2 - %s none rw,x%s\n"
			     "31 23 0:28 / /odd\\040place rw shared:1 master:2 - %s none rw,%s\n",
			     hierarchy->v1 ? "cgroup" : "cgroup2", hierarchy->controller,
			     hierarchy->v1 ? "cgroup" : "cgroup2", hierarchy->controller,
			     hierarchy->v1 ? "cgroup" : "cgroup2", hierarchy->controller,
			     hierarchy->v1 ? "cgroup" : "cgroup2", hierarchy->controller) > 0);
	fake_file("/etc/x", "");
	fake_file("/proc/1/mountinfo", table);
	fake_mount(hierarchy->mount, "/odd place");

	found = fake_open(0);
	snprintf(expected, sizeof(expected), "%s/odd place", fake);
	assert_string_equal(cgroup_tree_hierarchy(found)->mount, expected);
	assert_int_equal(cgroup_tree_hierarchy(found)->v1, hierarchy->v1);
	cgroup_tree_close(found);
	fake_umount("/odd place");
}

/*
 * Nothing below the given root, or only what somebody left there: our own would make a wrong root
 * look right.
 */
static void test_no_host_root(void **state)
{
	assert_null(fake_open(-ENOENT));
	fake_mount(cgroup_tree_hierarchy(tree)->mount, "/some/where");
	assert_null(fake_open(-ENOENT));
	fake_umount("/some/where");
}

/* Where our kind of hierarchy is looked for without a mount table. */
static const char *usual_place(void)
{
	const char *controller = cgroup_tree_hierarchy(tree)->controller;
	static char path[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s%s", controller[0] ? "/" : "", controller);
	return path;
}

/*
 * The hierarchy that we have, from a host that has no other: which one the machine's own root gives
 * depends on who else starts containers meanwhile.
 */
static struct cgroup_tree *open_again(void)
{
	fake_mount(cgroup_tree_hierarchy(tree)->mount, usual_place());
	return fake_open(0);
}

static void test_refused_at_start(void **state)
{
	uint64_t id = make("/a"), late, gone = make("/b");
	struct cgroup_tree *whole = tree;

	set_handles_allowed(false);
	tree = open_again();
	assert_string_equal(cgroup_tree_handle_problem(tree),
			    "open_by_handle_at: Operation not permitted");
	assert_path(id, "/a");
	assert_path(gone, "/b");

	/* Within the rest after a walk there is no second one. */
	late = make("/c");
	assert_no_path(late, -EPERM);
	drop("/b");
	{
		char path[CGROUP_PATH_MAX];

		assert_int_equal(cgroup_tree_path(tree, gone, path, sizeof(path)), -ESTALE);
	}
	cgroup_tree_close(tree);
	set_handles_allowed(true);

	tree = whole;
	fake_umount(usual_place());
	drop("/a");
	drop("/c");
}

static void test_refused_later(void **state)
{
	struct cgroup_tree *whole = tree;
	uint64_t id = make("/a");

	tree = open_again();
	assert_null(cgroup_tree_handle_problem(tree));
	set_handles_allowed(false);
	assert_path(id, "/a");
	assert_non_null(cgroup_tree_handle_problem(tree));
	set_handles_allowed(true);
	cgroup_tree_close(tree);

	tree = whole;
	fake_umount(usual_place());
	drop("/a");
}

/* As in a node that is itself a container: its tree begins at its own cgroup. */
static void test_view(void **state)
{
	uint64_t outside = make("/out"), node = make("/node"), pod = make("/node/pod");
	char name[2 * CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
	struct cgroup_tree *view;

	full("/node", name);
	fake_mount(name, usual_place());
	view = fake_open(0);
	assert_false(cgroup_tree_is_whole(view));
	assert_int_equal(cgroup_tree_path(view, outside, path, sizeof(path)), -ENODATA);
	assert_string_equal(path, "");
	assert_int_equal(cgroup_tree_path(view, 1, path, sizeof(path)), -ENODATA);
	assert_int_equal(cgroup_tree_path(view, node, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	assert_int_equal(cgroup_tree_path(view, pod, path, sizeof(path)), 0);
	assert_string_equal(path, "/pod");

	/* The table of a reader in the initial namespace tells the node's cgroup. */
	snprintf(path, sizeof(path), "%s/node", top);
	if (cgroup_tree_is_whole(tree))
		assert_string_equal(cgroup_tree_prefix(view), path);
	cgroup_tree_close(view);

	fake_umount(usual_place());
	drop("/node/pod");
	drop("/node");
	drop("/out");
}

static void test_view_from_a_namespace(void **state)
{
	uint64_t pod = (make("/node"), make("/node/pod"));
	char name[2 * CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
	struct cgroup_tree *view;

	assert_int_equal(unshare(CLONE_NEWCGROUP), 0);
	full("/node", name);
	fake_mount(name, usual_place());
	view = fake_open(0);
	assert_string_equal(cgroup_tree_prefix(view), "");

	/* Events carry the full path. What does not end as the handle says teaches nothing. */
	cgroup_tree_learn_prefix(view, pod, "/docker/node/other");
	assert_string_equal(cgroup_tree_prefix(view), "");
	cgroup_tree_learn_prefix(view, pod, "/pod");
	assert_string_equal(cgroup_tree_prefix(view), "");
	snprintf(path, sizeof(path), "%s/node/pod", top);
	cgroup_tree_learn_prefix(view, pod, path);
	snprintf(path, sizeof(path), "%s/node", top);
	assert_string_equal(cgroup_tree_prefix(view), path);
	cgroup_tree_learn_prefix(view, pod, "/else/pod");
	assert_string_equal(cgroup_tree_prefix(view), path);
	cgroup_tree_close(view);

	fake_umount(usual_place());
	assert_int_equal(setns(own_cgroup_ns, CLONE_NEWCGROUP), 0);
	drop("/node/pod");
	drop("/node");
}

/* What /proc calls "/" here, in the words of @tree: a path, or why it is not known. */
static const char *namespace_root(void)
{
	static char path[CGROUP_PATH_MAX];
	int r = cgroup_tree_namespace_root(tree, path, sizeof(path));

	return r < 0 ? strerror(-r) : path;
}

static bool enter(const char *path)
{
	char name[2 * CGROUP_PATH_MAX];
	int fd;
	bool ok;

	full(path, name);
	strcat(name, "/cgroup.procs");
	fd = open(name, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, "0", 1) == 1;
	close(fd);
	return ok;
}

/* In a process of its own, which takes its cgroup for the root. Exits with the step that failed. */
static void live_in_a_namespace(void)
{
	char expected[CGROUP_PATH_MAX];

	snprintf(expected, sizeof(expected), "%s/node", top);
	if (!enter("/node") || unshare(CLONE_NEWCGROUP) < 0 || cgroup_namespace_is_initial())
		_exit(1);
	if (strcmp(namespace_root(), expected) != 0)
		_exit(2);
	if (!enter("/node/pod") || strcmp(namespace_root(), expected) != 0)
		_exit(3);
	/* From outside it tells nothing. */
	if (!enter("/out") || strcmp(namespace_root(), strerror(ENODATA)) != 0)
		_exit(4);
	_exit(0);
}

static void test_namespace_root(void **state)
{
	int status;
	pid_t pid;

	if (cgroup_namespace_is_initial() && cgroup_tree_is_whole(tree))
		assert_string_equal(namespace_root(), "/");
	make("/out");
	make("/node");
	make("/node/pod");
	pid = fork();
	if (pid == 0)
		live_in_a_namespace();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	drop("/node/pod");
	drop("/node");
	drop("/out");
}

static int need(const char *what)
{
	fprintf(stderr, "skipped: needs %s\n", what);
	return SKIP;
}

static void test_hierarchy_path(void **state)
{
	static const struct {
		const char *mount;
		bool v1;
		const char *given;
		const char *path;
	} cases[] = {
		/* v2 alone. */
		{ "/sys/fs/cgroup", false, "/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup", false, "docker/x", "docker/x" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup/docker/x/", "/docker/x/" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup//docker", "//docker" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup", "/" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup/", "/" },
		{ "/sys/fs/cgroup/", false, "/sys/fs/cgroup/docker", "/docker" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup2/docker", "/sys/fs/cgroup2/docker" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgro", "/sys/fs/cgro" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup/sys/fs/cgroup/a", "/sys/fs/cgroup/a" },
		{ "/sys/fs/cgroup", false, "sys/fs/cgroup/a", "sys/fs/cgroup/a" },
		{ "/sys/fs/cgroup", false, "", "" },
		{ "/sys/fs/cgroup", false, "/", "/" },
		{ "/sys/fs/cgroup", false, "/sys/fs/cgroup/*/x", "/*/x" },
		/* v1: of whatever controller. */
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/memory/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/cpu,cpuacct/docker", "/docker" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/pids", "/" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/pids/", "/" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup", "/" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/memory2/x", "/memory2/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/cpu,docker/x", "/cpu,docker/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/,/x", "/,/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/net_cls,net_prio/x", "/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/system.slice", "/system.slice" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/*/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup/memory", true, "/sys/fs/cgroup/docker-*", "/docker-*" },
		{ "/cgroup/memory", true, "/cgroup/memory/x", "/x" },
		{ "/cgroup/memory", true, "/cgroup/pids/x", "/cgroup/pids/x" },
		{ "/cgroup/memory", true, "/sys/fs/cgroup/pids/x", "/x" },
		/* v2 beside v1: the same. */
		{ "/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/unified/x", "/x" },
		{ "/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/memory/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/docker-x.scope",
		  "/docker-x.scope" },
		{ "/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/docker/x", "/docker/x" },
		{ "/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/nonexist", "/nonexist" },
		/* Another root in front: that path, and the one on the host. */
		{ "/proc/1/root/sys/fs/cgroup", false, "/proc/1/root/sys/fs/cgroup/x", "/x" },
		{ "/proc/1/root/sys/fs/cgroup", false, "/sys/fs/cgroup/x", "/x" },
		{ "/host/sys/fs/cgroup/pids", true, "/host/sys/fs/cgroup/pids/x", "/x" },
		{ "/host/sys/fs/cgroup/unified", false, "/sys/fs/cgroup/pids/x", "/x" },
		/* Nothing is below the root itself. */
		{ "/", false, "/docker/x", "/docker/x" },
		{ "", false, "/docker/x", "/docker/x" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cgroup_hierarchy hierarchy = { .v1 = cases[i].v1 };

		snprintf(hierarchy.mount, sizeof(hierarchy.mount), "%s", cases[i].mount);
		assert_string_equal(cgroup_hierarchy_path(&hierarchy, cases[i].given),
				    cases[i].path);
	}
}

/* Without root, and without cgroups. */
static int run_pure(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hierarchy_path) };

	return cmocka_run_group_tests_name("pure", tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hierarchy),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_no_id),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_small_buffer),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_populated),
		cmocka_unit_test_setup_teardown(test_refused_at_start, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_refused_later, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_choice, fake_setup, choice_teardown),
		cmocka_unit_test_setup_teardown(test_mount_table, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_no_host_root, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_view, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_view_from_a_namespace, fake_setup,
						fake_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_root, fake_setup, fake_teardown),
	};
	char name[2 * CGROUP_PATH_MAX];
	int r;

	if (run_pure() != 0)
		return 1;
	if (geteuid() != 0)
		return need("root");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return need("a mount namespace (CAP_SYS_ADMIN)");
	own_cgroup_ns = open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC);
	if (own_cgroup_ns < 0)
		return need("cgroup namespaces");
	if (host_root_open("/", &host) < 0 || cgroup_tree_open(host, &tree) < 0)
		return need("a mounted cgroup file system");
	if (cgroup_tree_handle_problem(tree))
		return need(cgroup_tree_handle_problem(tree));
	snprintf(top, sizeof(top), "/cgscope-test-%d", (int)getpid());
	full("", name);
	if (mkdir(name, 0755) < 0)
		return need("a cgroup file system to write to");

	r = cmocka_run_group_tests(tests, NULL, NULL);

	remove_tree(name);
	cgroup_tree_close(tree);
	host_root_close(host);
	close(own_cgroup_ns);
	return r;
}
