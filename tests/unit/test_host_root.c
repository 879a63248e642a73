/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading below a host's root that somebody else fills. Everything runs twice: with openat2, and
 * with a seccomp filter that refuses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cleanup.h"
#include "src/host_cache.h"
#include "src/json_text.h"

#define MAX (4u << 20)

static ssize_t read_file(struct fake_root *fake, const char *path, char **ret)
{
	return host_root_read_at(fake->root, host_root_fd(fake->root), path, MAX, UID_NOBODY_ELSE,
				 ret, NULL);
}

/* What reading @path says; the text is not wanted. */
static ssize_t try_read(struct fake_root *fake, const char *path)
{
	_cleanup_(freep) char *text = NULL;

	return read_file(fake, path, &text);
}

static int try_json(struct fake_root *fake, const char *path)
{
	json_t *json = NULL;
	int r;

	r = host_root_read_json_at(fake->root, host_root_fd(fake->root), path, MAX, UID_NOBODY_ELSE,
				   &json, NULL);
	json_decref(json);
	return r;
}

static void test_reads_whole_files(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(freep) char *text = NULL;
	struct file_stamp stamp, again;

	fake_write(fake, "run/a/b/file", "hello\n");
	assert_int_equal(host_root_read_at(fake->root, host_root_fd(fake->root), "run/a/b/file",
					   MAX, UID_NOBODY_ELSE, &text, &stamp),
			 6);
	assert_string_equal(text, "hello\n");
	assert_int_equal(stamp.size, 6);

	assert_int_equal(host_root_stat_at(host_root_fd(fake->root), "run/a/b/file", &again), 0);
	assert_true(file_stamp_equal(&stamp, &again));

	/* Replaced by one of the same length: another inode. */
	fake_write(fake, "run/a/b/file", "HELLO\n");
	assert_int_equal(host_root_stat_at(host_root_fd(fake->root), "run/a/b/file", &again), 0);
	assert_false(file_stamp_equal(&stamp, &again));
}

static void test_missing_and_empty(void **state)
{
	struct fake_root *fake = *state;

	fake_write_bytes(fake, "empty", "", 0);
	assert_int_equal(try_read(fake, "empty"), 0);
	assert_int_equal(try_json(fake, "empty"), -EBADMSG);
	assert_int_equal(try_read(fake, "missing"), -ENOENT);
	assert_int_equal(try_read(fake, "missing/below"), -ENOENT);
	assert_int_equal(try_read(fake, "empty/below"), -ENOTDIR);
}

static void test_limits(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(freep) char *big = calloc(1, MAX + 1);

	fake_write_bytes(fake, "fits", big, MAX);
	fake_write_bytes(fake, "big", big, MAX + 1);
	assert_int_equal(try_read(fake, "fits"), MAX);
	assert_int_equal(try_read(fake, "big"), -EFBIG);
}

static void test_special_files(void **state)
{
	struct fake_root *fake = *state;
	char full[FAKE_PATH_MAX];

	fake_mkdir(fake, "dir");
	assert_int_equal(mkfifo(fake_path(fake, "fifo", full), 0644), 0);
	assert_int_equal(try_read(fake, "dir"), -EINVAL);
	assert_int_equal(try_read(fake, "fifo"), -EINVAL);
}

static void test_links_are_not_followed(void **state)
{
	struct fake_root *fake = *state;

	fake_write(fake, "target/file", "x");
	fake_symlink(fake, "/etc/shadow", "shadow");
	fake_symlink(fake, "target/file", "inside");
	fake_symlink(fake, "target", "directory");
	assert_int_equal(try_read(fake, "shadow"), -ELOOP);
	assert_int_equal(try_read(fake, "inside"), -ELOOP);
	assert_int_equal(try_read(fake, "directory/file"), -ELOOP);
	assert_int_equal(try_read(fake, "target/file"), 1);
}

static void test_no_way_out(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(closep) int base = -1;
	_cleanup_(freep) char *text = NULL;

	fake_write(fake, "base/file", "x");
	fake_write(fake, "outside", "x");
	base = host_root_open_dir(fake->root, "base");
	assert_true(base >= 0);
	assert_int_equal(host_root_read_at(fake->root, base, "../outside", MAX, UID_NOBODY_ELSE,
					   &text, NULL),
			 -EXDEV);
	assert_int_equal(host_root_read_at(fake->root, base, "/etc/passwd", MAX, UID_NOBODY_ELSE,
					   &text, NULL),
			 -EXDEV);
	assert_int_equal(
		host_root_read_at(fake->root, base, "file", MAX, UID_NOBODY_ELSE, &text, NULL), 1);
}

