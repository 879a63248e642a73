/* SPDX-License-Identifier: BSD-2-Clause */
/* With directories that look like cgroups. */
#include "src/cgroup_evidence.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cleanup.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

#define USER "user.slice/user-1000.slice/user@1000.service/"

static void add(const struct fake_root *fake, const char *place, const char *path, bool populated)
{
	char file[FAKE_PATH_MAX];

	snprintf(file, sizeof(file), "%s/%s/cgroup.events", place, path);
	fake_write(fake, file, "populated %d\nfrozen 0\n", populated);
}

static struct cgroup_place open_place(const struct fake_root *fake, const char *place)
{
	char path[FAKE_PATH_MAX];
	struct cgroup_place ret;

	fake_mkdir(fake, place);
	ret.fd = open(fake_path(fake, place, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret.v1 = false;
	assert_true(ret.fd >= 0);
	return ret;
}

/* "containers, of them only here; claims, of them only here". */
static void assert_counts(const struct fake_root *fake, bool with_other, const char *expected)
{
	struct cgroup_place here = open_place(fake, "here"), there = open_place(fake, "there");
	const struct cgroup_place none = { .fd = -1 };
	struct cgroup_evidence found;
	char text[128];

	cgroup_evidence_count(&here, with_other ? &there : &none, &found);
	closep(&here.fd);
	closep(&there.fd);
	snprintf(text, sizeof(text), "%zu, %zu; %zu, %zu", found.n, found.n_only, found.n_claims,
		 found.n_claims_only);
	assert_string_equal(text, expected);
}

static void test_count(void **state)
{
	const struct fake_root *fake = *state;

	assert_counts(fake, true, "0, 0; 0, 0");
	add(fake, "here", "docker/" A, false);
	assert_counts(fake, true, "0, 0; 0, 0");
	add(fake, "here", "docker/" A, true);
	add(fake, "here", "docker/" A "/docker/" C, true);
	assert_counts(fake, true, "1, 1; 0, 0");
	add(fake, "there", "docker/" A, true);
	add(fake, "here", "docker/" B, true);
	assert_counts(fake, true, "2, 1; 0, 0");
	assert_counts(fake, false, "1, 0; 0, 0");
}

static void test_users(void **state)
{
	const struct fake_root *fake = *state;

	add(fake, "here", USER "docker-" A ".scope", true);
	add(fake, "here", USER "user.slice/docker-" B ".scope", true);
	add(fake, "there", USER "user.slice/docker-" B ".scope", true);
	assert_counts(fake, true, "0, 0; 2, 1");
	assert_counts(fake, false, "0, 0; 2, 0");
	add(fake, "here", "system.slice/docker-" C ".scope", true);
	assert_counts(fake, true, "1, 1; 2, 1");
	/* No user's, whatever it is called: it is a container's own. */
	add(fake, "here", "system.slice/docker-" C ".scope/" USER "docker-" A ".scope", true);
	assert_counts(fake, true, "1, 1; 2, 1");
}

/* A service that is no runtime's has been given what is below it, by whoever set it up. */
static void test_services(void **state)
{
	const struct fake_root *fake = *state;

	add(fake, "here", "system.slice/alice.service/docker-" A ".scope", true);
	add(fake, "here", "system.slice/alice.service/docker/" B, true);
	assert_counts(fake, true, "0, 0; 2, 2");
	add(fake, "here", "system.slice/docker.service/docker/" A, true);
	add(fake, "here", "system.slice/containerd@x.service/docker/" B, true);
	add(fake, "here", "system.slice/docker-" C ".scope", true);
	assert_counts(fake, true, "3, 3; 2, 2");
}

/* A container's own cgroups are not walked: they can be any number. */
static void test_below_a_container(void **state)
{
	const struct fake_root *fake = *state;
	char path[256];

	add(fake, "here", "docker/" A, true);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "docker/" A "/docker-%c%s.scope", 'a' + i, &A[1]);
		add(fake, "here", path, true);
	}
	add(fake, "here", "lxc.payload.web", true);
	add(fake, "here", "lxc.payload.web/docker/" B, true);
	assert_counts(fake, true, "2, 2; 0, 0");
}

static void test_podman_pod(void **state)
{
	const struct fake_root *fake = *state;

	add(fake, "here", "libpod_parent/" A, true);
	assert_counts(fake, true, "0, 0; 0, 0");
	add(fake, "here", "libpod_parent/" A "/libpod-" B, true);
	add(fake, "here", "libpod_parent/" A "/libpod-" C, true);
	assert_counts(fake, true, "2, 2; 0, 0");
	add(fake, "here", "libpod_parent/libpod-" A, true);
	assert_counts(fake, true, "3, 3; 0, 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_count, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_users, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_services, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_below_a_container, fake_setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_podman_pod, fake_setup, fake_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
