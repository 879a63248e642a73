/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a laboratory, its files, and running tests in it. */
#include "lab_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/cleanup.h"

/* Much more than cgscope's own, which is read when it is half full: here nobody watches it. */
#define RING_BYTES (64 << 20)

/* A reader that starves on a machine under load would lose what it is to compare. */
#define OWN_NICE -15

struct lab *lab_open_labs;

static size_t n_left_out;

int lab_load(int n)
{
	const char *scale = getenv("CGSCOPE_TEST_SCALE");
	int divisor = scale ? atoi(scale) : 1;

	return divisor > 1 && n > divisor ? n / divisor : n;
}

void lab_leave_out(const char *format, ...)
{
	va_list args;

	n_left_out++;
	va_start(args, format);
	(void)fputs("left out: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	skip();
	abort(); /* skip() jumps, but is not declared so */
}

/* ---- files ---- */

const char *lab_directory(struct lab *lab)
{
	if (!*lab->directory) {
		(void)strcpy(lab->directory, "/tmp/cgscope-lab-XXXXXX");
		if (!mkdtemp(lab->directory)) {
			*lab->directory = '\0';
			fail_msg("cannot make a directory in /tmp: %s", strerror(errno));
		}
	}
	return lab->directory;
}

static void directory_remove(struct lab *lab)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *entry;

	if (!*lab->directory)
		return;
	dir = opendir(lab->directory);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	(void)rmdir(lab->directory);
	*lab->directory = '\0';
}

void lab_helper(const char *name, char ret_path[static 512])
{
	char self[384] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	(void)snprintf(ret_path, 512, "%s/%s", dirname(self), name);
	if (access(ret_path, X_OK) < 0)
		fail_msg("%s: %s", ret_path, strerror(errno));
}

void lab_helper_as(struct lab *lab, const char *name, const char *as, char ret_path[static 512])
{
	_cleanup_(closep) int from = -1, to = -1;
	struct stat status;
	char path[512];

	lab_helper(name, path);
	(void)snprintf(ret_path, 512, "%s/%s", lab_directory(lab), as);
	from = open(path, O_RDONLY | O_CLOEXEC);
	to = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (from < 0 || to < 0 || fstat(from, &status) < 0 ||
	    sendfile(to, from, NULL, (size_t)status.st_size) != status.st_size)
		fail_msg("cannot copy %s to %s: %s", path, ret_path, strerror(errno));
}

/* ---- life ---- */

/* The ring is mapped twice, with tens of thousands of pages: victims are to fork faster than that.
 */
static void keep_maps_from_victims(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (strstr(line, "bpf-map") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			(void)madvise((void *)start, end - start, MADV_DONTFORK);
	}
}

/* Returns 0 or -errno, with the reason in @ret_error. */
static int open_lab(const struct collector_options *options, struct lab **ret, char *ret_error,
		    size_t error_size)
{
	struct collector_options complete = { 0 };
	const struct hierarchy *hierarchy;
	struct lab *lab;
	int r;

	if (options)
		complete = *options;
	hierarchy = complete.cgroup_v1 ? NULL : lab_find_hierarchy(false);
	if (!hierarchy)
		hierarchy = lab_find_hierarchy(true);
	if (!hierarchy) {
		(void)snprintf(ret_error, error_size, "no cgroup hierarchy is mounted");
		return -ENOTSUP;
	}
	lab_choose(hierarchy, &complete);
	if (!complete.ring_bytes)
		complete.ring_bytes = RING_BYTES;
	lab = calloc(1, sizeof(*lab));
	if (!lab)
		return -ENOMEM;
	lab->hierarchy = *hierarchy;
	lab->last = &lab->first;
	r = collector_open(&complete, NULL, &lab->collector, ret_error, error_size);
	if (r < 0) {
		free(lab);
		return r;
	}
	lab->next = lab_open_labs;
	lab_open_labs = lab;
	keep_maps_from_victims();
	*ret = lab;
	return 0;
}

struct lab *lab_open(const struct collector_options *options)
{
	char error[512] = "";
	struct lab *lab = NULL;
	int r = open_lab(options, &lab, error, sizeof(error));

	if (r < 0)
		fail_msg("collector_open: %s (%s)", error, strerror(-r));
	return lab;
}

void lab_close(struct lab *lab)
{
	struct lab **link = &lab_open_labs;
	int r = lab_groups_remove(lab);

	while (*link != lab)
		link = &(*link)->next;
	*link = lab->next;
	directory_remove(lab);
	lab_clear(lab);
	collector_close(lab->collector);
	free(lab);
	if (r < 0)
		fail_msg("cannot remove a cgroup: %s", strerror(-r));
}

struct collector *lab_collector(struct lab *lab)
{
	return lab->collector;
}

const struct hierarchy *lab_hierarchy(const struct lab *lab)
{
	return &lab->hierarchy;
}

int lab_test_setup(void **state)
{
	struct lab *lab = *state;

	lab_settle(lab);
	lab_clear(lab);
	(void)lab_group(lab);
	return 0;
}

int lab_test_teardown(void **state)
{
	struct lab *lab = *state;
	int r = lab_groups_remove(lab);

	directory_remove(lab);
	if (r < 0)
		(void)fprintf(stderr, "cannot remove a cgroup: %s\n", strerror(-r));
	return r;
}

bool lab_preempts_programs(void)
{
	struct utsname name;
	unsigned major, minor;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor > 18);
}

/* Whether groups can be made there at all; says why not. */
static bool can_make_groups(const struct hierarchy *hierarchy)
{
	struct lab_group *group;
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "cgscope-lab-%d", getpid());
	r = lab_group_make(hierarchy->path, name, &group);
	if (r < 0) {
		(void)fprintf(stderr, "skipped: cannot make a cgroup in %s: %s\n", hierarchy->path,
			      strerror(-r));
		return false;
	}
	(void)rmdir(group->path);
	free(group);
	return true;
}

int lab_main_(const char *name, const struct CMUnitTest *tests, size_t n_tests,
	      const struct collector_options *options)
{
	_cleanup_(freep) struct CMUnitTest *own = calloc(n_tests, sizeof(*own));
	char error[512] = "";
	struct lab *lab;
	int r;

	if (!own)
		return 1;
	if (geteuid() != 0) {
		(void)fprintf(stderr, "skipped: loading BPF programs needs root\n");
		return EXIT_SKIP;
	}
	(void)setpriority(PRIO_PROCESS, 0, OWN_NICE);
	r = open_lab(options, &lab, error, sizeof(error));
	if (r < 0) {
		(void)fprintf(stderr, "%s%s\n", r == -EPERM || r == -ENOTSUP ? "skipped: " : "",
			      error);
		return r == -EPERM || r == -ENOTSUP ? EXIT_SKIP : 1;
	}
	if (!can_make_groups(&lab->hierarchy)) {
		lab_close(lab);
		return EXIT_SKIP;
	}
	for (size_t i = 0; i < n_tests; i++) {
		own[i] = tests[i];
		own[i].initial_state = lab;
	}
	r = _cmocka_run_group_tests(name, own, n_tests, NULL, NULL);
	lab_close(lab);
	if (r)
		return 1;
	return n_left_out == n_tests ? EXIT_SKIP : 0;
}