/* The name of the one file in the directory at @path, by which the tests know where they are. */
static void assert_dir_has(struct fake_root *fake, const char *path, const char *name)
{
	_cleanup_(closep) int fd = host_root_open_dir(fake->root, path);

	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void test_bases_follow_links_within_the_root(void **state)
{
	struct fake_root *fake = *state;

	fake_write(fake, "run/docker/here", "x");
	fake_write(fake, "data/deep/there", "x");
	fake_symlink(fake, "/run", "var/run");
	fake_symlink(fake, "../data", "srv/up");
	fake_symlink(fake, "/../../../data/./deep//", "srv/above");
	fake_symlink(fake, "../srv/up/../run/docker", "mnt/twice");
	fake_symlink(fake, "loop", "loop");
	fake_write(fake, "file", "x");

	assert_dir_has(fake, "/var/run/docker", "here");
	assert_dir_has(fake, "srv/up/deep", "there");
	assert_dir_has(fake, "/srv/above", "there");
	assert_dir_has(fake, "/mnt/twice", "here");
	assert_dir_has(fake, "/", "file");
	assert_dir_has(fake, "/../..", "file");
	assert_int_equal(host_root_open_dir(fake->root, "/loop"), -ELOOP);
	assert_int_equal(host_root_open_dir(fake->root, "/file"), -ENOTDIR);
	assert_int_equal(host_root_open_dir(fake->root, "/nowhere/at/all"), -ENOENT);
}

static void test_configuration_may_be_a_link(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(freep) char *text = NULL;

	fake_write(fake, "nix/store/daemon.json", "{}");
	fake_symlink(fake, "/nix/store/daemon.json", "etc/docker/daemon.json");
	assert_int_equal(host_root_read_config(fake->root, "/etc/docker/daemon.json", 100, &text),
			 2);
	assert_int_equal(host_root_read_config(fake->root, "/etc/docker/daemon.json", 1, &text),
			 -EFBIG);
}

static void test_owner(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(freep) char *text = NULL;
	char full[FAKE_PATH_MAX];

	if (geteuid() != 0) {
		print_message("needs root: to give a file away\n");
		skip();
	}
	fake_write(fake, "foreign", "x");
	assert_int_equal(chown(fake_path(fake, "foreign", full), 12345, 12345), 0);
	assert_int_equal(try_read(fake, "foreign"), -EPERM);
	assert_int_equal(host_root_read_at(fake->root, host_root_fd(fake->root), "foreign", MAX,
					   54321, &text, NULL),
			 -EPERM);
	assert_int_equal(host_root_read_at(fake->root, host_root_fd(fake->root), "foreign", MAX,
					   12345, &text, NULL),
			 1);
}

static void test_permissions(void **state)
{
	struct fake_root *fake = *state;
	char full[FAKE_PATH_MAX];
	uid_t uid = geteuid();
	ssize_t n;
	int fd;

	fake_write(fake, "closed", "x");
	fake_write(fake, "dir/file", "x");
	assert_int_equal(chmod(fake_path(fake, "closed", full), 0), 0);
	assert_int_equal(chmod(fake_path(fake, "dir", full), 0711), 0);

	if (uid == 0)
		assert_int_equal(seteuid(65534), 0);
	n = try_read(fake, "closed");
	fd = host_root_open_dir(fake->root, "dir");
	if (uid == 0)
		assert_int_equal(seteuid(0), 0);

	assert_int_equal(n, -EACCES);
	assert_true(fd >= 0);
	close(fd);
}

static void test_json(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(freep) char *deep = malloc(10001);

	memset(deep, '[', 10000);
	deep[10000] = 0;
	fake_write(fake, "good", "{\"a\":1}");
	fake_write(fake, "unlimited", "{\"rlimit\":18446744073709551615}");
	fake_write(fake, "nul-in-value", "{\"a\":\"x\\u0000y\"}");
	fake_write(fake, "nul-in-key", "{\"a\\u0000\":1}");
	fake_write(fake, "truncated", "{\"a\":\"b");
	fake_write(fake, "not-utf8", "{\"a\":\"\xff\"}");
	fake_write(fake, "surrogate", "{\"a\":\"\\ud800\"}");
	fake_write(fake, "deep", "%s", deep);
	fake_write_bytes(fake, "nul", "{\"a\":\0}", 7);

	assert_int_equal(try_json(fake, "good"), 0);
	assert_int_equal(try_json(fake, "unlimited"), 0);
	assert_int_equal(try_json(fake, "nul-in-value"), 0);
	assert_int_equal(try_json(fake, "nul-in-key"), -EBADMSG);
	assert_int_equal(try_json(fake, "truncated"), -EBADMSG);
	assert_int_equal(try_json(fake, "not-utf8"), -EBADMSG);
	assert_int_equal(try_json(fake, "surrogate"), -EBADMSG);
	assert_int_equal(try_json(fake, "deep"), -EBADMSG);
	assert_int_equal(try_json(fake, "nul"), -EBADMSG);
	assert_int_equal(try_json(fake, "missing"), -ENOENT);
}

static void test_safe_ids(void **state)
{
	char longest[130];

	memset(longest, 'a', sizeof(longest));
	longest[129] = 0;
	assert_false(host_root_id_is_safe(longest));
	longest[128] = 0;
	assert_true(host_root_id_is_safe(longest));
	assert_true(host_root_id_is_safe("web-1_x.y"));
	assert_false(host_root_id_is_safe(""));
	assert_false(host_root_id_is_safe("."));
	assert_false(host_root_id_is_safe(".."));
	assert_false(host_root_id_is_safe(".hidden"));
	assert_false(host_root_id_is_safe("a/b"));
	assert_false(host_root_id_is_safe("a b"));
	assert_false(host_root_id_is_safe("a\n"));
	assert_false(host_root_id_is_safe("\xc3\xa4"));
}

static void test_cache(void **state)
{
	struct fake_root *fake = *state;
	struct host_cache *cache = host_root_cache(fake->root);
	json_t *json = NULL, *again = NULL;
	int fd;

	assert_int_equal(host_cache_dir(fake->root, "/var/lib/docker"), -ENOENT);
	fake_write(fake, "var/lib/docker/a.json", "[]");
	assert_int_equal(host_cache_dir(fake->root, "/var/lib/docker"), -ENOENT);
	host_cache_forget(cache);
	fd = host_cache_dir(fake->root, "/var/lib/docker");
	assert_true(fd >= 0);
	assert_int_equal(host_cache_dir(fake->root, "/var/lib/docker"), fd);

	assert_string_equal(host_cache_list(fake->root, "/var/lib/docker"), "/a.json/");
	assert_null(host_cache_list(fake->root, "/nowhere"));
	assert_null(host_cache_text(fake->root, "/nowhere"));
	assert_string_equal(host_cache_text(fake->root, "/var/lib/docker/a.json"), "[]");

	assert_int_equal(host_cache_json(fake->root, "/var/lib/docker", "a.json", 10,
					 UID_NOBODY_ELSE, &json, NULL),
			 0);
	assert_int_equal(host_cache_json(fake->root, "/var/lib/docker", "a.json", 10,
					 UID_NOBODY_ELSE, &again, NULL),
			 0);
	assert_ptr_equal(json, again);

	/* Documents go; the rest stays until it is forgotten. */
	fake_write(fake, "var/lib/docker/a.json", "[1]");
	fake_write(fake, "var/lib/docker/b.json", "[]");
	host_cache_trim(cache);
	assert_int_equal(host_cache_dir(fake->root, "/var/lib/docker"), fd);
	assert_string_equal(host_cache_list(fake->root, "/var/lib/docker"), "/a.json/");
	assert_int_equal(host_cache_json(fake->root, "/var/lib/docker", "a.json", 10,
					 UID_NOBODY_ELSE, &json, NULL),
			 0);
	assert_int_equal(json_array_size(json), 1);
	host_cache_forget(cache);
	assert_non_null(strstr(host_cache_list(fake->root, "/var/lib/docker"), "/b.json/"));

	/* More than it holds: the oldest make room, nothing leaks. */
	for (int i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "/d%d", i);
		fake_mkdir(fake, name);
		assert_true(host_cache_dir(fake->root, name) >= 0);
	}
	assert_true(host_cache_dir(fake->root, "/var/lib/docker") >= 0);
}

