/* SPDX-License-Identifier: BSD-2-Clause */
/* The input as the state file of a container of each runtime, below a host root of our own. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"
#include "runtime/runtime.h"
#include "tests/unit/fake_root.h"

#define ID  "5aaf9eb7648eeb1459d86eaa0ace8bcfa93089642e5c3113a14250dae3238aaf"
#define UID "0d08203e-255a-11e9-8cd9-0007cb0b2cc8"

static const char *const files[] = {
	"/var/lib/docker/containers/" ID "/config.v2.json",
	"/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/" ID "/config.json",
	"/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json",
};

static struct fake_root fake;

static void remove_root(void)
{
	fake_close(&fake);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
	char path[FAKE_PATH_MAX];
	int fd;

	fake_path(&fake, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	PROMISE(fd >= 0);
	PROMISE(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* Directories first, since the root remembers for a while that one is missing. */
static void make_root(void)
{
	fake_open(&fake);
	atexit(remove_root);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		fake_write(&fake, files[i], "%s", "");
}

static void check_string(const char *s)
{
	PROMISE(!s || s[0] != '\0');
}

static void inspect(const struct runtime *runtime, const char *path)
{
	struct container container = { 0 };
	struct runtime_query query = { .path = path };
	struct cgroup_parse parse;

	cgroup_path_parse(path, &parse);
	PROMISE(parse.n_links == 1);
	query.link = &parse.links[0];
	if (runtime->inspect(fake.root, &query, &container) < 0)
		return;

	PROMISE(container.source);
	check_string(container.name);
	check_string(container.image_name);
	check_string(container.pod_name);
	check_string(container.pod_uid);
	check_string(container.namespace_name);
	check_string(container.k8s_container_name);
	container_done(&container);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!fake.root)
		make_root();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_file(files[i], data, size);
	for (size_t i = 0; runtimes[i]; i++) {
		inspect(runtimes[i], "/docker/" ID);
		inspect(runtimes[i], "/kubepods/besteffort/pod" UID "/" ID);
		inspect(runtimes[i], "/system.slice/cri-containerd-" ID ".scope");
	}
	return 0;
}