#define USER 1000

static int read_users(struct fake_root *fake, uid_t uid, const char *path)
{
	json_t *json = NULL;
	int r;

	r = host_cache_read_json(fake->root, "/home", path, 16u << 20, uid, &json, NULL);
	json_decref(json);
	return r;
}

/* A document is read again when it is another one, and only then. */
static void test_cached_documents_are_current(void **state)
{
	struct fake_root *fake = *state;
	json_t *json = NULL, *first;

	fake_mkdir(fake, "home");
	assert_int_equal(host_cache_json(fake->root, "/home", "a", 100, USER, &json, NULL),
			 -ENOENT);
	fake_write(fake, "home/a", "[1]");
	assert_int_equal(host_cache_json(fake->root, "/home", "a", 100, USER, &json, NULL), 0);
	first = json_incref(json);
	assert_int_equal(host_cache_json(fake->root, "/home", "a", 100, USER, &json, NULL), 0);
	assert_ptr_equal(json, first);
	fake_write(fake, "home/a", "[1,2]");
	assert_int_equal(host_cache_json(fake->root, "/home", "a", 100, USER, &json, NULL), 0);
	assert_int_equal(json_array_size(json), 2);
	fake_unlink(fake, "home/a");
	assert_int_equal(host_cache_json(fake->root, "/home", "a", 100, USER, &json, NULL),
			 -ENOENT);
	json_decref(first);
}

/* However many documents users have, root's stay. */
static void test_users_displace_users(void **state)
{
	struct fake_root *fake = *state;
	json_t *json = NULL, *roots;
	char name[32];

	fake_write(fake, "home/root", "[]");
	assert_int_equal(
		host_cache_json(fake->root, "/home", "root", 100, UID_NOBODY_ELSE, &roots, NULL),
		0);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "home/%d", i);
		fake_write(fake, name, "[]");
		assert_int_equal(host_cache_json(fake->root, "/home", name + strlen("home/"), 100,
						 USER, &json, NULL),
				 0);
	}
	assert_int_equal(
		host_cache_json(fake->root, "/home", "root", 100, UID_NOBODY_ELSE, &json, NULL), 0);
	assert_ptr_equal(json, roots);
}

static void test_users_documents_are_small(void **state)
{
	static const char string[] =
		"\"0123456789012345678901234567890123456789012345678901234567890\"";
	struct fake_root *fake = *state;

	fake_write_list(fake, "home/fits", string, 500u << 10);
	assert_int_equal(read_users(fake, USER, "fits"), 0);
	fake_write_list(fake, "home/long", string, 600u << 10);
	assert_int_equal(read_users(fake, USER, "long"), -EBADMSG);
	assert_int_equal(read_users(fake, UID_NOBODY_ELSE, "long"), 0);
	/* Few bytes, but a hundred times that once it is parsed. */
	fake_write_list(fake, "home/dense", "{}", 100u << 10);
	assert_int_equal(read_users(fake, USER, "dense"), -EBADMSG);
	assert_int_equal(read_users(fake, UID_NOBODY_ELSE, "dense"), 0);
	fake_write_list(fake, "home/denser", "1", 15u << 20);
	assert_int_equal(read_users(fake, UID_NOBODY_ELSE, "denser"), -EBADMSG);
}

/* Who makes a lot of work has to wait, and nobody else does. */
static void test_users_work_is_bounded(void **state)
{
	static const char string[] =
		"\"0123456789012345678901234567890123456789012345678901234567890\"";
	struct fake_root *fake = *state;
	int n = 0, r;

	fake_write_list(fake, "home/a", string, 500u << 10);
	while ((r = read_users(fake, USER, "a")) == 0)
		n++;
	assert_int_equal(r, -EAGAIN);
	assert_in_range(n, 2, 100);
	assert_int_equal(read_users(fake, USER + 1, "a"), 0);
	assert_int_equal(read_users(fake, UID_NOBODY_ELSE, "a"), 0);
	/* Forgetting does not help. */
	host_cache_forget(host_root_cache(fake->root));
	assert_int_equal(read_users(fake, USER, "a"), -EAGAIN);
}

/* What stands in strings is no value, and what is no JSON is none either. */
static void test_json_text(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		bool loads;
	} cases[] = {
		{ "[]", 1, true },
		{ "[]", 0, false },
		{ "[1,2]", 2, true },
		{ "[1,2]", 1, false },
		{ "{\"a\":1,\"b\":[]}", 3, true },
		{ "{\"a\":1,\"b\":[]}", 2, false },
		{ "[\",,,[[[{{{\"]", 1, true },
		{ "[\"\\\",,,\\\\\"]", 1, true },
		{ "[\"\\\\\",1]", 1, false },
		{ "[\"\\", 1, false },
		{ "[\"a", 1, false },
		{ "", 1, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_text_load(cases[i].text, strlen(cases[i].text), cases[i].max);

		assert_int_equal(json != NULL, cases[i].loads);
		json_decref(json);
	}
}

/* A link on the way leads nowhere, the one that is asked about is itself. */
static void test_stat_follows_nothing(void **state)
{
	struct fake_root *fake = *state;
	struct file_stamp stamp;
	char full[FAKE_PATH_MAX];
	int fd;

	fake_write(fake, "elsewhere/dir/file", "x");
	fake_symlink(fake, "../elsewhere", "home/link");
	fake_symlink(fake, "/nowhere", "home/dangling");
	fd = host_cache_dir(fake->root, "/home");
	if (geteuid() == 0)
		assert_int_equal(chown(fake_path(fake, "home", full), USER, USER), 0);
	assert_int_equal(host_root_stat_at(fd, "link/dir/file", &stamp), -ELOOP);
	assert_int_equal(host_root_stat_at(fd, "../elsewhere/dir/file", &stamp), -EXDEV);
	assert_int_equal(host_root_stat_at(fd, "dangling", &stamp), 0);
	assert_int_equal(host_root_stat_at(fd, "missing", &stamp), -ENOENT);
}

static void test_cache_tells_damaged_from_missing(void **state)
{
	struct fake_root *fake = *state;
	static const struct {
		const char *path;
		int error;
	} cases[] = {
		{ "missing", -ENOENT },	   { "dir", -EBADMSG },
		{ "fifo", -EBADMSG },	   { "link", -EBADMSG },
		{ "truncated", -EBADMSG }, { "good/below", -ENOENT },
		{ "big", -EBADMSG },	   { "good", 0 },
	};
	char full[FAKE_PATH_MAX];

	fake_mkdir(fake, "base/dir");
	assert_int_equal(mkfifo(fake_path(fake, "base/fifo", full), 0644), 0);
	fake_symlink(fake, "/etc/shadow", "base/link");
	fake_write(fake, "base/truncated", "{");
	fake_write(fake, "base/good", "{}");
	fake_write(fake, "base/big", "[1,2,3,4,5,6]");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = NULL;

		assert_int_equal(host_cache_read_json(fake->root, "/base", cases[i].path, 10,
						      UID_NOBODY_ELSE, &json, NULL),
				 cases[i].error);
		json_decref(json);
	}
}

/* A table of mounts in which @id is what is mounted at the root last; 0: nothing is. */
static void fake_mountinfo(struct fake_root *fake, const char *path, unsigned id)
{
	char root[128] = "";

	if (id)
		snprintf(root, sizeof(root),
			 "1 1 0:2 / / rw - rootfs rootfs rw\n%u 1 8:1 / / rw - x x rw\n", id);
	fake_write(fake, path,
		   "7 22 0:5 / /dev rw - devtmpfs udev rw\n%s8 22 8:1 / /x rw - x x rw\nnonsense\n"
		   "9 22 8:1 /x /\\040 rw - x x rw\n10 22\n",
		   root);
}

/*
 * What process 1 shows: its mount namespace, the same file as our own or another (1, 2; 0: not
 * shown), and the mount that is its root (0: not shown), ours being 22.
 */
static void test_evidence(void **state)
{
	static const struct {
		int pids_are_hosts;
		unsigned ns;
		unsigned root_id;
		const char *root;
		enum host_root_evidence evidence;
	} cases[] = {
		{ 1, 1, 22, "/", HOST_ROOT_KNOWN },
		{ 1, 2, 99, "/proc/1/root", HOST_ROOT_KNOWN },
		/* The namespaces are the proof, if they are shown. */
		{ 1, 1, 99, "/", HOST_ROOT_KNOWN },
		{ 1, 2, 22, "/proc/1/root", HOST_ROOT_KNOWN },
		{ 1, 1, 0, "/", HOST_ROOT_KNOWN },
		{ 1, 2, 0, "/proc/1/root", HOST_ROOT_KNOWN },
		/* Without CAP_SYS_PTRACE. */
		{ 1, 0, 22, "/", HOST_ROOT_KNOWN },
		{ 1, 0, 99, "/", HOST_ROOT_ELSEWHERE },
		{ 1, 0, 0, "/", HOST_ROOT_UNCERTAIN },
		/* PIDs of our own. */
		{ 0, 2, 99, "/", HOST_ROOT_KNOWN },
		{ 0, 0, 0, "/", HOST_ROOT_KNOWN },
		{ -EACCES, 1, 22, "/", HOST_ROOT_UNCERTAIN },
		{ -ENOENT, 2, 99, "/", HOST_ROOT_UNCERTAIN },
	};
	struct fake_root *fake = *state;
	char proc[FAKE_PATH_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum host_root_evidence evidence = HOST_ROOT_EVIDENCE_N_;

		fake_unlink(fake, "proc");
		fake_write(fake, "proc/self/ns/mnt", "x");
		fake_mountinfo(fake, "proc/self/mountinfo", 22);
		fake_mkdir(fake, "proc/1/ns");
		if (cases[i].ns == 1)
			fake_symlink(fake, "../../self/ns/mnt", "proc/1/ns/mnt");
		else if (cases[i].ns == 2)
			fake_write(fake, "proc/1/ns/mnt", "x");
		if (cases[i].root_id)
			fake_mountinfo(fake, "proc/1/mountinfo", cases[i].root_id);

		assert_string_equal(host_root_find(fake_path(fake, "proc", proc),
						   cases[i].pids_are_hosts, &evidence),
				    cases[i].root);
		assert_int_equal(evidence, cases[i].evidence);
	}
}

/* Two tables without a root do not agree on one. */
static void test_no_evidence(void **state)
{
	struct fake_root *fake = *state;
	char proc[FAKE_PATH_MAX];
	enum host_root_evidence evidence = HOST_ROOT_KNOWN;

	fake_mountinfo(fake, "proc/self/mountinfo", 0);
	fake_mountinfo(fake, "proc/1/mountinfo", 0);
	assert_string_equal(host_root_find(fake_path(fake, "proc", proc), 1, &evidence), "/");
	assert_int_equal(evidence, HOST_ROOT_UNCERTAIN);
}

/* By the links that name the namespaces, where both can be read. */
static const char *expected_root(void)
{
	char pids[64] = "", first[64] = "", own[64] = "";

	if (readlink("/proc/self/ns/pid", pids, sizeof(pids) - 1) < 0 ||
	    strcmp(pids, "pid:[4026531836]") != 0)
		return "/";
	if (readlink("/proc/1/ns/mnt", first, sizeof(first) - 1) < 0 ||
	    readlink("/proc/self/ns/mnt", own, sizeof(own) - 1) < 0)
		return "/";
	return strcmp(first, own) == 0 ? "/" : "/proc/1/root";
}

static void test_open_root(void **state)
{
	struct host_root *root = NULL;

	assert_int_equal(host_root_open("/nowhere/at/all", &root), -ENOENT);
	assert_int_equal(host_root_open("/dev/null", &root), -ENOTDIR);
	assert_null(root);
	assert_int_equal(host_root_open(NULL, &root), 0);
	assert_string_equal(host_root_path(root), expected_root());
	host_root_close(root);
	assert_int_equal(host_root_open("/", &root), 0);
	assert_int_equal(host_root_evidence(root), HOST_ROOT_KNOWN);
	assert_null(host_root_doubt(root));
	host_root_close(root);
	host_root_close(NULL);
}

static int refuse_openat2(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return -errno;
	return syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno == error ? 0 : -EINVAL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)
		TEST(test_reads_whole_files),
		TEST(test_missing_and_empty),
		TEST(test_limits),
		TEST(test_special_files),
		TEST(test_links_are_not_followed),
		TEST(test_no_way_out),
		TEST(test_bases_follow_links_within_the_root),
		TEST(test_configuration_may_be_a_link),
		TEST(test_owner),
		TEST(test_permissions),
		TEST(test_json),
		TEST(test_safe_ids),
		TEST(test_json_text),
		TEST(test_cache),
		TEST(test_cached_documents_are_current),
		TEST(test_users_displace_users),
		TEST(test_users_documents_are_small),
		TEST(test_users_work_is_bounded),
		TEST(test_stat_follows_nothing),
		TEST(test_cache_tells_damaged_from_missing),
		TEST(test_evidence),
		TEST(test_no_evidence),
		TEST(test_open_root),
	};
	int failed;

	failed = cmocka_run_group_tests_name("openat2", tests, NULL, NULL);
	/* The last filter to say something else than "allow" wins. */
	if (refuse_openat2(EPERM) < 0) {
		fprintf(stderr, "needs seccomp filters: the walk by component was not tested\n");
		return failed ? failed : 77;
	}
	failed += cmocka_run_group_tests_name("openat2 refused", tests, NULL, NULL);
	return failed;
}
